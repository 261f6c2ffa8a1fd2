//! The services that tonic can serve.
use bytes::Bytes;
use futures_util::Stream;
use http::{Request, Response};
use tonic::{
    body::Body,
    service::Routes,
    transport::{Error, Server, server::Router},
};
use tower_layer::Layer;
use tower_service::Service;

use super::Io;

/// The argument of [`serve`](crate::serve): tonic's [`Routes`] or its [`Router`]. Closed, because
/// their bounds are tonic's.
pub trait Routed: sealed::Sealed + Send + 'static {
    #[doc(hidden)]
    fn serve(
        self,
        incoming: impl Stream<Item = Result<Io, std::io::Error>> + Send,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Routed for Routes {
    async fn serve(
        self,
        incoming: impl Stream<Item = Result<Io, std::io::Error>> + Send,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        Routed::serve(Server::builder().add_routes(self), incoming, stop).await
    }
}

impl<L, B> Routed for Router<L>
where
    L: Layer<Routes> + Send + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send,
    <L::Service as Service<Request<Body>>>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn serve(
        self,
        incoming: impl Stream<Item = Result<Io, std::io::Error>> + Send,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        self.serve_with_incoming_shutdown(incoming, stop).await
    }
}

mod sealed {
    use tonic::{service::Routes, transport::server::Router};

    pub trait Sealed {}

    impl Sealed for Routes {}

    impl<L> Sealed for Router<L> {}
}
