//! How a connection that served has ended.
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// How a connection that served has ended, and what was known of it then: enough to tell a server
/// that died from a network that dropped it, and both from a runtime that did not run.
///
/// As text it is one line, which is also in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Disconnect {
    /// The server, as it was named in the options or in the list.
    pub server: Arc<str>,
    /// The kind of the end, as [`telemetry`](crate::telemetry) lists them.
    pub reason: &'static str,
    /// The message of the socket, of HTTP/2 or of the server.
    pub cause: Arc<str>,
    /// When it ended.
    pub at: Instant,
    /// For how long it had served.
    pub served: Duration,
    /// How long before its end the last byte had come.
    pub silent: Duration,
    /// How long before its end the last message had come on the stream of pushes, or since when it
    /// served if none had. A proxy that resets silent streams measures this time.
    pub stream_silent: Duration,
    /// How long the last health check was under way, or the check of the handshake before the first
    /// one.
    pub round_trip: Option<Duration>,
    /// The longest that the session had been kept waiting within the minute before: see
    /// [`lag`](crate::SessionStats::lag).
    pub stall: Duration,
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server, reason, cause, served, silent, stream_silent, round_trip, stall, ..
        } = self;
        write!(f, "{server} ({reason}): {cause}; served {served:.1?}, silent for {silent:.1?}")?;
        write!(f, ", its stream for {stream_silent:.1?}")?;
        if let Some(round_trip) = round_trip {
            write!(f, ", round trip {round_trip:.1?}")?;
        }
        write!(f, ", runtime late by {stall:.1?}")
    }
}

/// Why a connection that served ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// The socket or HTTP/2 above it.
    Connection,
    /// The stream of pushes.
    Stream,
    /// Health checks were not answered.
    HealthCheck,
    /// The server does not know the connection any more.
    Unusable,
    /// The server was silent, and another answered first.
    Suspect,
    /// The server asked to move.
    Reset,
    /// The server left the list.
    Left,
    /// The server answered health checks and nothing else.
    Unresponsive,
    /// The client was shut down.
    Shutdown,
}

impl Reason {
    /// Its kind, as [`telemetry`](crate::telemetry) lists them.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Stream => "stream",
            Self::HealthCheck => "health_check",
            Self::Unusable => "unusable",
            Self::Suspect => "suspect",
            Self::Reset => "reset",
            Self::Left => "left",
            Self::Unresponsive => "unresponsive",
            Self::Shutdown => "shutdown",
        }
    }
}
