//! The balancer through its public API: on a network that exists in this process only, and over
//! discovery from a Nacos server that does as well.
mod discovery;
mod endpoints;
#[cfg(feature = "http2")]
mod http2;
mod lifetime;
mod network;
mod policy;
mod readiness;
mod resend;
mod retry;
mod shares;
