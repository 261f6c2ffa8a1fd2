//! When the server that serves is left for another though it still serves: soon, and ever later
//! where moves do not help.
use std::time::Duration;

use super::super::backoff::move_delay;
use crate::{disconnect::Reason, wire::push::Redirect};

/// The move that is planned, and how many in a row led to a server that is to be left, too.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// The next search is for another server than the one that serves.
    planned: Option<PlannedMove>,
    resets: u32,
    unresponsive: u32,
}

/// A move to another server while the one that serves still does.
#[derive(Debug)]
struct PlannedMove {
    reason: MoveReason,
    /// Where to, until that has been tried.
    redirect: Option<Redirect>,
    /// Another has been looked for at least once.
    has_begun: bool,
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

impl Moves {
    /// Another server is to serve.
    pub(super) fn plan(&mut self, reason: MoveReason) {
        self.planned = Some(PlannedMove { reason, redirect: None, has_begun: false });
    }

    /// The server asks for the move that is planned, to this other one if it names it.
    pub(super) fn redirect(&mut self, redirect: Option<Redirect>) {
        if let Some(planned) = &mut self.planned {
            planned.reason = MoveReason::Reset;
            planned.redirect = redirect;
        }
    }

    /// Another server is looked for. Returns the one to begin with, if one was named.
    pub(super) fn begin(&mut self) -> Option<Redirect> {
        let planned = self.planned.as_mut()?;
        planned.has_begun = true;
        planned.redirect.take()
    }

    /// The move is not planned any more, if this was its reason. Says whether it was.
    pub(super) fn cancel(&mut self, reason: MoveReason) -> bool {
        self.planned.take_if(|planned| planned.reason == reason).is_some()
    }

    /// Another server serves. Returns why, if that was planned.
    pub(super) fn end(&mut self) -> Option<MoveReason> {
        self.planned.take().map(|planned| planned.reason)
    }

    /// Whether a move is planned.
    pub(super) fn is_planned(&self) -> bool {
        self.planned.is_some()
    }

    /// Whether one is planned, and has not begun.
    pub(super) fn is_put_off(&self) -> bool {
        self.planned.as_ref().is_some_and(|planned| !planned.has_begun)
    }

    /// Why one is planned.
    pub(super) fn reason(&self) -> Option<MoveReason> {
        self.planned.as_ref().map(|planned| planned.reason)
    }

    /// The server that has served for `age` asks to be left. Returns how long to stay.
    pub(super) fn reset(&mut self, age: Duration, jitter: f64) -> Duration {
        // A load balancer may ask any client to leave, but seldom one that has just come.
        let in_row = age < SOON;
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
