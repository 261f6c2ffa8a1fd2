//! The gRPC envelope, as `proto/nacos_grpc.proto` declares it: JSON inside `Any` inside `Payload`.
//!
//! Checked in so that nobody needs a protobuf compiler; `tests/codegen` compares it with what a
//! compiler makes of the `.proto` file.
use std::collections::HashMap;

use bytes::Bytes;

/// What a message is, beside its JSON.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metadata {
    /// The simple name of the JSON message.
    #[prost(string, tag = "3")]
    pub(crate) r#type: String,
    #[prost(string, tag = "8")]
    pub(crate) client_ip: String,
    #[prost(map = "string, string", tag = "7")]
    pub(crate) headers: HashMap<String, String>,
}

/// One message in either direction.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<Metadata>,
    #[prost(message, optional, tag = "3")]
    pub(crate) body: Option<Any>,
}

/// `google.protobuf.Any`, of which Nacos uses the value only.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    /// The JSON text.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

impl Payload {
    /// A payload of the JSON message `type` with the text `json`.
    pub(crate) fn new(r#type: &str, json: Vec<u8>) -> Self {
        let metadata = Metadata { r#type: r#type.to_owned(), ..Metadata::default() };
        let body = Any { type_url: String::new(), value: json.into() };
        Self { metadata: Some(metadata), body: Some(body) }
    }

    /// The name of the JSON message, empty if the sender left it out.
    pub(crate) fn kind(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.r#type)
    }

    /// The JSON text.
    pub(crate) fn json(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |body| &body.value)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use prost::Message;

    use super::*;

    /// The bytes were made without this code.
    #[test]
    fn encodes_the_documented_test_vector() {
        let mut payload =
            Payload::new("ServerCheckRequest", br#"{"headers":{},"module":"internal"}"#.to_vec());
        payload.metadata.as_mut().expect("has one").client_ip = "10.0.0.9".to_owned();
        let hex = payload.encode_to_vec().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string grows");
            hex
        });
        assert_eq!(
            hex,
            "121e1a12536572766572436865636b52657175657374420831302e302e302e391a2412227b2268656164657273\
             223a7b7d2c226d6f64756c65223a22696e7465726e616c227d"
        );
    }
}
