//! Typed configuration from Nacos, layered by figment, that a service reloads without a restart.
//!
//! ```
//! # type BoxError = Box<dyn std::error::Error + Send + Sync>;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let server = nacos_testkit::Server::start().await?;
//! # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
//! use nacos_figment::{Hot, HotConfig, Import};
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct AppConfig { rps: u32 }
//!
//! # tokio::spawn(async move {
//! let config: HotConfig<AppConfig> = HotConfig::builder(&nacos)
//!     .defaults(AppConfig { rps: 100 })
//!     .import(Import::app("orders").ext("properties").group("ORDER_GROUP"))
//!     .env("ORDERS")
//!     .validate(|config: &AppConfig| if config.rps > 0 { Ok(()) } else { Err("no rps") })
//!     .start()
//!     .await?;
//! let hot: Hot<AppConfig> = config.hot();
//! assert_eq!(hot.load().rps, 100);
//! # Ok::<_, BoxError>(()) }).await??;
//! # Ok(()) }
//! ```
//!
//! # What holds everywhere
//!
//! - **One version at a time.** A configuration, its parts ([`Hot::map`]) and the resources built
//!   from it ([`HotConfig::resource`]) are swapped by one atomic store: no reader ever sees half of
//!   a change.
//! - **Checked first, then applied.** A change that cannot be parsed, extracted, validated or built
//!   leaves the present version in use, and is reported as a [`Rejection`] that names document,
//!   line and column.
//! - **The newest documents win, without a queue.** A burst of changes becomes few versions, and a
//!   slow reader delays no other reader.
//! - **No values in reports**: errors, logs and `Debug` outputs name keys, and never values.
//! - **One task** per [`HotConfig`]; user code on it is guarded against panics.
//!
//! [`NacosSource::fetch`] gives a plain figment provider.
//!
//! # What is absent
//!
//! Placeholders (`${…}`), snapshots on disk and starting without a server, derived values and
//! feature flags, pinning per request, a report of keys that nothing reads, and watching local
//! files are not in this version.
//!
//! # Features
//!
//! `yaml` and `toml`, both on by default, add the formats that need a parser of their own; JSON and
//! properties are always available.
mod config;
mod engine;
mod error;
mod format;
mod hot;
mod input;
mod pipeline;
mod provider;
mod report;
mod tasks;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod time;

pub use config::{HotConfig, HotConfigBuilder};
pub use error::{Error, ErrorKind};
pub use figment;
pub use format::Format;
pub use hot::{Change, Changes, Guard, Hot, Pinned};
pub use input::{Import, LocalFile};
pub use pipeline::{Keys, Violations};
pub use provider::{NacosDocuments, NacosSource};
pub use report::{
    DryRun, Freshness, Issue, Place, Position, Rejection, Source, Stage, StaleDocument, Status,
    redact::redacted,
};
