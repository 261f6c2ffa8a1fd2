//! The user's rights: Java's check of roles.

use super::Denied;
use crate::{
    Behaviour,
    state::{ConfigKey, ServiceKey, State},
    wire::Fields,
};

/// Lets a request through if one of the user's rights covers what it is about.
///
/// A resource is `namespace:group:type/name`; what a request does not name is `*`, and only a right
/// that has `*` there covers it.
pub(super) fn permitted(
    behaviour: Behaviour,
    state: &State,
    message_type: &str,
    fields: Fields<'_>,
) -> Result<(), Denied> {
    let Some(rights) = &state.rights else { return Ok(()) };
    let resource = resource(behaviour, message_type, fields);
    if rights.iter().any(|right| covers(right, &resource)) {
        return Ok(());
    }
    Err(Denied::without_right(behaviour))
}

/// Whether everybody may do it.
pub(super) fn open(
    behaviour: Behaviour,
    state: &State,
    message_type: &str,
    fields: Fields<'_>,
) -> bool {
    let about = |right: &String| covers(right, &resource(behaviour, message_type, fields));
    state.open.iter().any(about)
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

/// Whether `right`, in which `*` stands for any text, is about `resource`.
fn covers(right: &str, resource: &str) -> bool {
    match right.split_once('*') {
        None => right == resource,
        Some((start, rest)) => resource.strip_prefix(start).is_some_and(|tail| {
            let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            ends.into_iter().any(|at| tail.get(at..).is_some_and(|tail| covers(rest, tail)))
        }),
    }
}

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
}
