//! Unary calls: a request, its answer, and the answers that no server gives on purpose.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use hyper::body::Incoming as RequestBody;
use serde_json::json;

use super::{
    body::{Afterwards, AnswerBody, cancelled},
    grpc, status,
};
use crate::{
    Behaviour, RawAnswer,
    answer::{self, Reply},
    shared::Shared,
    state::ConnectionKey,
    wire::{FrameError, Frames, Incoming, Message, envelope, frame},
};

/// Answers one call. Dropping the future drops the answer, never what the request did.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    connection: ConnectionKey,
    body: RequestBody,
) -> Result<Response<AnswerBody>, h2::Error> {
    let behaviour = shared.behaviour();
    let limit = behaviour.message_limit();
    let message = match Frames::new(body, limit).next().await {
        Ok(Some(message)) => message,
        Ok(None) => return Ok(status(INTERNAL, "Half-closed without a request")),
        Err(FrameError::TooLong(length)) => return too_long(behaviour, limit, length),
        Err(FrameError::Compressed) => {
            return Ok(status(super::UNIMPLEMENTED, "compression is not supported"));
        }
        Err(FrameError::Truncated) => return Ok(status(INTERNAL, "Encountered end-of-stream")),
        Err(FrameError::Disconnected) => return Err(cancelled()),
    };
    let incoming = match Incoming::decode(&message) {
        Ok(incoming) => incoming,
        Err(error) => {
            tracing::debug!(error = error.0, "no envelope");
            return Ok(status(INTERNAL, "Invalid protobuf byte sequence"));
        }
    };

    let answered = answer::answer(shared, connection, &incoming);
    let afterwards = Afterwards::new(shared, answered.afterwards);
    shared.delayed().await;
    match answered.reply {
        Reply::Message(message) => Ok(grpc(AnswerBody::message(message.to_frame(), afterwards))),
        Reply::Raw(raw) => raw_response(raw).await,
    }
}

fn too_long(
    behaviour: Behaviour,
    limit: usize,
    length: usize,
) -> Result<Response<AnswerBody>, h2::Error> {
    match behaviour {
        // 2.3 resets the stream and says nothing.
        Behaviour::Nacos2_3 => Err(cancelled()),
        Behaviour::Nacos2_5 | Behaviour::Nacos3_0 | Behaviour::Nacos3_3 | Behaviour::RNacos => {
            let message = format!("gRPC message exceeds maximum size {limit}: {length}");
            Ok(status(RESOURCE_EXHAUSTED, &message))
        }
    }
}

async fn raw_response(raw: RawAnswer) -> Result<Response<AnswerBody>, h2::Error> {
    Ok(match raw {
        RawAnswer::Body(bytes) => grpc(AnswerBody::message(bytes.into(), None)),
        RawAnswer::Envelope(bytes) => grpc(AnswerBody::message(frame(&bytes), None)),
        RawAnswer::Html => html(),
        RawAnswer::Message { message_type, body } => {
            grpc(AnswerBody::message(frame(&envelope(&message_type, body)), None))
        }
        RawAnswer::Oversized(size) => grpc(AnswerBody::message(oversized(size), None)),
        RawAnswer::Reset => grpc(AnswerBody::reset()),
        RawAnswer::Silent => std::future::pending().await,
        RawAnswer::Status { code, message } => status(code, &message),
        RawAnswer::TruncatedFrame => grpc(AnswerBody::message(truncated(), None)),
    })
}

fn html() -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::bare(Bytes::from_static(PAGE)));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

fn oversized(size: usize) -> Bytes {
    let body = json!({
        "resultCode": 200, "errorCode": 0, "success": true, "padding": "x".repeat(size),
    });
    Message::new("ConfigQueryResponse", body).to_frame()
}

fn truncated() -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(1000);
    bytes.put_slice(b"too short");
    bytes.freeze()
}

const PAGE: &[u8] = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
const RESOURCE_EXHAUSTED: u8 = 8;
const INTERNAL: u8 = 13;
