//! One connection on its way: dialled, checked, set up, registered.
//!
//! ```text
//!   Dialling ──▶ Checking ──▶ SettingUp ──▶ Ready ──▶ Retiring
//!   TCP, TLS    ServerCheck    stream,      serves    for as long as what is
//!                              setup ack              under way on it may take
//! ```
use std::time::{Duration, Instant};

use crate::{server::Server, session::ids::CallId};

/// How many addresses the name of a server has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Addresses {
    One,
    /// Servers of the same name may stand at the others.
    More,
}

/// A connection and how far it has come.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Server,
    /// The addresses that its name leads to, as far as is known.
    pub(crate) addresses: Addresses,
    pub(crate) phase: Phase,
    /// How long each step of the handshake may take.
    pub(crate) within: Duration,
    /// How long the server check was under way.
    pub(crate) round_trip: Option<Duration>,
    /// Whether the server was asked once more how it names the connection.
    pub(crate) is_named: bool,
}

/// How far a connection has come. Each phase holds the facts that only it knows.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The driver reports how dialling ended, in any case.
    Dialling {
        /// A failure after this may be due to too little time.
        late: Instant,
    },
    Checking {
        call: CallId,
        deadline: Instant,
    },
    SettingUp {
        deadline: Instant,
        confirmation: SetupConfirmation,
    },
    Ready,
    /// Replaced, and kept for as long as requests are under way on it.
    Retiring {
        deadline: Instant,
        /// None of them takes longer.
        at_most: Instant,
    },
}

/// How the server shows that it has registered the connection.
#[derive(Debug)]
pub(crate) enum SetupConfirmation {
    /// It announced a `SetupAckRequest`.
    Announced,
    /// It does not: health checks are sent until one succeeds.
    Probed { call: Option<CallId>, next_at: Instant, refusals: u32 },
}

impl SetupConfirmation {
    /// Whether the server has said again and again that it does not know the connection, and was
    /// quick to say so.
    pub(crate) fn was_refused_all_the_time(&self) -> bool {
        matches!(self, Self::Probed { refusals, .. } if *refusals >= REFUSED_OFTEN)
    }
}

impl Link {
    /// A connection that is being dialled.
    pub(crate) fn dialling(server: Server, now: Instant, within: Duration) -> Self {
        Self {
            server,
            addresses: Addresses::One,
            phase: Phase::Dialling { late: now + within },
            within,
            round_trip: None,
            is_named: false,
        }
    }

    /// When this connection has to be looked after.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Checking { deadline, .. }
            | Phase::Retiring { deadline, .. }
            | Phase::SettingUp { deadline, confirmation: SetupConfirmation::Announced } => {
                Some(*deadline)
            }
            Phase::SettingUp {
                deadline,
                confirmation: SetupConfirmation::Probed { call, next_at, .. },
            } => Some(if call.is_some() { *deadline } else { *deadline.min(next_at) }),
            Phase::Dialling { .. } | Phase::Ready => None,
        }
    }

    /// Whether what fails now may have had too little time.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        match &self.phase {
            Phase::Dialling { late: deadline }
            | Phase::Checking { deadline, .. }
            | Phase::SettingUp { deadline, .. } => *deadline <= now,
            Phase::Ready | Phase::Retiring { .. } => false,
        }
    }

    /// The step that a connection waits for, as the reason why it is not up yet.
    pub(crate) fn missing(&self) -> &'static str {
        match &self.phase {
            Phase::Dialling { .. } => "no HTTP/2 connection yet",
            Phase::Checking { .. } => "no answer to the server check yet",
            Phase::SettingUp { .. } => "the setup was not acknowledged yet",
            Phase::Ready | Phase::Retiring { .. } => "",
        }
    }

    /// Whether it has not come up yet.
    pub(crate) fn is_candidate(&self) -> bool {
        matches!(
            self.phase,
            Phase::Dialling { .. } | Phase::Checking { .. } | Phase::SettingUp { .. }
        )
    }
}

/// Refusals that take half a second together: no stream is so much slower than calls beside it.
const REFUSED_OFTEN: u32 = 9;
/// How long a replaced connection is kept at least: as long as a request of the session's own
/// takes.
pub(crate) const RETIREMENT: Duration = Duration::from_secs(3);
/// When to look again whether users' requests are still under way on it.
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(250);
