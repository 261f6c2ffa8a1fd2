//! The options that name credentials: one kind only, and complete.
mod oidc;

use std::sync::Arc;

use super::{ClientOptions, invalid};
use crate::{
    credentials::{Credentials, IdentityHeader, SecretSource, StaticToken, UserPassword},
    error::Error,
    secret::Secret,
};

/// The credentials that the options name; none if they name none.
pub(super) fn check(options: &ClientOptions) -> Result<Option<Arc<dyn Credentials>>, Error> {
    let password = source(options.password.as_ref(), options.password_file.as_ref(), "password")?;
    let token =
        source(options.access_token.as_ref(), options.access_token_file.as_ref(), "access_token")?;
    one_kind(options)?;
    if let Some(username) = given(options.username.as_ref()) {
        let Some(password) = password else {
            return Err(invalid("password", "there is a user without one"));
        };
        return Ok(Some(Arc::new(UserPassword::from_source(username, password))));
    }
    if password.is_some() {
        return Err(invalid("username", "there is a password without one"));
    }
    if let Some(token) = token {
        return Ok(Some(Arc::new(StaticToken::from_source(token))));
    }
    if let Some(client) = oidc::check(options)? {
        return Ok(Some(Arc::new(client)));
    }
    let value = options.identity_value.as_ref().filter(|value| !value.is_empty());
    match (given(options.identity_key.as_ref()), value) {
        (Some(key), Some(value)) => Ok(Some(Arc::new(IdentityHeader::new(key, value.clone())))),
        (Some(_), None) => Err(invalid("identity_value", "there is an `identity_key` without one")),
        (None, Some(_)) => Err(invalid("identity_key", "there is an `identity_value` without one")),
        (None, None) => signed(options),
    }
}

/// The path below which to log in, without slashes around it. `behind` is one that stands behind
/// addresses, and the option in which they do.
pub(super) fn context_path(
    options: &ClientOptions,
    behind: Option<(&str, String)>,
) -> Result<Arc<str>, Error> {
    let own = given(options.context_path.as_ref());
    let own = own.as_deref().map(|path| path.trim().trim_matches('/'));
    if let (Some(own), Some((option, behind))) = (own, &behind)
        && own != behind
    {
        let why = format!("it is another path than `/{behind}`, which `{option}` names");
        return Err(invalid("context_path", why));
    }
    let behind = behind.map(|(_, path)| path);
    let path = own.or(behind.as_deref()).unwrap_or(CONTEXT_PATH);
    match format!("/{path}").parse::<http::Uri>() {
        Ok(uri) if uri.path().trim_start_matches('/') == path => Ok(path.into()),
        _ => Err(invalid("context_path", "it cannot be the path of a URL")),
    }
}

/// An Aliyun access key.
#[cfg(feature = "ram")]
fn signed(options: &ClientOptions) -> Result<Option<Arc<dyn Credentials>>, Error> {
    use crate::credentials::AccessKey;

    let access_key =
        source(options.access_key.as_ref(), options.access_key_file.as_ref(), "access_key")?;
    let secret_key =
        source(options.secret_key.as_ref(), options.secret_key_file.as_ref(), "secret_key")?;
    let token = source(
        options.security_token.as_ref(),
        options.security_token_file.as_ref(),
        "security_token",
    )?;
    let region = given(options.signature_region.as_ref());
    let (access_key, secret_key) = match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => (access_key, secret_key),
        (Some(_), None) => {
            return Err(invalid("secret_key", "there is an `access_key` without one"));
        }
        (None, Some(_)) => {
            return Err(invalid("access_key", "there is a `secret_key` without one"));
        }
        (None, None) if token.is_some() => {
            return Err(invalid("access_key", "there is a `security_token` without one"));
        }
        (None, None) if region.is_some() => {
            return Err(invalid("access_key", "there is a `signature_region` without one"));
        }
        (None, None) => return Ok(None),
    };
    let key = AccessKey::from_sources(access_key, secret_key).with_security_token(token);
    Ok(Some(match region {
        Some(region) => Arc::new(key.signature_region(region)),
        None => Arc::new(key),
    }))
}

/// Without the feature, no request can be signed.
#[cfg(not(feature = "ram"))]
fn signed(options: &ClientOptions) -> Result<Option<Arc<dyn Credentials>>, Error> {
    match kinds(options).into_iter().find_map(|(kind, option)| option.filter(|_| kind == RAM)) {
        Some(option) => Err(invalid(option, "it needs the feature `ram` of nacos-core")),
        None => Ok(None),
    }
}

/// Options of two kinds contradict each other.
fn one_kind(options: &ClientOptions) -> Result<(), Error> {
    let mut kinds = kinds(options).into_iter().filter_map(|(_, option)| option);
    match (kinds.next(), kinds.next()) {
        (Some(one), Some(other)) => {
            let why = format!("it contradicts `{one}`: requests carry credentials of one kind");
            Err(invalid(other, why))
        }
        _ => Ok(()),
    }
}

/// Each kind of credentials, with the first of its options that says something.
fn kinds(options: &ClientOptions) -> [(&'static str, Option<&'static str>); 5] {
    let text = |option: &Option<String>| given(option.as_ref()).is_some();
    let secret = |option: &Option<Secret>| option.as_ref().is_some_and(|it| !it.is_empty());
    let first = |options: &[(&'static str, bool)]| {
        options.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name)
    };
    [
        (
            "user",
            first(&[
                ("username", text(&options.username)),
                ("password", secret(&options.password)),
                ("password_file", text(&options.password_file)),
            ]),
        ),
        (
            "token",
            first(&[
                ("access_token", secret(&options.access_token)),
                ("access_token_file", text(&options.access_token_file)),
            ]),
        ),
        ("oidc", first(&oidc::named(options))),
        (
            "identity",
            first(&[
                ("identity_key", text(&options.identity_key)),
                ("identity_value", secret(&options.identity_value)),
            ]),
        ),
        (
            RAM,
            first(&[
                ("access_key", secret(&options.access_key)),
                ("access_key_file", text(&options.access_key_file)),
                ("secret_key", secret(&options.secret_key)),
                ("secret_key_file", text(&options.secret_key_file)),
                ("security_token", secret(&options.security_token)),
                ("security_token_file", text(&options.security_token_file)),
                ("signature_region", text(&options.signature_region)),
            ]),
        ),
    ]
}

/// A secret that is given, or stands in a file; not both. Empty is not given: placeholders of
/// configuration files become that.
fn source(
    secret: Option<&Secret>,
    file: Option<&String>,
    name: &str,
) -> Result<Option<SecretSource>, Error> {
    let secret = secret.filter(|secret| !secret.is_empty());
    match (secret, given(file)) {
        (Some(_), Some(_)) => {
            Err(invalid(name, format!("it contradicts `{name}_file`: one of them is enough")))
        }
        (Some(secret), None) => Ok(Some(SecretSource::Given(secret.clone()))),
        (None, Some(path)) => Ok(Some(SecretSource::File(path.into()))),
        (None, None) => Ok(None),
    }
}

fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

const CONTEXT_PATH: &str = "nacos";
const RAM: &str = "ram";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::Given;

    fn checked(fields: &[(&str, &str)]) -> Result<Option<String>, String> {
        let mut options = ClientOptions::default();
        for (name, value) in fields {
            options.set(name, Given::Text((*value).to_owned())).expect("readable");
        }
        match check(&options) {
            Ok(credentials) => Ok(credentials.map(|credentials| format!("{credentials:?}"))),
            Err(error) => {
                assert_eq!(error.kind(), crate::ErrorKind::InvalidOption);
                Err(format!("{error:?}"))
            }
        }
    }

    fn kind(fields: &[(&str, &str)]) -> Option<String> {
        let shown = checked(fields).expect("valid")?;
        assert!(!shown.contains("hunter2"), "{shown}");
        shown.split(' ').next().map(str::to_owned)
    }

    #[test]
    fn options_of_one_kind_say_who_asks() {
        assert_eq!(kind(&[]), None);
        assert_eq!(kind(&[("username", ""), ("password", "")]), None);
        let user = ("username", "nacos");
        assert_eq!(kind(&[user, ("password", "hunter2")]).as_deref(), Some("UserPassword"));
        assert_eq!(kind(&[user, ("password_file", "/p")]).as_deref(), Some("UserPassword"));
        assert_eq!(kind(&[("accessToken", "hunter2")]).as_deref(), Some("StaticToken"));
        assert_eq!(kind(&[("access_token_file", "/t")]).as_deref(), Some("StaticToken"));
        let identity = [("identity_key", "k"), ("identity_value", "hunter2")];
        assert_eq!(kind(&identity).as_deref(), Some("IdentityHeader"));
    }

    #[cfg(feature = "ram")]
    #[test]
    fn access_keys_are_a_kind_too() {
        let key = ("accessKey", "ak");
        for fields in [
            &[key, ("secretKey", "hunter2")][..],
            &[key, ("secret_key_file", "/s"), ("security_token", "hunter2")],
            &[("access_key_file", "/a"), ("secret_key_file", "/s"), ("signatureRegionId", "r")],
        ] {
            assert_eq!(kind(fields).as_deref(), Some("AccessKey"));
        }
        for (fields, missing) in [
            (&[key][..], "secret_key"),
            (&[("secret_key", "hunter2")], "access_key"),
            (&[("security_token", "hunter2")], "access_key"),
            (&[("signature_region", "r")], "access_key"),
        ] {
            let error = checked(fields).expect_err(missing);
            assert!(error.contains(&format!("the option `{missing}`")), "{error}");
        }
    }

    #[cfg(not(feature = "ram"))]
    #[test]
    fn access_keys_need_their_feature() {
        for option in ["access_key", "secret_key_file", "signature_region"] {
            let error = checked(&[(option, "a")]).expect_err(option);
            assert!(error.contains(option) && error.contains("feature `ram`"), "{error}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (given, missing) in [
            ("username", "password"),
            ("password", "username"),
            ("password_file", "username"),
            ("identity_key", "identity_value"),
            ("identity_value", "identity_key"),
        ] {
            let error = checked(&[(given, "hunter2")]).expect_err(given);
            assert!(error.contains(&format!("the option `{missing}`")), "{error}");
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_both_named() {
        for [one, other] in [
            ["username", "access_token"],
            ["access_token", "identity_key"],
            ["identity_value", "access_key"],
            ["username", "secret_key"],
            ["password", "password_file"],
            ["access_token", "access_token_file"],
        ] {
            let error = checked(&[(one, "hunter2"), (other, "hunter2")]).expect_err(one);
            assert!(error.contains(one) && error.contains(other), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn context_path_may_have_slashes_around_it_and_nothing_that_is_no_path() {
        let path = |text: &str| {
            let mut options = ClientOptions::default();
            options.set("contextPath", Given::Text(text.to_owned())).expect("readable");
            context_path(&options, None).map(|path| path.to_string())
        };
        let default = context_path(&ClientOptions::default(), None);
        assert_eq!(default.expect("valid").as_ref(), "nacos");
        for (given, read) in [("nacos", "nacos"), ("/a/b/", "a/b"), ("/", ""), (" env ", "env")] {
            assert_eq!(path(given).expect("valid"), read);
        }
        for given in ["a b", "a?b", "a#b", "a\nb"] {
            assert!(path(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn roles_of_machines_are_refused_with_the_way_out() {
        let mut options = ClientOptions::default();
        let error = options.set("ramRoleName", Given::Text("r".to_owned())).expect_err("refused");
        assert!(error.contains("ramRoleName") && error.contains("Credentials"), "{error}");
    }
}
