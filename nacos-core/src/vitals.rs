//! The numbers of a session.
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// How a session is doing, in numbers. All counts are since the client was built, unless named as
/// present.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Vitals {
    /// Connections that a server registered.
    pub connects: u64,
    /// Connections that ended though the client wanted them.
    pub losses: u64,
    /// Pushes that came.
    pub pushes: u64,
    /// Messages that could not be read, or were over the receive limit.
    pub unreadable: u64,
    /// Lists of services that were dropped, because one that their server made later had overtaken
    /// them.
    pub overtaken: u64,
    /// Lists of services whose server's clock had stepped back since the list before. They are
    /// applied.
    pub clock_steps: u64,
    /// Registrations that were repeated because the server did not show them any more, though it had
    /// acknowledged them: it lost them without a word, or an operator has disabled an instance.
    pub reasserted: u64,
    /// Views of services at present that are [held](crate::Service::held).
    pub held: usize,
    /// The servers answer health checks, and none of several requests in a row: others are tried, ever
    /// more rarely. Over with the first answer.
    pub unresponsive: bool,
    /// Claims at present: registered services, subscriptions, watched documents.
    pub claims: usize,
    /// Claims that are to be sent, or are under way: neither held by the server, nor refused.
    pub unsettled: usize,
    /// How late the session's last timer was. Long after the workers of its runtime were blocked:
    /// see [`dedicated_thread`](crate::ClientBuilder::dedicated_thread).
    pub lag: Duration,
    /// What a proxy that knows HTTP/2 was seen to do to the connections or to their streams, in words
    /// that say what to change; stays once it was seen.
    pub proxy: Option<Arc<str>>,
    /// How the last connections that served have ended, the newest last; eight at most.
    pub disconnects: Arc<[Disconnect]>,
}

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
    /// What the socket, HTTP/2 or the server said, in words.
    pub cause: Arc<str>,
    /// When it ended.
    pub at: Instant,
    /// For how long it had served.
    pub served: Duration,
    /// How long before its end the last byte had come.
    pub silent: Duration,
    /// How long before its end the last message had come on the stream of pushes, or since when it
    /// served if none had: what a proxy goes by that resets silent streams.
    pub stream_silent: Duration,
    /// How long the last health check was under way, or the check of the handshake before the first
    /// one.
    pub round_trip: Option<Duration>,
    /// The longest that the session had been kept waiting within the minute before: see
    /// [`lag`](Vitals::lag).
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
