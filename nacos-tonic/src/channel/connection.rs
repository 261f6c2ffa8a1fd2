//! One HTTP/2 connection to one endpoint.
use std::future::Future;

use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
};
use nacos_tower::{Connection, Replay, SendError, SendRequest};
use tokio::sync::watch;

use super::origin::Origin;
use crate::tasks::Task;

/// The body of requests: tonic's, which may be sent twice if it is small.
pub(super) type Body = Replay<tonic::body::Body>;

/// A connection, and the task that drives it.
///
/// Dropping it ends the task and closes the socket. The balancer keeps it for as long as a request
/// is under way, so nothing is cut off by that.
#[derive(Debug)]
pub(crate) struct Http2 {
    sender: http2::SendRequest<Body>,
    origin: Origin,
    /// True once no more requests are taken; gone with the driver.
    over: watch::Receiver<bool>,
    _driver: Task,
}

impl Http2 {
    pub(super) fn new(
        sender: http2::SendRequest<Body>,
        origin: Origin,
        over: watch::Receiver<bool>,
        driver: Task,
    ) -> Self {
        Self { sender, origin, over, _driver: driver }
    }
}

impl Connection for Http2 {
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.clone();
        async move {
            // An error says that the driver is gone, which is the same thing.
            let _gone = over.wait_for(|over| *over).await;
        }
    }
}

impl SendRequest<Body> for Http2 {
    type Body = Incoming;
    type Future = BoxFuture<'static, Result<Response<Incoming>, SendError<Body>>>;

    fn send(&self, mut request: Request<Body>) -> Self::Future {
        let given = self.origin.complete(&mut request);
        let sent = self.sender.clone().try_send_request(request);
        sent.map(|outcome| outcome.map_err(|error| returned(error, given))).boxed()
    }
}

/// Gives the request back as it was handed over, if it was not written.
fn returned(mut error: TrySendError<Request<Body>>, given: Option<Uri>) -> SendError<Body> {
    let Some(mut request) = error.take_message() else {
        return SendError::lost(error.into_error());
    };
    if let Some(given) = given {
        *request.uri_mut() = given;
    }
    SendError::unsent(request, error.into_error())
}
