//! How a client governs its pulls: the queries by which the session asks for watched documents.
use std::time::Instant;

use crate::error::ErrorKind;

/// How a client governs its pulls, which are the queries for documents that it watches. Read it
/// through [`Configs::storm`](crate::Configs::storm).
///
/// Users' own [`get`](crate::Configs::get) is no pull: it is neither charged nor stopped.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StormReport {
    /// Whether the client pulls.
    pub mode: PullMode,
    /// Whether it has not pulled for more than 60 s, since it went read-only or was frozen.
    pub is_alarming: bool,
    /// Documents that are watched.
    pub watched: usize,
    /// Documents that may have changed, and wait for a query: for a token, for the end of a
    /// stagger, for pulls to go on, or for one of the 64 queries at once to be answered.
    pub waiting: usize,
    /// Queries under way.
    pub under_way: usize,
    /// Tokens that were left at [`at`](Self::at): one a query.
    pub tokens: u64,
    /// The moment at which the tokens were counted; since then some have come back.
    pub at: Instant,
    /// The most tokens that there can be.
    pub capacity: u64,
    /// Tokens that come back in a second; fewer for a while after the server was overloaded.
    pub refill: u64,
    /// Until when documents are not asked for that a listen found changed after the last mass
    /// event; in the past if that is over.
    pub staggered_until: Option<Instant>,
    /// The decisions since the client was built.
    pub counts: PullCounts,
}

impl StormReport {
    /// The report of a client that has not begun.
    pub(crate) fn none(at: Instant) -> Self {
        Self {
            mode: PullMode::Normal,
            is_alarming: false,
            watched: 0,
            waiting: 0,
            under_way: 0,
            tokens: 0,
            at,
            capacity: 0,
            refill: 0,
            staggered_until: None,
            counts: PullCounts::default(),
        }
    }
}

/// Whether a client pulls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PullMode {
    /// It asks for what may have changed.
    Normal,
    /// Queries went unanswered, several in a row: it shows what it has, and asks for nothing but
    /// documents of which it knows nothing yet.
    ReadOnly {
        /// Since when.
        since: Instant,
    },
    /// The server answers again. The client asks for the changes of the meantime, and two more
    /// timeouts make it read-only again.
    Recovering {
        /// Since when it had been read-only.
        since: Instant,
    },
    /// Frozen by an operator: it asks for nothing, until [`thaw`](crate::Configs::thaw).
    Frozen {
        /// Since when.
        since: Instant,
    },
}

impl PullMode {
    /// A word for it: `normal`, `read_only`, `recovering` or `frozen`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::ReadOnly { .. } => "read_only",
            Self::Recovering { .. } => "recovering",
            Self::Frozen { .. } => "frozen",
        }
    }
}

/// Why a document that may have changed has not been asked for within a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PullHold {
    /// There is no token.
    Throttled,
    /// A mass event: the clients of a server ask one after the other.
    Staggered,
    ReadOnly,
    Frozen,
}

impl PullHold {
    /// The same as a reason for which a value is stale.
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::Throttled | Self::Staggered | Self::Frozen => ErrorKind::Overloaded,
            Self::ReadOnly => ErrorKind::Timeout,
        }
    }
}

/// The decisions of a client's governor, in numbers since the client was built.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PullCounts {
    /// Queries for documents of which nothing was known.
    pub start: u64,
    /// Queries after a push.
    pub push: u64,
    /// Queries after a listen that found a difference, repeated ones, and polls.
    pub audit: u64,
    /// Documents that had waited for a second and had not been asked for, by the reason.
    pub held: HoldCounts,
    /// Queries that were not answered in time and count against the server: those that were under
    /// way together count once.
    pub timeouts: u64,
    /// How often the server said that it is overloaded: several answers within a second count once.
    pub overloads: u64,
    /// Mass events.
    pub staggers: u64,
    /// Pushes whose document waited because all of its watches have a
    /// [`pull_jitter`](crate::Watch::pull_jitter).
    pub jittered: u64,
    /// How often the client went read-only, and what ended it.
    pub read_only: ReadOnlyCounts,
}

/// Documents that had waited for a second, by the reason.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HoldCounts {
    /// For a token.
    pub throttled: u64,
    /// For their turn after a mass event.
    pub staggered: u64,
    /// For a server that answers again.
    pub read_only: u64,
    /// For an operator.
    pub frozen: u64,
}

/// How often a client went read-only, and what ended it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReadOnlyCounts {
    /// How often it began.
    pub entered: u64,
    /// Ended by the answer to a listen that a push had caused.
    pub left_by_push: u64,
    /// Ended by the first answer over another connection.
    pub left_by_reconnect: u64,
    /// Ended by the answer to a probe.
    pub left_by_probe: u64,
    /// Ended by a query that was answered after all.
    pub left_by_answer: u64,
}
