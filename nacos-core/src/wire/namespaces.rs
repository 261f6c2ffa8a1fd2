//! The list of a server's namespaces, over HTTP.
use serde::Deserialize;

/// The answer of a server, of every version.
#[derive(Deserialize)]
struct Answer {
    data: Vec<Listed>,
}

/// One namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub(crate) struct Listed {
    /// As clients name it; the default one has several spellings.
    #[serde(alias = "namespaceId", deserialize_with = "super::or_default")]
    pub(crate) namespace: String,
    /// As consoles show it.
    #[serde(
        rename = "namespaceShowName",
        alias = "namespaceName",
        deserialize_with = "super::or_default"
    )]
    pub(crate) show_name: String,
}

/// The namespaces, if that is what `body` lists: the default one is always among them.
pub(crate) fn parse(body: &[u8]) -> Option<Vec<Listed>> {
    let listed = serde_json::from_slice::<Answer>(body).ok()?.data;
    let has_default = listed.iter().any(|it| matches!(it.namespace.as_str(), "" | "public"));
    has_default.then_some(listed)
}

/// Where servers list them, newest first: 3.x (administrators only, unless that is switched off),
/// 2.2 to 2.5, 2.x and r-nacos.
pub(crate) const PATHS: [&str; 3] =
    ["/v3/admin/core/namespace/list", "/v2/console/namespace/list", "/v1/console/namespaces"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_every_server_are_read_and_nothing_else() {
        for (body, ids) in [
            (
                r#"{"code":200,"message":null,"data":[
                    {"namespace":"","namespaceShowName":"public","quota":200,"type":0},
                    {"namespace":"team-a","namespaceShowName":"Team A","namespaceDesc":null}]}"#,
                Some(vec!["", "team-a"]),
            ),
            (
                r#"{"code":0,"data":[{"namespace":"public","namespaceShowName":"public"}]}"#,
                Some(vec!["public"]),
            ),
            (
                r#"{"data":[{"namespaceId":"","namespaceName":"public"},{"namespaceId":"b"}]}"#,
                Some(vec!["", "b"]),
            ),
            (r#"{"data":[{"namespace":"team-a"}]}"#, None),
            (r#"{"data":[]}"#, None),
            (r#"{"code":10001,"data":"access denied"}"#, None),
            (r#"{"data":null}"#, None),
            ("[]", None),
            ("<html>", None),
        ] {
            let read = parse(body.as_bytes());
            let read: Option<Vec<_>> =
                read.as_ref().map(|listed| listed.iter().map(|it| it.namespace.as_str()).collect());
            assert_eq!(read, ids, "{body}");
        }
    }
}
