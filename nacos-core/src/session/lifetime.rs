//! Whether the session is to live.
use std::time::Instant;

/// Whether the session is to live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lifetime {
    Open,
    /// Everything is withdrawn; closes when the server has acknowledged that, or then.
    Closing {
        deadline: Instant,
    },
    Closed,
}
