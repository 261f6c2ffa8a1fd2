//! The report on the end of a session.
use std::time::Duration;

/// How a shutdown went.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Claims that the server acknowledged as withdrawn.
    pub withdrawn: usize,
    /// Claims that were not acknowledged in time; closing the connection withdrew them too.
    pub unacknowledged: usize,
    /// How long the withdrawals took.
    pub withdrawing: Duration,
    /// How long closing the sockets took.
    pub closing: Duration,
}
