//! Draft.
mod channel;
#[cfg(feature = "server")]
mod server;
mod tasks;

pub use channel::{Channel, ChannelBuilder, ResponseFuture};
pub use nacos_tower::{Idempotent, Policy};
#[cfg(feature = "server")]
pub use server::{Routed, serve};
