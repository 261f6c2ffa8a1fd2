//! Options above options: the upper ones win, also over what is meant in their place.
use super::{ClientOptions, Row};
use crate::server_list::AddressServer;

impl ClientOptions {
    /// These, and where they say nothing what `below` says.
    ///
    /// Of options that exclude each other, such as `server_addr` and `endpoint`, or a password and
    /// a token, these win over the others below: a program that names a server in code is not sent
    /// elsewhere by the environment. So do a `namespace` here over the special ones below, an
    /// access key here over the token of another one below, and an `endpoint` here, if it names a
    /// port or a path, over what is said about those below.
    ///
    /// ```
    /// use nacos_core::ClientOptions;
    ///
    /// let file = r#"{ "endpoint": "jmenv", "username": "orders" }"#;
    /// let file: ClientOptions = serde_json::from_str(file)?;
    /// let mut code = ClientOptions::default();
    /// code.server_addr = Some("localhost".to_owned());
    /// let options = code.or(file);
    /// assert_eq!((options.endpoint, options.username.as_deref()), (None, Some("orders")));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn or(self, mut below: Self) -> Self {
        for alternatives in ALTERNATIVES {
            let chosen = |names: &&[&str]| names.iter().any(|name| self.says(name));
            for others in alternatives.iter().filter(|names| !chosen(names)) {
                if alternatives.iter().any(chosen) {
                    others.iter().for_each(|name| below.forget(all_of(name)));
                }
            }
        }
        for (above, instead) in REPLACED {
            if self.says(above) {
                below.forget(instead);
            }
        }
        let (port, path) = self.endpoint.as_deref().map(AddressServer::names).unwrap_or_default();
        if port {
            below.forget(PORT);
        }
        if path {
            below.forget(PATH);
        }
        self.filled_from(below)
    }

    pub(super) fn says(&self, name: &str) -> bool {
        Row::find(name).is_some_and(|row| (row.is_given)(self))
    }

    fn forget(&mut self, names: &[&str]) {
        for row in names.iter().filter_map(|name| Row::find(name)) {
            (row.clear)(self);
        }
    }
}

/// The option, and what says more about it and means nothing without it.
fn all_of<'a>(name: &'a &'static str) -> &'a [&'static str] {
    if *name == "endpoint" { ENDPOINT } else { std::slice::from_ref(name) }
}

/// Only one of each line can be meant.
const ALTERNATIVES: &[&[&[&str]]] = &[
    &[&["server_addr"], &["endpoint"], &["server_dns"]],
    &[USER, &["access_token", "access_token_file"], OIDC, IDENTITY, ACCESS_KEY],
    &[&["password"], &["password_file"]],
    &[&["access_token"], &["access_token_file"]],
    &[&["oidc_client_secret"], &["oidc_client_secret_file"]],
    &[&["access_key"], &["access_key_file"]],
    &[&["secret_key"], &["secret_key_file"]],
    &[&["security_token"], &["security_token_file"]],
];

/// Options, with what is about another value of them where it stands below: a namespace for a part
/// of what is asked for, or the token of another key.
const REPLACED: &[(&str, &[&str])] = &[
    ("namespace", &["config_namespace", "naming_namespace"]),
    ("oidc_issuer", &["oidc_token_endpoint"]),
    ("access_key", TOKEN),
    ("access_key_file", TOKEN),
];

const ENDPOINT: &[&str] = &[
    "endpoint",
    "endpoint_port",
    "endpoint_context_path",
    "endpoint_cluster_name",
    "endpoint_query",
];
const PATH: &[&str] = &["endpoint_context_path", "endpoint_cluster_name"];
const PORT: &[&str] = &["endpoint_port"];
const TOKEN: &[&str] = &["security_token", "security_token_file"];
const USER: &[&str] = &["username", "password", "password_file"];
const OIDC: &[&str] = &[
    "oidc_issuer",
    "oidc_token_endpoint",
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_client_secret_file",
    "oidc_scope",
    "oidc_audience",
    "oidc_resource",
    "oidc_auth_method",
    "oidc_ca_file",
    "oidc_allow_http",
];
const IDENTITY: &[&str] = &["identity_key", "identity_value"];
const ACCESS_KEY: &[&str] = &[
    "access_key",
    "access_key_file",
    "secret_key",
    "secret_key_file",
    "security_token",
    "security_token_file",
    "signature_region",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::Given;

    fn options(fields: &[(&str, &str)]) -> ClientOptions {
        let mut options = ClientOptions::default();
        for (name, value) in fields {
            options.set(name, Given::Text((*value).to_owned())).expect("readable");
        }
        options
    }

    #[test]
    fn upper_layer_wins_over_what_is_meant_in_its_place() {
        let below = options(&[
            ("endpoint", "jmenv"),
            ("endpoint_query", "a=b"),
            ("username", "nacos"),
            ("password_file", "/password"),
            ("app", "below"),
        ]);
        let merged = options(&[("server_addr", "a"), ("access_token", "t")]).or(below.clone());
        let expected = options(&[("server_addr", "a"), ("access_token", "t"), ("app", "below")]);
        assert_eq!(merged, expected);

        let merged = options(&[("password", "p")]).or(below.clone());
        assert_eq!(merged.username, below.username, "a user below, and a password above");
        assert_eq!((merged.password.is_some(), merged.password_file), (true, None));
        assert_eq!(merged.endpoint, below.endpoint);
    }

    #[test]
    fn what_says_more_about_the_endpoint_does_not_choose_it() {
        let details = options(&[("endpoint_query", "a=b"), ("endpoint_port", "81")]);
        let merged = details.clone().or(options(&[("endpoint", "jmenv")]));
        assert_eq!((merged.endpoint.as_deref(), merged.endpoint_port), (Some("jmenv"), Some(81)));
        let merged = details.or(options(&[("server_addr", "a")]));
        assert_eq!(merged.server_addr.as_deref(), Some("a"));
    }

    #[test]
    fn layer_that_contradicts_itself_still_does() {
        let upper = options(&[("server_addr", "a"), ("endpoint", "jmenv")]);
        assert_eq!(upper.clone().or(options(&[("server_dns", "b")])), upper);
    }

    #[test]
    fn upper_namespace_wins_over_special_ones_below() {
        let below = options(&[("config_namespace", "prod"), ("naming_namespace", "prod")]);
        let upper = options(&[("namespace", "staging")]);
        assert_eq!(upper.clone().or(below.clone()), upper);
        let upper = options(&[("namespace", "staging"), ("naming_namespace", "services")]);
        assert_eq!(upper.clone().or(below.clone()), upper);

        let upper = options(&[("naming_namespace", "services")]);
        let merged = upper.or(below);
        let expected = [("config_namespace", "prod"), ("naming_namespace", "services")];
        assert_eq!(merged, options(&expected), "a special one is about its own part only");
        let below = options(&[("namespace", "common")]);
        let merged = options(&[("config_namespace", "documents")]).or(below);
        let expected = [("namespace", "common"), ("config_namespace", "documents")];
        assert_eq!(merged, options(&expected));
    }

    #[test]
    fn access_key_above_takes_no_token_of_another_key() {
        let below = options(&[("access_key", "old"), ("secret_key", "s"), ("security_token", "t")]);
        for key in ["access_key", "access_key_file"] {
            let merged = options(&[(key, "new")]).or(below.clone());
            assert!(merged.security_token.is_none() && merged.secret_key.is_some());
        }
        let upper = options(&[("security_token", "new")]);
        assert_eq!(upper.clone().or(below).security_token, upper.security_token);
    }

    #[test]
    fn endpoint_above_says_itself_what_is_said_below_too() {
        let below = options(&[
            ("endpoint", "jmenv"),
            ("endpoint_port", "81"),
            ("endpoint_context_path", "env"),
            ("endpoint_cluster_name", "blue"),
            ("endpoint_query", "a=b"),
        ]);
        let merged = |endpoint| {
            let merged = options(&[("endpoint", endpoint)]).or(below.clone());
            assert_eq!(merged.endpoint_query, below.endpoint_query);
            let path = merged.endpoint_context_path.or(merged.endpoint_cluster_name);
            (merged.endpoint_port.is_some(), path.is_some())
        };
        assert_eq!(merged("other"), (true, true));
        assert_eq!(merged("other:82"), (false, true));
        assert_eq!(merged("http://other/list"), (true, false));
        assert_eq!(merged("http://[::1]:82/list?c=d"), (false, false));
        assert_eq!(merged("no endpoint"), (true, true));
    }

    #[test]
    fn every_alternative_is_an_option() {
        let alternatives = ALTERNATIVES.iter().copied().flatten().copied().flatten();
        let alternatives = alternatives.chain(ENDPOINT);
        let replaced = REPLACED.iter().flat_map(|(above, instead)| instead.iter().chain([above]));
        for name in alternatives.chain(replaced).chain(PATH).chain(PORT) {
            assert!(Row::find(name).is_some_and(|row| row.name == *name), "{name}");
        }
    }
}
