//! One connection to one endpoint.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use futures_util::FutureExt;
use http::{Request, Response, Uri};
use hyper::client::conn::{TrySendError, http2};
use tokio::sync::watch;

use super::{
    body::Http2Body,
    given_up::{GivenUp, Sent},
    origin::Origin,
    outgoing::Outgoing,
};
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
///
/// Requests and responses that are dropped before their end cost no connection. A request that was
/// not sent yet is not sent. Ten streams are reset at once, then one in 250 ms, which servers
/// tolerate; until its turn comes, a request goes on in the background, its body included, and its
/// response is discarded. A connection on which more than 64 wait for their turn takes no new
/// requests, so that a balancer makes another one; those under way end on it.
pub struct Http2Connection<B> {
    sender: http2::SendRequest<Outgoing<B>>,
    origin: Origin,
    /// True once no more requests are taken; gone with the driver.
    over: watch::Receiver<bool>,
    given_up: GivenUp,
    _driver: Task,
}

impl<B> Http2Connection<B> {
    pub(super) fn new(
        sender: http2::SendRequest<Outgoing<B>>,
        origin: Origin,
        over: watch::Receiver<bool>,
        given_up: GivenUp,
        driver: Task,
    ) -> Self {
        Self { sender, origin, over, given_up, _driver: driver }
    }
}

impl<B: Send + 'static> Connection for Http2Connection<B> {
    fn is_open(&self) -> bool {
        // This receiver has only seen the beginning, when it was not over.
        !self.sender.is_closed() && matches!(self.over.has_changed(), Ok(false))
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
    type Future = Http2Future<B>;

    fn send(&self, mut request: Request<B>) -> Http2Future<B> {
        let given = self.origin.complete(&mut request);
        let (head, body) = request.into_parts();
        let (body, written) = Outgoing::new(body);
        let sent = self.sender.clone().try_send_request(Request::from_parts(head, body));
        Http2Future { sent: Some(sent.boxed()), written, given, given_up: self.given_up.clone() }
    }
}

impl<B> fmt::Debug for Http2Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connection").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The response to come over an [`Http2Connection`].
///
/// Dropping it gives the request up, as is described [there](Http2Connection).
#[must_use = "futures do nothing unless polled"]
pub struct Http2Future<B: Send + 'static> {
    /// Gone once it is ready.
    sent: Option<Sent<B>>,
    written: Arc<AtomicBool>,
    /// The URI that the request had, if it was changed.
    given: Option<Uri>,
    given_up: GivenUp,
}

impl<B: Send + 'static> Future for Http2Future<B> {
    type Output = Result<Response<Http2Body>, SendError<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Polled after it was ready: there is nothing to wait for.
        let Some(sent) = &mut self.sent else { return Poll::Pending };
        let outcome = ready!(sent.poll_unpin(cx));
        self.sent = None;
        Poll::Ready(match outcome {
            Ok(response) => Ok(response.map(|body| Http2Body::new(body, self.given_up.clone()))),
            Err(error) => Err(returned(error, self.given.take())),
        })
    }
}

impl<B: Send + 'static> Drop for Http2Future<B> {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take()
            && self.written.load(Relaxed)
        {
            self.given_up.request(sent);
        }
    }
}

impl<B: Send + 'static> fmt::Debug for Http2Future<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Future").field("written", &self.written).finish_non_exhaustive()
    }
}

/// Gives the request back as it was handed over, if it was not written.
fn returned<B>(mut error: TrySendError<Request<Outgoing<B>>>, given: Option<Uri>) -> SendError<B> {
    let Some(request) = error.take_message() else {
        return SendError::lost(error.into_error());
    };
    let mut request = request.map(Outgoing::into_inner);
    if let Some(given) = given {
        *request.uri_mut() = given;
    }
    SendError::unsent(request, error.into_error())
}
