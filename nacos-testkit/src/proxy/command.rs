//! The commands that a network can be given.

use std::{fmt, time::Duration};

/// A direction of travel, seen from the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From servers to clients (Envoy: downstream).
    ToClient,
    /// From clients to servers (Envoy: upstream).
    ToServer,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToClient => "to client",
            Self::ToServer => "to server",
        })
    }
}

/// One change of the network, for [`FaultProxy::apply`](super::FaultProxy::apply) and
/// [`Script`](super::Script).
///
/// It concerns both directions, unless [`to_server`](Self::to_server) or
/// [`to_client`](Self::to_client) names one; and open connections as well as those to come, unless
/// [`existing`](Self::existing) or [`fresh`](Self::fresh) names some, or the command says
/// otherwise.
///
/// Delay, throttle and black hole are independent of each other and hold together; each replaces
/// its own kind, and [`pass`](Self::pass) takes all of them back.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use nacos_testkit::proxy::Command;
///
/// let slow = Command::delay(Duration::from_millis(80), Duration::from_millis(20));
/// assert_eq!(slow.to_client().fresh().to_string(), "delay 80ms ± 20ms to client, new connections");
/// assert_eq!(Command::reset().to_string(), "reset, open connections");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a command does nothing until it is applied"]
pub struct Command {
    pub(super) what: What,
    direction: Option<Direction>,
    pub(super) scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Accept,
    BlackHole,
    Delay { latency: Duration, jitter: Duration },
    Discard,
    HalfClose,
    Pass,
    Refuse,
    Reset,
    Throttle { bytes_per_second: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Existing,
    Fresh,
}

impl Command {
    /// Takes back delay, throttle and black hole: what was held flows at once, in order.
    ///
    /// It opens no port ([`accept`](Self::accept) does) and revives no connection that was closed.
    pub fn pass() -> Self {
        Self::new(What::Pass, Scope::All)
    }

    /// Bytes travel for `latency`, give or take `jitter`, evenly distributed; they never overtake
    /// each other. So does the end of a stream. A round trip through both directions takes twice
    /// that. The jitter of the nth connection is the same in every run.
    ///
    /// At most 1 MiB is on its way at once, in each direction of a connection: further bytes wait
    /// at the sender. Bytes on their way already keep their time of arrival.
    pub fn delay(latency: Duration, jitter: Duration) -> Self {
        Self::new(What::Delay { latency, jitter }, Scope::All)
    }

    /// Lets through this many bytes per second and connection, in slices of 10 ms; zero counts as
    /// one. Up to 64 KiB are queued in the proxy, and what the systems' own buffers take.
    pub fn throttle(bytes_per_second: u32) -> Self {
        Self::new(What::Throttle { bytes_per_second }, Scope::All)
    }

    /// Nothing comes through any more, neither bytes nor the end of a stream; sockets stay open.
    ///
    /// Bytes are **held**, as TCP does that retransmits them: they stay in the buffers of the
    /// sender, which is slowed down when these are full, and arrive complete and in order after
    /// [`pass`](Self::pass). A new connection is accepted, and reaches the server only then.
    pub fn black_hole() -> Self {
        Self::new(What::BlackHole, Scope::All)
    }

    /// As [`black_hole`](Self::black_hole), but bytes are **lost**, on their way already or to
    /// come, as by a middlebox that acknowledges what it never delivers. After [`pass`](Self::pass)
    /// the stream goes on with a hole in it, which no network does to TCP: expect garbage. The end
    /// of a stream is not lost, but held.
    pub fn discard() -> Self {
        Self::new(What::Discard, Scope::All)
    }

    /// Ends open connections at once by RST: reads and writes get `ECONNRESET`. Bytes that have not
    /// been delivered are lost.
    ///
    /// With a direction, the RST goes to that side only, and the other one sees the socket closed
    /// as by a process that ends. With [`fresh`](Self::fresh) new connections are accepted and
    /// reset before the server is dialled, until [`pass`](Self::pass).
    pub fn reset() -> Self {
        Self::new(What::Reset, Scope::Existing)
    }

    /// Sends FIN to the receiver on open connections, behind what is on its way: it reads the end
    /// of the stream, while the other direction flows. The sender does not learn of it; what it
    /// sends from now on is swallowed.
    ///
    /// With [`fresh`](Self::fresh) new connections begin like this, until [`pass`](Self::pass).
    pub fn half_close() -> Self {
        Self::new(What::HalfClose, Scope::Existing)
    }

    /// Closes the ports: connecting fails with `ECONNREFUSED`. Open connections live on; those that
    /// the system has accepted and the proxy has not are reset. Directions mean nothing here.
    ///
    /// The ports stay bound, without listening, so that no other process takes them meanwhile.
    pub fn refuse() -> Self {
        Self::new(What::Refuse, Scope::Fresh)
    }

    /// Opens the ports again, the same ones. The only command that can fail: when another process
    /// took a port just when it was closed.
    pub fn accept() -> Self {
        Self::new(What::Accept, Scope::Fresh)
    }

    /// Concerns what travels to the server only.
    pub fn to_server(self) -> Self {
        Self { direction: Some(Direction::ToServer), ..self }
    }

    /// Concerns what travels to the client only.
    pub fn to_client(self) -> Self {
        Self { direction: Some(Direction::ToClient), ..self }
    }

    /// Concerns the connections that are open only.
    pub fn existing(self) -> Self {
        Self { scope: Scope::Existing, ..self }
    }

    /// Concerns the connections to come only.
    pub fn fresh(self) -> Self {
        Self { scope: Scope::Fresh, ..self }
    }

    fn new(what: What, scope: Scope) -> Self {
        Self { what, direction: None, scope }
    }

    pub(super) fn concerns(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|it| it == direction)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Accept => return f.write_str("accept"),
            What::Refuse => return f.write_str("refuse"),
            What::BlackHole => f.write_str("black hole")?,
            What::Delay { latency, jitter } if jitter.is_zero() => write!(f, "delay {latency:?}")?,
            What::Delay { latency, jitter } => write!(f, "delay {latency:?} ± {jitter:?}")?,
            What::Discard => f.write_str("discard")?,
            What::HalfClose => f.write_str("half-close")?,
            What::Pass => f.write_str("pass")?,
            What::Reset => f.write_str("reset")?,
            What::Throttle { bytes_per_second } => write!(f, "throttle {bytes_per_second} B/s")?,
        }
        if let Some(direction) = self.direction {
            write!(f, " {direction}")?;
        }
        f.write_str(match self.scope {
            Scope::All => "",
            Scope::Existing => ", open connections",
            Scope::Fresh => ", new connections",
        })
    }
}
