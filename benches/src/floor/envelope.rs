//! The gRPC envelope, declared once more: the floor uses nothing of the product's.
use std::collections::HashMap;

use bytes::Bytes;

/// The description of a message, beside its JSON.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    /// The name of the JSON message.
    #[prost(string, tag = "3")]
    pub(super) kind: String,
    /// The address that the sender claims to have.
    #[prost(string, tag = "8")]
    pub(super) client_ip: String,
    /// Such as the token.
    #[prost(map = "string, string", tag = "7")]
    pub(super) headers: HashMap<String, String>,
}

/// One message in either direction.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Payload {
    /// The description of the message.
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<Metadata>,
    /// Its JSON.
    #[prost(message, optional, tag = "3")]
    pub(super) body: Option<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    /// Unused.
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    /// The JSON text.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

impl Payload {
    /// A message.
    #[must_use]
    pub(super) fn new(kind: &str, json: &serde_json::Value) -> Self {
        let metadata = Metadata {
            kind: kind.to_owned(),
            client_ip: "127.0.0.1".to_owned(),
            ..Metadata::default()
        };
        let body = Any { type_url: String::new(), value: json.to_string().into() };
        Self { metadata: Some(metadata), body: Some(body) }
    }

    /// The name of the message; empty if the sender left that out.
    #[must_use]
    pub(super) fn kind(&self) -> &str {
        self.metadata.as_ref().map_or("", |metadata| &metadata.kind)
    }

    /// Its JSON text.
    #[must_use]
    pub(super) fn json(&self) -> &[u8] {
        self.body.as_ref().map_or(&[], |body| &body.value)
    }

    /// The same, without the envelope.
    #[must_use]
    pub(super) fn into_json(self) -> Bytes {
        self.body.map_or_else(Bytes::new, |body| body.value)
    }
}
