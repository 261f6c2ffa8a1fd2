//! When the server that serves is left for another though it still serves: soon, and ever later
//! where moves do not help.
use std::time::{Duration, Instant};

use super::super::backoff::move_delay;
use crate::{disconnect::Reason, wire::push::Redirect};

/// A move to another server while the one that serves still does.
#[derive(Debug)]
pub(super) struct PlannedMove {
    pub(super) reason: MoveReason,
    /// Where to, until that has been tried.
    pub(super) redirect: Option<Redirect>,
    /// Another has been looked for at least once.
    pub(super) has_begun: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MoveReason {
    /// The server asked for it.
    Reset,
    /// The server is not on the list any more.
    Left,
    /// It answers health checks and nothing else.
    Unresponsive,
}

impl From<MoveReason> for Reason {
    fn from(reason: MoveReason) -> Self {
        match reason {
            MoveReason::Reset => Self::Reset,
            MoveReason::Left => Self::Left,
            MoveReason::Unresponsive => Self::Unresponsive,
        }
    }
}

/// How many moves in a row led to a server that is to be left, too.
#[derive(Debug, Default)]
pub(super) struct Moves {
    resets: u32,
    unresponsive: u32,
}

impl Moves {
    /// The server that has served `since` asks to be left. Returns how long to stay.
    pub(super) fn reset(&mut self, now: Instant, since: Instant, jitter: f64) -> Duration {
        // A load balancer may ask any client to leave, but seldom one that has just come.
        let in_row = now.saturating_duration_since(since) < SOON;
        self.resets = if in_row { self.resets.saturating_add(1) } else { 0 };
        move_delay(self.resets.saturating_sub(1), jitter)
    }

    /// The server does nothing that it is asked for. Returns how long to stay.
    pub(super) fn unresponsive(&mut self, jitter: f64) -> Duration {
        let delay = move_delay(self.unresponsive, jitter);
        self.unresponsive = self.unresponsive.saturating_add(1);
        delay
    }

    /// A server has answered a request.
    pub(super) fn answered(&mut self) {
        self.unresponsive = 0;
    }

    /// Whether nobody has answered since the last server was found to be unresponsive.
    pub(super) fn is_unresponsive(&self) -> bool {
        self.unresponsive > 0
    }
}

/// A server that asks to be left within this time after it began to serve sends newcomers away.
const SOON: Duration = Duration::from_secs(60);
