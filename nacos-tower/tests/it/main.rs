//! The balancer through its public API: on a network that exists in this process only, and over
//! discovery from a Nacos server that does as well.
mod discovery;
mod endpoints;
mod lifetime;
mod network;
mod policy;
mod readiness;
mod resend;
mod retry;
mod shares;
