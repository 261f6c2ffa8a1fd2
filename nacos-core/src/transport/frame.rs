//! gRPC messages on an HTTP/2 body: one byte of flags, four of length, the message.
//!
//! The reader is our own so that a message that is too large costs that message: it is skipped and
//! named, and the stream goes on.
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::CallError;
use crate::wire::Payload;

/// One message with its prefix.
pub(crate) fn encode(payload: &Payload) -> Bytes {
    let length = payload.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    // A message of 4 GiB cannot be built: the server would refuse it long before.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A `BytesMut` grows as it is written to, so there is always room.
    let _ = payload.encode(&mut frame);
    frame.freeze()
}

/// A message of a body, or the reason why it cannot be read.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    Message(Bytes),
    /// A message of more bytes than the limit, of which only the beginning was kept: it says what
    /// the message is.
    Oversized {
        length: usize,
        limit: usize,
        head: BytesMut,
    },
    /// A compressed message, which no request asks for.
    Compressed(usize),
}

/// Cuts a body into messages, whatever pieces it arrives in.
#[derive(Debug)]
pub(crate) struct FrameReader {
    limit: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Prefix(BytesMut),
    Body {
        length: usize,
        body: BytesMut,
    },
    /// The rest of a message that is not wanted, and what to say about it at its end.
    Skipping {
        left: usize,
        frame: Frame,
    },
}

impl FrameReader {
    /// Messages of more than `limit` bytes are skipped.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: State::Prefix(BytesMut::new()) }
    }

    /// The next message that `data` completes; what is left of `data` is for the next call.
    pub(crate) fn next(&mut self, data: &mut Bytes) -> Option<Frame> {
        loop {
            match &mut self.state {
                State::Prefix(prefix) => {
                    let missing = PREFIX - prefix.len();
                    prefix.extend_from_slice(&data.split_to(missing.min(data.len())));
                    if prefix.len() < PREFIX {
                        return None;
                    }
                    let compressed = prefix.get_u8() != 0;
                    // At most 2³² - 1, which the platforms that run this hold.
                    let length = usize::try_from(prefix.get_u32()).unwrap_or(usize::MAX);
                    self.state = if length > self.limit {
                        let (limit, head) = (self.limit, BytesMut::new());
                        let frame = Frame::Oversized { length, limit, head };
                        State::Skipping { left: length, frame }
                    } else if compressed {
                        State::Skipping { left: length, frame: Frame::Compressed(length) }
                    } else {
                        State::Body { length, body: BytesMut::new() }
                    };
                }
                State::Body { length, body } => {
                    // The usual case, a message that came in one piece, is not copied.
                    if body.is_empty() && data.len() >= *length {
                        let message = data.split_to(*length);
                        self.state = State::Prefix(BytesMut::new());
                        return Some(Frame::Message(message));
                    }
                    let missing = *length - body.len();
                    body.extend_from_slice(&data.split_to(missing.min(data.len())));
                    if body.len() < *length {
                        return None;
                    }
                    let message = std::mem::take(body).freeze();
                    self.state = State::Prefix(BytesMut::new());
                    return Some(Frame::Message(message));
                }
                State::Skipping { left, frame } => {
                    let skipped = data.split_to((*left).min(data.len()));
                    if let Frame::Oversized { head, .. } = frame {
                        let room = HEAD.saturating_sub(head.len()).min(skipped.len());
                        head.extend_from_slice(&skipped.slice(..room));
                    }
                    let skipped = skipped.len();
                    *left -= skipped;
                    if *left > 0 {
                        return None;
                    }
                    let frame = std::mem::replace(frame, Frame::Compressed(0));
                    self.state = State::Prefix(BytesMut::new());
                    return Some(frame);
                }
            }
        }
    }

    /// How many bytes of the message under way are still to come, as far as that is known.
    pub(crate) fn missing(&self) -> usize {
        match &self.state {
            State::Prefix(_) => 0,
            State::Body { length, body } => length - body.len(),
            State::Skipping { left, .. } => *left,
        }
    }

    /// The error of the message under way, if it is too large.
    pub(crate) fn over_limit(&self) -> Option<CallError> {
        match self.state {
            State::Skipping { frame: Frame::Oversized { length, limit, .. }, .. } => {
                Some(CallError::Oversized { length, limit })
            }
            _ => None,
        }
    }

    /// Keeps nothing any more of what comes.
    pub(crate) fn give_up(&mut self) {
        self.limit = 0;
        if let State::Body { length, body } = &self.state {
            let left = length - body.len();
            self.state = State::Skipping { left, frame: Frame::Compressed(*length) };
        }
    }

    /// Whether the body may end here.
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(&self.state, State::Prefix(prefix) if prefix.is_empty())
    }
}

const PREFIX: usize = 5;
/// How much is kept of a message that is too large.
const HEAD: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
        let mut frame = vec![flags];
        frame.put_u32(u32::try_from(message.len()).expect("small"));
        frame.extend_from_slice(message);
        frame
    }

    fn read(reader: &mut FrameReader, data: &[u8], piece: usize) -> Vec<Frame> {
        let _limit = nacos_testkit::TimeLimit::start();
        let mut frames = Vec::new();
        for piece in data.chunks(piece) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(frame) = reader.next(&mut piece) {
                frames.push(frame);
            }
            assert!(piece.is_empty());
        }
        frames
    }

    #[test]
    fn oversized_and_compressed_messages_cost_only_themselves() {
        let data =
            [frame(0, b"one"), frame(0, &[7; 20]), frame(1, b"zip"), frame(0, b"two")].concat();
        for piece in 1..data.len() {
            let mut reader = FrameReader::new(10);
            let expected = [
                Frame::Message(Bytes::from_static(b"one")),
                Frame::Oversized { length: 20, limit: 10, head: BytesMut::from(&[7; 20][..]) },
                Frame::Compressed(3),
                Frame::Message(Bytes::from_static(b"two")),
            ];
            assert_eq!(read(&mut reader, &data, piece), expected, "in pieces of {piece}");
            assert!(reader.is_between_messages());
        }
    }

    #[test]
    fn only_the_beginning_of_an_oversized_message_is_kept() {
        for piece in [1000, HEAD - 1, 3 * HEAD] {
            let message = [vec![7; HEAD], vec![8; HEAD]].concat();
            let frames = read(&mut FrameReader::new(10), &frame(0, &message), piece);
            let [Frame::Oversized { head, .. }] = frames.as_slice() else { panic!("{piece}") };
            assert!(*head == vec![7; HEAD], "in pieces of {piece}");
        }
    }

    #[test]
    fn body_that_ends_within_a_message_is_noticed() {
        let mut reader = FrameReader::new(10);
        assert!(read(&mut reader, &[0, 0, 0], 3).is_empty());
        assert!(!reader.is_between_messages());
    }

    #[test]
    fn empty_message_is_a_message() {
        let mut reader = FrameReader::new(10);
        assert_eq!(read(&mut reader, &frame(0, b""), 5), [Frame::Message(Bytes::new())]);
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
            piece in 1_usize..40,
        ) {
            let data: Vec<u8> = messages.iter().flat_map(|message| frame(0, message)).collect();
            let frames = read(&mut FrameReader::new(64), &data, piece);
            let expected: Vec<_> =
                messages.into_iter().map(|message| Frame::Message(message.into())).collect();
            prop_assert_eq!(frames, expected);
        }

        #[test]
        fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200), piece in 1_usize..40) {
            read(&mut FrameReader::new(64), &data, piece);
        }
    }
}
