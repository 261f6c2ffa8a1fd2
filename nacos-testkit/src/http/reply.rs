//! The shapes in which HTTP answers come.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::{Value, json};

use super::Reply;

pub(super) fn text(status: StatusCode, text: &str) -> Reply {
    typed(status, "text/plain;charset=UTF-8", text.to_owned())
}

pub(super) fn as_json(status: StatusCode, body: &Value) -> Reply {
    typed(status, "application/json", body.to_string())
}

/// The envelope of the v2 and v3 APIs.
pub(super) fn result(status: StatusCode, code: i32, message: &str, data: &Value) -> Reply {
    as_json(status, &json!({ "code": code, "message": message, "data": data }))
}

/// Java's answer to an error that no handler answers.
pub(super) fn error_page(status: StatusCode, error: &str, message: &str, path: &str) -> Reply {
    let body = json!({
        "timestamp": "2026-11-23T04:23:32.578+00:00", "status": status.as_u16(),
        "error": error, "message": message, "path": path,
    });
    as_json(status, &body)
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Reply {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
