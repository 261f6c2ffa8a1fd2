//! The checks of names and sizes that Java servers make before a request is handled.

use std::collections::BTreeMap;

use super::Refusal;

pub(super) type Legal = Result<(), Refusal>;

pub(super) fn data_id(name: &str) -> Legal {
    text("dataId", name, 256, |c| c.is_ascii_alphanumeric() || "-_:.".contains(c))
}

pub(super) fn group(param: &str, name: &str) -> Legal {
    text(param, name, 128, |c| c.is_ascii_alphanumeric() || "-_:.".contains(c))
}

pub(super) fn namespace(name: &str) -> Legal {
    text("namespaceId/tenant", name, 64, |c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// A blank service name is not merely illegal: the request fails before it is checked.
pub(super) fn service(name: &str) -> Legal {
    if name.trim().is_empty() {
        let text = "Param 'serviceName' is illegal, serviceName is blank";
        return Err(Refusal::general(500, text));
    }
    if name.starts_with('@') || name.contains("@@") {
        return Err(characters("serviceName"));
    }
    let is_ideograph = |c: char| ('\u{4E00}'..='\u{9FA5}').contains(&c);
    text("serviceName", name, 512, |c| !c.is_whitespace() && !is_ideograph(c))
}

pub(super) fn clusters(names: &str) -> Legal {
    names.split(',').try_for_each(|name| {
        text("cluster", name, 64, |c| c.is_ascii_alphanumeric() || "-_".contains(c))
    })
}

pub(super) fn ip(address: &str) -> Legal {
    text("ip", address, 128, |_| true)
}

pub(super) fn port(port: i64) -> Legal {
    if (0..=65_535).contains(&port) {
        return Ok(());
    }
    Err(illegal("Param 'port' is illegal, the value should be between 0 and 65535."))
}

pub(super) fn metadata(metadata: &BTreeMap<String, String>) -> Legal {
    let length: usize = metadata.iter().map(|(k, v)| java_length(k) + java_length(v)).sum();
    if length <= 1024 {
        return Ok(());
    }
    Err(illegal("Param 'Metadata' is illegal, the param length should not exceed 1024."))
}

fn text(param: &str, text: &str, longest: usize, allowed: impl Fn(char) -> bool) -> Legal {
    if java_length(text) > longest {
        let limit = format!("the param length should not exceed {longest}.");
        return Err(illegal(&format!("Param '{param}' is illegal, {limit}")));
    }
    if text.chars().all(allowed) { Ok(()) } else { Err(characters(param)) }
}

/// Its `String.length` in Java: an emoji has two.
fn java_length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn characters(param: &str) -> Refusal {
    let text = "illegal characters should not appear in the param.";
    illegal(&format!("Param '{param}' is illegal, {text}"))
}

fn illegal(text: &str) -> Refusal {
    Refusal::typed(400, format!("Param check invalid:{text}"))
}
