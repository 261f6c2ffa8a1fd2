//! A service and its client, as `tonic-build` would generate them.
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use nacos_tonic::{Channel, Idempotent};
use tokio::sync::{Semaphore, mpsc};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

/// A request for an item.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ask {
    #[prost(string, tag = "1")]
    pub(crate) item: String,
}

/// An answer: the name of the server that gives it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(string, tag = "1")]
    pub(crate) by: String,
}

/// The client half.
#[derive(Clone, Debug)]
pub(crate) struct InventoryClient {
    inner: tonic::client::Grpc<Channel>,
}

impl InventoryClient {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { inner: tonic::client::Grpc::new(channel) }
    }

    /// Reserves an item; returns the name of the server that did.
    pub(crate) async fn reserve(&mut self, request: Request<Ask>) -> Result<String, Status> {
        self.inner.ready().await?;
        let path = http::uri::PathAndQuery::from_static("/test.Inventory/Reserve");
        let answer = self.inner.unary(request, path, ProstCodec::<Ask, Answer>::default()).await?;
        Ok(answer.into_inner().by)
    }

    pub(crate) async fn watch(&mut self) -> Result<Streaming<Answer>, Status> {
        self.inner.ready().await?;
        let path = http::uri::PathAndQuery::from_static("/test.Inventory/Watch");
        let codec = ProstCodec::<Ask, Answer>::default();
        let answers = self.inner.server_streaming(ask("all"), path, codec).await?;
        Ok(answers.into_inner())
    }
}

pub(crate) fn ask(item: &str) -> Request<Ask> {
    Request::new(Ask { item: item.to_owned() })
}

/// One that may be asked twice.
pub(crate) fn ask_again(item: &str) -> Request<Ask> {
    let mut request = ask(item);
    request.extensions_mut().insert(Idempotent);
    request
}

/// The server half. Items have meanings: `broken` fails, `slow` waits for a permit.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    pub(crate) name: Arc<str>,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) permits: Arc<Semaphore>,
}

impl Inventory {
    async fn reserve(self, ask: Ask) -> Result<Answer, Status> {
        self.calls.fetch_add(1, SeqCst);
        match ask.item.as_str() {
            "broken" => Err(Status::failed_precondition("broken")),
            "closed" => Err(Status::unavailable("closed")),
            "slow" => {
                let permit = self.permits.acquire().await;
                permit.map_err(|_| Status::aborted("no more permits"))?.forget();
                Ok(self.answer())
            }
            _ => Ok(self.answer()),
        }
    }

    fn answer(&self) -> Answer {
        Answer { by: self.name.to_string() }
    }
}

impl NamedService for Inventory {
    const NAME: &'static str = "test.Inventory";
}

impl Service<http::Request<Body>> for Inventory {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let inventory = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Answer, Ask>::default());
            Ok(match request.uri().path() {
                "/test.Inventory/Watch" => grpc.server_streaming(Watch(inventory), request).await,
                _ => grpc.unary(Reserve(inventory), request).await,
            })
        })
    }
}

struct Reserve(Inventory);

impl UnaryService<Ask> for Reserve {
    type Response = Answer;
    type Future = Boxed<Result<Response<Answer>, Status>>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let inventory = self.0.clone();
        Box::pin(async { inventory.reserve(request.into_inner()).await.map(Response::new) })
    }
}

struct Watch(Inventory);

impl ServerStreamingService<Ask> for Watch {
    type Response = Answer;
    type ResponseStream = Answers;
    type Future = Boxed<Result<Response<Answers>, Status>>;

    fn call(&mut self, _: Request<Ask>) -> Self::Future {
        let inventory = self.0.clone();
        // One answer for each permit.
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(permit) = inventory.permits.acquire().await {
                permit.forget();
                if answers.send(Ok(inventory.answer())).await.is_err() {
                    return;
                }
            }
        });
        Box::pin(async { Ok(Response::new(Answers(stream))) })
    }
}

pub(crate) struct Answers(mpsc::Receiver<Result<Answer, Status>>);

impl tonic::codegen::tokio_stream::Stream for Answers {
    type Item = Result<Answer, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
