//! The balancer: a handle, and its `Service`.
mod builder;
mod report;

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use nacos_core::inspect::Inspect;
use tower_service::Service;

pub use self::builder::Builder;
use crate::{
    error::Error,
    request::{Body, Handle, ResponseFuture},
    transport::{Connect, Connection, SendRequest},
};

/// A service whose requests are spread over the instances that Nacos knows.
///
/// Cheap to clone; clones share everything. A request picks its endpoint when it is called, from an
/// immutable snapshot: no lock, no queue, no task in between, and it waits for nothing that other
/// requests hold. Behind it one task follows the instances and keeps the connections; it ends with
/// the last handle, as do connections that no request uses any more.
///
/// # What happens to a request
///
/// - It goes to an endpoint that is connected and that Nacos lists as healthy, enabled and of a
///   weight above 0, chosen by the [`Policy`](crate::Policy).
/// - If no endpoint is connected, it waits for the first list, or for the first attempt to connect,
///   at most for the ready timeout. Where waiting cannot help it fails at once:
///   [`NoEndpoint`](crate::ErrorKind::NoEndpoint) if no endpoint on the list may be called (not
///   even when all are unhealthy: a server that wants them to be called anyway says so by its
///   protect threshold), [`NotReady`](crate::ErrorKind::NotReady) if all attempts failed.
/// - If its connection ends before it was written, it goes to another endpoint, whatever it is.
/// - If its connection ends afterwards, it fails: see [`Retry`](crate::Retry) for requests that
///   may be made twice.
/// - If no response comes within the response timeout, or before its [`Deadline`](crate::Deadline),
///   it fails. Bodies of responses have no deadline.
///
/// # What happens to an endpoint
///
/// - A changed weight or changed metadata keep its connection and its statistics.
/// - One that is taken from the list gets no new request from then on; those under way finish. If
///   it comes back within five seconds, its connection is still there.
/// - One whose connection ends gets no request either, is dialled again at once, and then with
///   growing, jittered pauses.
/// - When the session ends, the last list stays in use.
///
/// # Readiness
///
/// [`poll_ready`](Service::poll_ready) never waits and never fails. Waiting for an endpoint is part
/// of the call, because callers seldom put a deadline around readiness, and because a slot that is
/// held between `poll_ready` and `call` is a slot lost.
///
/// # Examples
///
/// See the [crate's documentation](crate).
pub struct Balance<C> {
    handle: Arc<Handle<C>>,
}

impl Balance<Infallible> {
    /// Begins a balancer whose connections are made by `connector`.
    pub fn builder<K: Connect>(connector: K) -> Builder<K> {
        Builder::new(connector)
    }
}

impl<C: Connection> Balance<C> {
    /// The service, as `group@@name` behind its namespace.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.handle.set.service
    }

    /// The endpoints, for people: weight, state, requests under way and counted, latency.
    ///
    /// A balancer that was made for a client is one of the parts of
    /// [`Client::inspected`](nacos_core::Client::inspected) already. The report keeps nothing
    /// alive, and is empty once the last handle is gone.
    #[must_use]
    pub fn inspect(&self) -> Arc<dyn Inspect> {
        Arc::clone(&self.handle.report)
    }
}

impl<C, B> Service<Request<B>> for Balance<C>
where
    C: SendRequest<B>,
{
    type Response = Response<Body<C::Body, C>>;
    type Error = Error;
    type Future = ResponseFuture<C, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture::new(Arc::clone(&self.handle), request)
    }
}

impl<C> Clone for Balance<C> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<C> fmt::Debug for Balance<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance").field("service", &self.handle.set.service).finish_non_exhaustive()
    }
}
