//! Counting the streams that a client resets, by reading along what it sends.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A transport whose client is read along.
pub(super) struct ReadAlong<S, F> {
    transport: S,
    frames: FrameHeads,
    /// Told of each stream that the client resets.
    on_reset: F,
}

impl<S, F: FnMut()> ReadAlong<S, F> {
    pub(super) fn new(transport: S, on_reset: F) -> Self {
        Self { transport, frames: FrameHeads::default(), on_reset }
    }
}

impl<S: AsyncRead + Unpin, F: FnMut() + Unpin> AsyncRead for ReadAlong<S, F> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.transport).poll_read(context, buffer);
        let read = buffer.filled().get(before..).unwrap_or_default();
        for _ in 0..this.frames.resets(read) {
            (this.on_reset)();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin, F: Unpin> AsyncWrite for ReadAlong<S, F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}

/// Walks over HTTP/2 frames, whatever pieces they come in.
#[derive(Debug)]
struct FrameHeads {
    /// The bytes to skip before the next head: the client's preface at first, then payloads.
    skip: usize,
    head: Vec<u8>,
}

impl Default for FrameHeads {
    fn default() -> Self {
        Self { skip: PREFACE, head: Vec::with_capacity(HEAD) }
    }
}

impl FrameHeads {
    /// How many of the frames that begin in these bytes reset a stream.
    fn resets(&mut self, mut bytes: &[u8]) -> usize {
        let mut resets = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let taken = (HEAD - self.head.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            self.head.extend_from_slice(head);
            bytes = rest;
            if let [high, middle, low, kind, _, _, _, _, _] = *self.head {
                self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                self.head.clear();
                resets += usize::from(kind == RST_STREAM);
            }
        }
        resets
    }
}

const PREFACE: usize = 24;
const HEAD: usize = 9;
const RST_STREAM: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_found_whatever_pieces_they_come_in() {
        let frame = |kind: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).expect("short");
            [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
        };
        let sent = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, &[]),
            frame(0, &[3; 100]),
            frame(RST_STREAM, &[0, 0, 0, 8]),
            frame(8, &[3; 4]),
            frame(RST_STREAM, &[0, 0, 0, 8]),
        ]
        .concat();
        for piece in 1..sent.len() {
            let mut frames = FrameHeads::default();
            let resets: usize = sent.chunks(piece).map(|piece| frames.resets(piece)).sum();
            assert_eq!(resets, 2, "in pieces of {piece}");
        }
    }
}
