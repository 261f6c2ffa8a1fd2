//! The address of one Nacos server.
use std::fmt;

use crate::address::{Address, Scheme};

/// A Nacos server: its host and its two ports.
///
/// Written `host[:port]`, where the port is the main (HTTP) one, 8848 if it is left out; no server
/// announces the gRPC port, which is computed from the main one. A scheme in front of the host says
/// whether HTTP is spoken over TLS.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Server {
    host: String,
    port: u16,
    grpc_port: u16,
    scheme: Option<Scheme>,
}

impl Server {
    /// The servers of a list whose addresses name no path.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse_list(list: &str, grpc_offset: u16) -> Result<Vec<Self>, String> {
        match Self::parse_with_path(list, grpc_offset)? {
            (servers, None) => Ok(servers),
            (_, Some(path)) => Err(format!("{list:?} names a path, `/{path}`")),
        }
    }

    /// Reads a list of addresses, separated by `,` or `;`, and the path that they name: it can only
    /// be the one below which servers answer HTTP. Without slashes around it; none if none is
    /// named.
    ///
    /// `grpc_offset` is what the gRPC port lies above the main port.
    pub(crate) fn parse_with_path(
        list: &str,
        grpc_offset: u16,
    ) -> Result<(Vec<Self>, Option<String>), String> {
        // Errors and logs show addresses, which must hold no password, and no token; a part of one
        // may stand in any address.
        if list.contains(['@', '?']) {
            return Err("a server address has neither a user nor a query".to_owned());
        }
        let addresses = list.split([',', ';']).map(str::trim).filter(|address| !address.is_empty());
        let mut servers = Vec::new();
        let mut common: Option<String> = None;
        for address in addresses {
            let (server, path) = parse(address, grpc_offset)?;
            if let Some(path) = path {
                match &common {
                    Some(other) if *other != path => {
                        let why = format!("the addresses name two paths, `/{other}` and `/{path}`");
                        return Err(why);
                    }
                    _ => common = Some(path),
                }
            }
            // Of two that differ in their scheme alone, the first is meant.
            if !servers.iter().any(|known: &Self| known.is_at(&server)) {
                servers.push(server);
            }
        }
        Ok((servers, common))
    }

    /// Whether it is the same server, however it is to be spoken to.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    /// The same ports at another address.
    pub(crate) fn at(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..*self }
    }

    /// The same server, without a scheme that forbids TLS.
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

/// Reads one address, and the path behind it.
fn parse(address: &str, grpc_offset: u16) -> Result<(Server, Option<String>), String> {
    let refused = |why: &str| format!("server address {address:?}: {why}");
    let refuse = |why| Err(refused(why));
    if address.contains(char::is_whitespace) {
        return refuse("addresses are separated by `,` or `;`, and none has a blank in it");
    }
    if address.contains('#') {
        return refuse(
            "this is the address of the console in a browser: leave out the text after the port",
        );
    }
    let Address { scheme, host, port, path } =
        Address::parse(address).map_err(|why| refused(&why))?;
    let path = path.trim_matches('/');
    if path.to_ascii_lowercase().ends_with(".html") {
        return refuse("this is the address of a page: leave out the text after the port");
    }
    let is_version =
        |part: &&str| ["v1", "v2", "v3"].iter().any(|it| it.eq_ignore_ascii_case(part));
    if let Some(version) = path.split('/').find(is_version) {
        return Err(refused(&format!(
            "`{version}` is a version of the API, and no part of the context path: leave it out, \
             and what follows it"
        )));
    }
    if format!("/{path}").parse::<http::Uri>().is_err() || path.contains("//") {
        return refuse("the text after the port is no path");
    }
    let path = (!path.is_empty()).then(|| path.to_owned());
    let port = port.unwrap_or(DEFAULT_PORT);
    match port.checked_add(grpc_offset) {
        Some(grpc_port) => Ok((Server { host: host.to_owned(), port, grpc_port, scheme }, path)),
        None => refuse("the gRPC port, computed from it, is above 65535"),
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
    fn whatever_people_write_is_read_or_refused_for_its_true_cause() {
        for (text, read) in [
            ("a", "a:8848"),
            (" a:1 \n", "a:1"),
            ("a:1,", "a:1"),
            ("a:1;b:2;", "a:1 b:2"),
            ("a:1 , b:2", "a:1 b:2"),
            ("a:1,\n\tb:2", "a:1 b:2"),
            ("HTTP://a:1", "a:1"),
            ("HttpS://a:1/", "a:1"),
            ("http://a:1///", "a:1"),
            ("[::1]", "[::1]:8848"),
            ("[fe80::1%eth0]:1", "[fe80::1%eth0]:1"),
            ("my_host.example-1:1", "my_host.example-1:1"),
            ("a:1/nacos", "a:1 /nacos"),
            ("http://a/nacos/", "a:8848 /nacos"),
            ("a:1/nacos,b:1/nacos/", "a:1 b:1 /nacos"),
            ("a:1/nacos,b:1", "a:1 b:1 /nacos"),
            ("[::1]:1/x/y", "[::1]:1 /x/y"),
        ] {
            let (servers, path) = Server::parse_with_path(text, 1000).expect(text);
            let servers = servers.iter().map(Server::to_string);
            let shown: Vec<_> = servers.chain(path.map(|path| format!("/{path}"))).collect();
            assert_eq!(shown.join(" "), read, "{text:?}");
        }
        for (text, cause) in [
            ("tcp://a:1", "`tcp`"),
            ("grpc://a:1", "`grpc`"),
            ("nacos://a:1", "`nacos`"),
            ("://a", "neither `http` nor `https`"),
            ("http://", "no host"),
            (":80", "no host"),
            ("a:1 b:1", "separated by"),
            ("a:1\tb:1", "separated by"),
            ("a:1\nb:1", "separated by"),
            ("\"a:1\"", "quote \""),
            ("'a:1,b:1'", "quote '"),
            ("\u{201c}a:1\u{201d}", "quote"),
            ("a\u{ff1a}1", "`:` is meant"),
            ("a:1\u{ff0c}b:1", "`,` is meant"),
            ("10\u{3002}0.0.1", "`.` is meant"),
            ("a:", "no port"),
            ("a:0", "within 1 and 65535"),
            ("a:65536", "within 1 and 65535"),
            ("a:99999999999999999999999", "within 1 and 65535"),
            ("a:-1", "not a number"),
            ("a:http", "not a number"),
            ("a:65000", "gRPC port"),
            ("a:1:2", "more than one port"),
            ("::1", "needs brackets"),
            ("fe80::1%eth0", "needs brackets"),
            ("::1:8848", "needs brackets"),
            ("[::1", "not closed"),
            ("[::1]x", "follows the bracket"),
            ("[a]:1", "no IPv6 address"),
            ("${NACOS_ADDR}", "placeholder"),
            ("$(NACOS_SERVICE_HOST):8848", "placeholder"),
            ("<host>:8848", "placeholder"),
            ("http://a:8848/nacos/#/login", "console"),
            ("http://a:8848/nacos/index.html", "page"),
            ("http://a:8848/nacos/v1/cs/configs", "`v1` is a version of the API"),
            ("a:8848/nacos/v1", "`v1` is a version of the API"),
            ("a:8848/V1", "`V1` is a version of the API"),
            ("a/v3/", "`v3` is a version of the API"),
            ("a:1/nacos,b:1/other", "two paths"),
            ("a\\b", "backslash"),
            ("nacos:pass@a:1", "neither a user nor a query"),
        ] {
            let error = Server::parse_with_path(text, 1000).expect_err(text);
            assert!(error.contains(cause), "{text:?}: {error}");
        }
        let error = Server::parse_list("a:1/nacos", 1000).expect_err("a path");
        assert!(error.contains("names a path, `/nacos`"), "{error}");
    }

    #[test]
    fn odd_spelling_has_its_true_cause() {
        for (text, cause) in crate::address::ODD {
            // Several servers can be named.
            if text.contains([',', ';']) {
                continue;
            }
            let error = Server::parse_with_path(text, 1000).expect_err(text);
            assert!(error.contains(cause), "{text:?}: no {cause:?}: {error}");
        }
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
