//! The name by which a client is told from all others of its servers, unless it is given one.
use std::fs;

/// The name of the host, the process's id, and a random number: two clients of one process differ,
/// and so do processes that have the same id in their containers.
pub(super) fn instance_id() -> String {
    let host = HOST_NAMES.iter().find_map(|path| {
        let name = fs::read_to_string(path).ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    });
    let (process, number) = (std::process::id(), fastrand::u64(..));
    let host = host.map_or_else(String::new, |host| format!("{host}-"));
    format!("{host}{process}-{number:016x}")
}

/// Linux has the name of the host in both; elsewhere the number has to do.
const HOST_NAMES: [&str; 2] = ["/proc/sys/kernel/hostname", "/etc/hostname"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_clients_have_the_same_name() {
        assert_ne!(instance_id(), instance_id());
        assert!(instance_id().contains(&format!("{}-", std::process::id())));
    }
}
