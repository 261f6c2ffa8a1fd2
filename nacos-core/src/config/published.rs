//! A document that was published, and when the server shows it.
use std::{fmt, sync::Arc};

use tokio::time::{Duration, Instant, sleep_until, timeout_at};
use tracing::warn;

use crate::{
    connection::{Abilities, Connection, Repeat},
    document::Document,
    error::{Doing, Error, ErrorKind},
    gray::Gray,
    key::ConfigKey,
    time::{doubled, give_or_take_a_fifth},
    wire::config::ConfigQueryRequest,
};

/// A document that the server has stored.
///
/// The server may go on showing the old content for a while:
/// [`visible`](Self::visible) waits for the new one. Keeps the client connected while it lives.
#[derive(Clone)]
pub struct Published {
    pub(super) connection: Arc<Connection>,
    pub(super) key: ConfigKey,
    pub(super) md5: Arc<str>,
    /// The content that was shown before, if that is known.
    pub(super) before: Option<Arc<str>>,
    /// The gray version that it is; `None` for the formal one.
    pub(super) gray: Option<Gray>,
    pub(super) condition: Option<Condition>,
}

/// Whether a server has looked at a condition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// The server publishes over the content that was named, and over no other: Java Nacos since
    /// 2.3, which is known by the abilities that it announces.
    Honoured,
    /// The server announces no abilities: r-nacos, which ignores conditions, or Java Nacos before
    /// 2.3, which honours them. Another client's publish may have been overwritten. Or it is about
    /// a gray version: Java Nacos 2.3.2 with its embedded database does not overwrite another
    /// content, and says that it has.
    Unknown,
}

/// The fate of a document that was published: see [`Published::visible`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Visibility {
    /// A query has returned it.
    Visible,
    /// The server shows another content by now that is not the one from before: somebody else has
    /// published or removed the document meanwhile.
    Replaced,
    /// The server has shown one and the same other content until the end of the request timeout:
    /// it is slow to show what it stores, or somebody else had published before the first look.
    NotSeen,
}

impl Published {
    /// Which document, with its namespace.
    #[must_use]
    pub fn key(&self) -> &ConfigKey {
        &self.key
    }

    /// The digest of what was published, as [`Document::md5`] will show it.
    #[must_use]
    pub fn md5(&self) -> &str {
        &self.md5
    }

    /// Whether the server has looked at the condition; `None` if there was none.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        self.condition
    }

    /// Waits until a query returns what was published.
    ///
    /// Java Nacos answers a publish when its database has it, and shows the old content to queries,
    /// or none, for 35 to 90 ms more; r-nacos shows it at once. This asks the server again and
    /// again, after 5, 10, 20 … ms, at most some fifty times, until the request timeout.
    ///
    /// A node of a cluster shows it when its own copy is there: this says nothing about the others.
    /// For the version of a gray tag, it asks for that version. A server that encrypts by itself
    /// what is published under a name with `cipher-` never shows this digest: that is
    /// [`Visibility::NotSeen`], after the request timeout.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for a beta version, which only the addresses that it is for are
    /// shown, and if this client is one that is shown another version; whatever keeps the server
    /// from answering, such as a missing right to read.
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
    /// # let server = nacos_testkit::Server::builder().observed_timing().start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// use nacos_core::{Publish, Visibility};
    ///
    /// let published = nacos.configs().publish(Publish::new("orders.yaml", "limit: 7")?).await?;
    /// assert_eq!(published.visible().await?, Visibility::Visible);
    ///
    /// let document = nacos.configs().get("orders.yaml").await?.ok_or("it is visible")?;
    /// assert_eq!(&*document.content, "limit: 7");
    /// # Ok(()) }
    /// ```
    pub async fn visible(&self) -> Result<Visibility, Error> {
        let doing = Doing("see what was published as", &self.key);
        let tag = match &self.gray {
            None => None,
            Some(Gray::Tag(tag)) => Some(&**tag),
            Some(Gray::Beta) => {
                let why = "only clients with the addresses of a beta version are shown it";
                return Err(Error::new(ErrorKind::Unsupported, doing).because(why));
            }
        };
        let within = self.connection.options.session.request_timeout;
        let deadline = Instant::now() + within;
        let cap = LONGEST_PAUSE.max(within / 40);
        // The digest of what is shown, of nothing where there is nothing.
        let mut first = self.before.clone().map(Some);
        let mut changed = None;
        let mut answered = None;
        for look in 0.. {
            let Ok(shown) = timeout_at(deadline, shown(&self.connection, &self.key, tag)).await
            else {
                break;
            };
            let shown = match shown?.0 {
                Queried::Absent => None,
                Queried::Asked(document) => Some(document.md5),
                Queried::Gray => return Err(gray_is_shown(doing)),
            };
            if shown.as_ref() == Some(&self.md5) {
                return Ok(Visibility::Visible);
            }
            let now = Instant::now();
            answered = Some(now);
            if *first.get_or_insert_with(|| shown.clone()) != shown {
                // A dump that began before the publish may still end after it.
                if now >= *changed.get_or_insert(now) + SETTLED {
                    return Ok(Visibility::Replaced);
                }
            }
            let pause = give_or_take_a_fifth(doubled(PAUSE, look, cap), fastrand::f64());
            if now + pause >= deadline {
                break;
            }
            sleep_until(now + pause).await;
        }
        // A server that has fallen silent has not shown anything until the end.
        match answered {
            Some(at) if at + within / 2 >= deadline => Ok(Visibility::NotSeen),
            _ => Err(self.connection.nobody_answered(doing)),
        }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("key", &self.key)
            .field("md5", &self.md5)
            .field("condition", &self.condition)
            .finish_non_exhaustive()
    }
}

impl Condition {
    /// The fate of a condition at a server that has announced abilities, or none. Warns of the
    /// first one that may have been ignored.
    pub(super) fn at(announces: bool, connection: &Connection, key: &ConfigKey) -> Self {
        if announces {
            return Self::Honoured;
        }
        if connection.first_unknown_condition() {
            warn!(
                %key,
                "published conditionally on a server that announces no abilities: r-nacos and \
                 others ignore the condition; said once"
            );
        }
        Self::Unknown
    }
}

/// The answer to a query.
#[derive(Debug)]
pub(super) enum Queried {
    Absent,
    /// The version that was asked for.
    Asked(Document),
    /// Another one, because this client is one of those that are shown a gray version.
    Gray,
}

/// Asks for a document, or for the version of a gray tag; says also whether the server that has
/// answered announces abilities.
pub(super) async fn shown(
    connection: &Connection,
    key: &ConfigKey,
    tag: Option<&str>,
) -> Result<(Queried, bool), Error> {
    let doing = Doing("get", key);
    let request = ConfigQueryRequest::new(key).tagged(tag);
    let mut announces = false;
    let note = |abilities: &Abilities, _: &str| {
        announces = !abilities.is_empty();
        None
    };
    let shown = match connection.call_unless(&doing, &request, Repeat::Freely, note).await? {
        Ok(answer) => {
            let is_gray = answer.gray().is_some() && tag.is_none() || answer.beta;
            let document = answer.into_document(key).map_err(|failure| {
                connection.unreadable();
                Error::new(ErrorKind::Protocol, doing).because(failure)
            })?;
            if is_gray { Queried::Gray } else { Queried::Asked(document) }
        }
        Err(refusal) if refusal.says_absent() => Queried::Absent,
        Err(refusal) => return Err(refusal.into_error(doing)),
    };
    Ok((shown, announces))
}

pub(super) fn gray_is_shown(doing: impl fmt::Display) -> Error {
    let why = "the server shows this client a gray version, and not the one that is meant";
    Error::new(ErrorKind::Unsupported, doing).because(why)
}

const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Twice as long as any server was seen to show an old content, and some.
const SETTLED: Duration = Duration::from_millis(500);
