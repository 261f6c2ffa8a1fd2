//! How badly things go between a session and its servers.
use std::time::Duration;

use super::{server::error, world::World, *};
use crate::wire::{DISCONNECTED, SERVER_ERROR, UNREGISTERED};

/// How badly things go, each in a thousand.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    pub(super) refused: u64,
    pub(super) silent: u64,
    pub(super) lost_answer: u64,
    /// Nothing more can be sent, though the connection stands: the server leaves.
    pub(super) not_sent: u64,
    pub(super) odd_answer: u64,
    /// It is done, and the answer cannot be read.
    pub(super) unreadable: u64,
    /// It comes late, perhaps later than anybody waits for it.
    pub(super) slow: u64,
    /// The acknowledgement of a setup that was announced never comes.
    pub(super) mute_setup: u64,
    pub(super) denies_login: bool,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self {
            refused: 0,
            silent: 0,
            lost_answer: 0,
            not_sent: 0,
            odd_answer: 0,
            unreadable: 0,
            slow: 0,
            mute_setup: 0,
            denies_login: false,
        }
    }

    pub(super) fn some(dice: &mut fastrand::Rng) -> Self {
        let mut up_to = |most| if dice.bool() { dice.u64(0..most) } else { 0 };
        Self {
            refused: up_to(300),
            silent: up_to(200),
            lost_answer: up_to(100),
            not_sent: up_to(50),
            odd_answer: up_to(200),
            unreadable: up_to(200),
            slow: up_to(200),
            mute_setup: up_to(300),
            denies_login: false,
        }
    }
}

impl World {
    /// Something that did not do what was asked for.
    pub(super) fn odd_answer(&mut self) -> Payload {
        let die = self.dice.u32(0..8);
        self.server.disowns |= matches!(die, 4 | 5);
        let code = match die {
            0 | 1 => 503,
            2 => SERVER_ERROR,
            3 => 403,
            4 => UNREGISTERED,
            5 => DISCONNECTED,
            6 => 300,
            _ => return Payload::new("<html>", b"<html>503</html>".to_vec()),
        };
        error(code)
    }

    /// A result that may come in place of an answer.
    pub(super) fn unreadable(&mut self) -> Result<Payload, CallError> {
        match self.dice.u32(0..3) {
            0 => Err(CallError::Unreadable("a compressed message".to_owned())),
            1 => Err(CallError::Status { code: 13, message: "internal".to_owned() }),
            _ => Ok(Payload::new("<html>", b"<html>502</html>".to_vec())),
        }
    }

    /// How long a message takes: sometimes longer than suspicion, or than a try, lasts.
    pub(super) fn travel(&mut self) -> Duration {
        let slow = if self.happens(self.faults.slow) { self.dice.u64(0..8_000_000) } else { 0 };
        Duration::from_micros(self.dice.u64(50..3000) + slow)
    }

    pub(super) fn happens(&mut self, in_a_thousand: u64) -> bool {
        self.dice.u64(0..1000) < in_a_thousand
    }
}
