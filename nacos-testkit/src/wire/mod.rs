//! The wire format, written from the protocol alone: the second witness beside the client's own.

mod envelope;
mod fields;
mod frame;

pub(crate) use envelope::{Incoming, Message, envelope};
pub(crate) use fields::{Fields, Malformed, Reading};
pub(crate) use frame::{FrameError, Frames, frame};
