//! How long a request may take: its own deadline, and the balancer's response timeout.
use std::time::Duration;

use tokio::time::Instant;

use crate::time::after;

/// The moment by which a response must have begun, as an extension of a request.
///
/// It counts in whatever else is done for the request: waiting for an endpoint, trying another one,
/// and the second try of [`Retry`](crate::Retry). A response timeout that was asked for and ends
/// earlier still holds for each try.
///
/// ```
/// use std::time::Duration;
///
/// use nacos_tower::Deadline;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Deadline::within(Duration::from_millis(250)));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// The deadline that is `duration` from now.
    #[must_use]
    pub fn within(duration: Duration) -> Self {
        Self(after(Instant::now(), duration))
    }
}

/// How long one try may take until its response begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ResponseTimeout {
    /// As the builder was told.
    After(Duration),
    /// 30 s, unless the request knows better.
    Default,
    /// Only the request's own deadline counts.
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
