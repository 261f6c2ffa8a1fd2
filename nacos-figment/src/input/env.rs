//! The environment, read once, when a configuration is started. A layer of its own rather than
//! figment's, which would turn `012345` into a number before the target type was asked.
use std::{ffi::OsString, sync::Arc};

use super::services::Services;
use crate::{
    format::{Content, Node, parse_json},
    pipeline::{Keys, Layer, nest},
    report::Issue,
};

/// The variables of this process whose name begins with `prefix` and two underscores.
pub(crate) fn read(prefix: &str) -> Vec<(OsString, OsString)> {
    let ours = |name: &OsString| name.to_str().is_some_and(|name| rest(name, prefix).is_some());
    std::env::vars_os().filter(|(name, _)| ours(name)).collect()
}

/// `PREFIX__DB__MAX_CONNECTIONS` as `max_connections` inside `db`; other variables are ignored.
///
/// Values are text, except that what begins with `[` or `{` and is JSON is read as such.
pub(crate) fn layer(
    prefix: &str,
    variables: Vec<(OsString, OsString)>,
) -> Result<Arc<Layer>, Box<Issue>> {
    let ours = |(name, value): &(OsString, OsString)| {
        Some((rest(name.to_str()?, prefix)?.to_owned(), value.to_str()?.to_owned()))
    };
    let services = Services::new(variables.iter().filter_map(ours));
    let (mut entries, mut skipped) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(path) = name.to_str().and_then(|name| rest(name, prefix)) else { continue };
        let Some(value) = value.to_str() else {
            let name = name.to_string_lossy();
            return Err(Box::new(Issue::new(format!("variable {name} is not UTF-8"))));
        };
        if services.say(path, value) {
            skipped.push(name.to_string_lossy().into_owned());
            continue;
        }
        if path.split("__").any(|key| key.is_empty() || key.contains(['.', '['])) {
            let name = name.to_string_lossy();
            return Err(Box::new(Issue::new(format!("variable {name} names no key"))));
        }
        entries.push((path.to_lowercase().replace("__", "."), node(value)));
    }
    if !skipped.is_empty() {
        let variables = some_of(skipped);
        tracing::warn!(variables, "not read: Kubernetes and Docker set this for a service");
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Arc::new(Layer::variables(prefix, nest(entries, None, Keys::Nested)?)))
}

fn rest<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix("__")
}

/// The names, of which there may be many: a few for each port of each service.
fn some_of(mut names: Vec<String>) -> String {
    names.sort();
    let left_out = names.len().saturating_sub(MOST_SHOWN);
    names.truncate(MOST_SHOWN);
    let shown = names.join(", ");
    if left_out > 0 { format!("{shown} and {left_out} more") } else { shown }
}

fn node(value: &str) -> Node {
    if value.starts_with(['[', '{'])
        && let Ok(mut node) = parse_json(value)
    {
        forget_positions(&mut node);
        return node;
    }
    // Not JSON, for example the address `[::1]:8848`: text like any other.
    Node::leaf(None, value)
}

fn forget_positions(node: &mut Node) {
    node.at = None;
    match &mut node.content {
        Content::Leaf(_) => {}
        Content::List(nodes) => nodes.iter_mut().for_each(forget_positions),
        Content::Table(entries) => entries.iter_mut().for_each(|(_, node)| forget_positions(node)),
    }
}

const MOST_SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use figment::{Figment, Provider};

    use super::*;

    fn layer_of(variables: &[(&str, &str)]) -> Result<Arc<Layer>, Box<Issue>> {
        let owned = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
        layer("ORDERS", variables.iter().map(owned).collect())
    }

    #[test]
    fn two_underscores_nest_and_one_belongs_to_the_name() {
        let layer = layer_of(&[
            ("ORDERS__DB__MAX_CONNECTIONS", "012"),
            ("ORDERSX__DB", "x"),
            ("ORDERS_DB", "x"),
        ]);
        let figment = Figment::from(&*layer.expect("valid"));
        let max: String = figment.extract_inner("db.max_connections").expect("kept as text");
        assert_eq!(max, "012");
        assert_eq!(figment.extract_inner_lossy::<u8>("db.max_connections").expect("a number"), 12);
        assert_eq!(figment.data().expect("data")[&figment::Profile::Default].len(), 1);
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_is_no_configuration() {
        let layer = layer_of(&[
            ("ORDERS__DB_PORT", "tcp://10.0.0.1:5432"),
            ("ORDERS__DB_PORT_5432_TCP", "tcp://10.0.0.1:5432"),
            ("ORDERS__BROKER", "tcp://10.0.0.1:1883"),
            ("ORDERS__HTTP_PORT", "80"),
        ]);
        let layer = layer.expect("valid");
        let keys: Vec<_> = layer.dict().keys().map(String::as_str).collect();
        assert_eq!(keys, ["broker", "http_port"]);
    }

    /// All that they set for a service `orders--db`, with two ports.
    const SERVICE: &[(&str, &str)] = &[
        ("ORDERS__DB_SERVICE_HOST", "10.0.0.1"),
        ("ORDERS__DB_SERVICE_PORT", "5432"),
        ("ORDERS__DB_SERVICE_PORT_PG", "5432"),
        ("ORDERS__DB_SERVICE_PORT_METRICS", "9187"),
        ("ORDERS__DB_PORT", "tcp://10.0.0.1:5432"),
        ("ORDERS__DB_PORT_5432_TCP", "tcp://10.0.0.1:5432"),
        ("ORDERS__DB_PORT_5432_TCP_PROTO", "tcp"),
        ("ORDERS__DB_PORT_5432_TCP_PORT", "5432"),
        ("ORDERS__DB_PORT_5432_TCP_ADDR", "10.0.0.1"),
        ("ORDERS__DB_PORT_9187_TCP", "tcp://10.0.0.1:9187"),
        ("ORDERS__DB_PORT_9187_TCP_PROTO", "tcp"),
        ("ORDERS__DB_PORT_9187_TCP_PORT", "9187"),
        ("ORDERS__DB_PORT_9187_TCP_ADDR", "10.0.0.1"),
    ];

    fn keys(variables: &[(&str, &str)]) -> Vec<String> {
        let layer = layer_of(variables).expect("valid");
        layer.dict().keys().cloned().collect()
    }

    #[test]
    fn whole_of_what_kubernetes_sets_for_a_service_is_no_configuration() {
        let url = ("ORDERS__URL", "x");
        assert_eq!(keys(&[SERVICE, &[url]].concat()), ["url"]);
        let six: Vec<_> = SERVICE
            .iter()
            .map(|(name, value)| {
                let host = if value.contains("://") { "[fd00::1]" } else { "fd00::1" };
                (*name, value.replace("10.0.0.1", host))
            })
            .collect();
        let six: Vec<_> = six.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(keys(&six), [""; 0], "over IPv6");
    }

    #[test]
    fn what_only_looks_like_it_is_the_users() {
        for own in [
            &[("ORDERS__DB_SERVICE_HOST", "10.0.0.1"), ("ORDERS__DB_SERVICE_PORT", "1")][..],
            &[("ORDERS__SERVICE_HOST", "10.0.0.1"), ("ORDERS__PORT", "tcp://10.0.0.1:1")],
            &[("ORDERS__DB__SERVICE_HOST", "10.0.0.1"), ("ORDERS__DB__PORT", "tcp://10.0.0.1:1")],
            &[("ORDERS__DB_PORT_5432_TCP_ADDR", "10.0.0.1")],
            &[("ORDERS__BROKER", "tcp://10.0.0.1:1883"), ("ORDERS__A_PORT_B", "tcp://10.0.0.1:1")],
        ] {
            let layer = layer_of(own).expect("valid");
            let read = own.iter().filter(|(name, _)| {
                let path = name.trim_start_matches("ORDERS__").to_lowercase();
                layer.place(&path.split("__").collect::<Vec<_>>()).is_some()
            });
            assert_eq!(read.count(), own.len(), "{own:?}");
        }
        // Beside a link, another address is another's.
        let other = [
            ("ORDERS__DB_PORT", "tcp://10.0.0.1:5432"),
            ("ORDERS__DB_SERVICE_HOST", "db.example"),
            ("ORDERS__DB_SERVICE_PORT", "5432"),
            ("ORDERS__DB_PORT_5432_TCP", "tcp://10.0.0.1:5432"),
            ("ORDERS__DB_PORT_5432_TCP_ADDR", "10.0.0.9"),
            ("ORDERS__DB_PORT_5432_TCP_PROTO", "udp"),
        ];
        let expected = [
            "db_port_5432_tcp_addr",
            "db_port_5432_tcp_proto",
            "db_service_host",
            "db_service_port",
        ];
        assert_eq!(keys(&other), expected);
    }

    #[test]
    fn names_of_what_is_not_read_fit_into_one_line() {
        let said = |names: &[&str]| some_of(names.iter().map(ToString::to_string).collect());
        let two = said(&["ORDERS__DB_PORT", "ORDERS__DB_SERVICE_HOST"]);
        assert_eq!(two, "ORDERS__DB_PORT, ORDERS__DB_SERVICE_HOST");
        assert!(said(&["x"; 100]).ends_with("x, x and 90 more"));
    }

    #[test]
    fn only_json_is_read_as_json() {
        let layer =
            layer_of(&[("ORDERS__HOSTS", r#"["a","b"]"#), ("ORDERS__LISTEN", "[::1]:8848")]);
        let figment = Figment::from(&*layer.expect("valid"));
        assert_eq!(figment.extract_inner::<Vec<String>>("hosts").expect("list"), ["a", "b"]);
        assert_eq!(figment.extract_inner::<String>("listen").expect("text"), "[::1]:8848");
    }

    #[test]
    fn contradictions_and_nameless_keys_are_named_without_their_value() {
        for (name, other) in [("ORDERS__DB", "ORDERS__DB__URL"), ("ORDERS__A____B", "ORDERS__C")] {
            let issue = layer_of(&[(name, "hunter2"), (other, "hunter2")]).expect_err("invalid");
            assert!(!format!("{issue:?}").contains("hunter2"), "{issue}");
        }
    }

    #[test]
    fn place_is_the_name_of_the_variable() {
        let layer = layer_of(&[("ORDERS__DB__URL", "x")]).expect("valid");
        let place = layer.place(&["db", "url"]).expect("it is there");
        assert_eq!(place.to_string(), "environment variable ORDERS__DB__URL");
    }
}
