//! How badly things go between a session and its servers.
use super::{server::error, world::World, *};
use crate::wire::SERVER_ERROR;

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
    pub(super) slow: u64,
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
            denies_login: false,
        }
    }
}

impl World {
    /// Something that did not do what was asked for.
    pub(super) fn odd_answer(&mut self) -> Payload {
        let code = match self.dice.u32(0..4) {
            0 => 503,
            1 => SERVER_ERROR,
            2 => 403,
            _ => return Payload::new("<html>", b"<html>503</html>".to_vec()),
        };
        error(code)
    }

    /// What may come in place of an answer.
    pub(super) fn unreadable(&mut self) -> Result<Payload, CallError> {
        match self.dice.u32(0..3) {
            0 => Err(CallError::Unreadable("a compressed message".to_owned())),
            1 => Err(CallError::Status { code: 13, message: "internal".to_owned() }),
            _ => Ok(Payload::new("<html>", b"<html>502</html>".to_vec())),
        }
    }

    pub(super) fn happens(&mut self, in_a_thousand: u64) -> bool {
        self.dice.u64(0..1000) < in_a_thousand
    }
}
