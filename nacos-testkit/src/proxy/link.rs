//! The condition of one direction of a connection.

use std::time::Duration;

use super::command::{Direction, What};

/// The conditions for bytes that travel in one direction. Everything passes by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) delay: Option<Delay>,
    pub(super) bytes_per_second: Option<u32>,
    pub(super) hole: Option<Hole>,
    /// The receiver is told that the sender has finished.
    pub(super) half_closed: bool,
    /// The receiver gets a reset as soon as the connection is accepted.
    pub(super) reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delay {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
}

/// Where bytes end that do not come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hole {
    Discard,
    Hold,
}

impl Link {
    /// Changes the condition of connections to come.
    pub(super) fn change_fresh(&mut self, what: What) {
        match what {
            What::Pass => *self = Self::default(),
            What::Reset => self.reset = true,
            _ => self.change(what),
        }
    }

    /// Changes the condition of an open connection.
    pub(super) fn change(&mut self, what: What) {
        match what {
            What::BlackHole => self.hole = Some(Hole::Hold),
            What::Delay { latency, jitter } => self.delay = Some(Delay { latency, jitter }),
            What::Discard => self.hole = Some(Hole::Discard),
            What::HalfClose => self.half_closed = true,
            // A FIN that was promised is sent: what is closed cannot be opened.
            What::Pass => *self = Self { half_closed: self.half_closed, ..Self::default() },
            What::Throttle { bytes_per_second } => {
                self.bytes_per_second = Some(bytes_per_second.max(1));
            }
            // Ports and whole connections, not links.
            What::Accept | What::Refuse | What::Reset => {}
        }
    }
}

/// One of something for each direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    pub(super) to_client: T,
    pub(super) to_server: T,
}

impl<T> Both<T> {
    pub(super) fn of(&self, direction: Direction) -> &T {
        match direction {
            Direction::ToClient => &self.to_client,
            Direction::ToServer => &self.to_server,
        }
    }

    pub(super) fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::ToClient => &mut self.to_client,
            Direction::ToServer => &mut self.to_server,
        }
    }
}

pub(super) const DIRECTIONS: [Direction; 2] = [Direction::ToClient, Direction::ToServer];
