//! The address of one Nacos server.
use std::fmt;

/// A Nacos server: its host and its two ports.
///
/// Written `host[:port]`, where the port is the main (HTTP) one, 8848 if it is left out; the gRPC
/// port is not announced by anybody but computed from it. A scheme in front of it says whether HTTP
/// is spoken over TLS.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Server {
    host: String,
    port: u16,
    grpc_port: u16,
    scheme: Option<Scheme>,
}

/// What is written in front of an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Server {
    /// Reads a list of addresses, separated by `,` or `;`.
    ///
    /// `grpc_offset` is what the gRPC port lies above the main port.
    pub(crate) fn parse_list(list: &str, grpc_offset: u16) -> Result<Vec<Self>, String> {
        let addresses = list.split([',', ';']).map(str::trim).filter(|address| !address.is_empty());
        let mut servers = Vec::new();
        for address in addresses {
            let server = Self::parse(address, grpc_offset)?;
            // Of two that differ in their scheme alone, the first is meant.
            if !servers.iter().any(|known: &Self| known.is_at(&server)) {
                servers.push(server);
            }
        }
        Ok(servers)
    }

    fn parse(address: &str, grpc_offset: u16) -> Result<Self, String> {
        // What is shown must hold no password, and no token.
        if address.contains(['@', '?']) {
            return Err("a server address has neither a user nor a query".to_owned());
        }
        let refuse = |why: &str| Err(format!("server address {address:?}: {why}"));
        let (scheme, bare) =
            match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
                (Some(bare), _) => (Some(Scheme::Https), bare),
                (_, Some(bare)) => (Some(Scheme::Http), bare),
                _ => (None, address),
            };
        let bare = bare.trim_end_matches('/');
        let (host, port) = match bare.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, port)) => match port.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None => return refuse("something other than a port follows the bracket"),
                },
                None => return refuse("the bracket is not closed"),
            },
            None => match bare.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return refuse("an IPv6 address needs brackets");
                }
                Some((host, port)) => (host, Some(port)),
                None => (bare, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c)) {
            return refuse("this is no host name");
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return refuse("the port is not a number within 1 and 65535"),
            },
        };
        match port.checked_add(grpc_offset) {
            Some(grpc_port) => Ok(Self { host: host.to_owned(), port, grpc_port, scheme }),
            None => refuse("the gRPC port, computed from it, is above 65535"),
        }
    }

    /// Whether it is the same server, however it is to be spoken to.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    /// The same ports at another address.
    pub(crate) fn at(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..*self }
    }

    /// The same without a word against TLS.
    pub(crate) fn without_http(self) -> Self {
        Self { scheme: self.scheme.filter(|scheme| *scheme == Scheme::Https), ..self }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The main port: HTTP.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn grpc_port(&self) -> u16 {
        self.grpc_port
    }

    /// The scheme, if one is written.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// `host:port` as it goes into an HTTP/2 authority.
    pub(crate) fn grpc_authority(&self) -> String {
        authority(&self.host, self.grpc_port)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The main port of a Nacos server.
const DEFAULT_PORT: u16 = 8848;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_default_and_the_grpc_port_is_computed() {
        let servers =
            Server::parse_list("a, http://b:80/ ;[::1]:9000,a:8848", 1000).expect("valid");
        let shown: Vec<_> =
            servers.iter().map(|server| (server.to_string(), server.grpc_port())).collect();
        let expected = [("a:8848", 9848), ("b:80", 1080), ("[::1]:9000", 10_000)];
        assert_eq!(shown, expected.map(|(address, port)| (address.to_owned(), port)));
    }

    #[test]
    fn scheme_is_kept_and_makes_no_other_server() {
        let servers = Server::parse_list("https://a/,a,http://b, c", 1000).expect("valid");
        let schemes: Vec<_> = servers.iter().map(Server::scheme).collect();
        assert_eq!(schemes, [Some(Scheme::Https), Some(Scheme::Http), None]);
        assert_eq!(servers[0].to_string(), "a:8848");
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_text() {
        for address in ["::1", "a:", "a:0", "a:66000", "a:65000", "[::1", "[::1]x", ":80", "a b"] {
            let error = Server::parse_list(address, 1000).expect_err(address);
            assert!(error.contains(&format!("{address:?}")), "{error}");
        }
    }

    #[test]
    fn address_with_a_secret_in_it_is_refused_without_its_text() {
        for address in ["nacos:hunter2@a", "http://nacos:hunter2@a:8848", "a:8848/?token=hunter2"] {
            let error = Server::parse_list(address, 1000).expect_err(address);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
