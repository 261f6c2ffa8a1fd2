//! A socket under TLS, whose errors say what TLS knows about them.
use std::{
    fmt,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client;

use super::explain::explain_end;

/// See the [module documentation](self).
pub(crate) struct TlsStream {
    stream: client::TlsStream<TcpStream>,
    /// The peer, and the name that it has to show: every error begins so.
    whom: String,
    shows_certificate: bool,
    /// Something was received: the server takes us.
    accepted: bool,
}

impl TlsStream {
    pub(super) fn new(
        stream: client::TlsStream<TcpStream>,
        whom: String,
        shows_certificate: bool,
    ) -> Self {
        Self { stream, whom, shows_certificate, accepted: false }
    }

    pub(in crate::transport) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.local_addr()
    }

    fn explained(&self, error: &io::Error) -> io::Error {
        let why = explain_end(error, self.accepted, self.shows_certificate);
        io::Error::new(error.kind(), format!("{}: {why}", self.whom))
    }

    /// A refusal closes the socket, and writing may notice that before reading finds out why.
    fn write_failed(&mut self, cx: &mut Context<'_>, error: &io::Error) -> io::Error {
        let mut scratch = [0; 1024];
        let mut buffer = ReadBuf::new(&mut scratch);
        if !self.accepted
            && let Poll::Ready(Err(why)) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer)
        {
            return self.explained(&why);
        }
        self.explained(error)
    }

    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        outcome.map_err(|error| self.write_failed(cx, &error))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let room = buffer.remaining() > 0;
        match std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
            Ok(()) if buffer.filled().len() > before => self.accepted = true,
            Ok(()) if room && !self.accepted => {
                let end = io::ErrorKind::UnexpectedEof.into();
                return Poll::Ready(Err(self.explained(&end)));
            }
            Ok(()) => {}
            Err(error) => return Poll::Ready(Err(self.explained(&error))),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, outcome)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("whom", &self.whom).finish_non_exhaustive()
    }
}
