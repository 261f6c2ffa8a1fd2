//! The address server: where it is, and what it is asked for.
use std::fmt;

use http::Uri;

use crate::{
    address::{Address, Scheme},
    origin::Origin,
    secret::Secret,
};

/// The address server. `Debug` and `Display` leave out the query, which may hold a secret.
#[derive(Clone)]
pub(crate) struct AddressServer {
    pub(crate) origin: Origin,
    path: String,
    query: Secret,
}

/// The options of the address server, beside its address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Details<'a> {
    pub(crate) port: Option<u16>,
    pub(crate) context_path: Option<&'a str>,
    pub(crate) cluster_name: Option<&'a str>,
    /// Sent along unless it is empty.
    pub(crate) namespace: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl AddressServer {
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
        let origin = Origin { scheme, host: host.to_owned(), port };
        let server = Self { origin, path, query };
        match server.target().parse::<Uri>() {
            Ok(_) => Ok(server),
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

    /// The whole of it, in a form that stays the same. It may hold a secret.
    pub(crate) fn configured(&self) -> String {
        let mut parts: Vec<_> = self.query.expose().split('&').collect();
        parts.sort_unstable();
        format!("{self}?{}", parts.join("&"))
    }

    /// The target of a request: the path and the query.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query.expose())
        }
    }
}

fn default_path(details: Details<'_>) -> String {
    let folder = details.context_path.unwrap_or(DEFAULT_CONTEXT_PATH).trim_matches('/');
    let file = details.cluster_name.unwrap_or(DEFAULT_CLUSTER_NAME).trim_matches('/');
    if folder.is_empty() { format!("/{file}") } else { format!("/{folder}/{file}") }
}

impl fmt::Display for AddressServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.scheme == Scheme::Https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.origin.authority(), self.path)
    }
}

impl fmt::Debug for AddressServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const DEFAULT_CLUSTER_NAME: &str = "serverlist";
const DEFAULT_CONTEXT_PATH: &str = "nacos";
const DEFAULT_PORT: u16 = 8080;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server_list::ListSource;

    fn url(text: &str, details: Details<'_>) -> Result<String, String> {
        let server = AddressServer::parse(text, details)?;
        let scheme = if server.origin.scheme == Scheme::Https { "https" } else { "http" };
        Ok(format!("{scheme}://{}{}", server.origin.authority(), server.target()))
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
        // A query is the business of the server that reads it.
        let url = |text| url(text, Details::default()).expect(text);
        assert_eq!(url("jmenv?u=a@b,c;d"), "http://jmenv:8080/nacos/serverlist?u=a@b,c;d");
        assert_eq!(url("jmenv:81/list?t=$(x)"), "http://jmenv:81/list?t=$(x)");
        assert_eq!(url("HTTPS://jmenv/"), "https://jmenv:443/nacos/serverlist");
        assert_eq!(url("[fe80::1%eth0]:81"), "http://[fe80::1%eth0]:81/nacos/serverlist");
    }

    #[test]
    fn query_is_neither_displayed_nor_debugged() {
        let details = Details { query: Some("token=hunter2"), ..Details::default() };
        let server = AddressServer::parse("jmenv", details).expect("valid");
        assert!(server.target().contains("hunter2"));
        assert_eq!(server.to_string(), "http://jmenv:8080/nacos/serverlist");
        assert!(
            !format!("{server:?} {:?}", ListSource::AddressServer(server.clone()))
                .contains("hunter2")
        );
    }
}
