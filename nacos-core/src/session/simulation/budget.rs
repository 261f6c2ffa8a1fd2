//! How much a session may ask of its servers, whatever goes wrong.
use std::time::Duration;

use super::*;

/// The number of effects, in all and in the present minute.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Whether there is an end to it: in a history of few claims.
    pub(super) is_bounded: bool,
    /// Requests from the beginning on.
    pub(super) calls: usize,
    minute: u64,
    spent: Spent,
}

#[derive(Debug, Default)]
struct Spent {
    dials: usize,
    logins: usize,
    locates: usize,
    calls: usize,
}

impl Budget {
    /// At `time` after the beginning.
    pub(super) fn spend(&mut self, time: Duration, effect: &Effect) {
        let minute = time.as_secs() / 60;
        if std::mem::replace(&mut self.minute, minute) != minute {
            self.spent = Spent::default();
        }
        match effect {
            Effect::Dial { .. } => self.spent.dials += 1,
            Effect::Login { .. } => self.spent.logins += 1,
            Effect::FetchServerList => self.spent.locates += 1,
            Effect::Call { .. } => {
                self.spent.calls += 1;
                self.calls += 1;
            }
            Effect::OpenStream { .. } | Effect::Close { .. } => {}
        }
        assert!(
            !self.is_bounded || self.spent.is_modest(),
            "a hot loop: {:?} a minute",
            self.spent
        );
    }
}

impl Spent {
    /// A hot loop is hundreds a second.
    fn is_modest(&self) -> bool {
        self.dials <= DIALS
            && self.logins <= LOGINS
            && self.locates <= LOCATES
            && self.calls <= CALLS
    }
}

/// In the first 75 s of an outage the delay is an eighth of a second on average, and both servers
/// are tried each time.
const DIALS: usize = 1000;
/// One as often as a connection comes up, beside those that are repeated ever more rarely.
const LOGINS: usize = 40;
/// After 1 s, 2 s, 4 s ... in each outage, of which there may be several.
const LOCATES: usize = 16;
/// A server check of each connection, and on each that comes up a dozen claims.
const CALLS: usize = 1400;
