//! The URLs of an OIDC provider.
use std::{fmt, net::IpAddr};

use crate::{
    address::{Address, Scheme},
    origin::Origin,
    wire::oidc::DISCOVERY,
};

/// A URL to which a secret may be sent. `Display` leaves out the query.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) origin: Origin,
    /// The path and the query.
    pub(super) target: String,
}

impl Endpoint {
    /// Reads a URL with a scheme: `https`, or `http` to this very host, or anywhere if that
    /// `allows_http`.
    ///
    /// # Errors
    ///
    /// Says what is wrong without showing the text, which may hold a secret.
    pub(super) fn parse(text: &str, allows_http: bool) -> Result<Self, String> {
        let text = text.trim();
        let (place, query) = match text.split_once('?') {
            Some((place, query)) => (place, Some(query)),
            None => (text, None),
        };
        if !place.contains("://") {
            return Err("it is no URL: `https://` stands in front of it".to_owned());
        }
        let bare = place.split_once("://").map_or(place, |(_, bare)| bare);
        if bare.split('/').next().unwrap_or_default().contains('@') {
            return Err("it names a user: a client has an option of its own".to_owned());
        }
        if text.contains('#') {
            return Err("it has a `#`, and what follows one is never sent".to_owned());
        }
        let Address { scheme, host, port, path } = Address::parse(place)?;
        let scheme = scheme.unwrap_or(Scheme::Https);
        if scheme == Scheme::Http && !allows_http && !is_loopback(host) {
            return Err("it says http://, and the client's secret would travel unencrypted: \
                        `oidc_allow_http` says that it may"
                .to_owned());
        }
        if scheme == Scheme::Https && !cfg!(feature = "tls") {
            return Err(
                "this build has no TLS: switch on the cargo feature `tls` of nacos-core".to_owned()
            );
        }
        let port = port.unwrap_or(if scheme == Scheme::Https { 443 } else { 80 });
        let path = if path.is_empty() { "/" } else { path };
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        if target.parse::<http::Uri>().is_err() || !path.starts_with('/') {
            return Err("its path or its query cannot be part of a URL".to_owned());
        }
        Ok(Self { origin: Origin { scheme, host: host.to_owned(), port }, target })
    }

    /// The URL of the discovery document of an issuer.
    pub(super) fn of_issuer(issuer: &str, allows_http: bool) -> Result<Self, String> {
        if issuer.contains('?') {
            return Err("the URL of an issuer has no query".to_owned());
        }
        Self::parse(&format!("{}{DISCOVERY}", plain(issuer)), allows_http)
    }
}

/// The URL of an issuer without the slash at its end, which providers write or leave out.
pub(super) fn plain(issuer: &str) -> &str {
    issuer.trim().trim_end_matches('/')
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.origin.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.origin.short_authority())
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "tls")]
    #[test]
    fn issuer_has_its_document_below_it_and_an_endpoint_may_have_a_query() {
        for (issuer, url) in [
            ("https://idp", "https://idp/.well-known/openid-configuration"),
            ("https://idp:443/", "https://idp/.well-known/openid-configuration"),
            (" https://idp:8443/realms/a/", "https://idp:8443/realms/a/.well-known/openid-conf"),
            ("https://[::1]/a", "https://[::1]/a/.well-known/openid-configuration"),
        ] {
            let endpoint = Endpoint::of_issuer(issuer, false).expect(issuer).to_string();
            assert!(endpoint.starts_with(url), "{endpoint}");
        }
        let endpoint = Endpoint::parse("https://idp/token?p=hunter2", false).expect("valid");
        assert_eq!((&*endpoint.target, endpoint.origin.port), ("/token?p=hunter2", 443));
        assert_eq!(endpoint.to_string(), "https://idp/token");
    }

    #[test]
    fn secret_goes_unencrypted_to_this_host_alone_unless_that_is_allowed() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9:81", "[::1]:81", "LOCALHOST"] {
            assert!(Endpoint::parse(&format!("http://{host}/t"), false).is_ok(), "{host}");
        }
        for host in ["idp", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com"] {
            let error = Endpoint::parse(&format!("http://{host}/t"), false).expect_err(host);
            assert!(error.contains("oidc_allow_http"), "{error}");
            assert!(Endpoint::parse(&format!("http://{host}/t"), true).is_ok(), "{host}");
        }
    }

    #[test]
    fn text_that_is_no_url_of_a_provider_is_refused_and_never_shown() {
        for text in [
            "",
            "hunter2",
            "idp.hunter2.com/token",
            "ftp://hunter2/",
            "https://hunter2@idp/token",
            "https://idp/token#hunter2",
            "https://idp/hun ter2",
            "https://${HUNTER2}/token",
            "https://idp:99999/hunter2",
            "https://",
        ] {
            let error = Endpoint::parse(text, true).expect_err(text);
            assert!(!error.to_lowercase().contains("hunter2"), "{error}");
        }
        assert!(Endpoint::of_issuer("https://idp?realm=a", true).is_err());
    }
}
