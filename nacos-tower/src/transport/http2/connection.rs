//! One connection to one endpoint.
use std::{fmt, future::Future};

use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, Uri};
use hyper::client::conn::{TrySendError, http2};
use tokio::sync::watch;

use super::{body::Http2Body, origin::Origin};
use crate::{
    tasks::Task,
    transport::{BoxError, Connection, SendError, SendRequest},
};

/// An HTTP/2 connection for requests with bodies of type `B`, made by an
/// [`Http2Connector`](super::Http2Connector).
///
/// It multiplexes: requests above the peer's limit of streams wait inside. Dropping it ends its
/// task and closes the socket. A balancer keeps it while a request is under way, so that cuts
/// nothing off.
pub struct Http2Connection<B> {
    sender: http2::SendRequest<B>,
    origin: Origin,
    /// True once no more requests are taken; gone with the driver.
    over: watch::Receiver<bool>,
    _driver: Task,
}

impl<B> Http2Connection<B> {
    pub(super) fn new(
        sender: http2::SendRequest<B>,
        origin: Origin,
        over: watch::Receiver<bool>,
        driver: Task,
    ) -> Self {
        Self { sender, origin, over, _driver: driver }
    }
}

impl<B: Send + 'static> Connection for Http2Connection<B> {
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    fn closed(&self) -> impl Future<Output = ()> + Send + use<B> {
        let mut over = self.over.clone();
        async move {
            // An error says that the driver is gone, which is the same thing.
            let _gone = over.wait_for(|over| *over).await;
        }
    }
}

impl<B> SendRequest<B> for Http2Connection<B>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Body = Http2Body;
    type Future = BoxFuture<'static, Result<Response<Http2Body>, SendError<B>>>;

    fn send(&self, mut request: Request<B>) -> Self::Future {
        let given = self.origin.complete(&mut request);
        let sent = self.sender.clone().try_send_request(request);
        sent.map(|outcome| match outcome {
            Ok(response) => Ok(response.map(Http2Body::new)),
            Err(error) => Err(returned(error, given)),
        })
        .boxed()
    }
}

impl<B> fmt::Debug for Http2Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connection").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Gives the request back as it was handed over, if it was not written.
fn returned<B>(mut error: TrySendError<Request<B>>, given: Option<Uri>) -> SendError<B> {
    let Some(mut request) = error.take_message() else {
        return SendError::lost(error.into_error());
    };
    if let Some(given) = given {
        *request.uri_mut() = given;
    }
    SendError::unsent(request, error.into_error())
}
