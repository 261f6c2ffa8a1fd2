//! The inventory service: code as a protobuf compiler generates it from five lines, written by hand
//! so that the examples need no compiler.
//!
//! ```proto
//! service Inventory { rpc Stock (Item) returns (Stock); }
//! message Item  { string name = 1; }
//! message Stock { string instance = 1; uint32 pieces = 2; }
//! ```
use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status,
    body::Body,
    client::GrpcService,
    codegen::{BoxFuture, Service},
    server::{NamedService, UnaryService},
};
use tonic_prost::ProstCodec;

/// A request: the item that it is about.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// How much of it there is, and the instance that says so.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stock {
    /// The instance that answered.
    #[prost(string, tag = "1")]
    pub instance: String,
    /// How many.
    #[prost(uint32, tag = "2")]
    pub pieces: u32,
}

const STOCK: &str = "/quickstart.Inventory/Stock";

/// The client.
#[derive(Clone, Debug)]
pub struct InventoryClient<T>(tonic::client::Grpc<T>);

impl<T> InventoryClient<T>
where
    T: GrpcService<Body>,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    T::ResponseBody: tonic::codegen::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error:
        Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    /// A client over this channel.
    pub fn new(channel: T) -> Self {
        Self(tonic::client::Grpc::new(channel))
    }

    /// Asks for one item.
    ///
    /// # Errors
    ///
    /// The status that the channel or the server answers with.
    pub async fn stock(&mut self, request: Request<Item>) -> Result<Response<Stock>, Status> {
        let ready = self.0.ready().await;
        ready.map_err(|error| Status::unavailable(error.into().to_string()))?;
        let codec: ProstCodec<Item, Stock> = ProstCodec::default();
        self.0.unary(request, http::uri::PathAndQuery::from_static(STOCK), codec).await
    }
}

/// The server: every instance answers with its own name.
#[derive(Clone, Debug)]
pub struct InventoryServer {
    /// That name.
    pub instance: String,
}

impl NamedService for InventoryServer {
    const NAME: &'static str = "quickstart.Inventory";
}

impl UnaryService<Item> for InventoryServer {
    type Response = Stock;
    type Future = BoxFuture<Response<Stock>, Status>;

    fn call(&mut self, request: Request<Item>) -> Self::Future {
        let pieces = u32::try_from(request.get_ref().name.len()).unwrap_or(u32::MAX);
        let stock = Stock { instance: self.instance.clone(), pieces };
        Box::pin(async move { Ok(Response::new(stock)) })
    }
}

impl Service<http::Request<Body>> for InventoryServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != STOCK {
                return Ok(Status::unimplemented("there is only Stock").into_http());
            }
            let codec: ProstCodec<Stock, Item> = ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(service, request).await)
        })
    }
}
