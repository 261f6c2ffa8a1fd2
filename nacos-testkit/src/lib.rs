//! A Nacos server inside a test, with faults on demand.
//!
//! [`Server`] speaks the real protocol, gRPC and HTTP, on two free ports of 127.0.0.1, and behaves
//! as one of three real servers was observed to behave ([`Behaviour`]). The test gives
//! [`Server::addr`] to a client, and observes, changes and breaks the server:
//!
//! ```
//! use nacos_testkit::{Instance, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! # tokio::spawn(async move {
//! let server = Server::start().await?;
//!
//! // The changes of another client ...
//! server.publish("", "DEFAULT_GROUP", "orders.yaml", "limit: 7");
//! server.register("", "DEFAULT_GROUP", "orders", Instance::new("10.0.0.1", 8080));
//!
//! // ... reach the clients under test at once, ...
//! let stored = server.document("public", "DEFAULT_GROUP", "orders.yaml").expect("just published");
//! assert_eq!(stored.content, "limit: 7");
//!
//! // ... and a test can wait for their requests without sleeping.
//! server.until(|server| server.instances("", "DEFAULT_GROUP", "orders").len() == 1).await;
//! # Ok::<_, std::io::Error>(()) }).await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Time
//!
//! The server lives on the runtime that starts it, never starts a thread, and ends with its handle.
//! A test that could hang is run [`within`] a limit, or has a [`TimeLimit`]. Every timer is
//! tokio's: under `#[tokio::test(start_paused = true)]` silences take no time. By default the
//! server acts without the delays of real ones; [`Builder::observed_timing`] adds them.
//!
//! # Faults
//!
//! Every fault is a method of [`Server`] and in effect when it returns: transports are dropped
//! ([`drop_connections`](Server::drop_connections)), ports closed ([`stop`](Server::stop)), bytes
//! swallowed ([`black_hole`](Server::black_hole)), answers refused, mangled or withheld
//! ([`answer_next`](Server::answer_next), [`answer_next_raw`](Server::answer_next_raw)), pushes
//! lost, doubled or overtaken ([`next_push`](Server::next_push)).
//!
//! ```
//! # use nacos_testkit::{PushFault, RawAnswer, Server};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! # tokio::spawn(async move {
//! # let server = Server::start().await?;
//! server.answer_next("ConfigQueryRequest", 503);
//! server.answer_next_raw("ConfigQueryRequest", RawAnswer::TruncatedFrame);
//! server.next_push(PushFault::Duplicate);
//! server.restart().await?;
//! # Ok::<_, std::io::Error>(()) }).await??;
//! # Ok(())
//! # }
//! ```
//!
//! [`proxy::FaultProxy`] injects network faults into connections, beneath HTTP: it stands before
//! this server or a real one.
//!
//! # What it proves
//!
//! This crate depends on no client: it has its own envelope and its own JSON, so that a misspelt
//! field is not right on both sides. Its tests compare it with captures of the real servers,
//! payload by payload. It has no TLS, no cluster, no locks, no MCP registry, and one user who may
//! do everything; the README has the whole list.

/// The examples of the README, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod behaviour;
mod builder;
mod control;
mod fault;
mod fuzzy_watch;
mod grpc;
mod http;
mod limit;
mod line;
mod observe;
mod peer;
mod ports;
pub mod proxy;
mod schedule;
mod server;
mod shared;
mod state;
mod tasks;
mod timing;
mod wire;

pub use behaviour::Behaviour;
pub use builder::Builder;
pub use fault::{PushFault, RawAnswer};
pub use limit::{TimeLimit, within};
pub use server::Server;
pub use state::{Document, Instance, Received};
