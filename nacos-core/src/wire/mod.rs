//! Messages exactly as they travel, and nothing above this module knows a field or type name.
//!
//! Strict in what is sent: no nulls, every field that the strictest server wants. Tolerant of what
//! arrives: unknown fields are ignored, a missing or null field is its default.
pub(crate) mod ability;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod document_list;
pub(crate) mod fuzzy;
#[cfg(test)]
mod golden;
mod instance;
pub(crate) mod label;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod metrics;
pub(crate) mod namespaces;
pub(crate) mod naming;
pub(crate) mod oidc;
pub(crate) mod payload;
mod peek;
pub(crate) mod push;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

pub(crate) use self::{ability::Ability, payload::Payload};
use crate::{
    error::{Error, ErrorKind, clip},
    resource::Resource,
};

/// A message that is answered by one of type [`Request::Answer`].
pub(crate) trait Request: Serialize {
    /// Its name on the wire.
    const TYPE: &'static str;
    /// The answer of a server that did what was asked.
    type Answer: Answer;
    /// The ability that the server must have announced to be asked for this.
    const NEEDS: Option<Ability> = None;
    /// Whether servers before 2.5 look here for the gray tag of the client, which newer ones take
    /// from the labels of its connection.
    const IS_BY_TAG: bool = false;

    /// The message as it travels, without headers.
    fn payload(&self) -> Payload {
        // These types are structs of strings and numbers with string keys: serialising them into
        // memory has no way to fail.
        Payload::new(Self::TYPE, serde_json::to_vec(self).unwrap_or_default())
    }

    /// Its subject, for credentials that sign it.
    fn resource(&self) -> Resource;

    /// The message and its subject.
    fn outgoing(&self) -> Outgoing {
        let (payload, resource) = (self.payload(), self.resource());
        Outgoing { payload, resource, is_by_tag: Self::IS_BY_TAG }
    }
}

/// A request that still needs its headers.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) payload: Payload,
    pub(crate) resource: Resource,
    /// See [`Request::IS_BY_TAG`].
    pub(crate) is_by_tag: bool,
}

/// An answer to a [`Request`].
pub(crate) trait Answer: DeserializeOwned {
    /// Its name on the wire.
    const TYPE: &'static str;

    /// How it went.
    fn status(&self) -> ResponseStatus<'_>;
}

/// The part that every answer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseStatus<'a> {
    pub(crate) result_code: i32,
    pub(crate) error_code: i32,
    pub(crate) message: &'a str,
}

/// Declares an answer: the given fields beside those that every answer has.
macro_rules! answer {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(crate) struct $name {
            #[serde(deserialize_with = "crate::wire::or_default")]
            result_code: i32,
            #[serde(deserialize_with = "crate::wire::or_default")]
            error_code: i32,
            #[serde(deserialize_with = "crate::wire::or_default")]
            message: String,
            $(
                $(#[$attr])*
                #[serde(deserialize_with = "crate::wire::or_default")]
                pub(crate) $field: $type,
            )*
        }

        impl crate::wire::Answer for $name {
            const TYPE: &'static str = stringify!($name);

            fn status(&self) -> crate::wire::ResponseStatus<'_> {
                crate::wire::ResponseStatus {
                    result_code: self.result_code,
                    error_code: self.error_code,
                    message: &self.message,
                }
            }
        }
    };
}
pub(crate) use answer;

answer! {
    /// The answer of a server that failed before it came to the typed one.
    ErrorResponse {}
}

/// Why an answer is not the one that was hoped for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The server's refusal.
    Answered(Refusal),
    /// Not an answer to this request, or not JSON.
    Unreadable(String),
}

/// The server understood, and said no.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: i32,
    pub(crate) message: String,
    /// It came as the typed answer, not as an `ErrorResponse`. Codes 300 and 400 mean different
    /// things in the two.
    pub(crate) typed: bool,
}

/// Reads `payload` as the answer to a request of type `R`.
pub(crate) fn decode<A: Answer>(payload: &Payload) -> Result<A, Failure> {
    let kind = payload.kind();
    if kind == A::TYPE {
        let answer: A = parse(payload)?;
        match refusal(answer.status(), true) {
            Some(refusal) => Err(Failure::Answered(refusal)),
            None => Ok(answer),
        }
    } else if kind == ErrorResponse::TYPE {
        let answer: ErrorResponse = parse(payload)?;
        let refusal = refusal(answer.status(), false).unwrap_or_else(|| Refusal {
            code: SERVER_ERROR,
            message: "an error that says it is none".to_owned(),
            typed: false,
        });
        Err(Failure::Answered(refusal))
    } else {
        Err(Failure::Unreadable(format!("{:?} in place of {}", clip(kind, MAX_QUOTED), A::TYPE)))
    }
}

/// Reads the JSON of `payload` as `T`, whatever its type name says.
pub(crate) fn parse<T: DeserializeOwned>(payload: &Payload) -> Result<T, Failure> {
    serde_json::from_slice(payload.json()).map_err(|error| {
        // serde_json names the position and the kind of value, and would quote a wrong string: that
        // string may be a user's configuration, so only the position is kept.
        let at = format!("line {} column {}", error.line(), error.column());
        Failure::Unreadable(format!(
            "{:?} is not readable at {at}",
            clip(payload.kind(), MAX_QUOTED)
        ))
    })
}

impl Refusal {
    /// The error of what was being done when the server refused.
    pub(crate) fn into_error(self, doing: impl fmt::Display) -> Error {
        Error::new(self.kind(), doing).with_code(self.code).because(self)
    }

    /// The [`ErrorKind`] that users see.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self.code {
            DENIED => ErrorKind::Denied,
            NO_HANDLER => ErrorKind::Unsupported,
            OVER_THRESHOLD | OVER_LIMIT => ErrorKind::Overloaded,
            TOO_MANY_PATTERNS => ErrorKind::TooManyPatterns,
            TOO_MANY_MATCHES => ErrorKind::TooManyMatches,
            _ if self.says_unknown() => ErrorKind::Disconnected,
            STARTING if !self.typed => ErrorKind::Server,
            _ if self.says_changed() => ErrorKind::Conflict,
            BEING_MODIFIED if self.says_being_modified() => ErrorKind::Server,
            // Every server of today gives the reason for one of these in words only.
            400..=499 | 20_000..=29_999 | PARSE_ERROR => ErrorKind::Refused,
            _ => ErrorKind::Server,
        }
    }

    /// The server does not know this connection, or no longer: nothing was done, and nothing will
    /// be on it.
    pub(crate) fn says_unknown(&self) -> bool {
        matches!(self.code, UNREGISTERED | DISCONNECTED)
    }

    /// The server accepts the user, or that there is none, and refuses all the same: a right is
    /// missing, no login.
    pub(crate) fn says_forbidden(&self) -> bool {
        // Java Nacos; r-nacos, of a namespace and of publishing.
        let words = ["authorization failed", "NO_NAMESPACE_PERMISSION", "NO_PERMISSION"];
        self.code == DENIED && words.into_iter().any(|words| self.message.contains(words))
    }

    /// The server demands a login.
    pub(crate) fn demands_login(&self) -> bool {
        self.code == DENIED && !self.says_forbidden()
    }

    /// The typed answer to a query: there is no such document.
    pub(crate) fn says_absent(&self) -> bool {
        self.typed && self.code == NO_SUCH_DOCUMENT
    }

    /// The answer to a conditional publish: the document is another one. Gray versions have a word
    /// more in it ("Cas publish tag config fail").
    fn says_changed(&self) -> bool {
        let rest = self.message.strip_prefix("Cas publish ");
        rest.is_some_and(|rest| rest.contains("fail"))
    }

    /// The typed answer to a query: the document is just being replaced.
    pub(crate) fn says_being_modified(&self) -> bool {
        self.typed && self.code == BEING_MODIFIED && self.message.contains("being modified")
    }
}

fn refusal(status: ResponseStatus<'_>, typed: bool) -> Option<Refusal> {
    if status.result_code == SUCCESS {
        return None;
    }
    // Some failures carry the reason in one of the two codes only.
    let code = if status.error_code == 0 { status.result_code } else { status.error_code };
    Some(Refusal { code, message: clip(status.message, MAX_QUOTED).to_owned(), typed })
}

/// A missing or null field is the default of its type.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(refusal) => refusal.fmt(f),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {}

/// `resultCode` of every answer that went well.
const SUCCESS: i32 = 200;
/// The server failed, without saying how.
pub(crate) const SERVER_ERROR: i32 = 500;
/// In an `ErrorResponse`: the server is still starting.
const STARTING: i32 = 300;
/// In a typed answer to a query: there is no such document.
const NO_SUCH_DOCUMENT: i32 = 300;
/// In a typed answer to a query: the document is just being replaced, ask again.
const BEING_MODIFIED: i32 = 400;
/// The server does not know this connection.
pub(crate) const UNREGISTERED: i32 = 301;
/// The server does not know this type of request.
pub(crate) const NO_HANDLER: i32 = 302;
/// The credentials do not suffice.
pub(crate) const DENIED: i32 = 403;
/// Over a limit of the server.
const OVER_THRESHOLD: i32 = 503;
/// A naming request on a connection that the server has no client for, or no longer.
pub(crate) const DISCONNECTED: i32 = -401;
/// Malformed, or of a type that clients may not send.
const PARSE_ERROR: i32 = 502;
/// A fuzzy watch of one pattern more than the server takes, of all clients together.
const TOO_MANY_PATTERNS: i32 = 50_310;
/// A fuzzy watch that matches more than the server tells of.
pub(crate) const TOO_MANY_MATCHES: i32 = 50_311;
/// Over a limit, as client libraries report it.
const OVER_LIMIT: i32 = -503;
/// How much of a peer's text goes into an error, in characters.
const MAX_QUOTED: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    answer! { ProbeResponse { count: u32, names: Vec<String>, } }

    fn payload(kind: &str, json: &str) -> Payload {
        Payload::new(kind, json.as_bytes().to_vec())
    }

    #[test]
    fn missing_null_and_unknown_fields_are_tolerated() {
        for json in [
            r#"{"resultCode":200}"#,
            r#"{"resultCode":200,"count":null,"names":null,"message":null}"#,
            r#"{"resultCode":200,"errorCode":0,"novelty":{"a":[1]},"success":true}"#,
        ] {
            let answer: ProbeResponse = decode(&payload("ProbeResponse", json)).expect(json);
            assert_eq!((answer.count, answer.names.len()), (0, 0));
        }
    }

    #[test]
    fn only_result_code_200_is_success() {
        for json in [r#"{"success":true}"#, r#"{"resultCode":0}"#, r#"{"resultCode":500}"#] {
            let failure = decode::<ProbeResponse>(&payload("ProbeResponse", json));
            assert!(matches!(failure, Err(Failure::Answered(_))), "{json}");
        }
    }

    #[test]
    fn error_response_and_typed_failure_are_told_apart() {
        let json = r#"{"resultCode":500,"errorCode":300,"message":"starting"}"#;
        for (kind, typed) in [("ErrorResponse", false), ("ProbeResponse", true)] {
            let expected = Refusal { code: 300, message: "starting".to_owned(), typed };
            let failure = decode::<ProbeResponse>(&payload(kind, json)).expect_err("a failure");
            assert_eq!(failure, Failure::Answered(expected));
        }
    }

    #[test]
    fn garbage_is_an_error_that_quotes_no_content() {
        for json in ["<html>secret</html>", r#"{"names":"secret"#, r#"{"count":"secret"}"#, ""] {
            let failure =
                decode::<ProbeResponse>(&payload("ProbeResponse", json)).expect_err("garbage");
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
        let failure = decode::<ProbeResponse>(&payload("Other", "{}")).expect_err("another type");
        assert_eq!(failure.to_string(), "\"Other\" in place of ProbeResponse");
    }

    /// Messages that 2.3.2, 3.0.3 and r-nacos were seen to send.
    #[test]
    fn missing_right_and_missing_login_are_told_apart() {
        let refusal = |message: &str| Refusal { code: 403, message: message.into(), typed: true };
        for login in [
            "Code: 401, Message: User not found! Please check user exist or password is right!.",
            "Code: 401, Message: token expired!.",
            "user not found!",
            "unknown user!",
            "",
        ] {
            assert!(refusal(login).demands_login(), "{login}");
        }
        for right in [
            "Code: 403, Message: authorization failed!.",
            "authorization failed!",
            "NO_NAMESPACE_PERMISSION, user no such namespace permission: team-a",
            "NO_PERMISSION, user no permission to edit config",
        ] {
            assert!(refusal(right).says_forbidden() && !refusal(right).demands_login(), "{right}");
        }
    }

    #[test]
    fn long_texts_of_a_peer_are_clipped() {
        let json = format!(r#"{{"resultCode":500,"message":"{}"}}"#, "ü".repeat(10_000));
        let Err(Failure::Answered(refusal)) =
            decode::<ProbeResponse>(&payload("ProbeResponse", &json))
        else {
            panic!("a refusal was expected")
        };
        assert_eq!(refusal.message.chars().count(), MAX_QUOTED);
    }
}
