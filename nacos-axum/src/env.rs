//! The environment, read once, when a server is made.

/// The ip under which others reach this process.
pub(crate) fn register_ip() -> Option<String> {
    let ip = std::env::var("NACOS_REGISTER_IP").ok()?;
    let ip = ip.trim();
    (!ip.is_empty()).then(|| ip.to_owned())
}
