//! The environment, read once, when a configuration is started. A layer of its own rather than
//! figment's, which would turn `012345` into a number before the target type was asked.
use std::{ffi::OsString, net::SocketAddr, sync::Arc};

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
    let mut entries = Vec::new();
    for (name, value) in variables {
        let Some(path) = name.to_str().and_then(|name| rest(name, prefix)) else { continue };
        let Some(value) = value.to_str() else {
            let name = name.to_string_lossy();
            return Err(Box::new(Issue::new(format!("variable {name} is not UTF-8"))));
        };
        if is_link(path, value) {
            let name = name.to_string_lossy();
            tracing::warn!(variable = %name, "not read: Kubernetes and Docker set this for a service");
            continue;
        }
        if path.split("__").any(|key| key.is_empty() || key.contains(['.', '['])) {
            let name = name.to_string_lossy();
            return Err(Box::new(Issue::new(format!("variable {name} names no key"))));
        }
        entries.push((path.to_lowercase().replace("__", "."), node(value)));
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Arc::new(Layer::variables(prefix, nest(entries, None, Keys::Nested)?)))
}

fn rest<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix("__")
}

/// Whether a platform says so where a service is: `ORDERS__DB_PORT=tcp://10.0.0.1:5432`, where
/// there is a service `orders--db`. Under any other name such an address may well be meant.
fn is_link(path: &str, value: &str) -> bool {
    let Some((scheme, address)) = value.split_once("://") else { return false };
    ["tcp", "udp", "sctp"].contains(&scheme)
        && address.parse::<SocketAddr>().is_ok()
        && (path.ends_with("_PORT") || path.contains("_PORT_"))
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
