//! Errors as gRPC statuses.
use std::{error::Error as StdError, sync::Arc};

use nacos_tower::{Error, ErrorKind, Http2Error};
use tonic::{Code, Status};

/// The status of a call that has no response. The error is its source.
pub(super) fn of_call(error: Error) -> Status {
    let code = match error.kind() {
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Lost => code(&error),
        // No endpoint could be reached: trying again later may help.
        _ => Code::Unavailable,
    };
    status(code, error)
}

/// The status of a response that broke off.
pub(super) fn of_body(error: Http2Error) -> Status {
    status(code(&error), error)
}

fn status(code: Code, error: impl StdError + Send + Sync + 'static) -> Status {
    // A status is printed without its source: what a person wants to know has to be in it.
    let message = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let mut status = Status::new(code, message);
    status.set_source(Arc::new(error));
    status
}

/// The end of an HTTP/2 stream, in gRPC's words. A connection that ended is `UNAVAILABLE`.
fn code(error: &(dyn StdError + 'static)) -> Code {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>()
            && error.is_reset()
        {
            return error.reason().map_or(Code::Unavailable, of_reset);
        }
        cause = error.source();
    }
    Code::Unavailable
}

/// The table of gRPC's `PROTOCOL-HTTP2.md`.
fn of_reset(reason: h2::Reason) -> Code {
    match reason {
        h2::Reason::REFUSED_STREAM => Code::Unavailable,
        h2::Reason::CANCEL => Code::Cancelled,
        h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        _ => Code::Internal,
    }
}
