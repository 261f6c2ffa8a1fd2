//! What can be set, and the defaults.
use std::time::Duration;

use tokio::time::Instant;

use crate::{deadline::after, policy::Policy};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) policy: Policy,
    pub(crate) connect_timeout: Duration,
    pub(crate) ready_timeout: Duration,
    pub(crate) response_timeout: ResponseTimeout,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            connect_timeout: Duration::from_secs(1),
            ready_timeout: Duration::from_secs(2),
            response_timeout: ResponseTimeout::Default,
        }
    }
}

/// How long one try may take until its response begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResponseTimeout {
    /// As was asked for.
    After(Duration),
    /// 30 s, unless the request knows better.
    Default,
    /// Only the request may know.
    Never,
}

impl ResponseTimeout {
    /// When a try ends that begins now, for a request that has a deadline of its `own` or not.
    pub(crate) fn deadline(self, own: Option<Instant>, now: Instant) -> Option<Instant> {
        match (self, own) {
            (Self::After(timeout), None) => Some(after(now, timeout)),
            (Self::After(timeout), Some(own)) => Some(own.min(after(now, timeout))),
            (Self::Default, None) => Some(now + DEFAULT),
            (Self::Default | Self::Never, own) => own,
        }
    }
}

impl From<Option<Duration>> for ResponseTimeout {
    fn from(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::Never, Self::After)
    }
}

const DEFAULT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_knows_better_than_the_default_and_not_better_than_what_was_asked_for() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let after = ResponseTimeout::After(Duration::from_secs(5));
        for (timeout, own, deadline) in [
            (ResponseTimeout::Default, None, Some(at(30))),
            (ResponseTimeout::Default, Some(at(90)), Some(at(90))),
            (ResponseTimeout::Never, None, None),
            (ResponseTimeout::Never, Some(at(90)), Some(at(90))),
            (after, None, Some(at(5))),
            (after, Some(at(90)), Some(at(5))),
            (after, Some(at(1)), Some(at(1))),
        ] {
            assert_eq!(timeout.deadline(own, now), deadline, "{timeout:?}, {own:?}");
        }
    }
}
