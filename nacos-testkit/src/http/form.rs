//! Parameters, from the query or a form body.

use std::collections::HashMap;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Form(HashMap<String, String>);

impl Form {
    pub(super) fn parse(text: &str) -> Self {
        let mut form = Self::default();
        form.extend(text);
        form
    }

    /// Adds what stands in another text; what is known stays.
    pub(super) fn extend(&mut self, text: &str) {
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.0.entry(decode(name)).or_insert_with(|| decode(value));
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub(super) fn or(&self, name: &str, default: &str) -> String {
        self.text(name).filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
    }
}

/// Undoes percent encoding; what is no valid escape is left as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => match tail.split_at_checked(2).and_then(|(pair, after)| {
                let pair = std::str::from_utf8(pair).ok()?;
                Some((u8::from_str_radix(pair, 16).ok()?, after))
            }) {
                Some((byte, after)) => {
                    decoded.push(byte);
                    rest = after;
                }
                None => decoded.push(b'%'),
            },
            byte => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_broken_ones_left() {
        assert_eq!(decode("a+b%20c%E4%BD%A0"), "a b c你");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz"), "%zz");
    }

    #[test]
    fn query_wins_over_the_body() {
        let mut form = Form::parse("username=one");
        form.extend("username=two&password=p");
        assert_eq!(form.text("username").as_deref(), Some("one"));
        assert_eq!(form.text("password").as_deref(), Some("p"));
    }
}
