//! A Nacos client: configuration and naming over one connection.
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
//! - **One connection** per [`Client`], for all its uses. A server forgets registrations,
//!   subscriptions and listens when that connection ends: they are made again at once on the next
//!   one.
//! - **Guards**: a [`Registration`], a [`Subscription`] and a [`Watch`] each stand for one claim,
//!   and dropping one withdraws its own claim only. Making a guard never waits; `ready` waits for
//!   the server.
//! - **Values that change** are [`Live`]: the newest value, and a way to wait for a newer one.
//! - **Credentials** are one trait, and no secret appears in a log, an error or a `Debug` output:
//!   see [`credentials`].
//! - **Errors** are one opaque [`Error`]. Its [`ErrorKind`] says what the caller can do about it.
//! - **Time**: every request has a deadline, every retry a limit, every delay jitter.
//! - **Names** are parsed once, before anything is sent: [`ConfigKey`], [`ServiceKey`].
//!
//! # TLS
//!
//! With the cargo feature `tls`, the client uses TLS for each server whose address begins with
//! `https://`, and for every server with [`tls`](ClientBuilder::tls). Certificates are always
//! checked.
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
//! TLS is rustls with the `CryptoProvider` that the process has installed, such as a certified one,
//! or else with ring's.
//!
//! Servers enable TLS for each port separately. Java Nacos with TLS for gRPC alone, whose logins
//! are in clear text then, is `.server_addr("http://...").tls(true)`. Without `http://`, no
//! password is sent unencrypted once `tls` is on. The files are read when the client is made, which
//! fails if they cannot be used. They are read again for each new connection, which uses the
//! changed files. If the new files cannot be used, the former ones stay in use, with a warning.
//!
//! # Filters and encrypted documents
//!
//! Documents pass the [filters](filter) of a client before they are published and after they were
//! read. With the cargo feature `encryption`, `filter::AesEncryption` is one: it reads and writes
//! documents as the server project's plugin does, with data keys from a key service.
//!
//! # What not every server can do
//!
//! Servers announce abilities on each connection; [`SessionState::Connected`] shows them. A request
//! that needs an ability is sent only to a server that has announced it. Otherwise it fails with
//! [`ErrorKind::Unsupported`] and nothing is sent; the error's source names the ability and the
//! server. A server that announces nothing, such as r-nacos or Java Nacos before 2.3, counts as one
//! without abilities. Each connection decides this anew, so that a client follows an upgrade.
//!
//! | what | ability | announced by |
//! | --- | --- | --- |
//! | [`Publish::beta`], [`Publish::gray_tag`], [`Publish::encrypted_data_key`], [`Publish::if_absent`] | any | Java Nacos since 2.3 |
//! | [`Naming::register_persistent`], [`Naming::deregister_persistent`] | `supportPersistentInstanceByGrpc` | Java Nacos since 2.3 |
//!
//! # What is absent
//!
//! The crate has no global state and no callbacks. It has no thread of its own unless
//! `dedicated_thread` asks for one. The session's task runs three kinds of a user's code: the
//! subscriber of `tracing`, the recorder of `metrics`, and the wakers of tasks that wait. Code of
//! these kinds that blocks delays the session. When the session ends, its task also drops what a
//! user gave it. All other code of a user runs on the user's own tasks, or beside the session.
//!
//! This API has no `tonic`, `prost`, `hyper` or `rustls` type. Fuzzy watches are not in this
//! version.
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
pub mod filter;
mod freshness;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzed;
mod given;
mod gray;
pub mod inspect;
mod instance;
mod key;
mod labels;
pub mod lifecycle;
mod link_variable;
mod live;
mod matched_keys;
mod naming;
mod options;
mod origin;
mod pace;
mod resource;
mod room;
mod secret;
mod server;
mod server_list;
mod service;
mod session;
mod session_stats;
mod snapshot;
mod start_policy;
mod state;
mod storm;
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
pub use config::{
    Condition, Configs, DocumentPage, FuzzyWatch, Get, ListedDocument, Publish, Published, Search,
    Updated, Visibility, Watch,
};
pub use connection::ShutdownReport;
pub use disconnect::Disconnect;
pub use document::{Document, DocumentState, digest};
pub use error::{Error, ErrorKind};
pub use freshness::Freshness;
pub use gray::Gray;
pub use instance::Instance;
pub use key::{
    ClusterName, ConfigKey, ConfigPattern, DataId, Group, InvalidName, Namespace, ServiceKey,
    ServiceName,
};
pub use live::{Live, LiveWriter, live};
pub use matched_keys::{Completeness, KeyChange, MatchedKeys};
pub use naming::{Naming, Registration, ServicePage, Subscription};
pub use options::ClientOptions;
pub use secret::Secret;
pub use service::{Change, Service};
pub use session_stats::SessionStats;
pub use snapshot::{Snapshot, SnapshotDir};
pub use start_policy::StartPolicy;
pub use state::{Access, ClaimState, Denial, SessionState};
pub use storm::{HoldCounts, PullCounts, PullMode, ReadOnlyCounts, StormReport};
pub use transport::TlsVersion;
