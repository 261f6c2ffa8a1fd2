//! The environment, read once, when a builder is made from it.
use std::{env::VarError, time::Duration};

use crate::{
    builder::ClientBuilder,
    error::{Error, ErrorKind},
};

/// Sets on `builder` what the environment says.
pub(crate) fn read(builder: ClientBuilder) -> Result<ClientBuilder, Error> {
    read_with(builder, |name| std::env::var(name))
}

fn read_with(
    mut builder: ClientBuilder,
    variable: impl Fn(&str) -> Result<String, VarError>,
) -> Result<ClientBuilder, Error> {
    let text = |name: &str| match variable(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(unreadable(name, "it is not UTF-8")),
    };
    let number = |name: &str, limit: u64| -> Result<Option<u64>, Error> {
        match text(name)? {
            None => Ok(None),
            Some(value) => match value.trim().parse::<u64>() {
                Ok(number) if number <= limit => Ok(Some(number)),
                _ => Err(unreadable(name, "it is no number, or too large")),
            },
        }
    };
    let millis = |name: &str| -> Result<Option<Duration>, Error> {
        Ok(number(name, WEEK_MS)?.map(Duration::from_millis))
    };

    let texts: [(&str, Text); 7] = [
        ("NACOS_SERVER_ADDR", ClientBuilder::server_addr),
        ("NACOS_NAMESPACE", ClientBuilder::namespace),
        ("NACOS_CONFIG_NAMESPACE", ClientBuilder::config_namespace),
        ("NACOS_NAMING_NAMESPACE", ClientBuilder::naming_namespace),
        ("NACOS_USERNAME", ClientBuilder::username),
        ("NACOS_PASSWORD", ClientBuilder::password),
        ("NACOS_APP", ClientBuilder::app),
    ];
    for (name, set) in texts {
        if let Some(value) = text(name)? {
            builder = set(builder, value);
        }
    }
    let times: [(&str, Time); 3] = [
        ("NACOS_CONNECT_TIMEOUT_MS", ClientBuilder::connect_timeout),
        ("NACOS_REQUEST_TIMEOUT_MS", ClientBuilder::request_timeout),
        ("NACOS_BACKOFF_CAP_MS", ClientBuilder::backoff_cap),
    ];
    for (name, set) in times {
        if let Some(value) = millis(name)? {
            builder = set(builder, value);
        }
    }
    let offset = number("NACOS_GRPC_PORT_OFFSET", u64::from(u16::MAX))?;
    if let Some(offset) = offset.and_then(|offset| u16::try_from(offset).ok()) {
        builder = builder.grpc_port_offset(offset);
    }
    let limit = number("NACOS_RECEIVE_LIMIT", u64::from(u32::MAX))?;
    if let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) {
        builder = builder.receive_limit(limit);
    }
    Ok(builder)
}

/// The setter of an option.
type Text = fn(ClientBuilder, String) -> ClientBuilder;
type Time = fn(ClientBuilder, Duration) -> ClientBuilder;

/// Names the variable only: its value may be a secret in the wrong place.
fn unreadable(name: &str, why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOption, format!("read the variable {name}")).because(why)
}

const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn builder(variables: &[(&str, &str)]) -> Result<ClientBuilder, Error> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        read_with(ClientBuilder::new(), |name| {
            variables.get(name).map(|value| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn variables_set_the_options_of_the_same_name() {
        let builder = builder(&[
            ("NACOS_SERVER_ADDR", "a:1"),
            ("NACOS_NAMESPACE", "staging"),
            ("NACOS_APP", ""),
        ]);
        let shown = format!("{:?}", builder.expect("readable"));
        assert!(
            shown.contains("a:1") && shown.contains("staging") && shown.contains("app: None"),
            "{shown}"
        );
    }

    #[test]
    fn unreadable_variable_is_named_without_its_value() {
        for name in ["NACOS_GRPC_PORT_OFFSET", "NACOS_REQUEST_TIMEOUT_MS", "NACOS_RECEIVE_LIMIT"] {
            let error = builder(&[(name, "hunter2")]).expect_err("no number");
            assert!(error.to_string().contains(name), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
