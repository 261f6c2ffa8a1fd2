//! tonic over Nacos: channels that follow the live instances of a service, and servers that
//! register themselves.
//!
//! A [`Channel`] stands where `tonic::transport::Channel` stands in generated clients:
//!
//! ```
//! # type BoxError = Box<dyn std::error::Error + Send + Sync>;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let server = nacos_testkit::Server::start().await?;
//! # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
//! # struct InventoryClient(tonic::client::Grpc<nacos_tonic::Channel>);
//! # impl InventoryClient {
//! #     fn new(channel: nacos_tonic::Channel) -> Self { Self(tonic::client::Grpc::new(channel)) }
//! #     async fn reserve(&mut self, _: tonic::Request<()>) -> Result<(), tonic::Status> { Ok(()) }
//! # }
//! # tokio::spawn(async move {
//! let channel = nacos_tonic::Channel::new(&nacos, "inventory").await?;
//! let mut inventory = InventoryClient::new(channel);
//!
//! // A call that may be made twice says so, and is tried once more elsewhere if it is lost.
//! let mut request = tonic::Request::new(());
//! request.extensions_mut().insert(nacos_tonic::Idempotent);
//! inventory.reserve(request).await?;
//! # Ok::<_, BoxError>(()) }).await??;
//! # Ok(()) }
//! ```
//!
//! How endpoints are chosen, and what becomes of calls when they come and go, is told in
//! [`nacos_tower`], whose HTTP/2 connections carry the calls: in clear text, one to each instance,
//! each driven by one task of its own.
//!
//! # What is absent
//!
//! TLS. More than one connection to an instance, whose limit of streams is then the limit of calls
//! under way: further ones wait in its connection. gRPC's service config.
mod channel;
#[cfg(feature = "server")]
mod server;

pub use channel::{Channel, ChannelBuilder, ResponseFuture};
pub use nacos_tower::{Idempotent, Policy, WeightedP2c, WeightedRandom};
#[cfg(feature = "server")]
pub use server::{Routed, serve};
