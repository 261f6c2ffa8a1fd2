//! The five bytes before each gRPC message: a compression flag and the length.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Bytes of the header of a frame.
const FRAME_HEADER: usize = 5;

/// Puts a message into a frame.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(FRAME_HEADER + message.len());
    framed.put_u8(0);
    // A message of 4 GiB cannot be held by the tests this server is for.
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// Reads one message after the other from the body of a request.
#[derive(Debug)]
pub(crate) struct Frames<B = Incoming> {
    body: B,
    buffer: BytesMut,
    limit: usize,
}

impl<B: Body<Data = Bytes> + Unpin> Frames<B> {
    pub(crate) fn new(body: B, limit: usize) -> Self {
        Self { body, buffer: BytesMut::new(), limit }
    }

    /// The next message; `None` when the client has ended its side.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: bytes of an unfinished message stay in the buffer.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.put(data);
                    }
                }
                Some(Err(_)) => return Err(FrameError::Disconnected),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(FrameError::Truncated),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, FrameError> {
        let mut header = &self.buffer[..];
        if header.len() < FRAME_HEADER {
            return Ok(None);
        }
        let compressed = header.get_u8() != 0;
        let length = usize::try_from(header.get_u32()).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong(length));
        }
        if compressed {
            return Err(FrameError::Compressed);
        }
        if header.len() < length {
            return Ok(None);
        }
        self.buffer.advance(FRAME_HEADER);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// Why no message came out of the body.
#[derive(Debug, PartialEq)]
pub(crate) enum FrameError {
    Compressed,
    Disconnected,
    TooLong(usize),
    Truncated,
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;
    use crate::TimeLimit;

    #[tokio::test]
    async fn messages_are_told_apart_whatever_chunks_they_come_in() {
        TimeLimit::for_test();
        let mut bytes = BytesMut::from(&frame(b"one")[..]);
        bytes.extend_from_slice(&frame(b""));
        let mut frames = Frames::new(Full::new(bytes.freeze()), 10);
        assert_eq!(frames.next().await, Ok(Some(Bytes::from_static(b"one"))));
        assert_eq!(frames.next().await, Ok(Some(Bytes::new())));
        assert_eq!(frames.next().await, Ok(None));
    }

    #[tokio::test]
    async fn length_over_the_limit_is_known_from_the_header_alone() {
        TimeLimit::for_test();
        let mut frames = Frames::new(Full::new(Bytes::from_static(&[0, 0, 0, 0, 11])), 10);
        assert_eq!(frames.next().await, Err(FrameError::TooLong(11)));
    }

    #[tokio::test]
    async fn body_that_ends_inside_a_message_is_truncated() {
        TimeLimit::for_test();
        let mut frames = Frames::new(Full::new(Bytes::from_static(&[0, 0, 0, 0, 9, 1])), 10);
        assert_eq!(frames.next().await, Err(FrameError::Truncated));
    }
}
