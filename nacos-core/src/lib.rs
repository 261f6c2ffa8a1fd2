//! A Nacos client: one honest connection for configuration and naming.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = nacos_testkit::Server::start().await?;
//! # let address = server.addr().to_string();
//! use nacos_core::{Client, Instance, Publish};
//!
//! let nacos = Client::builder().server_addr(address).connect().await?;
//!
//! // Configuration: read once, or follow.
//! nacos.configs().publish(Publish::new("orders.yaml", "limit: 7")?).await?;
//! let mut limits = nacos.configs().watch("orders.yaml")?.ready().await?;
//! println!("{:?}", limits.state());
//!
//! // Naming: what is registered stays so for as long as its guard lives.
//! let registration =
//!     nacos.naming().register("orders", Instance::new("127.0.0.1", 8080))?.ready().await?;
//! let orders = nacos.naming().subscribe("orders")?.ready().await?;
//! println!("{} can be called", orders.service().callable().count());
//! # Ok(()) }
//! ```
//!
//! # What holds everywhere
//!
//! - **One connection** per [`Client`], whatever it is used for. What a server forgets when that
//!   connection ends is asserted again at once on the next one.
//! - **Guards**: [`Registration`], [`Subscription`] and [`Watch`] stand for what they claim, and
//!   dropping one withdraws its own claim only. Making one never waits; `ready` does.
//! - **Values that change** are [`Live`]: the newest value, and a way to wait for a newer one.
//! - **Credentials** are one trait, and secrets appear nowhere: see [`credentials`].
//! - **Errors** are one opaque [`Error`] whose [`ErrorKind`] says what can be done about it.
//! - **Time**: every request has a deadline, every retry a limit, every delay jitter.
//! - **Names** are parsed once, before anything is sent: [`ConfigKey`], [`ServiceKey`].
//!
//! # What is absent
//!
//! No global state, no thread, no callback: user code never runs on the session's task, so none can
//! delay it. No `tonic`, `prost` or `hyper` type in this API. TLS, snapshots on disk, encrypted
//! documents and fuzzy watches are not in this version.
/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod builder;
mod client;
mod config;
mod connection;
pub mod credentials;
mod document;
mod env;
mod error;
pub mod inspect;
mod instance;
mod key;
pub mod lifecycle;
mod live;
mod naming;
mod options;
mod resource;
mod secret;
mod server;
mod service;
mod session;
mod state;
mod store;
mod tasks;
mod transport;
mod vitals;
mod wire;

pub use builder::ClientBuilder;
pub use client::Client;
pub use config::{Configs, Publish, Watch};
pub use connection::ShutdownReport;
pub use document::{Document, DocumentState, digest};
pub use error::{Error, ErrorKind};
pub use instance::Instance;
pub use key::{
    ClusterName, ConfigKey, DataId, Group, InvalidName, Namespace, ServiceKey, ServiceName,
};
pub use live::{Live, LiveWriter, live};
pub use naming::{Naming, Registration, ServicePage, Subscription};
pub use options::ClientOptions;
pub use secret::Secret;
pub use service::{Change, Service};
pub use state::{ClaimState, SessionState};
pub use vitals::Vitals;
