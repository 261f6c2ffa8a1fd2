//! Any tower service as a connection.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tower_service::Service;

use super::{BoxError, Connection, SendError, SendRequest};

/// A tower service that stands for one endpoint, such as a client that pools connections by itself.
///
/// It always counts as open, since services cannot say that they are not. A request comes back
/// unsent only if the service fails before it is called.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use nacos_core::{Instance, Service, ServiceKey};
/// use nacos_tower::{Balance, BoxError, Endpoint, ServiceConnection};
/// use tower::{ServiceExt, service_fn};
///
/// // Stands for a real client: answers with the address that it was made for.
/// let connector = async |endpoint: Endpoint| {
///     Ok::<_, BoxError>(ServiceConnection::new(service_fn(move |_: Request<()>| {
///         let address = endpoint.address().to_owned();
///         async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(address))) }
///     })))
/// };
/// let instances = vec![Instance::new("10.0.0.7", 8080)];
/// let service = Service::new(ServiceKey::try_from("orders")?, instances, false);
/// let (_writer, services) = nacos_core::live(service);
///
/// let balance = Balance::builder(connector).follow(services);
/// let response = balance.oneshot(Request::new(())).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "10.0.0.7:8080");
/// # Ok(()) }
/// ```
pub struct ServiceConnection<S> {
    service: S,
    /// Ends with the connection, and tells so.
    alive: watch::Sender<()>,
}

impl<S> ServiceConnection<S> {
    /// A connection that hands its requests to clones of `service`.
    pub fn new(service: S) -> Self {
        Self { service, alive: watch::Sender::new(()) }
    }
}

impl<S: Send + Sync + 'static> Connection for ServiceConnection<S> {
    fn is_open(&self) -> bool {
        true
    }

    fn closed(&self) -> impl Future<Output = ()> + Send + use<S> {
        let mut alive = self.alive.subscribe();
        // An error is the end: nothing is ever sent.
        async move { while alive.changed().await.is_ok() {} }
    }
}

impl<S, B, R> SendRequest<B> for ServiceConnection<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Send,
    R: http_body::Body,
{
    type Body = R;
    type Future = ServiceFuture<S, B>;

    fn send(&self, request: Request<B>) -> Self::Future {
        ServiceFuture { service: self.service.clone(), request: Some(request), response: None }
    }
}

impl<S> fmt::Debug for ServiceConnection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConnection").finish_non_exhaustive()
    }
}

pin_project! {
    /// The response to come of a [`ServiceConnection`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ServiceFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        service: S,
        request: Option<Request<B>>,
        #[pin]
        response: Option<S::Future>,
    }
}

impl<S, B, R> Future for ServiceFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<R>, SendError<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.request.is_some() {
            // Readiness belongs to the clone that is called, not to the one it was made from.
            let readiness = ready!(this.service.poll_ready(cx));
            match (readiness, this.request.take()) {
                (Ok(()), Some(request)) => this.response.set(Some(this.service.call(request))),
                (Err(error), Some(request)) => {
                    return Poll::Ready(Err(SendError::unsent(request, error)));
                }
                (_, None) => {}
            }
        }
        match this.response.as_mut().as_pin_mut() {
            Some(response) => response.poll(cx).map_err(SendError::lost),
            // Polled after it was ready: there is nothing to wait for.
            None => Poll::Pending,
        }
    }
}

impl<S, B> fmt::Debug for ServiceFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceFuture").finish_non_exhaustive()
    }
}
