//! A document under watch.
use std::{fmt, sync::Arc, time::Duration};

use crate::{
    connection::{ClaimGuard, Connection},
    document::DocumentState,
    error::{Error, ErrorKind},
    freshness::Freshness,
    key::ConfigKey,
    live::Live,
    start_policy::StartPolicy,
    state::ClaimState,
    time::LONGEST,
};

/// A document that is watched for as long as this lives.
///
/// It is listened to again at once after every reconnect, so no change is missed, and none is
/// reported twice. After an outage of many clients, what has changed is asked for within
/// [`pull_stagger`](crate::ClientBuilder::pull_stagger). Dropping it ends the watch;
/// [`live`](Self::live) readers keep the last state and end.
///
/// # Contract
///
/// - **The current state comes first.** A watch begins with what the server shows when it is made,
///   not with the next change; where its [start policy](crate::StartPolicy) allows, with a
///   snapshot, and [`freshness`](Self::freshness) says so. One that joins another is told at once
///   what that one knows.
/// - **No state is older than the one before.** A reader sees states in the order in which the
///   server showed them; those in between may be skipped. Of a cluster whose nodes lag behind each
///   other, that holds for each connection: another node may show for a moment what it still has.
/// - **The last state is never lost.** Each reader comes to see what the server shows in the end,
///   whatever was lost on the way: a push, a connection, an answer.
/// - **A slow or panicking reader hurts nobody.** It costs its own freshness, and neither the
///   connection nor another reader.
/// - **A removal is a state.** [`Absent`](DocumentState::Absent) is the server's own word, also
///   after an outage; a server that cannot be asked is [`Unreachable`](DocumentState::Unreachable).
/// - **Many watches of a document are one listen.** A change is one query, however many wait for
///   it.
/// - **The listen ends with the last watch.** The one before goes on until then.
/// - **A document that is being modified is asked for again.** Java Nacos answers so while it
///   writes a document down; the former content stays known.
/// - **Unreadable content replaces nothing.** With [filters](crate::filter), a reader is shown
///   their result for the newest state that passed. One that does not pass is
///   [`Unreachable`](DocumentState::Unreachable) with the filter's reason, and with the content
///   that passed last; [`freshness`](Self::freshness) is `Stale`. It is tried again after 1, 2, 4 …
///   60 s, so that it needs no new publish to heal. Until a newer state has passed or failed, the
///   former one stays as it was.
/// - **Times order nothing.** Servers' clocks differ and jump: contents are compared by digest.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::start().await?;
/// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
/// use nacos_core::{DocumentState, Publish};
///
/// let mut watch = nacos.configs().watch("orders.yaml")?.ready().await?;
/// assert_eq!(*watch.state(), DocumentState::Absent);
///
/// nacos.configs().publish(Publish::new("orders.yaml", "limit: 7")?).await?;
/// let state = watch.changed().await.ok_or("the client was shut down")?;
/// assert_eq!(state.document().map(|document| &*document.content), Some("limit: 7"));
/// # Ok(()) }
/// ```
#[must_use = "the watch ends as soon as this is dropped"]
pub struct Watch {
    key: ConfigKey,
    claim: ClaimGuard,
    state: Live<DocumentState>,
    freshness: Live<Freshness>,
    polls: bool,
    pull_jitter: Option<Duration>,
}

impl Watch {
    pub(super) fn new(connection: &Arc<Connection>, key: ConfigKey) -> Self {
        let (claim, state, freshness) = connection.watch(&key, connection.options.start_policy);
        Self { key, claim, state, freshness, polls: false, pull_jitter: None }
    }

    /// Takes the first state by this policy, in place of the client's. For the beginning: readers
    /// of the former state end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let key = nacos_core::ConfigKey::try_from("limits")?;
    /// # let limits = nacos_core::Document::new("7", "text");
    /// # nacos_core::SnapshotDir::new(directory.path(), "blue").write(&key, Some(&limits))?;
    /// # let directory = directory.path().display().to_string();
    /// use nacos_core::{Client, Freshness, StartPolicy};
    ///
    /// // No server is there.
    /// let nacos = Client::builder()
    ///     .server_addr("127.0.0.1:1")
    ///     .snapshot_dir(directory)
    ///     .snapshot_scope("blue")
    ///     .connect_lazy()?;
    /// let watch = nacos.configs().watch("limits")?.start(StartPolicy::snapshot_first()).ready().await?;
    /// assert_eq!(watch.state().document().map(|document| &*document.content), Some("7"));
    /// assert!(matches!(*watch.freshness().get(), Freshness::FromDisk { .. }));
    /// # Ok(()) }
    /// ```
    pub fn start(mut self, policy: StartPolicy) -> Self {
        // The new claim first: there is no moment without one.
        let (claim, state, freshness) = self.claim.connection().watch(&self.key, policy);
        self.claim = claim;
        self.state = state;
        self.freshness = freshness;
        if let Some(most) = self.pull_jitter {
            self.claim.pull_jitter(most);
        }
        if self.polls { self.poll_when_refused() } else { self }
    }

    /// Asks for the document every 30 s (± 20 %) for as long as the server does not let this client
    /// listen to it. Off by default: the more clients poll, the more their servers have to do, and
    /// a change is seen half a minute late.
    ///
    /// Java Nacos authorises listening for a whole namespace, by the right to read
    /// `namespace:*:config/*`: a user who has rights on one group only can read its documents, but
    /// not listen to them. Without this, such a watch is
    /// [`Unreachable`](DocumentState::Unreachable), with the last content that was read and a cause
    /// that names the right. With it the document is shown as it was last read, while
    /// [`claim`](Self::claim) says that the listen is refused. The listen is asked for again about
    /// every minute; polling ends when it is granted, and with the watch.
    ///
    /// The right of the default namespace is `:*:config/*`. A right that begins with `public`
    /// covers nothing on 2.3.2, and by its source on 2.5.1; 3.0.3 takes both spellings, by its
    /// source. The right to listen is also the right to read all documents of its namespace. On
    /// 2.3.2, `namespace:[*]:config/[*]` lets a user listen and no more, because the server takes a
    /// right for a regular expression: together with the right on one group, that is the least with
    /// which a watch works.
    ///
    /// r-nacos gives namespaces as a whole, and refuses no listen: there, this has no effect.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # server.publish("", "ORDERS", "limits", "7");
    /// # server.limit_rights(Some(&[":ORDERS:config/*"]));
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// let watch = nacos.configs().watch(("limits", "ORDERS"))?.poll_when_refused().ready().await?;
    /// assert!(watch.state().document().is_some());
    /// # Ok(()) }
    /// ```
    pub fn poll_when_refused(mut self) -> Self {
        self.claim.poll_when_refused();
        self.polls = true;
        self
    }

    /// Lets the document wait, after a push, for any part of `most` before it is asked for: for a
    /// document that thousands of instances watch. None by default, with which a change is seen at
    /// once. Which part it is is a hash over the option `instance_id`, another one each time.
    ///
    /// Of several watches of one document in a client, the one that wants it soonest decides. A
    /// change that a listen finds, such as after a reconnect, does not wait.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// use std::time::Duration;
    ///
    /// let common = nacos.configs().watch(("common.yaml", "PLATFORM"))?;
    /// let common = common.pull_jitter(Duration::from_secs(1)).ready().await?;
    /// # Ok(()) }
    /// ```
    pub fn pull_jitter(mut self, most: Duration) -> Self {
        let most = most.min(LONGEST);
        self.claim.pull_jitter(most);
        self.pull_jitter = Some(most);
        self
    }

    /// Waits until the server has said whether the document exists, or a snapshot says so as far as
    /// the [start policy](Self::start) lets it.
    ///
    /// # Errors
    ///
    /// The server refused, or what it sent is not to be read; or nothing that passes by itself has
    /// passed within the request timeout. The watch is over then; to keep it, wait for
    /// [`changed`](Self::changed) instead.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the watch.
    pub async fn ready(mut self) -> Result<Self, Error> {
        let (polls, asks) = (self.polls, self.claim.asks());
        let settled = |state: &DocumentState| match state {
            DocumentState::Pending => false,
            DocumentState::Present(_) | DocumentState::Absent => true,
            // Perhaps from before it was polled: the claim tells whether it cannot be read either.
            DocumentState::Unreachable { why: ErrorKind::Denied, .. } if polls => false,
            // Where nobody is asked, nothing passes by itself.
            DocumentState::Unreachable { why, .. } => !why.is_retryable() || !asks,
        };
        let doing = format!("watch {}", self.key);
        let outcome = self.claim.settled(&doing, &mut self.state, settled).await;
        let unexplained =
            outcome.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Timeout);
        match self.state.get().error_of(&doing).filter(|_| unexplained) {
            Some(withheld) => Err(self.claim.refused(&doing).unwrap_or(withheld)),
            None => outcome.map(|()| self),
        }
    }

    /// Which document.
    #[must_use]
    pub fn key(&self) -> &ConfigKey {
        &self.key
    }

    /// The newest known state of the document.
    #[must_use]
    pub fn state(&self) -> Arc<DocumentState> {
        self.state.get()
    }

    /// Waits for a newer state than the last one that was waited for; `None` once the client is
    /// shut down. States in between are skipped.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future loses no state.
    pub async fn changed(&mut self) -> Option<Arc<DocumentState>> {
        self.state.changed().await
    }

    /// A reader of the state that keeps neither the watch nor the client alive.
    #[must_use]
    pub fn live(&self) -> Live<DocumentState> {
        self.state.clone()
    }

    /// Where the state comes from, and how sure it is. A state that the server confirms wakes a
    /// reader of this, and none of the state.
    ///
    /// A reader that is woken, by either, finds both. One that looks by itself, while they change,
    /// reads this first: then it finds no state that is less sure than it says.
    #[must_use]
    pub fn freshness(&self) -> Live<Freshness> {
        self.freshness.clone()
    }

    /// How much the server knows of this watch.
    #[must_use]
    pub fn claim(&self) -> Live<ClaimState> {
        self.claim.state()
    }

    /// Asks for the document again. A hint: several at once are one query.
    pub fn refetch(&self) {
        self.claim.refetch();
    }
}

/// Shows which document, and what is known of it; no content.
impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Watch");
        shown.field("key", &format_args!("{}", self.key)).field("state", &self.state.get());
        // The time of a confirmation is of interest to nobody who reads this.
        let freshness = self.freshness.get();
        if !freshness.is_confirmed() {
            shown.field("freshness", &freshness);
        }
        shown.field("claim", &self.claim.state().get()).finish_non_exhaustive()
    }
}
