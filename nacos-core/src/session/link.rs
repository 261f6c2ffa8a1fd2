//! One connection on its way: dialled, checked, set up, registered.
//!
//! ```text
//!   Dialling ──▶ Checking ──▶ SettingUp ──▶ Ready ──▶ Retiring
//!      TCP      ServerCheck    stream,      serves     until what is under
//!                              setup ack              way on it has ended
//! ```
use std::time::{Duration, Instant};

use super::CallId;
use crate::server::Server;

/// Names a connection. Never used twice.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct LinkId(pub(crate) u64);

/// A connection and how far it has come.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Server,
    pub(crate) phase: Phase,
}

/// How far a connection has come. What is only known in one phase lives in that phase.
#[derive(Debug)]
pub(crate) enum Phase {
    Dialling {
        deadline: Instant,
    },
    Checking {
        call: CallId,
        deadline: Instant,
    },
    SettingUp {
        deadline: Instant,
        registration: Registration,
    },
    Ready,
    /// Replaced, and kept until its successor holds every claim and every request on it has ended.
    Retiring {
        deadline: Instant,
    },
}

/// How the server shows that it has registered the connection.
#[derive(Debug)]
pub(crate) enum Registration {
    /// It announced a `SetupAckRequest`.
    Announced,
    /// It does not: health checks are sent until one succeeds.
    Probed { call: Option<CallId>, next_at: Instant, pause: Duration },
}

impl Link {
    /// A connection that is being dialled; TCP, TLS and server check have a second together.
    pub(crate) fn dialling(server: Server, now: Instant) -> Self {
        Self { server, phase: Phase::Dialling { deadline: now + CONNECT_TIMEOUT } }
    }

    /// When this connection has to be looked after.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Dialling { deadline }
            | Phase::Checking { deadline, .. }
            | Phase::Retiring { deadline }
            | Phase::SettingUp { deadline, registration: Registration::Announced } => {
                Some(*deadline)
            }
            Phase::SettingUp {
                deadline,
                registration: Registration::Probed { call, next_at, .. },
            } => Some(if call.is_some() { *deadline } else { *deadline.min(next_at) }),
            Phase::Ready => None,
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

/// For TCP, TLS and server check of one address.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// From the setup message to its acknowledgement; 4 to 82 ms were seen.
pub(crate) const SETUP_TIMEOUT: Duration = Duration::from_secs(1);
/// The first pause after a health check that came too early; doubled each time.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// How long a replaced connection is kept at least: as long as a request of the session's own takes.
pub(crate) const RETIREMENT: Duration = Duration::from_secs(3);
/// When to look again whether users' requests are still under way on it.
pub(crate) const BUSY_PAUSE: Duration = Duration::from_millis(250);
