//! The options of TLS: which of them go together, and which contradict each other.
use tracing::warn;

use super::{ClientOptions, invalid};
use crate::{
    TlsVersion,
    address::Scheme,
    error::Error,
    given::Given,
    server::Server,
    server_list::{ListSource, ServerList},
    transport::{ClientFiles, Dialer, Tls, TlsSettings},
};

/// The certificates of TLS, if it is spoken. They are read when a client is made, so that an error
/// in them is reported at once.
#[derive(Debug)]
pub(crate) struct Certificates {
    dialer: Dialer,
    /// The option that asks for TLS.
    by: &'static str,
}

impl Certificates {
    /// Blocks for as long as the disk does, or whatever the system keeps its authorities in.
    ///
    /// # Errors
    ///
    /// Names the option whose value cannot be used.
    pub(crate) fn read(&self) -> Result<(), Error> {
        self.dialer.check().map_err(|problem| {
            invalid(if problem.option == "tls" { self.by } else { problem.option }, problem.why)
        })
    }
}

/// The dialer of a client with these options, to these servers, and the certificates that it uses.
pub(super) fn dialer(
    options: &ClientOptions,
    servers: &[Server],
    list: Option<&ServerList>,
) -> Result<(Dialer, Option<Certificates>), Error> {
    let named = |server: &Server| server.scheme() == Some(Scheme::Https);
    let (by, https) = match list.map(|list| &list.source) {
        Some(ListSource::AddressServer(server)) => {
            ("endpoint", server.origin.scheme == Scheme::Https)
        }
        Some(ListSource::Name(name)) => ("server_dns", named(name)),
        None => ("server_addr", servers.iter().any(named)),
    };
    let plain = servers.iter().any(|server| !named(server));
    if https && plain && options.tls.is_none() {
        return Err(invalid(by, "some servers are named with https:// and some without"));
    }
    let used = https || options.tls == Some(true);
    // Elsewhere it changes nothing, and other clients read it only beside a switch that is on.
    if used && options.tls_trust_all == Some(true) {
        return Err(invalid("tls_trust_all", NEVER));
    }
    // A user who sets `tls` to false keeps the rest on purpose: the same file serves with TLS on.
    if !used
        && options.tls.is_none()
        && let Some(detail) = detail(options)
    {
        return Err(invalid(detail, UNUSED));
    }
    let dialer = Dialer::new(options.tls, Tls::new(settings(options, list)?));
    let by = if options.tls == Some(true) { "tls" } else { by };
    let certificates = used.then(|| Certificates { dialer: dialer.clone(), by });
    if options.tls == Some(true) && logs_in(options) {
        for server in servers.iter().filter(|server| !dialer.secures_http(server)) {
            warn!(%server, "the password travels unencrypted: the address says http://");
        }
    }
    Ok((dialer, certificates))
}

fn logs_in(options: &ClientOptions) -> bool {
    options.password.as_ref().is_some_and(|password| !password.is_empty())
        || options.password_file.as_ref().is_some_and(|path| !path.is_empty())
}

fn settings(options: &ClientOptions, list: Option<&ServerList>) -> Result<TlsSettings, Error> {
    let client = match (&options.tls_cert_file, &options.tls_key_file) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(ClientFiles { cert: cert.into(), key: key.into() }),
        (Some(_), None) => {
            return Err(invalid("tls_key_file", "there is a certificate without one"));
        }
        (None, Some(_)) => {
            return Err(invalid("tls_cert_file", "there is a key without one"));
        }
    };
    // The addresses of a name show the certificate of that name.
    let name = match list.map(|list| &list.source) {
        Some(ListSource::Name(name)) => Some(name.host().to_owned()),
        _ => None,
    };
    Ok(TlsSettings {
        ca_file: options.tls_ca_file.as_ref().map(Into::into),
        client,
        server_name: options.tls_server_name.clone().or(name),
        min_version: options.tls_min_version.unwrap_or_default(),
    })
}

/// The first option that says how, given that TLS is spoken.
fn detail(options: &ClientOptions) -> Option<&'static str> {
    let given = [
        ("tls_ca_file", options.tls_ca_file.is_some()),
        ("tls_cert_file", options.tls_cert_file.is_some()),
        ("tls_key_file", options.tls_key_file.is_some()),
        ("tls_server_name", options.tls_server_name.is_some()),
        ("tls_min_version", options.tls_min_version.is_some()),
    ];
    given.into_iter().find_map(|(name, given)| given.then_some(name))
}

const NEVER: &str = "certificates are always checked: name the authority that signed the servers' \
                     as `tls_ca_file`, and the name that they show, if it is not the host, as \
                     `tls_server_name`";
const UNUSED: &str = "no server is spoken to over TLS: set `tls`, or begin the server's address \
                      with https://";

impl Given {
    /// A version of TLS; files take an unquoted one for a number.
    pub(super) fn tls_version(self) -> Result<TlsVersion, String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Fraction(number) => number.to_string(),
            Self::Flag(_) | Self::Number(_) => String::new(),
        };
        match text.trim() {
            "1.2" => Ok(TlsVersion::V1_2),
            "1.3" => Ok(TlsVersion::V1_3),
            _ => Err("it is neither `1.2` nor `1.3`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::{super::check, *};

    /// The error of these options, with its cause.
    fn refused(fields: &[(&str, &str)]) -> String {
        let mut options = ClientOptions::default();
        for (name, value) in [("server_addr", "localhost")].iter().chain(fields) {
            options.set(name, Given::Text((*value).to_owned())).expect("readable");
        }
        let error = check(options, None).expect_err("contradicting");
        assert_eq!(error.kind(), crate::ErrorKind::InvalidOption);
        format!("{error}: {}", error.source().expect("has a cause"))
    }

    #[test]
    fn certificates_cannot_be_left_unchecked() {
        let error = refused(&[("tls", "true"), ("nacos_remote_client_rpc_tls_trustAll", "true")]);
        assert!(error.contains("always checked") && error.contains("tls_ca_file"), "{error}");
        let error = refused(&[("server_addr", "https://a"), ("tls_trust_all", "true")]);
        assert!(error.contains("always checked"), "{error}");
    }

    #[test]
    fn trusting_everybody_where_no_tls_is_spoken_is_no_error() {
        let trusting = ("nacos_remote_client_rpc_tls_trustAll", "true");
        for fields in [&[trusting][..], &[trusting, ("tls", "false")]] {
            let mut options = ClientOptions::default();
            for (name, value) in [("server_addr", "localhost")].iter().chain(fields) {
                options.set(name, Given::Text((*value).to_owned())).expect("readable");
            }
            assert!(check(options, None).is_ok(), "{fields:?}");
        }
    }

    #[test]
    fn servers_of_which_only_some_are_named_with_https_are_refused() {
        for addresses in ["https://a,b", "http://a,https://b"] {
            let error = refused(&[("server_addr", addresses)]);
            assert!(error.contains("some servers"), "{error}");
        }
    }

    #[test]
    fn details_of_tls_that_nobody_speaks_are_refused() {
        let error = refused(&[("tls_ca_file", "/ca.pem")]);
        assert!(error.contains("tls_ca_file") && error.contains("set `tls`"), "{error}");
        let mut options = ClientOptions::default();
        for (name, value) in [("server_addr", "a"), ("tls", "false"), ("tls_ca_file", "/ca.pem")] {
            options.set(name, Given::Text(value.to_owned())).expect("readable");
        }
        assert!(check(options, None).is_ok(), "switched off in so many words");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn certificate_and_key_come_together() {
        let error = refused(&[("tls", "true"), ("tls_cert_file", "/c.pem")]);
        assert!(error.contains("`tls_key_file`"), "{error}");
        let error = refused(&[("tls", "true"), ("tls_key_file", "/k.pem")]);
        assert!(error.contains("`tls_cert_file`"), "{error}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn name_that_no_certificate_has_is_refused() {
        let error = refused(&[("tls", "true"), ("tls_server_name", "a b")]);
        assert!(error.contains("`tls_server_name`") && error.contains("a b"), "{error}");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn build_without_tls_refuses_what_asks_for_it_and_names_the_feature() {
        for (option, fields) in [
            ("`tls`", [("tls", "true")]),
            ("`server_addr`", [("server_addr", "https://localhost")]),
        ] {
            let error = refused(&fields);
            assert!(error.contains(option) && error.contains("cargo feature `tls`"), "{error}");
        }
    }

    #[test]
    fn versions_of_tls_may_look_like_numbers() {
        let text = |text: &str| Given::Text(text.to_owned());
        assert_eq!(text("1.2").tls_version(), Ok(TlsVersion::V1_2));
        assert_eq!(Given::Fraction(1.3).tls_version(), Ok(TlsVersion::V1_3));
        for wrong in ["", "1.1", "1", "TLS"] {
            assert!(text(wrong).tls_version().is_err(), "{wrong}");
        }
    }
}
