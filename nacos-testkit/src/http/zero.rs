//! An answer with the status `0`: what Java Nacos 2.3.2 says to a wrong password.
//!
//! No library can say that. So it is said with a status that no other answer has, and changed on
//! its way out: the head of an answer stands at the beginning of what is written.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Reply, reply::text};

pub(super) fn without_status() -> Reply {
    let mut reply = text(StatusCode::OK, "");
    if let Ok(status) = StatusCode::from_u16(STAND_IN) {
        *reply.status_mut() = status;
    }
    reply
}

/// A socket on which the stand-in is written as `0`, and as many blanks as it is longer.
#[derive(Debug)]
pub(super) struct Zeroing<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Zeroing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Zeroing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stands_in = bytes.starts_with(b"HTTP/1.") && bytes.get(9..12) == Some(b"999");
        if !stands_in {
            return Pin::new(&mut self.0).poll_write(context, bytes);
        }
        let mut bytes = bytes.to_vec();
        if let Some(status) = bytes.get_mut(9..12) {
            status.copy_from_slice(b"0  ");
        }
        Pin::new(&mut self.0).poll_write(context, &bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

const STAND_IN: u16 = 999;
