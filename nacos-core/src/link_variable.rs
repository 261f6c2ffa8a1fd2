//! Values that Kubernetes and Docker put into the environment for services that are called like an
//! option of ours.

/// Whether `value` is what they set for a service: `NACOS_ENDPOINT_PORT=tcp://10.0.0.1:8080`, where
/// there is a service `nacos-endpoint`. It is nobody's option, neither a port nor an address.
pub(crate) fn is_link(value: &str) -> bool {
    let Some((scheme, rest)) = value.trim().split_once("://") else { return false };
    let is_scheme = ["tcp", "udp", "sctp"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let ends_in_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit())
    });
    is_scheme && ends_in_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_for_a_service_is_one() {
        for link in
            ["tcp://10.0.0.1:8080", "udp://10.0.0.1:53", "sctp://[fd00::1]:1", " TCP://10.0.0.1:80"]
        {
            assert!(is_link(link), "{link}");
        }
        for other in
            ["8080", "10.0.0.1:8080", "http://10.0.0.1:80", "tcp://a", "tcp://:1", "tcp", "", "://"]
        {
            assert!(!is_link(other), "{other}");
        }
    }
}
