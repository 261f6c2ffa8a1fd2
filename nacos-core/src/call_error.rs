//! Why a call on a connection has no answer.
use std::fmt;

use crate::error::ErrorKind;

/// Why a call on a connection has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CallError {
    /// The connection was gone before anything was sent.
    NotSent(String),
    /// Nothing was sent: so many calls are under way, unanswered, that the server takes no more
    /// yet.
    Busy,
    /// The connection ended before the answer came; the server may have done what was asked.
    Lost(String),
    /// Nothing was sent: the signer panicked, or was too slow.
    Unsigned(&'static str),
    /// Nothing came in time; the server may have done what was asked.
    Timeout,
    /// The server answers, but other large answers left no room to read this one in time.
    NoRoom,
    /// The server answered with a gRPC status instead of a message.
    Status { code: u32, message: String },
    /// The received message is no Nacos message.
    Unreadable(String),
    /// The received message is larger than this client reads.
    Oversized { length: usize, limit: usize },
}

impl CallError {
    /// The [`ErrorKind`] that users see.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NotSent(_) | Self::Lost(_) => ErrorKind::Disconnected,
            Self::Busy | Self::Unsigned(_) | Self::Timeout | Self::NoRoom => ErrorKind::Timeout,
            Self::Status { code, .. } => match *code {
                status::EXHAUSTED | status::CANCELLED => ErrorKind::Refused,
                status::UNAVAILABLE => ErrorKind::Disconnected,
                status::UNIMPLEMENTED => ErrorKind::Unsupported,
                _ => ErrorKind::Server,
            },
            Self::Unreadable(_) | Self::Oversized { .. } => ErrorKind::Protocol,
        }
    }

    /// Its kind in a word, for what is measured.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::NotSent(_) | Self::Busy | Self::Unsigned(_) => "not_sent",
            Self::Lost(_) => "lost",
            Self::Timeout | Self::NoRoom => "timeout",
            Self::Status { .. } => "status",
            Self::Unreadable(_) | Self::Oversized { .. } => "unreadable",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) => write!(f, "not sent: {why}"),
            Self::Busy => f.write_str(
                "not sent: too many requests are under way, and none is answered in time",
            ),
            Self::Unsigned(why) => write!(f, "not sent: {why}"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::NoRoom => f.write_str(
                "a large answer was not read in time: others take all the room there is for them",
            ),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Status { code, message } => write!(f, "gRPC status {code}: {message}"),
            Self::Unreadable(why) => f.write_str(why),
            Self::Oversized { length, limit } => {
                write!(f, "a message of {length} bytes is over the receive limit of {limit} bytes")
            }
        }
    }
}

impl std::error::Error for CallError {}

/// The gRPC status codes that make a difference here.
pub(crate) mod status {
    pub(crate) const CANCELLED: u32 = 1;
    pub(crate) const UNKNOWN: u32 = 2;
    pub(crate) const EXHAUSTED: u32 = 8;
    pub(crate) const UNIMPLEMENTED: u32 = 12;
    pub(crate) const INTERNAL: u32 = 13;
    pub(crate) const UNAVAILABLE: u32 = 14;
}
