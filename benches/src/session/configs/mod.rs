//! Private parts of nacos-core about documents, and what is measured of them.
pub(crate) mod govern;
#[path = "../../../../nacos-core/src/session/configs/governor/mod.rs"]
pub(crate) mod governor;
