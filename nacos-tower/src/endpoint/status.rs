//! How an endpoint stands, for snapshots and reports.

/// The status of one endpoint. The words are gRPC's and Envoy's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
    /// The first attempt to connect is to come or under way, or the first one after a connection
    /// that ended.
    Connecting,
    /// The registry lists it no longer: requests under way finish, new ones go elsewhere.
    Draining,
    /// The last attempt to connect failed. The next one follows after a pause.
    Failing,
    /// It is connected, and requests may go to it.
    Ready,
}

impl Status {
    /// Its name in reports.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Draining => "draining",
            Self::Failing => "failing",
            Self::Ready => "ready",
        }
    }
}
