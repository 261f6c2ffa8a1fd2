//! Values that Kubernetes and Docker put into the environment for services that are called like an
//! option of ours.

/// Whether `value` is what they set for a service: `NACOS_ENDPOINT_PORT=tcp://10.0.0.1:8080`, where
/// there is a service `nacos-endpoint`. It is no client's option, neither a port nor an address.
pub(crate) fn is_link(value: &str) -> bool {
    let Some((scheme, rest)) = value.trim().split_once("://") else { return false };
    let is_scheme = is_protocol(&scheme.to_ascii_lowercase());
    let ends_in_port =
        rest.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port));
    is_scheme && ends_in_port
}

/// The service whose place a variable called `name` tells, the part in front of which is the same
/// for all: the words before `PORT` or `PORT_8848_TCP`, which may be none.
pub(crate) fn linked(name: &str) -> Option<String> {
    let words = words(name);
    let words: Vec<&str> = words.split('_').collect();
    match words.as_slice() {
        [service @ .., "port", port, protocol] if is_port(port) && is_protocol(protocol) => {
            Some(service.join("_"))
        }
        [service @ .., "port"] => Some(service.join("_")),
        _ => None,
    }
}

/// The services of which a variable called `name` may say more: its address as Kubernetes has it, a
/// part of what [`linked`] has as a whole, or what Docker adds. More than one where their names
/// hold such words themselves.
pub(crate) fn said_of(name: &str) -> Vec<String> {
    let words = words(name);
    let words: Vec<&str> = words.split('_').collect();
    let services = (0..words.len()).filter(|at| match words[*at..] {
        ["name"] | ["env", _, ..] => true,
        ref rest => is_said_by_kubernetes(rest),
    });
    services.map(|at| words[..at].join("_")).collect()
}

/// Whether Kubernetes sets `name` to `value` for some service, whatever that is called. No option
/// is called so; of the names that one may be called like, `value` decides.
pub(crate) fn is_set_by_kubernetes(name: &str, value: &str) -> bool {
    let words = words(name);
    let words: Vec<&str> = words.split('_').collect();
    let is_said = (0..words.len()).any(|at| is_said_by_kubernetes(&words[at..]));
    is_said || is_link(value) && linked(name).is_some()
}

fn is_said_by_kubernetes(words: &[&str]) -> bool {
    match *words {
        ["service", "host"] | ["service", "port", ..] => true,
        ["port", port, protocol, "proto" | "port" | "addr"] => {
            is_port(port) && is_protocol(protocol)
        }
        _ => false,
    }
}

fn words(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '.'], "_")
}

fn is_port(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_protocol(word: &str) -> bool {
    PROTOCOLS.contains(&word)
}

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_is_told_from_what_is_said_of_it() {
        for (name, service) in [
            ("PORT", Some("")),
            ("port_8848_tcp", Some("")),
            ("SERVER_PORT", Some("server")),
            ("my-server.port_53_UDP", Some("my_server")),
            ("port_tcp", None),
            ("port_8848_http", None),
            ("import", None),
            ("", None),
        ] {
            assert_eq!(linked(name).as_deref(), service, "{name}");
        }
        for (name, services) in [
            ("SERVICE_HOST", &[""][..]),
            ("server_service_port", &["server"]),
            ("service_port_http", &[""]),
            ("port_8848_tcp_addr", &[""]),
            ("service_service_host", &["service"]),
            ("a_env_b_name", &["a", "a_env_b"]),
            ("port_8848_tcp", &[]),
            ("service", &[]),
            ("server_addr", &[]),
        ] {
            assert_eq!(said_of(name), services, "{name}");
        }
    }

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
