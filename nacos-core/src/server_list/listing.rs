//! The servers that a list names, one a line.
use std::{collections::BTreeSet, net::SocketAddr};

use crate::{error::clip, server::Server};

/// The answer of an address server.
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

    /// Of an answer that others may have changed on its way: it can ask for TLS, not refuse it.
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

/// The kind of an answer that is no list as a whole.
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
    use crate::address::Scheme;

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
            ("10.0.0.3:8848/nacos/v1/ns", "`v1` is a version of the API"),
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
