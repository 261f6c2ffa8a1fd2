//! How each server words a success and a refusal.

use serde_json::{Map, Value, json};

use super::Denied;
use crate::{Behaviour, state::object, wire::Malformed, wire::Message};

/// A handler's result: the fields of the answer, or why there is none.
pub(super) type Outcome = Result<Map<String, Value>, Refusal>;

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// An `ErrorResponse`.
    General { code: i32, text: String },
    /// The JSON of the request.
    Malformed(Malformed),
    /// An exception in a Java handler: an `ErrorResponse` whose result code is the error code.
    Thrown { code: i32, text: String },
    /// The response of the request, with an error (Java); an `ErrorResponse` (r-nacos).
    Typed { code: i32, text: String },
    /// The response of the request with an error and these fields, on any server.
    TypedWith { code: i32, text: String, fields: Map<String, Value> },
}

impl Refusal {
    pub(super) fn general(code: i32, text: impl Into<String>) -> Self {
        Self::General { code, text: text.into() }
    }

    pub(super) fn thrown(code: i32, text: impl Into<String>) -> Self {
        Self::Thrown { code, text: text.into() }
    }

    pub(super) fn typed(code: i32, text: impl Into<String>) -> Self {
        Self::Typed { code, text: text.into() }
    }

    /// A refusal that the test has asked for, worded as the server would.
    pub(super) fn planned(message_type: &str, code: i32) -> Self {
        match code {
            300 if message_type == "ConfigQueryRequest" => Self::missing_config(None),
            300 => Self::general(code, "Server is starting,please try later."),
            301 => Self::general(code, "Connection is unregistered."),
            302 => Self::general(code, "RequestHandler Not Found"),
            502 => Self::general(code, "Invalid request"),
            -401 => Self::thrown(code, "Client not connected"),
            400 => Self::typed(code, "Param check invalid:planned by the test"),
            403 => Self::typed(code, "Code: 403, Message: authorization failed!."),
            503 => Self::typed(code, "Tps Flow restricted:planned by the test"),
            code => Self::typed(code, "planned by the test"),
        }
    }

    /// No such configuration; r-nacos spells out every field that there is not.
    pub(super) fn missing_config(tag: Option<&str>) -> Self {
        let mut fields = object([
            ("content", json!("")),
            ("encryptedDataKey", Value::Null),
            ("contentType", Value::Null),
            ("md5", Value::Null),
            ("tag", Value::Null),
        ]);
        if let Some(tag) = tag {
            fields.insert("tag".to_owned(), json!(tag));
        }
        Self::TypedWith { code: 300, text: "config data not exist".to_owned(), fields }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::typed(403, denied.text())
    }
}

/// How an answer is put into words.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) behaviour: Behaviour,
    /// The type of the answer, if it is not an `ErrorResponse`.
    pub(super) response: &'static str,
    pub(super) request_id: String,
}

impl Manner {
    pub(super) fn say(&self, outcome: Outcome) -> Message {
        match outcome {
            Ok(fields) => self.success(fields),
            Err(refusal) => self.refusal(refusal),
        }
    }

    fn success(&self, fields: Map<String, Value>) -> Message {
        let mut body = object([("resultCode", json!(200)), ("errorCode", json!(0))]);
        if self.behaviour.is_java() {
            body.insert("success".to_owned(), json!(true));
        } else {
            body.insert("message".to_owned(), json!(""));
            body.insert("requestId".to_owned(), json!(self.echo()));
        }
        body.extend(fields);
        Message::new(self.response, Value::Object(body))
    }

    fn refusal(&self, refusal: Refusal) -> Message {
        let java = self.behaviour.is_java();
        match refusal {
            Refusal::Typed { code, text } if java => self.typed(code, &text, Map::new()),
            Refusal::Typed { code, text } | Refusal::General { code, text } => {
                self.error(500, code, &text)
            }
            Refusal::TypedWith { code, text, mut fields } => {
                if java {
                    // Java's fields are null and left out, but for a tag that was asked for.
                    fields.retain(|name, value| name == "tag" && !value.is_null());
                }
                self.typed(code, &text, fields)
            }
            Refusal::Thrown { code, text } => {
                self.error(if java { code } else { 500 }, code, &text)
            }
            Refusal::Malformed(Malformed(text)) => {
                self.error(500, if java { 502 } else { 500 }, &text)
            }
        }
    }

    fn typed(&self, code: i32, text: &str, fields: Map<String, Value>) -> Message {
        let mut body = self.failure(500, code, text);
        // Java leaves out what is null; numbers, flags and lists cannot be.
        match self.response {
            "ConfigQueryResponse" => {
                body.extend(object([("lastModified", json!(0)), ("beta", json!(false))]));
            }
            "ConfigChangeBatchListenResponse" => {
                body.insert("changedConfigs".to_owned(), json!([]));
            }
            "ServiceListResponse" => {
                body.insert("count".to_owned(), json!(0));
            }
            _ => {}
        }
        if !self.behaviour.is_java() {
            body.insert("requestId".to_owned(), json!(self.request_id));
        }
        body.extend(fields);
        Message::new(self.response, Value::Object(body))
    }

    fn error(&self, result: i32, code: i32, text: &str) -> Message {
        Message::new("ErrorResponse", Value::Object(self.failure(result, code, text)))
    }

    fn failure(&self, result: i32, code: i32, text: &str) -> Map<String, Value> {
        let mut body = object([
            ("resultCode", json!(result)),
            ("errorCode", json!(code)),
            ("message", json!(text)),
        ]);
        if self.behaviour.is_java() {
            body.insert("success".to_owned(), json!(false));
        } else {
            body.insert("requestId".to_owned(), json!(""));
        }
        body
    }

    /// r-nacos repeats the request's id, but not for the two checks.
    fn echo(&self) -> &str {
        match self.response {
            "ServerCheckResponse" | "HealthCheckResponse" => "",
            _ => &self.request_id,
        }
    }
}
