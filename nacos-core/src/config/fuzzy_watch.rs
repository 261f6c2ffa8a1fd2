//! The documents that match a pattern, under watch.
use std::{fmt, sync::Arc};

use crate::{
    connection::{ClaimGuard, Connection},
    error::{Error, ErrorKind},
    key::ConfigPattern,
    live::Live,
    matched_keys::{Completeness, KeyChange, MatchedKeys},
    state::ClaimState,
    wire,
};

/// Which documents match a pattern, watched for as long as this lives: Nacos' *fuzzy watch*.
///
/// It tells which documents there are, and when one comes or goes; never their content, nor that it
/// has changed: [`Configs::watch`](crate::Configs::watch) does that, document by document.
///
/// Java servers have it since 3.0. Where the server has not announced the ability `fuzzyWatch`,
/// such as Java 2.x and r-nacos, the claim is refused as
/// [`Unsupported`](ErrorKind::Unsupported); another connection, to a server that has it, is asked
/// anew. Seen with Java Nacos 3.0.3; what 3.3 does is taken from its specification, *not seen*.
///
/// # Contract
///
/// - **First the whole set, then differences.** [`ready`](Self::ready) waits for the whole set, and
///   so does [`changes`](Self::changes), which then gives the differences to what it gave before.
/// - **The last state is never lost.** After each reconnect the server is told what is known, and
///   sends what differs. All is compared again every 3 min (± 20 %), because pushes of a server
///   have no order among each other. A reader that is slow sees fewer states, and comes to see the
///   last one. While a connection is missing, the last set stays; [`claim`](Self::claim) is
///   [`Pending`](ClaimState::Pending) until the server has agreed again.
/// - **Many watches of one pattern are one.** The server's watch ends with the last of them.
/// - **Limits are errors of their own.** A server watches 20 patterns of all its clients together,
///   and 500 matches of each: [`TooManyPatterns`](ErrorKind::TooManyPatterns), tried again about
///   every minute, and [`TooManyMatches`](ErrorKind::TooManyMatches), with which the set is
///   [`Partial`](Completeness::Partial). Exactly 500 matches are too many already.
/// - **No server fills the memory.** At most 10 000 keys are kept, and none that does not match.
///
/// Servers check the right to read all documents of the default namespace, `public:*:config/*`,
/// whatever the pattern's namespace is (by their source; *not seen*).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use nacos_core::{KeyChange, Publish};
///
/// let configs = nacos.configs();
/// configs.publish(Publish::new("orders-1.yaml", "limit: 7")?).await?;
/// let mut watch = configs.fuzzy_watch("orders-*")?.ready().await?;
/// assert_eq!(watch.matched().keys.len(), 1);
///
/// configs.publish(Publish::new("orders-2.yaml", "limit: 8")?).await?;
/// while let Some(changes) = watch.changes().await {
///     let added = |change: &KeyChange| {
///         matches!(change, KeyChange::Added(key) if key.data_id().as_str() == "orders-2.yaml")
///     };
///     if changes.iter().any(added) {
///         break;
///     }
/// }
/// # Ok(()) }
/// ```
#[must_use = "the watch ends as soon as this is dropped"]
pub struct FuzzyWatch {
    pattern: ConfigPattern,
    claim: ClaimGuard,
    matched: Live<MatchedKeys>,
    /// The set as far as [`changes`](Self::changes) has told of it.
    told: MatchedKeys,
}

impl FuzzyWatch {
    pub(super) fn new(connection: &Arc<Connection>, pattern: ConfigPattern) -> Self {
        let (claim, matched) = connection.fuzzy_watch(&pattern);
        Self { pattern, claim, matched, told: MatchedKeys::default() }
    }

    /// Waits until the server has named all documents that match.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the server has no fuzzy watches.
    /// - [`ErrorKind::TooManyPatterns`], [`ErrorKind::TooManyMatches`]: a limit of the server. To
    ///   use a set of which some are missing, wait with [`changed`](Self::changed) instead.
    /// - [`ErrorKind::Denied`], naming the right; and whatever else the server refuses it for.
    /// - Nobody has answered within the request timeout.
    ///
    /// The watch is over then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the watch.
    pub async fn ready(self) -> Result<Self, Error> {
        let doing = format!("watch which documents match {}", self.pattern);
        let mut matched = self.matched.clone();
        self.claim.settled(&doing, &mut matched, MatchedKeys::is_known).await?;
        // The set may be that of another watch, of which the server knows no more.
        self.claim.held(&doing).await?;
        if matched.get().completeness == Completeness::Partial {
            let error = Error::new(ErrorKind::TooManyMatches, doing);
            return Err(error.with_code(wire::TOO_MANY_MATCHES));
        }
        Ok(self)
    }

    /// Which pattern, with its namespace.
    #[must_use]
    pub fn pattern(&self) -> &ConfigPattern {
        &self.pattern
    }

    /// The documents that match, as far as they are known.
    #[must_use]
    pub fn matched(&self) -> Arc<MatchedKeys> {
        self.matched.get()
    }

    /// Waits for a newer set than the last one that was waited for, or one of another
    /// [completeness](Completeness); `None` once the client is shut down. Sets in between are
    /// skipped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn changed(&mut self) -> Option<Arc<MatchedKeys>> {
        self.matched.changed().await
    }

    /// Waits for differences to the set that this has told of before: at first the whole set, once
    /// the server has named it, even if it is empty. Never empty after that. `None` once the client
    /// is shut down.
    ///
    /// Removals come first. A document that was removed and published again before this was called
    /// is no difference.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn changes(&mut self) -> Option<Vec<KeyChange>> {
        let Self { matched, told, .. } = self;
        let is_first = !told.is_known();
        let is_news = |now: &MatchedKeys| now.is_known() && (is_first || now.keys != told.keys);
        let now = matched.wait_for(is_news).await?;
        let changes = now.since(told);
        *told = (*now).clone();
        Some(changes)
    }

    /// A reader of the set that keeps neither the watch nor the client alive.
    #[must_use]
    pub fn live(&self) -> Live<MatchedKeys> {
        self.matched.clone()
    }

    /// How much the server knows of this watch.
    #[must_use]
    pub fn claim(&self) -> Live<ClaimState> {
        self.claim.state()
    }
}

/// Shows the pattern, how many documents match, and whether these are all.
impl fmt::Debug for FuzzyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matched = self.matched.get();
        f.debug_struct("FuzzyWatch")
            .field("pattern", &format_args!("{}", self.pattern))
            .field("matches", &matched.keys.len())
            .field("completeness", &matched.completeness)
            .field("claim", &self.claim.state().get())
            .finish_non_exhaustive()
    }
}
