//! The environment, read once, when a builder or a server is made from it.
use std::{env::VarError, path::Path};

use tracing::warn;

use crate::{
    error::Error,
    given::Given,
    options::{ClientOptions, OPTIONS, Row, misspelt_variable, unreadable_variable},
};

/// The options of the environment. A variable that looks like a misspelt one of ours is warned
/// about, and no error: it may be meant for another program.
pub(crate) fn read() -> Result<ClientOptions, Error> {
    for (name, value) in std::env::vars_os() {
        let (Some(name), value) = (name.to_str(), value.to_str().unwrap_or_default()) else {
            continue;
        };
        // A user who has set the right one knows it; the other is another program's, or left over.
        if let Some(meant) = misspelt_variable(name, value)
            && std::env::var_os(&meant).is_none_or(|value| value.is_empty())
        {
            warn!(variable = name, "this variable is not read: is {meant} meant?");
        }
    }
    read_with(|name| std::env::var(name))
}

/// Two layers: our own names of options are above those of other clients, which the platform may
/// have set for all of its processes.
fn read_with(variable: impl Fn(&str) -> Result<String, VarError>) -> Result<ClientOptions, Error> {
    let (mut own, mut theirs) = (ClientOptions::default(), ClientOptions::default());
    let set = |row: &'static Row, name: &str, options: &mut ClientOptions| {
        let value = match variable(name) {
            Ok(value) if value.is_empty() => return Ok(false),
            Ok(value) => value,
            Err(VarError::NotPresent) => return Ok(false),
            Err(VarError::NotUnicode(_)) => {
                return Err(unreadable_variable(name, "it is not UTF-8"));
            }
        };
        let given = Given::Text(value);
        if row.is_set_for_a_service(name, &given) {
            options.origin.note_not_read(name);
            warn!(variable = name, "not read: Kubernetes and Docker set this for a service");
            return Ok(false);
        }
        row.read(options, name, given).map_err(|why| unreadable_variable(name, &why))?;
        options.origin.note(row.name, name);
        Ok(true)
    };
    for row in OPTIONS {
        if set(row, &row.variable(), &mut own)? {
            continue;
        }
        for also in row.also {
            if set(row, also.name, &mut theirs)? {
                break;
            }
        }
    }
    let mut options = own.or(theirs);
    if options.snapshot_dir.is_none() {
        options.snapshot_dir = snapshot_dir(variable);
    }
    Ok(options)
}

/// Where this user keeps the state of programs, unless the environment says that nothing is to be
/// kept.
fn snapshot_dir(variable: impl Fn(&str) -> Result<String, VarError>) -> Option<String> {
    if variable("NACOS_SNAPSHOT_DIR").is_ok() {
        // It is empty.
        return None;
    }
    // One that is not absolute means nothing, by the specification of these directories.
    let absolute = |name| variable(name).ok().filter(|path| Path::new(path).is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| format!("{home}/.local/state")))?;
    Some(format!("{state}/nacos"))
}

/// The ip under which others reach this process.
pub(crate) fn register_ip() -> Option<String> {
    trimmed(&std::env::var("NACOS_REGISTER_IP").ok()?)
}

/// Without the blanks around it; a blank value is none.
fn trimmed(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The options of an environment of exactly these `variables`.
#[cfg(test)]
pub(crate) fn of(variables: &[(&str, &str)]) -> Result<ClientOptions, Error> {
    read_with(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{of as options, *};

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
    fn documents_are_kept_where_a_user_keeps_state_unless_that_is_switched_off() {
        let (home, xdg) = (("HOME", "/home/orders"), ("XDG_STATE_HOME", "/var/state"));
        let directory = |variables: &[_]| options(variables).expect("readable").snapshot_dir;
        assert_eq!(directory(&[]), None);
        assert_eq!(directory(&[home]).as_deref(), Some("/home/orders/.local/state/nacos"));
        assert_eq!(directory(&[home, xdg]).as_deref(), Some("/var/state/nacos"));
        let relative = ("XDG_STATE_HOME", "state");
        assert_eq!(directory(&[relative]), None);
        assert_eq!(directory(&[home, ("NACOS_SNAPSHOT_DIR", "")]), None);
        assert_eq!(directory(&[home, ("NACOS_SNAPSHOT_DIR", "/x")]).as_deref(), Some("/x"));
    }

    #[test]
    fn blank_ip_is_none() {
        assert_eq!(trimmed(" 10.0.0.7\n").as_deref(), Some("10.0.0.7"));
        assert_eq!(trimmed(" "), None);
    }

    #[test]
    fn names_of_other_clients_are_read_where_ours_is_not_set() {
        let theirs = ("ALIBABA_ALIWARE_NAMESPACE", "theirs");
        let namespace = |variables: &[_]| options(variables).expect("readable").namespace;
        assert_eq!(namespace(&[theirs]).as_deref(), Some("theirs"));
        assert_eq!(namespace(&[theirs, ("NACOS_NAMESPACE", "ours")]).as_deref(), Some("ours"));
    }

    #[test]
    fn our_names_win_over_what_a_platform_means_in_their_place() {
        let platform = [
            ("ALIBABA_ALIWARE_ENDPOINT_URL", "jmenv"),
            ("ALIBABA_ALIWARE_ENDPOINT_PORT", "81"),
            ("ALIBABA_ALIWARE_NAMESPACE", "theirs"),
        ];
        let beside = |own| options(&[&platform[..], &[own]].concat()).expect("readable");
        let given = beside(("NACOS_SERVER_ADDR", "a"));
        assert_eq!((given.server_addr.as_deref(), given.endpoint), (Some("a"), None));
        assert_eq!(given.namespace.as_deref(), Some("theirs"));
        let given = beside(("NACOS_ENDPOINT_PORT", "82"));
        assert_eq!((given.endpoint.as_deref(), given.endpoint_port), (Some("jmenv"), Some(82)));
        let given = beside(("NACOS_NAMESPACE", "ours"));
        assert_eq!(given.namespace.as_deref(), Some("ours"));
    }

    #[test]
    fn name_of_another_client_that_is_not_needed_is_not_read() {
        let theirs = ("nacos.server.grpc.port.offset", "no number");
        assert!(options(&[theirs]).is_err());
        assert!(options(&[theirs, ("NACOS_GRPC_PORT_OFFSET", "1001")]).is_ok());
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_called_like_an_option_is_no_option() {
        let addr = ("NACOS_SERVER_ADDR", "a:1");
        for (name, value) in [
            ("NACOS_ENDPOINT_PORT", "tcp://10.0.0.1:8080"),
            ("ALIBABA_ALIWARE_ENDPOINT_PORT", "tcp://10.0.0.1:8080"),
            // Of services `nacos`, `nacos-server`, `nacos-server-addr`: read by no client.
            ("NACOS_PORT", "tcp://10.0.0.1:8848"),
            ("NACOS_PORT_8848_TCP", "tcp://10.0.0.1:8848"),
            ("NACOS_PORT_8848_TCP_ADDR", "10.0.0.1"),
            ("NACOS_SERVICE_HOST", "10.0.0.1"),
            ("NACOS_SERVER_PORT", "tcp://10.0.0.1:8848"),
            ("NACOS_SERVER_ADDR_PORT", "tcp://10.0.0.1:8848"),
        ] {
            let given = options(&[addr, (name, value)]).unwrap_or_else(|error| panic!("{error:?}"));
            assert_eq!((given.server_addr.as_deref(), given.endpoint_port), (Some("a:1"), None));
        }
        // A real option beside it is read.
        let link = ("NACOS_ENDPOINT_PORT", "tcp://10.0.0.1:8080");
        let given = options(&[link, ("endpointPort", "81")]).expect("readable");
        assert_eq!(given.endpoint_port, Some(81));
        assert!(options(&[("NACOS_ENDPOINT_PORT", "http")]).is_err(), "what is none of them");
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
