//! The environment, read once, when a builder is made from it.
use std::env::VarError;

use crate::{
    error::{Error, ErrorKind},
    options::{ClientOptions, Given, OPTIONS},
};

/// What the environment says.
pub(crate) fn read() -> Result<ClientOptions, Error> {
    read_with(|name| std::env::var(name))
}

/// Our own name of an option comes before those of other clients.
fn read_with(variable: impl Fn(&str) -> Result<String, VarError>) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::default();
    for row in OPTIONS {
        let own = row.variable();
        for name in std::iter::once(own.as_str()).chain(row.also.iter().copied()) {
            let value = match variable(name) {
                Ok(value) if value.is_empty() => continue,
                Ok(value) => value,
                Err(VarError::NotPresent) => continue,
                Err(VarError::NotUnicode(_)) => return Err(unreadable(name, "it is not UTF-8")),
            };
            (row.set)(&mut options, Given::Text(value)).map_err(|why| unreadable(name, &why))?;
            break;
        }
    }
    Ok(options)
}

/// Names the variable only: its value may be a secret in the wrong place.
fn unreadable(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, format!("read the variable {name}"))
        .because(why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<ClientOptions, Error> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        read_with(|name| {
            variables.get(name).map(|value| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn variables_set_the_options_of_the_same_name() {
        let options = options(&[
            ("NACOS_SERVER_ADDR", "a:1"),
            ("NACOS_CONNECT_TIMEOUT", "2s"),
            ("NACOS_APP", ""),
        ]);
        let options = options.expect("readable");
        assert_eq!(options.server_addr.as_deref(), Some("a:1"));
        assert_eq!(options.connect_timeout, Some(Duration::from_secs(2)));
        assert_eq!(options.app, None);
    }

    #[test]
    fn names_of_other_clients_are_read_where_ours_is_not_set() {
        let theirs = ("ALIBABA_ALIWARE_NAMESPACE", "theirs");
        let namespace = |variables: &[_]| options(variables).expect("readable").namespace;
        assert_eq!(namespace(&[theirs]).as_deref(), Some("theirs"));
        assert_eq!(namespace(&[theirs, ("NACOS_NAMESPACE", "ours")]).as_deref(), Some("ours"));
    }

    /// Clients of object stores are configured by these.
    #[test]
    fn keys_of_somebody_else_are_not_read() {
        let options = options(&[("accessKey", "hunter1"), ("secretKey", "hunter2")]);
        assert_eq!(options.expect("readable"), ClientOptions::default());
    }

    #[test]
    fn unreadable_variable_is_named_without_its_value() {
        for name in ["NACOS_GRPC_PORT_OFFSET", "NACOS_REQUEST_TIMEOUT", "NACOS_RECEIVE_LIMIT"] {
            let error = options(&[(name, "hunter2")]).expect_err("no number");
            assert!(error.to_string().contains(name), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
