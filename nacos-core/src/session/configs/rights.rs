//! The right that a watch lacks.
use std::sync::Arc;

use crate::key::ConfigKey;

/// Names the right that a user lacks who may read a document, but not listen to it.
pub(super) fn missing_right(key: &ConfigKey, cause: &str, polled: bool) -> Arc<str> {
    // Java Nacos 2.x never fills in the default namespace's name, so that a right that begins with
    // `public` covers nothing there; 3.x fills it in where a right begins with a colon.
    let right = match key.tenant() {
        "" => "`:*:config/*` (since Nacos 3.0 also spelled `public:*:config/*`)".to_owned(),
        namespace => format!("`{namespace}:*:config/*`"),
    };
    let meanwhile = if polled {
        "until it is granted, the document is asked for every 30 s"
    } else {
        "grant it, or let the watch poll with `poll_when_refused`"
    };
    format!(
        "{cause}; the document can be read, but a user that listens needs the right to read \
         {right}: {meanwhile}"
    )
    .into()
}
