//! The first bytes of a peer, kept for when they cannot be understood.
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;

/// A socket whose first bytes are kept.
pub(super) struct Recorded {
    socket: Socket,
    first: First,
}

/// The first bytes that came over a socket.
#[derive(Clone, Default)]
pub(super) struct First(Arc<Mutex<Vec<u8>>>);

impl Recorded {
    pub(super) fn new(socket: Socket) -> (Self, First) {
        let first = First::default();
        (Self { socket, first: first.clone() }, first)
    }
}

impl First {
    /// Whether it is an answer in HTTP/1 with the status `0`, which HTTP does not know.
    pub(super) fn is_status_zero(&self) -> bool {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = first.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..));
        matches!(status, Some([b' ', b'0', after, ..]) if !after.is_ascii_digit())
    }

    fn push(&self, bytes: &[u8]) {
        // A panic under the lock cannot leave the bytes half-written.
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(first.len());
        first.extend(bytes.iter().take(room));
    }
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.first.push(buffer.filled().get(before..).unwrap_or_default());
        outcome
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The version and the status of an answer.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_zero_is_told_from_every_other_however_it_arrives() {
        let is_zero = |parts: &[&str]| {
            let first = First::default();
            for part in parts {
                first.push(part.as_bytes());
            }
            first.is_status_zero()
        };
        assert!(is_zero(&["HTTP/1.1 0 \r\n"]) && is_zero(&["HTTP/1.0 0\r\n"]));
        assert!(is_zero(&["HTT", "P/1.1 ", "0", "\r\n", "server: nobody knows"]));
        for other in ["", "HTTP/1.1 ", "HTTP/1.1 0", "HTTP/1.1 00", "HTTP/1.1 99 \r\n", "0 \r\n"] {
            assert!(!is_zero(&[other]), "{other:?}");
        }
    }
}
