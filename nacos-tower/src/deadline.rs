//! A request's own deadline.
use std::time::Duration;

use tokio::time::Instant;

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

/// The moment that is `duration` after `now`. What is out of reach is thirty years away.
pub(crate) fn after(now: Instant, duration: Duration) -> Instant {
    now.checked_add(duration).unwrap_or(now + FAR)
}

const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);
