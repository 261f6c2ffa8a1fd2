//! What an HTTP/2 exchange says in gRPC's terms.
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message;

use super::{CallError, error::status, frame::Frame};
use crate::wire::Payload;

/// Whether the peer answers as a gRPC server would.
pub(super) fn check_head(status: StatusCode, headers: &HeaderMap) -> Result<(), CallError> {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if status != StatusCode::OK || !kind.starts_with(b"application/grpc") {
        let kind = String::from_utf8_lossy(kind);
        let why = format!("HTTP status {status} of type {kind:?}: this is no gRPC port");
        return Err(CallError::Unreadable(why));
    }
    // A failure without a message carries its status here.
    check_status(headers)
}

pub(super) fn check_status(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default();
            let message = message.chars().take(MAX_QUOTED).collect();
            Err(CallError::Status { code: code.parse().unwrap_or(status::UNKNOWN), message })
        }
    }
}

pub(super) fn decode(frame: Frame) -> Result<Payload, CallError> {
    match frame {
        Frame::Message(message) => Payload::decode(message)
            .map_err(|error| CallError::Unreadable(format!("not a Nacos message: {error}"))),
        Frame::Oversized { length, limit, .. } => Err(CallError::Oversized { length, limit }),
        Frame::Compressed(_) => Err(CallError::Unreadable("a compressed message".to_owned())),
    }
}

pub(super) fn lost(error: &h2::Error) -> CallError {
    // A server that is over one of its limits, such as 10 MiB for a message, cancels the call and
    // keeps the connection: that is its answer (seen: Java 2.3.2, RST_STREAM 8).
    match error.reason() {
        // Not even begun: worth another try, but not at once.
        Some(h2::Reason::REFUSED_STREAM) if error.is_reset() => {
            CallError::Status { code: status::UNAVAILABLE, message: error.to_string() }
        }
        Some(_) if error.is_reset() => {
            CallError::Status { code: status::CANCELLED, message: error.to_string() }
        }
        // The server leaves, and names the last stream that it looked at: this one came later.
        Some(_) if error.is_go_away() && error.is_remote() => CallError::NotSent(error.to_string()),
        _ => CallError::Lost(error.to_string()),
    }
}

const MAX_QUOTED: usize = 300;
