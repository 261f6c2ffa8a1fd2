//! Which documents there are.
use std::sync::Arc;

use super::Configs;
use crate::{
    error::{Doing, Error},
    key::{ConfigKey, DataId, Group, Namespace},
    wire::document_list::{Listed, Page, Wanted},
};

/// Which documents to list: by default all of the client's own namespace, 100 a page.
///
/// ```
/// use nacos_core::{Group, Search};
///
/// let search = Search::new().group(Group::parse("ORDER_GROUP")?).data_id_contains("limits");
/// # Ok::<(), nacos_core::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "nothing is asked until it is given to `Configs::list`"]
pub struct Search {
    namespace: Option<Namespace>,
    group: Option<Group>,
    data_id: String,
    app: String,
    tags: String,
    page: u32,
    page_size: u32,
}

impl Search {
    /// All documents of the client's own namespace.
    pub fn new() -> Self {
        Self {
            namespace: None,
            group: None,
            data_id: String::new(),
            app: String::new(),
            tags: String::new(),
            page: 1,
            page_size: 100,
        }
    }

    /// Those of `namespace`, whatever the client's own is.
    pub fn in_namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Those of one group.
    pub fn group(mut self, group: Group) -> Self {
        self.group = Some(group);
        self
    }

    /// Those with this text somewhere in their data id. Java Nacos takes `*` in it for any text,
    /// and `_` for any character; before 2.3, it finds whole data ids only.
    pub fn data_id_contains(mut self, part: impl Into<String>) -> Self {
        self.data_id = part.into();
        self
    }

    /// Those of one application. Asked of servers that have announced abilities: r-nacos would list
    /// all. Elsewhere, listing fails with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = app.into();
        self
    }

    /// Those with one of these labels, separated by commas: see
    /// [`Publish::tags`](crate::Publish::tags). Asked of the same servers as for
    /// [`app`](Self::app).
    pub fn tags(mut self, tags: impl Into<String>) -> Self {
        self.tags = tags.into();
        self
    }

    /// Which page; the first one is 1.
    pub fn page(mut self, page: u32) -> Self {
        self.page = page;
        self
    }

    /// How many documents a page has: 1 to 500.
    pub fn page_size(mut self, size: u32) -> Self {
        self.page_size = size;
        self
    }

    /// With a page that there may be: servers compute with 32 bits.
    fn bounded(mut self) -> Self {
        self.page_size = self.page_size.clamp(1, MOST_A_PAGE);
        self.page = self.page.clamp(1, i32::MAX as u32 / self.page_size);
        self
    }
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

/// A page of a list of documents.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DocumentPage {
    /// How many documents the server has found in all. It may count some that are not listed:
    /// those with names that this client could not ask for, and on r-nacos those of groups whose
    /// names contain that of the group.
    pub total: u64,
    /// The documents on this page, in the server's order.
    pub documents: Vec<ListedDocument>,
    /// The search for the page after this one; `None` on the last one.
    pub next: Option<Search>,
}

/// A document in a list, without its content.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ListedDocument {
    /// Its name, with the namespace.
    pub key: ConfigKey,
    /// The digest of its content, if the server says it.
    pub md5: Option<Arc<str>>,
    /// Its type, if the server says it.
    pub content_type: Option<Arc<str>>,
    /// The application that owns it, if the server names one.
    pub app: Option<Arc<str>>,
    /// Its description, if the server shows one: 3.x does.
    pub description: Option<Arc<str>>,
}

impl Configs {
    /// Lists documents, a page at a time.
    ///
    /// No server lists documents over gRPC, so this asks over HTTP, at the main port of the server
    /// that the client is connected to: first at the path of 3.x, and at that of 2.x and r-nacos if
    /// there is nothing (404, 405, 410 or 501). A token goes along as the login does; one that was
    /// obtained elsewhere only where HTTP is as safe as gRPC is.
    ///
    /// A document that comes or goes meanwhile may be on two pages, or on none. For what is used
    /// often, a [`watch`](Self::watch) is better: 2.x and r-nacos read and send the contents of all
    /// documents of a page.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the server has neither path,
    ///   or would ignore what is searched for.
    /// - [`ErrorKind::Denied`](crate::ErrorKind::Denied) without the right to read the namespace;
    ///   3.x demands a login for this unless it is told otherwise.
    /// - [`ErrorKind::Disconnected`](crate::ErrorKind::Disconnected) if the main port cannot be
    ///   reached.
    /// - [`ErrorKind::Protocol`](crate::ErrorKind::Protocol) for what is no list, or longer than
    ///   [`receive_limit`](crate::ClientBuilder::receive_limit): a smaller page may be shorter.
    /// - [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded) if the server searches too much.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only reads.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// # server.publish("", "DEFAULT_GROUP", "orders.yaml", "limit: 7");
    /// use nacos_core::Search;
    ///
    /// let mut next = Some(Search::new().data_id_contains("orders"));
    /// while let Some(search) = next {
    ///     let page = nacos.configs().list(search).await?;
    ///     for document in &page.documents {
    ///         println!("{}", document.key);
    ///     }
    ///     next = page.next;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn list(&self, search: Search) -> Result<DocumentPage, Error> {
        let search = search.bounded();
        self.connection.mention(search.namespace.as_ref());
        let own = &self.connection.options.session.config_namespace;
        let namespace = search.namespace.clone().unwrap_or_else(|| own.clone());
        let doing = Doing("list the documents of", &namespace);
        let wanted = Wanted {
            tenant: namespace.as_tenant(),
            group: search.group.as_ref().map_or("", Group::as_str),
            data_id: &search.data_id,
            app: &search.app,
            tags: &search.tags,
            page: search.page,
            page_size: search.page_size,
        };
        let page = self.connection.list_documents(doing, |abilities| {
            let announces = !abilities.is_empty();
            let is_labelled = !search.app.is_empty() || !search.tags.is_empty();
            if is_labelled && !announces {
                return Err("it announces no abilities, and may ignore what is searched for".into());
            }
            Ok(wanted.questions(announces))
        });
        Ok(page_of(search.clone(), &namespace, page.await?))
    }
}

fn page_of(search: Search, namespace: &Namespace, page: Page) -> DocumentPage {
    let total = u64::try_from(page.total_count).unwrap_or(0);
    let seen = u64::from(search.page) * u64::from(search.page_size);
    let has_more = !page.page_items.is_empty() && seen < total;
    let items = page.page_items.into_iter().take(search.page_size as usize);
    let documents = items
        .filter_map(|listed| document(listed, namespace))
        // Servers search by patterns, in which `_` is any character, or for parts of names.
        .filter(|listed| search.group.as_ref().is_none_or(|group| listed.key.group() == group))
        .collect();
    let number = search.page;
    let next = has_more.then(|| Search { page: number + 1, ..search }.bounded());
    // There is none after the last number that servers can compute with.
    let next = next.filter(|next| next.page > number);
    DocumentPage { total, documents, next }
}

/// A document as it is listed, unless no client of ours could ask for it.
fn document(listed: Listed, namespace: &Namespace) -> Option<ListedDocument> {
    let is_there = match &*listed.namespace_id {
        "" => true,
        named => Namespace::parse(named).is_ok_and(|named| named == *namespace),
    };
    let data_id = DataId::parse(&listed.data_id).ok().filter(|_| is_there)?;
    let key = ConfigKey::new(data_id, Group::parse(&listed.group_name).ok()?);
    let given = |text: String| Some(text).filter(|text| !text.is_empty()).map(Into::into);
    Some(ListedDocument {
        key: key.in_namespace(namespace.clone()),
        md5: given(listed.md5),
        content_type: given(listed.content_type),
        app: given(listed.app_name),
        description: given(listed.desc),
    })
}

/// So many contents come with a page from 2.x and r-nacos.
const MOST_A_PAGE: u32 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(namespace: &str, group: &str, data_id: &str) -> Listed {
        Listed {
            namespace_id: namespace.to_owned(),
            group_name: group.to_owned(),
            data_id: data_id.to_owned(),
            ..Listed::default()
        }
    }

    fn page(search: Search, total_count: i64, page_items: Vec<Listed>) -> DocumentPage {
        let namespace = Namespace::parse("team-a").expect("valid");
        page_of(search.bounded(), &namespace, Page { total_count, page_items })
    }

    #[test]
    fn pages_are_bounded_and_come_to_an_end() {
        for (given, bounded) in [
            ((0, 0), (1, 1)),
            ((1, 100), (1, 100)),
            ((2, 9_999), (2, 500)),
            ((u32::MAX, u32::MAX), (4_294_967, 500)),
        ] {
            let search = Search::new().page(given.0).page_size(given.1).bounded();
            assert_eq!((search.page, search.page_size), bounded);
        }
        let one = || vec![listed("team-a", "g", "d")];
        let next = |number: u32, total, items| {
            page(Search::new().page(number).page_size(10), total, items).next
        };
        assert_eq!(next(1, 11, one()).expect("one more").page, 2);
        assert_eq!(next(2, 11, one()), None);
        // The last page that can be asked for, of a server that finds ever more.
        assert_eq!(next(i32::MAX as u32 / 10, i64::MAX, one()), None);
        // A server that finds ever more, and shows nothing.
        assert_eq!(next(1, i64::MAX, vec![]), None);
        assert_eq!(next(1, -1, one()), None);
    }

    #[test]
    fn documents_that_were_not_asked_for_are_not_listed() {
        let items = vec![
            listed("team-a", "g", "a"),
            listed("", "g", "b"),
            listed("team-b", "g", "c"),
            listed("../..", "g", "d"),
            listed("team-a", "h", "e"),
            listed("team-a", "g", "a/b"),
            listed("team-a", "g", ""),
            listed("team-a", "", "f"),
        ];
        let search = Search::new().group(Group::parse("g").expect("valid"));
        let found = page(search, 8, items);
        let names: Vec<_> = found.documents.iter().map(|it| it.key.to_string()).collect();
        assert_eq!(names, ["team-a/g/a", "team-a/g/b"]);
        assert_eq!(found.total, 8);
    }

    #[test]
    fn page_that_is_longer_than_asked_for_is_cut() {
        let items = (0..10).map(|n| listed("team-a", "g", &format!("d{n}"))).collect();
        assert_eq!(page(Search::new().page_size(3), 3, items).documents.len(), 3);
    }
}
