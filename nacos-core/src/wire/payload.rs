//! The gRPC envelope, as `proto/nacos_grpc.proto` declares it: JSON inside `Any` inside `Payload`.
//!
//! Checked in so that no build needs a protobuf compiler; `tests/codegen` compares it with what a
//! compiler makes of the `.proto` file.
use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use crate::labels::TAG;

/// The type, the sender's ip and the headers of a message, beside its JSON.
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

    /// The readable part of a payload of which only the beginning is there: its type if that came
    /// whole, and its JSON as far as it came.
    pub(crate) fn cut(mut data: &[u8]) -> Self {
        let mut payload = Self::default();
        while let Some((tag, content)) = field(&mut data) {
            match tag {
                2 => payload.metadata = Metadata::decode(content).ok(),
                3 => payload.body = Some(Any::cut(content)),
                _ => {}
            }
        }
        payload
    }

    /// Names the gray tag of the client, if it has one.
    pub(crate) fn tagged(mut self, tag: Option<&str>) -> Self {
        if let (Some(metadata), Some(tag)) = (&mut self.metadata, tag) {
            metadata.headers.insert(TAG.to_owned(), tag.to_owned());
        }
        self
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

impl Any {
    fn cut(mut data: &[u8]) -> Self {
        let mut any = Self::default();
        while let Some((tag, content)) = field(&mut data) {
            if tag == 2 {
                any.value = Bytes::copy_from_slice(content);
            }
        }
        any
    }
}

/// The next field of a message and as much as there is of its content, if it has a length, as all
/// have that are declared here.
fn field<'a>(data: &mut &'a [u8]) -> Option<(usize, &'a [u8])> {
    let tag = prost::decode_length_delimiter(&mut *data).ok().filter(|tag| tag & 7 == 2)?;
    let length = prost::decode_length_delimiter(&mut *data).ok()?;
    let (content, rest) = data.split_at_checked(length).unwrap_or((data, &[]));
    *data = rest;
    Some((tag >> 3, content))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn beginning_of_a_payload_tells_what_it_is() {
        let json = br#"{"requestId":"7","serviceInfo":{"name":"orders"}}"#;
        let payload = Payload::new("NotifySubscriberRequest", json.to_vec());
        let whole = payload.encode_to_vec();
        assert_eq!(Payload::cut(&whole), payload);
        for length in 0..whole.len() {
            let cut = Payload::cut(&whole[..length]);
            assert!(json.starts_with(cut.json()), "{length}");
            assert!(["", payload.kind()].contains(&cut.kind()), "{length}");
            assert_eq!(cut.kind().is_empty(), length < whole.len() - json.len() - 4, "{length}");
        }
        assert_eq!(Payload::cut(&[0xff; 64]), Payload::default());
    }

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
