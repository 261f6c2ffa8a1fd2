//! Whether a response counts as a failure of its endpoint.
use http::{HeaderMap, Response, StatusCode};

/// Whether the head of a response reports a failure of the endpoint, as HTTP or as gRPC.
pub(crate) fn is_failure<B>(response: &Response<B>) -> bool {
    is_failed_status(response.status()) || says_failure(response.headers())
}

/// Whether headers or trailers report such a failure, as gRPC.
pub(crate) fn says_failure(headers: &HeaderMap) -> bool {
    headers.get(GRPC_STATUS).is_some_and(|code| GRPC_FAILURES.contains(&code.as_bytes()))
}

/// Whether the endpoint says that it cannot take requests now, so that another one may.
pub(crate) fn is_unavailable<B>(response: &Response<B>) -> bool {
    matches!(
        response.status(),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    ) || response.headers().get(GRPC_STATUS).is_some_and(|code| code.as_bytes() == UNAVAILABLE)
}

fn is_failed_status(status: StatusCode) -> bool {
    // Not every 5xx: "not implemented" is about the request.
    matches!(
        status,
        StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

const GRPC_STATUS: &str = "grpc-status";
/// Unknown, deadline exceeded, resource exhausted, internal, unavailable, data loss.
const GRPC_FAILURES: [&[u8]; 6] = [b"2", b"4", b"8", b"13", UNAVAILABLE, b"15"];
const UNAVAILABLE: &[u8] = b"14";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_request_are_no_failures_of_the_endpoint() {
        for (status, grpc, failure) in [
            (200, "0", false),
            (404, "0", false),
            (501, "0", false),
            (503, "0", true),
            (200, "5", false),
            (200, "14", true),
            (200, "1", false),
        ] {
            let response = Response::builder().status(status).header(GRPC_STATUS, grpc).body(());
            let response = response.expect("valid");
            assert_eq!(is_failure(&response), failure, "{status}, {grpc}");
        }
    }
}
