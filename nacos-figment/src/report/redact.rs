//! Errors without values: figment and user code may print what they found, reports must not.
use std::error::Error as StdError;

use figment::{
    error::{Actual, Kind},
    value::{Dict, Value},
};

/// The same error, without the values that figment would print.
///
/// For those who extract by themselves and log what fails: `found string "hunter2"` becomes
/// `found string`. Messages of hand-written `Deserialize` implementations stay as they are.
///
/// ```
/// use figment::{Figment, providers::Serialized};
///
/// let figment = Figment::from(Serialized::default("port", "hunter2"));
/// let error = figment.extract_inner::<u16>("port").expect_err("no number");
/// assert!(error.to_string().contains("hunter2"));
/// assert!(!nacos_figment::redacted(error).to_string().contains("hunter2"));
/// ```
#[must_use]
pub fn redacted(error: figment::Error) -> figment::Error {
    let mut errors: Vec<figment::Error> = error.into_iter().collect();
    for error in &mut errors {
        let kind = std::mem::replace(&mut error.kind, Kind::ISizeOutOfRange(0));
        error.kind = match kind {
            Kind::InvalidType(found, expected) => Kind::InvalidType(nameless(&found), expected),
            Kind::InvalidValue(found, expected) => Kind::InvalidValue(nameless(&found), expected),
            Kind::UnknownVariant(_, expected) => {
                Kind::UnknownVariant("[redacted]".into(), expected)
            }
            Kind::Unsupported(found) => Kind::Unsupported(nameless(&found)),
            Kind::UnsupportedKey(found, why) => Kind::UnsupportedKey(nameless(&found), why),
            Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => {
                Kind::Message("integer out of range".into())
            }
            kind => kind,
        };
    }
    // The first one leads: each further one is put before it, and it comes out on top again.
    let mut errors = errors.into_iter().rev();
    match errors.next() {
        Some(last) => errors.fold(last, figment::Error::chain),
        None => Kind::Message("no error".into()).into(),
    }
}

fn nameless(found: &Actual) -> Actual {
    Actual::Other(kind_of(found).to_owned())
}

fn kind_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "bool",
        Actual::Unsigned(_) | Actual::Signed(_) => "integer",
        Actual::Float(_) => "float",
        Actual::Char(_) | Actual::Str(_) => "string",
        Actual::Bytes(_) => "bytes",
        Actual::Unit | Actual::Option => "null",
        Actual::Seq => "list",
        Actual::Map => "table",
        Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else",
    }
}

/// The problem in our words, and a hint that may help. `around` is the value that it is about.
pub(crate) fn describe(kind: &Kind, around: Option<&Value>) -> (String, Option<&'static str>) {
    let what = match kind {
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let hint = match found {
                Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) | Actual::Bool(_)
                    if expected.contains("string") =>
                {
                    Some("quote the value to make it text")
                }
                _ => None,
            };
            return (format!("expected {expected}, found {}", kind_of(found)), hint);
        }
        Kind::InvalidLength(length, expected) => format!("expected {expected}, found {length}"),
        Kind::UnknownVariant(_, expected) => format!("expected one of {}", expected.join(", ")),
        Kind::UnknownField(field, _) => format!("unknown field `{field}`"),
        Kind::MissingField(_) => return ("is missing".into(), Some("no layer has it")),
        Kind::DuplicateField(field) => format!("`{field}` is given twice"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "integer out of range".into(),
        Kind::Unsupported(found) | Kind::UnsupportedKey(found, _) => {
            format!("{} is not supported here", kind_of(found))
        }
        Kind::Message(message) => match around {
            Some(value) => without(message, &texts_in(value)),
            None => message.clone(),
        },
    };
    (what, None)
}

/// The text of an error of user code, without the secrets of the configuration.
pub(crate) fn error_text<'a>(
    error: &(dyn StdError + 'static),
    dicts: impl IntoIterator<Item = &'a Dict>,
) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = message + ": " + &cause.to_string();
        source = cause.source();
    }
    let secrets = dicts.into_iter().flat_map(secrets_in).collect();
    without(&message, &longest_first(secrets))
}

/// `message` without `texts`, and without the passwords of URLs.
pub(crate) fn without(message: &str, texts: &[String]) -> String {
    let mut message = message.to_owned();
    for text in texts.iter().filter(|text| text.chars().count() > 2) {
        message = message.replace(text.as_str(), HIDDEN);
    }
    without_userinfo(&message)
}

fn without_userinfo(message: &str) -> String {
    let mut clean = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c.is_whitespace() || "/\"'`".contains(c));
        let authority = end.map_or(after, |end| &after[..end]);
        clean.push_str(before);
        clean.push_str("://");
        rest = match authority.rfind('@') {
            Some(at) => {
                clean.push_str(HIDDEN);
                &after[at..]
            }
            None => after,
        };
    }
    clean + rest
}

/// The texts of all values inside `value`; the longest first, for one may be a part of another.
fn texts_in(value: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    collect(value, true, &mut texts);
    longest_first(texts)
}

/// The texts of all values under keys that sound secret.
pub(crate) fn secrets_in(dict: &Dict) -> Vec<String> {
    let mut texts = Vec::new();
    for (key, value) in dict {
        if sounds_secret(key) {
            collect(value, true, &mut texts);
        } else if let Value::Dict(_, dict) = value {
            texts.extend(secrets_in(dict));
        } else {
            collect(value, false, &mut texts);
        }
    }
    longest_first(texts)
}

fn longest_first(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

fn collect(value: &Value, all: bool, texts: &mut Vec<String>) {
    match value {
        Value::Dict(_, dict) if all => dict.values().for_each(|value| collect(value, all, texts)),
        Value::Dict(_, dict) => texts.extend(secrets_in(dict)),
        Value::Array(_, list) => list.iter().for_each(|value| collect(value, all, texts)),
        Value::String(_, text) if all => texts.push(text.clone()),
        Value::Num(_, number) if all => texts.extend(
            number
                .to_u128()
                .map(|n| n.to_string())
                .or_else(|| number.to_i128().map(|n| n.to_string())),
        ),
        _ => {}
    }
}

fn sounds_secret(key: &str) -> bool {
    let key: String =
        key.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    SECRET.iter().any(|word| key.contains(word))
}

const HIDDEN: &str = "[redacted]";

const SECRET: [&str; 11] = [
    "accesskey",
    "apikey",
    "connectionstring",
    "credential",
    "dsn",
    "jaas",
    "pass",
    "privatekey",
    "pwd",
    "secret",
    "token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_urls_are_hidden() {
        assert_eq!(
            without("connect to postgres://app:hunter2@db:5432/orders failed", &[]),
            "connect to postgres://[redacted]@db:5432/orders failed"
        );
        assert_eq!(without("see https://nacos.io/x@y", &[]), "see https://nacos.io/x@y");
    }

    #[test]
    fn values_under_secret_keys_are_hidden_in_what_user_code_says() {
        let inner = Dict::from([("db_password".to_owned(), Value::from("hunter2"))]);
        let dict = Dict::from([
            ("db".to_owned(), Value::from(inner)),
            ("name".to_owned(), Value::from("orders")),
        ]);
        let error: Box<dyn StdError + Send + Sync> = "orders: login hunter2 refused".into();
        assert_eq!(error_text(&*error, [&dict]), "orders: login [redacted] refused");
    }

    #[test]
    fn chain_keeps_its_order() {
        let chained = figment::Error::from("second".to_owned()).chain("first".to_owned().into());
        let shown = chained.to_string();
        assert_eq!(redacted(chained).to_string(), shown);
    }
}
