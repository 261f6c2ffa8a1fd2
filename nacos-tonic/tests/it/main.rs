//! Channels against real tonic servers on loopback, discovered through a Nacos server in the
//! process.
mod calls;
mod inventory;
mod server;
mod shares;
mod statuses;
