//! The border to transports: the traits by which connections to endpoints are made and used.
#[cfg(feature = "http2")]
mod http2;
mod service;

use std::{error::Error as StdError, fmt, future::Future};

use http::{Request, Response};

#[cfg(feature = "http2")]
pub use self::http2::{Http2Body, Http2Connection, Http2Connector, Http2Error, Http2Future};
pub use self::service::{ServiceConnection, ServiceFuture};
use crate::endpoint::Endpoint;

/// Any error, as transports report them.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Makes connections to endpoints. Implemented for closures.
///
/// Called by the balancer's controller, for every endpoint that may be called and as long as it
/// may: at once when it appears, at once when an established connection is lost, and after a
/// growing, jittered delay when the last attempt failed. At most 32 attempts are under way at a
/// time, each within the connect timeout; one that takes longer is dropped.
///
/// Dropping a connection closes it.
pub trait Connect: Send + Sync + 'static {
    /// The connection that is made. All requests to the endpoint share it: it multiplexes, or pools
    /// inside.
    type Connection: Connection;

    /// Connects. The connection must be ready to take requests when this returns.
    fn connect(
        &self,
        endpoint: Endpoint,
    ) -> impl Future<Output = Result<Self::Connection, BoxError>> + Send;
}

impl<F, C, U> Connect for F
where
    F: Fn(Endpoint) -> U + Send + Sync + 'static,
    C: Connection,
    U: Future<Output = Result<C, BoxError>> + Send,
{
    type Connection = C;

    fn connect(&self, endpoint: Endpoint) -> impl Future<Output = Result<C, BoxError>> + Send {
        self(endpoint)
    }
}

/// One connection to one endpoint.
///
/// Dropping it closes it; requests under way keep it until their responses have ended.
pub trait Connection: Send + Sync + 'static {
    /// Whether it takes requests, as far as is known: false once it is closed or closing.
    fn is_open(&self) -> bool;

    /// Waits until [`is_open`](Self::is_open) is false or the connection is dropped. Must keep
    /// nothing alive, and must end: until then no new connection to the endpoint is made.
    fn closed(&self) -> impl Future<Output = ()> + Send + use<Self>;
}

/// A connection for requests with bodies of type `B`.
pub trait SendRequest<B>: Connection {
    /// The body of responses.
    type Body: http_body::Body;

    /// The response to come. Dropping it gives the request up.
    type Future: Future<Output = Result<Response<Self::Body>, SendError<B>>> + Send;

    /// Sends a request.
    fn send(&self, request: Request<B>) -> Self::Future;
}

/// A request that a connection did not answer.
///
/// It matters whether the request comes back: one that was certainly never written goes to another
/// endpoint at once, also if it is not idempotent.
#[derive(Debug)]
pub struct SendError<B> {
    source: BoxError,
    unsent: Option<Box<Request<B>>>,
}

impl<B> SendError<B> {
    /// Nothing of `request` was written; here it is, as it was handed over.
    pub fn unsent(request: Request<B>, source: impl Into<BoxError>) -> Self {
        Self { source: source.into(), unsent: Some(Box::new(request)) }
    }

    /// The endpoint may have received the request, and acted on it.
    pub fn lost(source: impl Into<BoxError>) -> Self {
        Self { source: source.into(), unsent: None }
    }

    /// The cause, and the request if it was not written.
    #[must_use]
    pub fn into_parts(self) -> (BoxError, Option<Request<B>>) {
        (self.source, self.unsent.map(|request| *request))
    }
}

impl<B> fmt::Display for SendError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.unsent.is_some() {
            "the request was not sent"
        } else {
            "the connection was lost before the response came"
        })
    }
}

impl<B: fmt::Debug> StdError for SendError<B> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
