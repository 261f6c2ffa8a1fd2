//! Private parts of nacos-core's session, and what is measured of them.
pub(crate) mod configs;
#[path = "../../../nacos-core/src/session/queue.rs"]
pub(crate) mod queue;
