//! One more try at another endpoint, for requests that may be made twice.
mod budget;
mod future;
mod replay;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use self::budget::Budget;
pub use self::{future::RetryFuture, replay::Replay};
use crate::error::Error;

/// Marks a request as one that may be made twice, as an extension of it.
///
/// Requests whose method says so (`GET`, `PUT`, `DELETE`, …) need no mark; gRPC calls, all of which
/// are `POST`, do. Unmarked ones are never retried.
///
/// ```
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(nacos_tower::Idempotent);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Idempotent;

/// Puts a [`Retry`] around a service. All services that one layer makes share one budget.
#[derive(Clone, Debug, Default)]
pub struct RetryLayer {
    budget: Arc<Budget>,
}

impl RetryLayer {
    /// Retries for at most a fifth of the requests, and ten more.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Retries for at most `percent` of the requests, and `reserve` more.
    ///
    /// The reserve is there from the beginning and lets rare requests be retried at all; it is
    /// filled again from the share of later requests. When everything fails, this keeps retries
    /// from doubling the load.
    #[must_use]
    pub fn with_budget(percent: u8, reserve: u16) -> Self {
        Self { budget: Arc::new(Budget::new(percent, reserve)) }
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Retry<S> {
        Retry { inner, budget: Arc::clone(&self.budget) }
    }
}

/// A balancer that tries some requests once more, at another endpoint.
///
/// A request is tried again if it is [`Idempotent`], its body is at most 64 KiB and was there at
/// once, the budget allows it, and its first try ended with a lost connection, without a response
/// in time, with HTTP 502, 503 or 504, or with the gRPC status `UNAVAILABLE` in the response's
/// head. The endpoint of the first try is avoided as long as another one is connected. The second
/// try's outcome is final.
///
/// A request that was certainly not sent needs none of this: the balancer sends it elsewhere by
/// itself.
///
/// Bodies become [`Replay`], so the balancer's connections carry that.
///
/// Like every layer it knows nothing of the time that is left, unless the request has a
/// [`Deadline`](crate::Deadline), which then holds for both tries together.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    budget: Arc<Budget>,
}

impl<S, B, R> Service<Request<B>> for Retry<S>
where
    S: Service<Request<Replay<B>>, Response = Response<R>, Error = Error> + Clone,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = RetryFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> RetryFuture<S, B> {
        // The one that was polled ready makes the call; its clone has to be polled again.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let repeatable =
            request.method().is_idempotent() || request.extensions().get::<Idempotent>().is_some();
        if repeatable {
            self.budget.deposit();
            RetryFuture::repeatable(ready, request, Arc::clone(&self.budget))
        } else {
            RetryFuture::once(ready, request, Arc::clone(&self.budget))
        }
    }
}
