//! Real Nacos servers on this machine, for tests: installed once, started, frozen, killed, stopped.
//!
//! ```no_run
//! # fn main() -> Result<(), servers::Error> {
//! let mut server = servers::RNacos::builder().credentials("nacos", "nacos").start()?;
//! println!("{} {} on {}", server.name(), server.version(), server.addr());
//! server.pause()?; // as a machine that hangs
//! server.resume()?;
//! server.kill()?; // as a machine that loses power
//! server.restart()?; // same ports, same data
//! # Ok(())
//! # }
//! ```
//!
//! Everything blocks; in an async test call it in `spawn_blocking`, or before the runtime starts.
//! A server that started has proved itself: it answers, lets its user log in and gives back a
//! configuration that was published to it. It listens on ports of its own, in a directory of its
//! own, and dies with its [`Running`], and also with the process that held it.
//!
//! Starting never installs: that takes minutes and a registry, so it is asked for by itself, with
//! [`Product::install`] or `cargo run -p servers -- install r-nacos`. A server that a machine
//! cannot have is an [`ErrorKind::Unavailable`] that says why.
//!
//! Tests can also be pointed at a server that runs already: see [`Given`], and [`Journal`] for what
//! they write to it.
//!
//! Absent: anything about the Nacos protocol beyond what readiness needs, and Windows.

mod cache;
mod canary;
mod cluster;
mod error;
mod folder;
mod gate;
mod given;
mod http;
mod install;
mod java;
mod journal;
mod launch;
mod ports;
mod process;
mod product;
mod r_nacos;
mod readiness;
mod running;
mod standing;
mod wait;

pub use cluster::Cluster;
pub use error::{Error, ErrorKind};
pub use gate::{covers, say_skipped};
pub use given::{Given, Kind};
pub use http::{Answer, Request};
pub use java::{JavaNacos, JavaNacosBuilder};
pub use journal::{Journal, Leftover, Place};
pub use product::Product;
pub use r_nacos::{RNacos, RNacosBuilder};
pub use running::Running;
pub use wait::until;
