//! Reading a client's JSON, as lenient as Jackson or as strict as serde.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// How a server reads JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// Jackson: a missing field has its default, an explicit null is nothing, numbers and flags may
    /// come as text.
    Lenient,
    /// serde: what is needed must be there, and have its type.
    Strict,
}

/// The fields of one JSON object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    reading: Reading,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, reading: Reading) -> Result<Self, Malformed> {
        match value {
            Value::Object(object) => Ok(Self { object, reading }),
            _ => Err(Malformed::new("the message is no JSON object")),
        }
    }

    /// A text that may be absent; null is absent.
    pub(crate) fn text(self, name: &str) -> Result<Option<String>, Malformed> {
        match (self.object.get(name), self.reading) {
            (None | Some(Value::Null), _) => Ok(None),
            (Some(Value::String(text)), _) => Ok(Some(text.clone())),
            (Some(value @ (Value::Number(_) | Value::Bool(_))), Reading::Lenient) => {
                Ok(Some(value.to_string()))
            }
            (Some(_), _) => Err(Malformed::field(name, "a string")),
        }
    }

    /// A text that a strict server insists on.
    pub(crate) fn needed_text(self, name: &str) -> Result<String, Malformed> {
        match (self.text(name)?, self.reading) {
            (Some(text), _) => Ok(text),
            (None, Reading::Lenient) => Ok(String::new()),
            (None, Reading::Strict) => Err(Malformed::missing(name)),
        }
    }

    /// A flag that a strict server insists on.
    pub(crate) fn flag(self, name: &str, default: bool) -> Result<bool, Malformed> {
        match (self.object.get(name), self.reading) {
            (Some(Value::Bool(flag)), _) => Ok(*flag),
            (None, Reading::Lenient) => Ok(default),
            // An explicit null for a primitive is its zero, not its default.
            (Some(Value::Null), Reading::Lenient) => Ok(false),
            (Some(Value::String(text)), Reading::Lenient) => match text.as_str() {
                "true" => Ok(true),
                "false" | "" => Ok(false),
                _ => Err(Malformed::field(name, "a boolean")),
            },
            (None, Reading::Strict) => Err(Malformed::missing(name)),
            (Some(_), _) => Err(Malformed::field(name, "a boolean")),
        }
    }

    /// A whole number that a strict server insists on.
    pub(crate) fn integer(self, name: &str, default: i64) -> Result<i64, Malformed> {
        match (self.object.get(name), self.reading) {
            (Some(Value::Number(number)), _) => {
                number.as_i64().ok_or_else(|| Malformed::field(name, "a whole number"))
            }
            (None, Reading::Lenient) => Ok(default),
            (Some(Value::Null), Reading::Lenient) => Ok(0),
            (Some(Value::String(text)), Reading::Lenient) => {
                text.trim().parse().map_err(|_| Malformed::field(name, "a whole number"))
            }
            (None, Reading::Strict) => Err(Malformed::missing(name)),
            (Some(_), _) => Err(Malformed::field(name, "a whole number")),
        }
    }

    /// A number that a strict server insists on.
    pub(crate) fn number(self, name: &str, default: f64) -> Result<f64, Malformed> {
        match (self.object.get(name), self.reading) {
            (Some(Value::Number(number)), _) => {
                number.as_f64().ok_or_else(|| Malformed::field(name, "a number"))
            }
            (None, Reading::Lenient) => Ok(default),
            (Some(Value::Null), Reading::Lenient) => Ok(0.0),
            (Some(Value::String(text)), Reading::Lenient) => {
                text.trim().parse().map_err(|_| Malformed::field(name, "a number"))
            }
            (None, Reading::Strict) => Err(Malformed::missing(name)),
            (Some(_), _) => Err(Malformed::field(name, "a number")),
        }
    }

    /// A map of texts; absent and null are an empty one.
    pub(crate) fn texts(self, name: &str) -> Result<BTreeMap<String, String>, Malformed> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(object)) => {
                let inner = Self { object, reading: self.reading };
                let mut texts = BTreeMap::new();
                for key in object.keys() {
                    // A map may hold nulls; they are as good as no entry.
                    if let Some(text) = inner.text(key)? {
                        texts.insert(key.clone(), text);
                    }
                }
                Ok(texts)
            }
            Some(_) => Err(Malformed::field(name, "an object")),
        }
    }

    /// An object inside this one; absent and null are `None`.
    pub(crate) fn object(self, name: &str) -> Result<Option<Fields<'a>>, Malformed> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Fields { object, reading: self.reading })),
            Some(_) => Err(Malformed::field(name, "an object")),
        }
    }

    /// The objects of a list that a strict server insists on; `None` when a lenient one got none.
    pub(crate) fn objects(self, name: &str) -> Result<Option<Vec<Fields<'a>>>, Malformed> {
        match (self.object.get(name), self.reading) {
            (Some(Value::Array(items)), reading) => items
                .iter()
                .map(|item| Fields::of(item, reading))
                .collect::<Result<_, _>>()
                .map(Some),
            (None, Reading::Strict) => Err(Malformed::missing(name)),
            (None | Some(Value::Null), _) => Ok(None),
            (Some(_), _) => Err(Malformed::field(name, "a list")),
        }
    }

    /// The texts of a list; absent and null are an empty one.
    pub(crate) fn list(self, name: &str) -> Result<Vec<String>, Malformed> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                Ok(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
            }
            Some(_) => Err(Malformed::field(name, "a list")),
        }
    }
}

/// A message whose JSON cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    fn field(name: &str, expected: &str) -> Self {
        Self(format!("invalid type: expected {expected} in `{name}`"))
    }

    fn missing(name: &str) -> Self {
        Self(format!("missing field `{name}`"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lenient_null_is_zero_and_missing_is_the_default() {
        let value = json!({ "weight": null, "port": "8080" });
        let fields = Fields::of(&value, Reading::Lenient).expect("an object");
        assert_eq!(fields.number("weight", 1.0), Ok(0.0));
        assert_eq!(fields.number("other", 1.0), Ok(1.0));
        assert_eq!(fields.integer("port", 0), Ok(8080));
        assert_eq!(fields.flag("healthy", true), Ok(true));
    }

    #[test]
    fn strict_reading_misses_what_is_not_there() {
        let value = json!({ "tenant": null, "port": "8080" });
        let fields = Fields::of(&value, Reading::Strict).expect("an object");
        assert!(fields.needed_text("tenant").is_err());
        assert!(fields.integer("port", 0).is_err());
        assert!(fields.flag("healthy", true).is_err());
    }
}
