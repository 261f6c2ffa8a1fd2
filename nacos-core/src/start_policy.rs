//! Where the first state of a watched document may come from.
use std::time::Duration;

use crate::time::LONGEST;

/// Where a watch may take the first state of its document from: the server, or a snapshot on disk.
///
/// It belongs to a watch ([`Watch::start`](crate::Watch::start)); the option `start_policy` is the
/// default of a client's watches. Without the option `snapshot_dir` there are no snapshots, and the
/// server alone decides.
///
/// A document that a server has confirmed absent before is absent again, and not unknown, where no
/// server can be asked: with [`Freshness::FromDisk`](crate::Freshness::FromDisk), as a snapshot.
///
/// A snapshot is replaced as soon as the server says anything, and a document that the server
/// confirms absent is never taken from disk, neither now nor after a restart. A snapshot that the
/// server confirms wakes no reader of the state: only the [`Freshness`](crate::Freshness) changes.
/// Where the server denies the right to read, no snapshot takes its place.
///
/// ```
/// use std::time::Duration;
///
/// use nacos_core::StartPolicy;
///
/// let day = Duration::from_secs(24 * 3600);
/// let policy = StartPolicy::snapshot_first().max_age(day);
/// assert_eq!(policy, StartPolicy::SnapshotFirst { max_age: day });
/// assert!(matches!(StartPolicy::default(), StartPolicy::RemoteThenSnapshot { .. }));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StartPolicy {
    /// The server alone; snapshots are never shown.
    Remote {
        /// How long [`ready`](crate::Watch::ready) waits for it, and not longer than the request
        /// timeout.
        timeout: Duration,
    },
    /// The server, and the snapshot if no server can be reached, or none has answered in time. The
    /// default.
    RemoteThenSnapshot {
        /// How long the server is waited for, if it is not known to be out of reach: 3 s by
        /// default, and not longer than nine tenths of the request timeout.
        timeout: Duration,
        /// A snapshot that is older is none: 7 days by default.
        max_age: Duration,
    },
    /// The snapshot at once, while the server is asked; without one, the server.
    SnapshotFirst {
        /// A snapshot that is older is none: 7 days by default.
        max_age: Duration,
    },
    /// The snapshot alone, however old it is: no server is asked, and none tells of changes. For
    /// tests and disasters.
    Offline,
}

impl StartPolicy {
    /// The server alone, with the request timeout.
    #[must_use]
    pub fn remote() -> Self {
        Self::Remote { timeout: LONGEST }
    }

    /// The server for 3 s, then a snapshot of at most 7 days.
    #[must_use]
    pub fn remote_then_snapshot() -> Self {
        Self::RemoteThenSnapshot { timeout: TIMEOUT, max_age: MAX_AGE }
    }

    /// A snapshot of at most 7 days at once.
    #[must_use]
    pub fn snapshot_first() -> Self {
        Self::SnapshotFirst { max_age: MAX_AGE }
    }

    /// The snapshot alone.
    #[must_use]
    pub fn offline() -> Self {
        Self::Offline
    }

    /// Sets how long the server is waited for, where it is.
    #[must_use]
    pub fn timeout(mut self, within: Duration) -> Self {
        match &mut self {
            Self::Remote { timeout } | Self::RemoteThenSnapshot { timeout, .. } => {
                *timeout = within.min(LONGEST);
            }
            Self::SnapshotFirst { .. } | Self::Offline => {}
        }
        self
    }

    /// Sets how old a snapshot may be, where that counts.
    #[must_use]
    pub fn max_age(mut self, oldest: Duration) -> Self {
        match &mut self {
            Self::RemoteThenSnapshot { max_age, .. } | Self::SnapshotFirst { max_age } => {
                *max_age = oldest;
            }
            Self::Remote { .. } | Self::Offline => {}
        }
        self
    }

    /// The policy of this name, as options spell it.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let plain = |c: &char| c.is_ascii_alphanumeric();
        let name: String = name.chars().filter(plain).map(|c| c.to_ascii_lowercase()).collect();
        Some(match name.as_str() {
            "remote" => Self::remote(),
            "remotethensnapshot" => Self::remote_then_snapshot(),
            "snapshotfirst" => Self::snapshot_first(),
            "offline" => Self::offline(),
            _ => return None,
        })
    }

    /// Whether it may show a snapshot of this age.
    pub(crate) fn takes(self, age: Duration) -> bool {
        match self {
            Self::Remote { .. } => false,
            Self::RemoteThenSnapshot { max_age, .. } | Self::SnapshotFirst { max_age } => {
                age <= max_age
            }
            Self::Offline => true,
        }
    }

    /// Whether it may show any snapshot.
    pub(crate) fn reads_snapshots(self) -> bool {
        self.takes(Duration::ZERO)
    }

    /// How long the server is waited for before a snapshot takes its place.
    pub(crate) fn waits(self) -> Option<Duration> {
        match self {
            Self::RemoteThenSnapshot { timeout, .. } => Some(timeout),
            _ => None,
        }
    }

    /// The same where a request may take that long: a snapshot comes before it is given up.
    pub(crate) fn within(mut self, request_timeout: Duration) -> Self {
        if let Self::RemoteThenSnapshot { timeout, .. } = &mut self {
            *timeout = (*timeout).min(request_timeout / 10 * 9);
        }
        self
    }

    /// Whether the server is asked.
    pub(crate) fn asks(self) -> bool {
        self != Self::Offline
    }
}

impl Default for StartPolicy {
    fn default() -> Self {
        Self::remote_then_snapshot()
    }
}

const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// For a server, before a snapshot takes its place.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_spelling() {
        for (name, policy) in [
            ("remote", StartPolicy::remote()),
            ("remote_then_snapshot", StartPolicy::default()),
            ("remoteThenSnapshot", StartPolicy::default()),
            ("snapshot-first", StartPolicy::snapshot_first()),
            ("Offline", StartPolicy::offline()),
        ] {
            assert_eq!(StartPolicy::parse(name), Some(policy), "{name}");
        }
        assert_eq!(StartPolicy::parse("disk"), None);
    }

    #[test]
    fn age_counts_where_a_server_could_know_better() {
        let (young, old) = (Duration::from_secs(60), Duration::from_secs(8 * 24 * 3600));
        let takes = |policy: StartPolicy| (policy.takes(young), policy.takes(old));
        assert_eq!(takes(StartPolicy::remote()), (false, false));
        assert_eq!(takes(StartPolicy::remote_then_snapshot()), (true, false));
        assert_eq!(takes(StartPolicy::snapshot_first()), (true, false));
        assert_eq!(takes(StartPolicy::offline()), (true, true));
        assert!(StartPolicy::snapshot_first().max_age(old).takes(old));
    }
}
