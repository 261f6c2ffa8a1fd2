//! Lists of configurations, as consoles search for them.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Call, Reply,
    reply::{as_json, error_page, result, text},
};
use crate::{
    Behaviour,
    state::{ConfigKey, Document},
};

/// The answer of v1 to what only consoles ask; `None` to what clients ask.
pub(super) fn console(call: &Call<'_>) -> Option<Reply> {
    list(call).or_else(|| details(call))
}

/// A list, with the contents.
fn list(call: &Call<'_>) -> Option<Reply> {
    let search = call.form.text("search").filter(|it| matches!(&**it, "blur" | "accurate"))?;
    let Some(page) = Page::asked(call) else {
        return Some(error_page(StatusCode::BAD_REQUEST, "Bad Request", "", &call.path));
    };
    let wanted = Wanted {
        search,
        tenant: call.form.or("tenant", ""),
        group: call.form.or("group", ""),
        data_id: call.form.or("dataId", ""),
        app: call.form.or("appName", ""),
        tags: call.form.or("config_tags", ""),
    };
    let is_java = call.behaviour().is_java();
    let shown = |key: &ConfigKey, document: &Document| {
        let known = |text: &str| if is_java { json!(text) } else { Value::Null };
        json!({
            "id": known("7"), "tenant": key.namespace, "group": key.group, "dataId": key.data_id,
            "content": document.content, "md5": document.md5,
            "encryptedDataKey": known(&document.encrypted_data_key),
            "appName": known(&document.app), "type": known(&document.content_type),
        })
    };
    Some(as_json(StatusCode::OK, &wanted.page(call, page, shown)))
}

/// The list of v3, without the contents.
pub(super) fn v3(call: &Call<'_>) -> Reply {
    let Some(page) = Page::asked(call) else {
        let why = "Required parameter 'pageNo' should be positive integer";
        return result(StatusCode::BAD_REQUEST, 10_000, "parameter missing", &why.into());
    };
    let wanted = Wanted {
        search: call.form.or("search", "blur"),
        tenant: call.form.or("namespaceId", ""),
        group: call.form.or("groupName", ""),
        data_id: call.form.or("dataId", ""),
        app: call.form.or("appName", ""),
        tags: call.form.or("configTags", ""),
    };
    let shown = |key: &ConfigKey, document: &Document| {
        let namespace = if key.namespace.is_empty() { "public" } else { &key.namespace };
        json!({
            "id": "7", "namespaceId": namespace, "groupName": key.group, "dataId": key.data_id,
            "md5": document.md5, "type": document.content_type, "appName": document.app,
            "createTime": document.last_modified, "modifyTime": document.last_modified,
            "desc": document.description, "configTags": document.tags.join(","),
        })
    };
    result(StatusCode::OK, 0, "success", &wanted.page(call, page, shown))
}

/// One document, with everything that is kept of it.
fn details(call: &Call<'_>) -> Option<Reply> {
    if !call.behaviour().is_java() || call.form.text("show").as_deref() != Some("all") {
        return None;
    }
    let key = ConfigKey {
        namespace: call.behaviour().config_namespace(&call.form.or("tenant", "")),
        group: call.form.or("group", ""),
        data_id: call.form.or("dataId", ""),
    };
    let details = call.shared.read(|state| {
        let document = state.configs.stored(&key)?;
        Some(json!({
            "tenant": key.namespace, "group": key.group, "dataId": key.data_id,
            "content": document.content, "md5": document.md5, "type": document.content_type,
            "encryptedDataKey": document.encrypted_data_key, "appName": document.app,
            "configTags": document.tags.join(","), "desc": document.description,
        }))
    });
    Some(details.map_or_else(|| text(StatusCode::OK, ""), |it| as_json(StatusCode::OK, &it)))
}

#[derive(Clone, Copy)]
struct Page {
    number: usize,
    size: usize,
}

impl Page {
    fn asked(call: &Call<'_>) -> Option<Self> {
        let positive =
            |name: &str| call.form.text(name)?.parse().ok().filter(|number: &usize| *number > 0);
        Some(Self { number: positive("pageNo")?, size: positive("pageSize")? })
    }
}

struct Wanted {
    search: String,
    tenant: String,
    group: String,
    data_id: String,
    app: String,
    tags: String,
}

impl Wanted {
    fn page(
        &self,
        call: &Call<'_>,
        page: Page,
        shown: impl Fn(&ConfigKey, &Document) -> Value,
    ) -> Value {
        let behaviour = call.behaviour();
        call.shared.read(|state| {
            let found = state.configs.all_stored();
            let found: Vec<_> = found.filter(|(key, it)| self.has(key, it, behaviour)).collect();
            let first = page.size.saturating_mul(page.number - 1);
            let items = found.iter().skip(first).take(page.size);
            json!({
                "totalCount": found.len(),
                "pageNumber": page.number,
                "pagesAvailable": found.len().div_ceil(page.size),
                "pageItems": items.map(|(key, it)| shown(key, it)).collect::<Vec<_>>(),
            })
        })
    }

    fn has(&self, key: &ConfigKey, document: &Document, behaviour: Behaviour) -> bool {
        let is_blur = self.search == "blur";
        let matches = |wanted: &str, name: &str| match (behaviour.is_java(), is_blur) {
            _ if wanted.is_empty() => true,
            (true, true) => is_like(wanted.as_bytes(), name.as_bytes()),
            (false, true) => name.contains(wanted),
            (_, false) => name == wanted,
        };
        let is_there = key.namespace == behaviour.config_namespace(&self.tenant)
            && matches(&self.group, &key.group)
            && matches(&self.data_id, &key.data_id);
        // r-nacos has no applications and no labels.
        let is_labelled = !behaviour.is_java() || {
            let tagged = |tag: &str| document.tags.iter().any(|it| it == tag);
            (self.app.is_empty() || self.app == document.app)
                && (self.tags.is_empty() || self.tags.split(',').any(tagged))
        };
        is_there && is_labelled
    }
}

/// SQL's `LIKE`, in which `*` is written for any text; `_` is any character.
fn is_like(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*' | b'%', rest)), _) => {
            is_like(rest, name)
                || name.split_first().is_some_and(|(_, left)| is_like(pattern, left))
        }
        (Some((wanted, rest)), Some((letter, left))) => {
            (*wanted == b'_' || wanted == letter) && is_like(rest, left)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_matches_as_in_a_database() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("orders", "orders.yaml", false),
            ("*ord*", "my-orders", true),
            ("*", "", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("*.yaml", "orders.yaml", true),
            ("", "a", false),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
