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
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            self.0.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
    }

    /// All of them, as an object.
    pub(super) fn to_json(&self) -> serde_json::Value {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub(super) fn or(&self, name: &str, default: &str) -> String {
        self.text(name).filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_broken_ones_left() {
        for (text, decoded) in [
            ("a+b%20c%E4%BD%A0", "a b c你"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%4", "%4"),
            ("a%26b%3Dc", "a&b=c"),
            ("", ""),
        ] {
            let form = Form::parse(&format!("&a={text}&&b"));
            assert_eq!(form.text("a").as_deref(), Some(decoded));
            assert_eq!(form.text("b").as_deref(), Some(""), "a name alone");
        }
    }

    #[test]
    fn query_wins_over_the_body() {
        let mut form = Form::parse("username=one");
        form.extend("username=two&password=p");
        assert_eq!(form.text("username").as_deref(), Some("one"));
        assert_eq!(form.text("password").as_deref(), Some("p"));
    }
}
