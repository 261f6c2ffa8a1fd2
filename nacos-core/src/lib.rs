//! A Nacos client: one honest connection for configuration and naming.
//!
//! ```
//! # type BoxError = Box<dyn std::error::Error + Send + Sync>;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let server = nacos_testkit::Server::start().await?;
//! # let address = server.addr().to_string();
//! use nacos_core::{Client, Instance, Publish};
//!
//! # tokio::spawn(async move {
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
//! # Ok::<_, BoxError>(()) }).await??;
//! # Ok(()) }
//! ```
//!
//! # What holds everywhere
//!
//! - **One connection** per [`Client`], whatever it is used for. Claims that a server forgets when
//!   that connection ends are made again at once on the next one.
//! - **Guards**: [`Registration`], [`Subscription`] and [`Watch`] stand for what they claim, and
//!   dropping one withdraws its own claim only. Making one never waits; `ready` does.
//! - **Values that change** are [`Live`]: the newest value, and a way to wait for a newer one.
//! - **Credentials** are one trait, and secrets appear nowhere: see [`credentials`].
//! - **Errors** are one opaque [`Error`] whose [`ErrorKind`] says what can be done about it.
//! - **Time**: every request has a deadline, every retry a limit, every delay jitter.
//! - **Names** are parsed once, before anything is sent: [`ConfigKey`], [`ServiceKey`].
//!
//! # TLS
//!
//! With the cargo feature `tls`, a server whose address begins with `https://` is spoken to over
//! TLS, and with [`tls`](ClientBuilder::tls) every server is. Certificates are always checked.
//!
//! ```no_run
//! # use nacos_core::Client;
//! # let _ = tokio::spawn(async move {
//! let nacos = Client::builder()
//!     .server_addr("https://nacos.example:8848")
//!     .tls_ca_file("/etc/orders/ca.pem") // the system's authorities otherwise
//!     .tls_cert_file("/etc/orders/orders.pem") // for servers that demand one
//!     .tls_key_file("/etc/orders/orders.key.pem")
//!     .connect()
//!     .await?;
//! # Ok::<_, nacos_core::Error>(()) });
//! ```
//!
//! It is rustls, with the `CryptoProvider` that the process has installed, such as a certified one,
//! or else ring's.
//!
//! Servers switch TLS on for each port apart. Java Nacos with TLS for gRPC alone, whose logins are
//! in clear text then, is `.server_addr("http://...").tls(true)`; without `http://` no password
//! goes out unencrypted once `tls` is on. The files are read when the client is made, which is an
//! error if they cannot be used, and again for each new connection: changed files are used for that
//! one; files that cannot be used any more leave the former ones in use, with a warning.
//!
//! # What not every server can do
//!
//! Servers announce abilities on each connection, shown by [`SessionState::Connected`]. A request
//! that needs one is sent only to a server that has announced it. Otherwise it fails with
//! [`ErrorKind::Unsupported`] and nothing is sent; the error's source names the ability and the
//! server. A server that announces nothing, such as r-nacos or Java Nacos before 2.3, counts as one
//! that can do none of it. It is decided anew on each connection, so that a client follows an
//! upgrade.
//!
//! | what | ability | announced by |
//! | --- | --- | --- |
//! | [`Naming::register_persistent`], [`Naming::deregister_persistent`] | `supportPersistentInstanceByGrpc` | Java Nacos since 2.3 |
//!
//! # What is absent
//!
//! No global state, no thread of its own unless `dedicated_thread` asks for one, no callback: user
//! code never runs on the session's task, so none can delay it. No `tonic`, `prost`, `hyper` or
//! `rustls` type in this API. Snapshots on disk, encrypted documents and fuzzy watches are not in
//! this version.
mod address;
mod builder;
mod call_error;
mod client;
mod config;
mod connection;
pub mod credentials;
mod disconnect;
mod document;
mod env;
mod error;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzed;
mod given;
pub mod inspect;
mod instance;
mod key;
pub mod lifecycle;
mod link_variable;
mod live;
mod naming;
mod options;
mod origin;
mod pace;
mod resource;
mod secret;
mod server;
mod server_list;
mod service;
mod session;
mod session_stats;
mod state;
mod store;
mod tasks;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod time;
mod transport;
mod wire;
mod within;

pub use builder::ClientBuilder;
pub use client::Client;
pub use config::{Configs, Publish, Watch};
pub use connection::ShutdownReport;
pub use disconnect::Disconnect;
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
pub use session_stats::SessionStats;
pub use state::{Access, ClaimState, Denial, SessionState};
pub use transport::TlsVersion;
