//! The control path of a balancer: one task that follows the instances and keeps the connections.
mod backoff;
mod controller;
mod eligible;
mod entry;
mod registry;

pub(crate) use self::controller::Controller;
