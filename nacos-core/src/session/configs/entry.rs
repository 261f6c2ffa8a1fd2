//! One watched document: its last state, and whether it is to be asked for.
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{asked::Ticket, governor::Class};
use crate::{
    document::{Document, DocumentState},
    error::ErrorKind,
    session::{cause::Cause, guard_set::GuardSet, ids::GuardId},
};

#[derive(Debug)]
pub(super) struct Entry {
    /// How many were watched before it: what is done for many is done in this order.
    pub(super) place: u64,
    /// The state that was last received, with which the next listen compares.
    pub(super) state: DocumentState,
    /// The content from before the client started, until the server has said something: listens
    /// compare with it, and nobody is shown it from here.
    pub(super) remembered: Option<Box<Document>>,
    pub(super) standing: SyncState,
    pub(super) failures: u32,
    /// Why it is asked for next, or was asked for last.
    pub(super) class: Class,
    /// Set if the server of this connection does not let us listen, for want of a right.
    pub(super) refused_listen: Option<Box<RefusedListen>>,
    /// Guards that want it to be asked for regularly as long as that is so.
    pub(super) pollers: GuardSet,
    /// How long guards let it wait after a push.
    pub(super) pull_jitters: BTreeMap<GuardId, Duration>,
}

/// A listen was refused for want of a right.
#[derive(Clone, Debug)]
pub(super) struct RefusedListen {
    pub(super) why: Cause,
    /// The server's text.
    pub(super) message: Arc<str>,
    /// Whether the document itself can be read; not known before it was asked for.
    pub(super) readable: Option<bool>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SyncState {
    /// No listen of this connection has been answered yet.
    Unsure,
    Clean,
    /// To be asked for; if it failed, or is polled, not before a time.
    Dirty {
        not_before: Option<Instant>,
    },
    /// To be asked for after a push, when it is this client's turn.
    Pushed {
        turn: Instant,
    },
    Asking {
        ticket: Ticket,
        hinted: Option<PullTurn>,
    },
}

/// When a document is to be asked for that a push was about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum PullTurn {
    Now,
    At(Instant),
}

impl Entry {
    /// A new connection: no listen has been answered on it.
    pub(super) fn reconnected(&mut self) {
        self.standing = SyncState::Unsure;
        self.failures = 0;
        self.refused_listen = None;
    }

    /// How long all of so many guards let it wait after a push.
    pub(super) fn jitter_of(&self, guards: usize) -> Duration {
        let all = Some(&self.pull_jitters).filter(|jitters| jitters.len() >= guards);
        all.and_then(|all| all.values().min().copied()).unwrap_or_default()
    }

    /// Whether the last query, or the listen, was refused or failed.
    pub(super) fn has_failed(&self) -> bool {
        match self.standing {
            SyncState::Asking { .. }
            | SyncState::Pushed { .. }
            | SyncState::Dirty { not_before: None } => false,
            SyncState::Dirty { not_before: Some(_) } => true,
            SyncState::Unsure | SyncState::Clean => {
                matches!(self.state, DocumentState::Unreachable { why: ErrorKind::Denied, .. })
            }
        }
    }

    /// Whether the server has said whether it exists.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.state, DocumentState::Present(_) | DocumentState::Absent)
    }

    /// Whether nothing is known of it: neither content nor that there is none.
    pub(super) fn is_unseen(&self) -> bool {
        matches!(self.state, DocumentState::Pending | DocumentState::Unreachable { last: None, .. })
    }

    /// Whether the last query was refused although the listen was not.
    pub(super) fn is_withheld(&self) -> bool {
        let is_denied =
            matches!(self.state, DocumentState::Unreachable { why: ErrorKind::Denied, .. });
        is_denied && self.refused_listen.is_none()
    }

    pub(super) fn unreachable(&mut self, why: &Cause) -> Option<DocumentState> {
        let last = self.state.document().cloned();
        let cause = Arc::clone(&why.text);
        let state = DocumentState::Unreachable { last, why: why.kind, cause };
        if self.state == state {
            return None;
        }
        self.state = state.clone();
        Some(state)
    }
}

impl SyncState {
    pub(super) fn is_dirty(self, now: Instant) -> bool {
        match self {
            Self::Dirty { not_before } => not_before.is_none_or(|at| at <= now),
            Self::Pushed { turn } => turn <= now,
            Self::Unsure | Self::Clean | Self::Asking { .. } => false,
        }
    }

    /// After an answer: dirty again if a hint came meanwhile.
    pub(super) fn answered(self, rest: Self) -> Self {
        match self {
            Self::Asking { hinted: Some(due), .. } => due.into(),
            _ => rest,
        }
    }

    pub(super) fn is_asking(self) -> bool {
        matches!(self, Self::Asking { .. })
    }

    /// Whether this very query is under way.
    pub(super) fn is_query(self, ticket: Ticket) -> bool {
        matches!(self, Self::Asking { ticket: asked, .. } if asked == ticket)
    }

    /// Whether this very query is under way, and no hint has come since.
    pub(super) fn is_settled_query(self, ticket: Ticket) -> bool {
        self.is_query(ticket) && self.is_settled()
    }

    /// Whether no hint has come during the query.
    pub(super) fn is_settled(self) -> bool {
        matches!(self, Self::Asking { hinted: None, .. })
    }
}

impl From<PullTurn> for SyncState {
    fn from(due: PullTurn) -> Self {
        match due {
            PullTurn::Now => Self::Dirty { not_before: None },
            PullTurn::At(turn) => Self::Pushed { turn },
        }
    }
}
