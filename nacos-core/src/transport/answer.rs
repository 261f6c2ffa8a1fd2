//! The outcome of an HTTP/2 exchange, in gRPC's terms.
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message;

use super::{CallError, frame::Frame};
use crate::{call_error::status, error::clip, wire::Payload};

/// Whether the peer answers as a gRPC server would.
pub(super) fn check_head(status: StatusCode, headers: &HeaderMap) -> Result<(), CallError> {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if status != StatusCode::OK || !kind.starts_with(b"application/grpc") {
        let kind = String::from_utf8_lossy(kind);
        let kind = clip(&kind, MAX_QUOTED);
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
            let message = clip(message, MAX_QUOTED).to_owned();
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

/// Why a call was sent and has no answer, in the words of gRPC's own table of reset codes.
pub(super) fn lost(error: &h2::Error) -> CallError {
    let status = |code| CallError::Status { code, message: told(error) };
    match error.reason() {
        Some(reason) if error.is_reset() => match reason {
            // Not even begun: worth another try, but not at once.
            h2::Reason::REFUSED_STREAM => status(status::UNAVAILABLE),
            // A server that is over one of its limits, such as 10 MiB for a message, cancels the
            // call and keeps the connection: that is its answer (seen: Java Nacos 2.3.2).
            h2::Reason::CANCEL => status(status::CANCELLED),
            h2::Reason::ENHANCE_YOUR_CALM => status(status::EXHAUSTED),
            // The server failed, or a proxy before it.
            _ => status(status::INTERNAL),
        },
        // The server leaves, and names the last stream that it looked at: this one came later.
        Some(_) if error.is_go_away() && error.is_remote() => CallError::NotSent(told(error)),
        _ => CallError::Lost(told(error)),
    }
}

pub(super) fn not_sent(error: &h2::Error) -> CallError {
    CallError::NotSent(told(error))
}

/// The error in words, with no more than a line of the peer's own.
pub(super) fn told(error: &h2::Error) -> String {
    // h2 shows a GOAWAY without an error as "not a result of an error", which does not name it.
    let leaves = if error.is_go_away() && error.is_remote() { "GOAWAY: " } else { "" };
    clip(&format!("{leaves}{error}"), MAX_QUOTED).to_owned()
}

const MAX_QUOTED: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_that_is_no_grpc_server_is_quoted_in_a_line() {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_str(&"x".repeat(10_000)).expect("visible");
        headers.insert(header::CONTENT_TYPE, kind);
        let Err(CallError::Unreadable(why)) = check_head(StatusCode::OK, &headers) else {
            panic!("that is no gRPC");
        };
        assert!(why.len() < 400, "{}", why.len());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static("2"));
        let message = HeaderValue::from_str(&"x".repeat(10_000)).expect("visible");
        headers.insert("grpc-message", message);
        let Err(CallError::Status { message, .. }) = check_head(StatusCode::OK, &headers) else {
            panic!("that is a failure");
        };
        assert_eq!(message.len(), MAX_QUOTED);
    }
}
