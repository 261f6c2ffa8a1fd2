//! The user's rights: Java's check of roles, and r-nacos' of namespaces.

use super::{Denied, outcome::Refusal};
use crate::{
    Behaviour,
    state::{ConfigKey, ServiceKey, State},
    wire::Fields,
};

/// Lets a request through if one of the user's rights covers what it is about.
///
/// To Java a resource is `namespace:group:type/name`; what a request does not name is `*`, and only
/// a right that has `*` there covers it. To r-nacos it is a namespace.
pub(super) fn permitted(
    behaviour: Behaviour,
    state: &State,
    message_type: &str,
    fields: Fields<'_>,
) -> Result<(), Refusal> {
    let Some(rights) = &state.rights else { return Ok(()) };
    if behaviour == Behaviour::RNacos {
        return in_its_namespace(state, message_type, fields);
    }
    let resource = resource(behaviour, message_type, fields);
    if rights.iter().any(|right| grants(behaviour, right, &resource)) {
        return Ok(());
    }
    Err(Denied::without_right(behaviour).into())
}

/// r-nacos' check.
fn in_its_namespace(state: &State, message_type: &str, fields: Fields<'_>) -> Result<(), Refusal> {
    let is_config = message_type.starts_with("Config");
    let part = if is_config { "tenant" } else { "namespace" };
    let namespace = fields.text(part).ok().flatten().unwrap_or_default();
    // A listen is answered, without those documents that the user may not read.
    if message_type == "ConfigBatchListenRequest" || may_use(state, &namespace) {
        return Ok(());
    }
    let shown = match (is_config, namespace.as_str()) {
        (true, "public") => "",
        (false, "") => "public",
        (_, namespace) => namespace,
    };
    let text = format!("NO_NAMESPACE_PERMISSION, user no such namespace permission: {shown}");
    Err(Refusal::general(403, text))
}

/// Whether r-nacos lets the user do anything in this namespace: it looks at nothing else of a
/// right, and the default namespace has no name in its list.
pub(super) fn may_use(state: &State, namespace: &str) -> bool {
    let Some(rights) = &state.rights else { return true };
    let namespace = if namespace == "public" { "" } else { namespace };
    rights.iter().any(|right| {
        let listed = right.split(':').next().unwrap_or_default();
        listed == "*" || listed == namespace
    })
}

/// Whether everybody may do it. No server has such a list: a right in it is spelled as for 3.x.
pub(super) fn open(
    behaviour: Behaviour,
    state: &State,
    message_type: &str,
    fields: Fields<'_>,
) -> bool {
    let resource = resource(behaviour, message_type, fields);
    state.open.iter().any(|right| covers(right, &resource))
}

/// Whether a server takes `right` for one on `resource`, in which the default namespace has its
/// name.
fn grants(behaviour: Behaviour, right: &str, resource: &str) -> bool {
    match behaviour {
        // The name of the default namespace is left out before both are compared: seen on 2.3.2,
        // read in the source of 2.5.1.
        Behaviour::Nacos2_3 | Behaviour::Nacos2_5 => {
            let rest = resource.strip_prefix("public").filter(|rest| rest.starts_with(':'));
            covers(right, rest.unwrap_or(resource))
        }
        // The name is put in where a right has none: read in the source of 3.0.3.
        Behaviour::Nacos3_0 | Behaviour::Nacos3_3 if right.starts_with(':') => {
            covers(&format!("public{right}"), resource)
        }
        _ => covers(right, resource),
    }
}

fn resource(behaviour: Behaviour, message_type: &str, fields: Fields<'_>) -> String {
    let text = |fields: Fields<'_>, name: &str| fields.text(name).ok().flatten();
    // Blank counts as not named.
    let part = |name: &str| text(fields, name).filter(|text| !text.is_empty());
    let any = |part: Option<String>| part.unwrap_or_else(|| "*".to_owned());
    let config_namespace = |tenant: Option<String>| {
        let namespace = behaviour.config_namespace(&tenant.unwrap_or_default());
        let key = ConfigKey { namespace, group: String::new(), data_id: String::new() };
        key.shown_namespace().to_owned()
    };
    match message_type {
        // For all that are listed: that of the first.
        "ConfigBatchListenRequest" => {
            let contexts = fields.objects("configListenContexts").ok().flatten();
            let first = contexts.and_then(|contexts| contexts.first().copied());
            let tenant = first.and_then(|first| text(first, "tenant"));
            format!("{}:*:config/*", config_namespace(tenant))
        }
        // The same for every pattern.
        "ConfigFuzzyWatchRequest" => "public:*:config/*".to_owned(),
        _ if message_type.starts_with("Config") => {
            let namespace = config_namespace(part("tenant"));
            format!("{namespace}:{}:config/{}", any(part("group")), any(part("dataId")))
        }
        _ => {
            let namespace = part("namespace").unwrap_or_default();
            let namespace = ServiceKey::new(&namespace, "", "").namespace;
            format!("{namespace}:{}:naming/{}", any(part("groupName")), any(part("serviceName")))
        }
    }
}

/// Whether `right` is about `resource`. In a right, `*` is any text, and `[*]` an asterisk.
fn covers(right: &str, resource: &str) -> bool {
    if let Some(rest) = right.strip_prefix(ASTERISK) {
        return resource.strip_prefix('*').is_some_and(|tail| covers(rest, tail));
    }
    let mut chars = right.chars();
    match chars.next() {
        None => resource.is_empty(),
        Some('*') => {
            let ends = resource.char_indices().map(|(at, _)| at).chain([resource.len()]);
            ends.into_iter()
                .any(|at| resource.get(at..).is_some_and(|tail| covers(chars.as_str(), tail)))
        }
        Some(char) => resource.strip_prefix(char).is_some_and(|tail| covers(chars.as_str(), tail)),
    }
}

/// To Java, which makes `.*` of each asterisk in a right, this is a class of two characters. Only
/// one of the two, the asterisk, is to be expected in a resource.
const ASTERISK: &str = "[*]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_on_one_group_does_not_cover_a_listen() {
        let right = "public:ORDERS:config/*";
        assert!(covers(right, "public:ORDERS:config/limits"));
        assert!(!covers(right, "public:OTHERS:config/limits"));
        assert!(!covers(right, "public:*:config/*"));
        assert!(covers("public:*:config/*", "public:*:config/*"));
        assert!(covers("public:*:*", "public:ORDERS:config/limits") && covers("*", ""));
    }

    #[test]
    fn right_to_listen_and_no_more_covers_no_document() {
        let right = "public:[*]:config/[*]";
        assert!(covers(right, "public:*:config/*"));
        assert!(!covers(right, "public:ORDERS:config/limits"));
    }

    /// Users of 2.3.2 were seen to be let in like this.
    #[test]
    fn default_namespace_has_no_name_in_rights_of_2_and_two_spellings_in_those_of_3() {
        let (document, service) = ("public:ORDERS:config/limits", "public:ORDERS:naming/orders");
        for (behaviour, by_name) in [
            (Behaviour::Nacos2_3, false),
            (Behaviour::Nacos2_5, false),
            (Behaviour::Nacos3_0, true),
            (Behaviour::Nacos3_3, true),
        ] {
            assert!(grants(behaviour, ":ORDERS:config/*", document), "{behaviour:?}");
            assert!(grants(behaviour, ":ORDERS:naming/*", service), "{behaviour:?}");
            assert_eq!(grants(behaviour, "public:ORDERS:config/*", document), by_name);
            assert_eq!(grants(behaviour, "public:ORDERS:naming/*", service), by_name);
            assert!(grants(behaviour, "*:*:*", document), "{behaviour:?}");
            for namespace in ["team-a", "publicity"] {
                let elsewhere = format!("{namespace}:ORDERS:config/limits");
                assert!(grants(behaviour, &format!("{namespace}:*:config/*"), &elsewhere));
                assert!(!grants(behaviour, ":*:*", &elsewhere), "{behaviour:?}");
            }
        }
    }
}
