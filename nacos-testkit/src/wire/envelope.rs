//! The protobuf envelope around each JSON message.

use std::{borrow::Cow, collections::HashMap};

use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;

use super::frame;

/// A message on its way to a client.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) message_type: Cow<'static, str>,
    pub(crate) body: Value,
}

impl Message {
    pub(crate) fn new(message_type: impl Into<Cow<'static, str>>, body: Value) -> Self {
        Self { message_type: message_type.into(), body }
    }

    /// The message in its envelope, in its gRPC frame.
    pub(crate) fn to_frame(&self) -> Bytes {
        frame(&envelope(&self.message_type, self.body.to_string()))
    }
}

/// Puts any text, JSON or not, into an envelope of that type.
pub(crate) fn envelope(message_type: &str, body: String) -> Vec<u8> {
    let payload = Payload {
        metadata: Some(Metadata { message_type: message_type.to_owned(), ..Metadata::default() }),
        body: Some(Any { value: body.into_bytes(), ..Any::default() }),
    };
    payload.encode_to_vec()
}

/// A message of a client, its JSON not looked at yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) message_type: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) client_ip: String,
    pub(crate) body: Vec<u8>,
}

impl Incoming {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NotAnEnvelope> {
        let payload = Payload::decode(bytes).map_err(|error| NotAnEnvelope(error.to_string()))?;
        // An envelope without metadata has a blank type: no handler will be found for it.
        let metadata = payload.metadata.unwrap_or_default();
        Ok(Self {
            message_type: metadata.message_type,
            headers: metadata.headers,
            client_ip: metadata.client_ip,
            body: payload.body.unwrap_or_default().value,
        })
    }
}

/// The bytes of a frame were no `Payload`.
#[derive(Debug)]
pub(crate) struct NotAnEnvelope(pub(crate) String);

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "3")]
    body: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = "3")]
    message_type: String,
    #[prost(map = "string, string", tag = "7")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "8")]
    client_ip: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    // Servers leave it empty and ignore what clients put there.
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_request_is_decoded() {
        let bytes = unhex(
            "121e1a12536572766572436865636b52657175657374420831302e302e302e391a2412227b2268656164657\
             273223a7b7d2c226d6f64756c65223a22696e7465726e616c227d",
        );
        let incoming = Incoming::decode(&bytes).expect("the vector is an envelope");
        assert_eq!(incoming.message_type, "ServerCheckRequest");
        assert_eq!(incoming.client_ip, "10.0.0.9");
        assert_eq!(incoming.body, br#"{"headers":{},"module":"internal"}"#);
    }

    #[test]
    fn answer_is_encoded_as_a_java_server_does() {
        let text = r#"{"resultCode":200,"errorCode":0,"success":true}"#;
        let expected = unhex(
            "12151a134865616c7468436865636b526573706f6e73651a31122f7b22726573756c74436f6465223a323030\
             2c226572726f72436f6465223a302c2273756363657373223a747275657d",
        );
        assert_eq!(envelope("HealthCheckResponse", text.to_owned()), expected);
    }

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| d.try_into().ok()).collect();
        digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
    }
}
