//! A call on its way, with errors as statuses.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use http_body_util::BodyExt;
use nacos_tower::{Balance, RetryFuture};
use pin_project_lite::pin_project;
use tonic::{Status, body::Body};

use super::{Connection, status};

pin_project! {
    /// The response to come of a [`Channel`](crate::Channel).
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the call up; an instance that has received it may or may not act on it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        #[pin]
        call: RetryFuture<Balance<Connection>, Body>,
    }
}

impl ResponseFuture {
    pub(super) fn new(call: RetryFuture<Balance<Connection>, Body>) -> Self {
        Self { call }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().call.poll(cx).map(|outcome| match outcome {
            Ok(response) => Ok(response.map(|body| Body::new(body.map_err(status::of_body)))),
            Err(error) => Err(status::of_call(error)),
        })
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
