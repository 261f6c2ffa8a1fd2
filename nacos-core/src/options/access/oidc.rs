//! The options of an OIDC client.
use super::{super::invalid, ClientOptions, given, source};
use crate::{
    credentials::{OidcAuthMethod, OidcClient, OidcProvider},
    error::Error,
    given::Given,
};

/// The client that the options name; none if they name none.
pub(super) fn check(options: &ClientOptions) -> Result<Option<OidcClient>, Error> {
    let secret = source(
        options.oidc_client_secret.as_ref(),
        options.oidc_client_secret_file.as_ref(),
        "oidc_client_secret",
    )?;
    let Some((one, _)) = named(options).into_iter().find(|(_, is_given)| *is_given) else {
        return Ok(None);
    };
    let missing = |option| Err(invalid(option, format!("there is an `{one}` without one")));
    let (provider, url) =
        match (given(options.oidc_token_endpoint.as_ref()), given(options.oidc_issuer.as_ref())) {
            (Some(url), _) => (OidcProvider::TokenEndpoint(url), "oidc_token_endpoint"),
            (None, Some(url)) => (OidcProvider::Issuer(url), "oidc_issuer"),
            (None, None) => return missing("oidc_issuer"),
        };
    let Some(client_id) = given(options.oidc_client_id.as_ref()) else {
        return missing("oidc_client_id");
    };
    let Some(secret) = secret else { return missing("oidc_client_secret") };
    let mut client = OidcClient::from_source(provider, client_id, secret);
    if let Some(scope) = given(options.oidc_scope.as_ref()) {
        client = client.scope(scope);
    }
    if let Some(audience) = given(options.oidc_audience.as_ref()) {
        client = client.audience(audience);
    }
    if let Some(resource) = given(options.oidc_resource.as_ref()) {
        client = client.resource(resource);
    }
    if let Some(method) = options.oidc_auth_method {
        client = client.auth_method(method);
    }
    if let Some(path) = given(options.oidc_ca_file.as_ref()) {
        client = client.ca_file(path);
    }
    if options.oidc_allow_http == Some(true) {
        client = client.allow_http();
    }
    client.check().map_err(|why| invalid(url, why))?;
    Ok(Some(client))
}

/// The options that are about such a client, and whether each says something.
pub(super) fn named(options: &ClientOptions) -> [(&'static str, bool); 11] {
    let text = |option: &Option<String>| given(option.as_ref()).is_some();
    let secret = options.oidc_client_secret.as_ref();
    [
        ("oidc_issuer", text(&options.oidc_issuer)),
        ("oidc_token_endpoint", text(&options.oidc_token_endpoint)),
        ("oidc_client_id", text(&options.oidc_client_id)),
        ("oidc_client_secret", secret.is_some_and(|secret| !secret.is_empty())),
        ("oidc_client_secret_file", text(&options.oidc_client_secret_file)),
        ("oidc_scope", text(&options.oidc_scope)),
        ("oidc_audience", text(&options.oidc_audience)),
        ("oidc_resource", text(&options.oidc_resource)),
        ("oidc_auth_method", options.oidc_auth_method.is_some()),
        ("oidc_ca_file", text(&options.oidc_ca_file)),
        ("oidc_allow_http", options.oidc_allow_http == Some(true)),
    ]
}

impl Given {
    pub(in crate::options) fn oidc_auth_method(self) -> Result<OidcAuthMethod, String> {
        let method = self.text().ok().and_then(|name| OidcAuthMethod::parse(name.trim()));
        method.ok_or_else(|| {
            "it is neither `client_secret_post` nor `client_secret_basic`".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: [(&str, &str); 3] = [
        ("oidc_issuer", "http://localhost/realms/a"),
        ("oidc_client_id", "orders"),
        ("oidc_client_secret", "hunter2"),
    ];

    fn checked(fields: &[(&str, &str)]) -> Result<bool, String> {
        let mut options = ClientOptions::default();
        for (name, value) in fields {
            options.set(name, Given::Text((*value).to_owned()))?;
        }
        let client = super::super::check(&options).map_err(|error| format!("{error:?}"))?;
        Ok(client.is_some_and(|client| format!("{client:?}").contains("OidcClient")))
    }

    #[test]
    fn client_has_a_provider_an_id_and_a_secret() {
        assert_eq!(checked(&[]), Ok(false));
        assert_eq!(checked(&CLIENT), Ok(true));
        let java = [
            ("nacos.client.auth.oidc.token-endpoint", "http://[::1]:81/token"),
            ("nacos.client.auth.oidc.client-id", "orders"),
            ("nacos.client.auth.oidc.client-secret", "hunter2"),
            ("nacos.client.auth.oidc.scope", " "),
        ];
        assert_eq!(checked(&java), Ok(true));
        for (missing, _) in CLIENT {
            let rest: Vec<_> = CLIENT.into_iter().filter(|(name, _)| *name != missing).collect();
            let error = checked(&rest).expect_err(missing);
            assert!(error.contains(&format!("the option `{missing}`")), "{error}");
        }
        for alone in ["oidc_scope", "oidc_audience", "oidc_resource", "oidc_ca_file"] {
            let error = checked(&[(alone, "a")]).expect_err(alone);
            assert!(error.contains("`oidc_issuer`") && error.contains(alone), "{error}");
        }
    }

    #[test]
    fn contradictions_and_urls_of_no_use_are_named_and_no_secret_is_shown() {
        for (option, value, named) in [
            ("username", "nacos", "username"),
            ("access_token", "hunter2", "access_token"),
            ("oidc_client_secret_file", "/s", "oidc_client_secret"),
            ("oidc_issuer", "http://idp/hunter2", "oidc_allow_http"),
            ("oidc_issuer", "idp", "oidc_issuer"),
            ("oidc_token_endpoint", "http://a b", "oidc_token_endpoint"),
            ("oidc_auth_method", "private_key_jwt", "client_secret_basic"),
        ] {
            let mut fields: Vec<_> =
                CLIENT.into_iter().filter(|(name, _)| *name != option).collect();
            fields.push((option, value));
            if option == "username" {
                fields.push(("password", "hunter2"));
            }
            let error = checked(&fields).expect_err(option);
            assert!(error.contains(named) && !error.contains("hunter2"), "{error}");
        }
        let allowed =
            [CLIENT[1], CLIENT[2], ("oidc_issuer", "http://idp"), ("oidc_allow_http", "true")];
        assert_eq!(checked(&allowed), Ok(true));
    }
}
