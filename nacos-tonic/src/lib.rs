//! tonic over Nacos: channels that follow the live instances of a service, and servers that
//! register themselves.
//!
//! A [`Channel`] replaces `tonic::transport::Channel` in generated clients:
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
//! [`nacos_tower`] describes how endpoints are chosen, and what happens to calls when endpoints
//! come and go. Its HTTP/2 connections carry the calls: in clear text, one to each instance, each
//! driven by a task of its own.
//!
//! # What is absent
//!
//! Channels have no TLS, and no service config of gRPC. There is one connection to an instance, and
//! never more: its limit of streams is the limit of calls under way, and further calls wait in the
//! connection.
mod channel;
#[cfg(feature = "server")]
mod server;

pub use channel::{Channel, ChannelBuilder, ResponseFuture};
pub use nacos_tower::{Idempotent, Policy, WeightedP2c, WeightedRandom};
#[cfg(feature = "server")]
pub use server::{Routed, serve};
