//! The documents of a namespace, as servers list them over HTTP: how to ask, and what they say.
use serde::Deserialize;

/// The documents to look for. Blank is anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The namespace as configuration messages spell it.
    pub(crate) tenant: &'a str,
    pub(crate) group: &'a str,
    /// A part of the data id.
    pub(crate) data_id: &'a str,
    pub(crate) app: &'a str,
    pub(crate) tags: &'a str,
    pub(crate) page: u32,
    pub(crate) page_size: u32,
}

/// One way to ask: a path and the fields of its query.
pub(crate) type Question = (&'static str, Vec<(&'static str, String)>);

impl Wanted<'_> {
    /// How to ask, newest first: servers of 3.x, those of 2.x and r-nacos.
    ///
    /// With `has_wildcards`, `*` stands for anything, and a part needs it on either side: so in
    /// Java Nacos. r-nacos looks for a part as it is.
    pub(crate) fn questions(&self, has_wildcards: bool) -> [Question; 2] {
        let search = if self.data_id.is_empty() { "accurate" } else { "blur" };
        let data_id = match self.data_id {
            part if has_wildcards && !part.is_empty() => format!("*{part}*"),
            part => part.to_owned(),
        };
        // Servers demand the data id and the group, blank or not.
        let fields = |tenant, group, tags| {
            vec![
                ("search", search.to_owned()),
                ("dataId", data_id.clone()),
                (group, self.group.to_owned()),
                (tenant, self.tenant.to_owned()),
                ("appName", self.app.to_owned()),
                (tags, self.tags.to_owned()),
                ("pageNo", self.page.to_string()),
                ("pageSize", self.page_size.to_string()),
            ]
        };
        [
            ("/v3/admin/cs/config/list", fields("namespaceId", "groupName", "configTags")),
            ("/v1/cs/configs", fields("tenant", "group", "config_tags")),
        ]
    }
}

/// A page of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    pub(crate) total_count: i64,
    pub(crate) page_items: Vec<Listed>,
}

/// One document of it. The older API shows its content, too, which is not kept.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Listed {
    #[serde(alias = "tenant", deserialize_with = "super::or_default")]
    pub(crate) namespace_id: String,
    #[serde(alias = "group", deserialize_with = "super::or_default")]
    pub(crate) group_name: String,
    #[serde(deserialize_with = "super::or_default")]
    pub(crate) data_id: String,
    #[serde(deserialize_with = "super::or_default")]
    pub(crate) md5: String,
    #[serde(rename = "type", deserialize_with = "super::or_default")]
    pub(crate) content_type: String,
    #[serde(deserialize_with = "super::or_default")]
    pub(crate) app_name: String,
    #[serde(deserialize_with = "super::or_default")]
    pub(crate) desc: String,
}

/// The page that `body` is, alone as in the older API, or in an envelope.
pub(crate) fn parse(body: &[u8]) -> Option<Page> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Page,
    }

    let enveloped = serde_json::from_slice::<Envelope>(body).map(|envelope| envelope.data);
    enveloped.or_else(|_| serde_json::from_slice(body)).ok()
}

/// The reason that a refusal gives, of every version.
pub(crate) fn reason(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }

    let reason = serde_json::from_slice::<Refusal>(body).ok()?.message;
    Some(crate::error::clip(&reason, 200).to_owned()).filter(|reason| !reason.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_every_server_are_read_and_nothing_else() {
        for (body, read) in [
            (
                r#"{"code":0,"message":"success","data":{"totalCount":3,"pageNumber":1,
                    "pagesAvailable":2,"pageItems":[{"id":"1","namespaceId":"public",
                    "groupName":"g","dataId":"d","md5":"m","type":"yaml","appName":null,
                    "createTime":1,"modifyTime":2,"desc":null,"configTags":"a"}]}}"#,
                Some((3, vec![("public", "g", "d", "yaml")])),
            ),
            (
                r#"{"totalCount":1,"pageNumber":1,"pagesAvailable":1,"pageItems":[{"id":"7",
                    "dataId":"d","group":"g","content":"secret","md5":"m","encryptedDataKey":"",
                    "tenant":"","appName":"","type":"text","lastModified":0}]}"#,
                Some((1, vec![("", "g", "d", "text")])),
            ),
            (
                r#"{"totalCount":1,"pageNumber":1,"pagesAvailable":1,"pageItems":[{"id":null,
                    "encryptedDataKey":null,"appName":null,"type":null,"tenant":"","group":"g",
                    "dataId":"d","content":null,"md5":null}]}"#,
                Some((1, vec![("", "g", "d", "")])),
            ),
            (r#"{"totalCount":0,"pageItems":[]}"#, Some((0, vec![]))),
            (r#"{"code":0,"data":null}"#, None),
            (r#"{"code":403,"message":"access denied","data":"who?"}"#, None),
            (r#"{"totalCount":"many","pageItems":[]}"#, None),
            ("content", None),
            ("<html>", None),
            ("", None),
        ] {
            let page = parse(body.as_bytes());
            let page = page.as_ref().map(|page| {
                let items = page.page_items.iter();
                let names = items.map(|it| {
                    let Listed { namespace_id, group_name, data_id, content_type, .. } = it;
                    let group = group_name.as_str();
                    (namespace_id.as_str(), group, data_id.as_str(), content_type.as_str())
                });
                (page.total_count, names.collect::<Vec<_>>())
            });
            assert_eq!(page, read, "{body}");
        }
    }

    #[test]
    fn part_of_a_name_is_put_as_the_server_understands_it() {
        let wanted = Wanted {
            tenant: "",
            group: "",
            data_id: "orders",
            app: "",
            tags: "",
            page: 1,
            page_size: 10,
        };
        let data_id = |wanted: Wanted<'_>, has_wildcards| {
            let [(_, newest), (_, oldest)] = wanted.questions(has_wildcards);
            assert_eq!(newest[..2], oldest[..2], "search and data id");
            (newest[0].1.clone(), newest[1].1.clone())
        };
        let said = |search: &str, data_id: &str| (search.to_owned(), data_id.to_owned());
        assert_eq!(data_id(wanted, true), said("blur", "*orders*"));
        assert_eq!(data_id(wanted, false), said("blur", "orders"));
        assert_eq!(data_id(Wanted { data_id: "", ..wanted }, true), said("accurate", ""));
    }
}
