//! Where the list of servers is read, if it is not given.
use std::{collections::BTreeSet, fmt, net::SocketAddr, time::Duration};

use http::Uri;

use crate::{
    address::Address,
    error::clip,
    secret::Secret,
    server::{Scheme, Server},
};

/// Where the list of servers is read, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Locator {
    pub(crate) source: Source,
    pub(crate) refresh: Duration,
    /// What the gRPC port of each server lies above its main port.
    pub(crate) grpc_offset: u16,
}

/// Who knows the servers.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// An address server, which answers with one server a line.
    Endpoint(Endpoint),
    /// A name, each address of which is a server.
    Name(Server),
}

/// The address server. `Debug` and `Display` leave out the query, which may hold a secret.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
    path: String,
    query: Secret,
}

/// What the options say about the address server, beside the endpoint itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Details<'a> {
    pub(crate) port: Option<u16>,
    pub(crate) context_path: Option<&'a str>,
    pub(crate) cluster_name: Option<&'a str>,
    /// Sent along unless it is empty.
    pub(crate) namespace: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl Endpoint {
    /// Reads `host[:port]`, or a URL, of which what is left out comes from `details`.
    ///
    /// # Errors
    ///
    /// Says what is wrong without showing the text, which may hold a secret.
    pub(crate) fn parse(text: &str, details: Details<'_>) -> Result<Self, String> {
        let text = text.trim();
        if text.contains(char::is_whitespace) {
            return Err("it has a blank in it".to_owned());
        }
        let (place, own_query) = match text.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (text, None),
        };
        let is_url = place.contains("://");
        let bare = place.split_once("://").map_or(place, |(_, bare)| bare);
        let authority = bare.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err("it names a user, and address servers are asked without one".to_owned());
        }
        if authority.contains([',', ';']) {
            return Err("it is one address, and several were given".to_owned());
        }
        if place.contains('#') {
            return Err("it has a `#`, and what follows one is never sent".to_owned());
        }
        let Address { scheme, host, port, path } = Address::parse(place)?;
        let scheme = scheme.unwrap_or(Scheme::Http);
        let port = match (port, details.port) {
            (Some(own), Some(port)) if own != port => {
                return Err("`endpoint_port` is another port than the one it names".to_owned());
            }
            (Some(port), _) | (None, Some(port)) => port,
            // A URL means what it means everywhere else.
            (None, None) if is_url && scheme == Scheme::Https => 443,
            (None, None) if is_url => 80,
            (None, None) => DEFAULT_PORT,
        };
        let path = match path {
            "" | "/" => default_path(details),
            _ if details.context_path.or(details.cluster_name).is_some() => {
                return Err("it names a path, and so does another option".to_owned());
            }
            path => path.to_owned(),
        };
        let namespace =
            (!details.namespace.is_empty()).then(|| format!("namespace={}", details.namespace));
        let given = [own_query, details.query.map(|query| query.trim_matches(['?', '&', ' ']))];
        let query = given.into_iter().flatten().filter(|part| !part.is_empty()).map(str::to_owned);
        let query = namespace.into_iter().chain(query).collect::<Vec<_>>().join("&");
        let query = Secret::new(query);
        let endpoint = Self { scheme, host: host.to_owned(), port, path, query };
        match endpoint.target().parse::<Uri>() {
            Ok(_) => Ok(endpoint),
            Err(_) => Err("its path or its query cannot be part of a URL".to_owned()),
        }
    }

    /// Whether `text` names a port, and whether it names a path.
    pub(crate) fn names(text: &str) -> (bool, bool) {
        let place = text.trim().split('?').next().unwrap_or_default();
        Address::parse(place).map_or((false, false), |address| {
            (address.port.is_some(), !matches!(address.path, "" | "/"))
        })
    }

    /// What is asked for: the path and the query.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query.expose())
        }
    }

    /// `host:port`, as it goes into the header `Host`.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn default_path(details: Details<'_>) -> String {
    let folder = details.context_path.unwrap_or(DEFAULT_CONTEXT_PATH).trim_matches('/');
    let file = details.cluster_name.unwrap_or(DEFAULT_CLUSTER_NAME).trim_matches('/');
    if folder.is_empty() { format!("/{file}") } else { format!("/{folder}/{file}") }
}

/// What an address server answered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Listing {
    pub(crate) servers: Vec<Server>,
    /// Why some lines name none.
    pub(crate) unreadable: Vec<String>,
}

impl Listing {
    /// Reads one server a line, as it could be given as an option: with its port if that is another
    /// than 8848, and with `context_path` behind it, or without. Blank lines and comments after `#`
    /// are skipped, and what is neither costs itself only.
    pub(crate) fn parse(text: &str, grpc_offset: u16, context_path: &str) -> Self {
        let mut listing = Self::default();
        // Some editors begin a file with it.
        let text = text.trim_start_matches('\u{feff}');
        if let Some(what) = is_page(text) {
            listing.unreadable(format!("it is {what}"));
            return listing;
        }
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            // Before it is taken apart: a part of a password may stand in any part of it.
            if line.contains(['@', '?']) {
                listing.unreadable("a server address has neither a user nor a query".to_owned());
                continue;
            }
            for address in line.split([',', ';']).map(str::trim).filter(|it| !it.is_empty()) {
                match listed(address, grpc_offset, context_path) {
                    Err(why) => listing.unreadable(clip(&why, LONGEST_REASON).to_owned()),
                    Ok(server) if listing.servers.iter().any(|known| known.is_at(&server)) => {}
                    Ok(_) if listing.servers.len() >= MOST_SERVERS => {
                        listing.unreadable(format!("there are more than {MOST_SERVERS} servers"));
                        return listing;
                    }
                    Ok(server) => listing.servers.push(server),
                }
            }
        }
        listing
    }

    /// Each address that a name has is a server, on the ports of `name`.
    pub(crate) fn resolved(name: &Server, addresses: impl Iterator<Item = SocketAddr>) -> Self {
        // An IPv4 address in the clothes of IPv6 is the same server; and name servers rotate what
        // they answer, which is no news.
        let addresses: BTreeSet<_> = addresses.map(|address| address.ip().to_canonical()).collect();
        let servers = addresses.iter().map(|address| name.at(&address.to_string())).collect();
        Self { servers, unreadable: Vec::new() }
    }

    /// Of an answer that anybody may have changed on its way: it can ask for TLS, not refuse it.
    pub(crate) fn without_http(mut self) -> Self {
        self.servers = self.servers.into_iter().map(Server::without_http).collect();
        self
    }

    fn unreadable(&mut self, why: String) {
        if self.unreadable.len() < MOST_UNREADABLE {
            self.unreadable.push(why);
        }
    }
}

/// One address of a list.
fn listed(address: &str, grpc_offset: u16, context_path: &str) -> Result<Server, String> {
    if address.len() > LONGEST_ADDRESS {
        let begins = clip(address, MAX_QUOTED);
        return Err(format!("what begins with {begins:?} is longer than any address"));
    }
    let (mut servers, path) = Server::parse_with_path(address, grpc_offset)?;
    if let Some(path) = path.filter(|path| path != context_path) {
        return Err(format!(
            "server address {address:?}: it names the path `/{path}`, and `context_path` says \
             `/{context_path}`"
        ));
    }
    match servers.pop() {
        Some(server) if is_host(server.host()) => Ok(server),
        _ => Err(format!("{address:?} is no host name")),
    }
}

/// What an answer is that is something else as a whole.
fn is_page(text: &str) -> Option<&'static str> {
    let text = text.trim_start();
    let is_json = |text: &str| text.trim_start().starts_with(['{', '"', '[', ']', '}']);
    match text.chars().next()? {
        '<' if text.contains("</") || text.starts_with("<!") || text.starts_with("<?") => {
            Some("a page of HTML or XML")
        }
        '{' | '[' if is_json(&text[1..]) => Some("JSON"),
        _ => None,
    }
}

fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
    !host.is_empty() && host.chars().all(allowed)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(endpoint) => write!(f, "the servers that {endpoint} lists"),
            Self::Name(name) => write!(f, "the addresses of {name}"),
        }
    }
}

const DEFAULT_CLUSTER_NAME: &str = "serverlist";
const DEFAULT_CONTEXT_PATH: &str = "nacos";
const DEFAULT_PORT: u16 = 8080;
const MAX_QUOTED: usize = 100;
/// A name has 253 characters at most; there are a scheme, a port and a path beside it.
const LONGEST_ADDRESS: usize = 300;
const LONGEST_REASON: usize = 500;
/// More than any cluster has.
const MOST_SERVERS: usize = 1000;
/// Reasons that are kept of one answer.
const MOST_UNREADABLE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str, details: Details<'_>) -> Result<String, String> {
        let endpoint = Endpoint::parse(text, details)?;
        let scheme = if endpoint.scheme == Scheme::Https { "https" } else { "http" };
        Ok(format!("{scheme}://{}{}", endpoint.authority(), endpoint.target()))
    }

    #[test]
    fn parts_that_are_left_out_have_nacos_defaults() {
        let url = |text| url(text, Details::default()).expect(text);
        assert_eq!(url("jmenv"), "http://jmenv:8080/nacos/serverlist");
        assert_eq!(url(" jmenv:80 "), "http://jmenv:80/nacos/serverlist");
        assert_eq!(url("[::1]"), "http://[::1]:8080/nacos/serverlist");
        assert_eq!(url("http://jmenv"), "http://jmenv:80/nacos/serverlist");
        assert_eq!(url("https://jmenv/"), "https://jmenv:443/nacos/serverlist");
        assert_eq!(url("http://jmenv:81/a/b?c=d"), "http://jmenv:81/a/b?c=d");
    }

    #[test]
    fn details_take_the_place_of_defaults() {
        let details = Details {
            port: Some(81),
            context_path: Some("/env/"),
            cluster_name: Some("blue"),
            namespace: "staging",
            query: Some("?a=1&b=%20"),
        };
        let expected = "http://jmenv:81/env/blue?namespace=staging&a=1&b=%20";
        assert_eq!(url("jmenv", details).as_deref(), Ok(expected));
        let root = Details { context_path: Some(""), ..Details::default() };
        assert_eq!(url("jmenv", root).as_deref(), Ok("http://jmenv:8080/serverlist"));
        let details = Details { namespace: "staging", query: Some("a=1"), ..Details::default() };
        let expected = "http://jmenv:80/list?namespace=staging&c=d&a=1";
        assert_eq!(url("http://jmenv/list?c=d", details).as_deref(), Ok(expected));
    }

    #[test]
    fn contradictions_and_nonsense_are_refused_and_never_shown() {
        let port = Details { port: Some(1), ..Details::default() };
        assert!(url("jmenv:2", port).is_err());
        let path = Details { context_path: Some("a"), ..Details::default() };
        assert!(url("http://jmenv/b", path).is_err());
        let query = Details { query: Some("hunter2 \n"), ..Details::default() };
        let error = url("jmenv", query).expect_err("no URL");
        assert!(!error.contains("hunter2"), "{error}");
        for text in [
            "",
            "ftp://jmenv",
            "jmenv:0",
            "jmenv:66000",
            "nacos:hunter2@jmenv",
            "http://nacos:hunter2@jmenv",
            "a b",
            "${HUNTER2}",
            "http://",
            "::1",
        ] {
            let error = url(text, Details::default()).expect_err(text);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn odd_spelling_of_an_address_server_has_its_true_cause() {
        let own = [
            ("jmenv,jmenv2", "one address"),
            ("jmenv:8080,", "one address"),
            ("jmenv:8080;", "one address"),
            ("nacos:hunter2@jmenv:8080", "a user"),
            ("http://nacos:hunter2@jmenv", "a user"),
            ("http://hunter2@jmenv/list?a=b", "a user"),
            ("jmenv/a b", "blank"),
            ("jmenv/list#top", "`#`"),
            ("jmenv?a=b c", "blank"),
        ];
        for (text, cause) in own.iter().chain(crate::address::ODD) {
            let error = url(text, Details::default()).expect_err(text);
            assert!(error.contains(cause), "{text:?}: no {cause:?}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        // A query is the business of whoever reads it.
        let url = |text| url(text, Details::default()).expect(text);
        assert_eq!(url("jmenv?u=a@b,c;d"), "http://jmenv:8080/nacos/serverlist?u=a@b,c;d");
        assert_eq!(url("jmenv:81/list?t=$(x)"), "http://jmenv:81/list?t=$(x)");
        assert_eq!(url("HTTPS://jmenv/"), "https://jmenv:443/nacos/serverlist");
        assert_eq!(url("[fe80::1%eth0]:81"), "http://[fe80::1%eth0]:81/nacos/serverlist");
    }

    #[test]
    fn query_is_neither_displayed_nor_debugged() {
        let details = Details { query: Some("token=hunter2"), ..Details::default() };
        let endpoint = Endpoint::parse("jmenv", details).expect("valid");
        assert!(endpoint.target().contains("hunter2"));
        assert_eq!(endpoint.to_string(), "http://jmenv:8080/nacos/serverlist");
        assert!(
            !format!("{endpoint:?} {:?}", Source::Endpoint(endpoint.clone())).contains("hunter2")
        );
    }

    #[test]
    fn lists_have_one_server_a_line() {
        let text =
            "10.0.0.1\r\n\n # a comment\n10.0.0.2:80 # another\n[::1]:9\n10.0.0.1:8848\n n1 ";
        let listing = Listing::parse(text, 1000, "nacos");
        let shown: Vec<_> = listing.servers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:8848", "10.0.0.2:80", "[::1]:9", "n1:8848"]);
        assert_eq!(listing.unreadable, [""; 0]);
    }

    #[test]
    fn server_on_two_lines_is_one_whatever_its_scheme() {
        let listing = Listing::parse("https://n1\nn1\nhttp://n1:8848\nn1:80", 1000, "nacos");
        let shown: Vec<_> = listing.servers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["n1:8848", "n1:80"]);
        assert_eq!(listing.servers[0].scheme(), Some(Scheme::Https), "the first is meant");
    }

    #[test]
    fn address_of_a_list_may_name_the_context_path_and_no_other() {
        let text = "10.0.0.1:8848/nacos\nhttp://10.0.0.2/nacos/\n10.0.0.3\n10.0.0.4/other";
        let read = |context_path| {
            let listing = Listing::parse(text, 1000, context_path);
            let hosts: Vec<_> = listing.servers.iter().map(|it| it.host().to_owned()).collect();
            (hosts.join(" "), listing.unreadable)
        };
        let (hosts, unreadable) = read("nacos");
        assert_eq!(hosts, "10.0.0.1 10.0.0.2 10.0.0.3");
        let [why] = unreadable.as_slice() else { panic!("{unreadable:?}") };
        for part in ["10.0.0.4/other", "`/other`", "`/nacos`", "context_path"] {
            assert!(why.contains(part), "{why}");
        }
        assert_eq!(read("other").0, "10.0.0.3 10.0.0.4");
        assert_eq!(read("").0, "10.0.0.3");
    }

    #[test]
    fn address_that_names_no_server_costs_itself_and_has_its_true_cause() {
        let long = format!("{}:8848", "a".repeat(400));
        for (bad, cause) in [
            ("10.0.0.2:x", "not a number"),
            ("a b", "has a blank"),
            ("10.0.0.3:70000", "within 1 and 65535"),
            ("tcp://10.0.0.3:8848", "`tcp`"),
            ("fe80::1", "needs brackets"),
            ("[fe80::1", "not closed"),
            ("\"10.0.0.3\"", "quote"),
            ("${NACOS_SERVER}", "placeholder"),
            ("10.0.0.3:8848/nacos/v1/ns", "page or a request"),
            ("nacos:hunter2,hunter2@10.0.0.3", "neither a user"),
            ("10.0.0.3?token=hunter2;hunter2", "neither a user"),
            (&long, "longer than any address"),
            ("n\u{fc}rnberg", "no host name"),
        ] {
            let beside = format!("10.0.0.1,{bad};10.0.0.4");
            for text in [format!("10.0.0.1\n{bad}\n10.0.0.4"), beside] {
                let is_secret = bad.contains("hunter2");
                if is_secret && !text.contains('\n') {
                    continue;
                }
                let listing = Listing::parse(&text, 1000, "nacos");
                let hosts: Vec<_> = listing.servers.iter().map(Server::host).collect();
                assert_eq!(hosts, ["10.0.0.1", "10.0.0.4"], "{bad}");
                let [why] = listing.unreadable.as_slice() else { panic!("{listing:?}") };
                assert!(why.contains(cause) && !why.contains("hunter2"), "{bad}: {why}");
                assert!(why.len() <= LONGEST_REASON);
            }
        }
    }

    #[test]
    fn list_without_an_end_is_read_up_to_a_bound() {
        let names =
            |count| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>().join("\n") + "\n";
        let listing = Listing::parse(&names(20_000), 1000, "nacos");
        assert_eq!(listing.servers.len(), MOST_SERVERS);
        assert!(listing.unreadable.iter().any(|why| why.contains("more than 1000")));
        let whole = names(MOST_SERVERS);
        let listing = Listing::parse(&format!("\u{feff}{whole}{whole}"), 1000, "nacos");
        assert_eq!((listing.servers.len(), listing.unreadable.len()), (MOST_SERVERS, 0));
    }

    #[test]
    fn pages_of_something_else_name_no_servers() {
        for page in [
            "<html><head><title>404</title></head></html>",
            "<html>\n<body>\n<h1>sorry</h1>\n</html>",
            r#"{"code":500,"message":"no"}"#,
            "[]",
            "Not Found",
            "\0\u{1}\u{2}",
            "",
        ] {
            let listing = Listing::parse(page, 1000, "nacos");
            assert_eq!(listing.servers, [], "{page}");
        }
        for (page, what) in [
            ("\n<!doctype html>", "HTML"),
            ("<html><h1>sorry</h1></html>", "HTML"),
            ("{\n \"code\": 500}", "JSON"),
            ("[\"10.0.0.1\"]", "JSON"),
        ] {
            let listing = Listing::parse(page, 1000, "nacos");
            let [why] = listing.unreadable.as_slice() else { panic!("{listing:?}") };
            assert!(why.contains(what), "{page}: {why}");
        }
        let endless = Listing::parse(&"<br>\n".repeat(10_000), 1000, "nacos");
        assert_eq!(endless.unreadable.len(), MOST_UNREADABLE);
    }

    #[test]
    fn each_address_of_a_name_is_a_server() {
        let name = Server::parse_list("nacos-headless:80", 1000).expect("valid").remove(0);
        let addresses = ["10.0.0.2:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80", "[fd00::1]:80"];
        let addresses = addresses.map(|address| address.parse().expect("an address"));
        let listing = Listing::resolved(&name, addresses.into_iter());
        let shown: Vec<_> = listing.servers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
        assert!(listing.servers.iter().all(|server| server.grpc_port() == 1080));
    }
}
