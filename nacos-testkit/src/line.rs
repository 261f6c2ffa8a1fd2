//! A socket that can be cut or stopped at any moment, also while a task reads it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// How a line is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As by a process that ends.
    Close,
    /// As by a firewall or a crash: what was not delivered yet is lost.
    Reset,
}

/// The handle of one accepted socket.
#[derive(Debug)]
pub(crate) struct Line(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` once it is cut.
    socket: Option<TcpStream>,
    stopped: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Line {
    pub(crate) fn new(socket: TcpStream, stopped: bool) -> Arc<Self> {
        let inner = Inner { socket: Some(socket), stopped, reader: None, writer: None };
        Arc::new(Self(Mutex::new(inner)))
    }

    /// Closes the socket at once, under its reader.
    pub(crate) fn cut(&self, how: Cut) {
        let mut inner = self.lock();
        if let Some(socket) = inner.socket.take()
            && how == Cut::Reset
            && let Err(error) = socket.set_zero_linger()
        {
            tracing::debug!(%error, "line is closed instead of reset");
        }
        let waiting = inner.waiting();
        drop(inner);
        wake(waiting);
    }

    /// Stops or heals the line: while stopped, bytes are neither read nor written.
    pub(crate) fn stop(&self, stopped: bool) {
        let mut inner = self.lock();
        inner.stopped = stopped;
        let waiting = inner.waiting();
        drop(inner);
        wake(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll<T>(
        &self,
        context: &mut Context<'_>,
        direction: Direction,
        poll: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let mut inner = self.lock();
        let waker = Some(context.waker().clone());
        match direction {
            Direction::Read => inner.reader = waker,
            Direction::Write => inner.writer = waker,
        }
        let stopped = inner.stopped;
        let Some(socket) = &mut inner.socket else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        if stopped {
            return Poll::Pending;
        }
        poll(Pin::new(socket), context)
    }
}

impl Inner {
    fn waiting(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

/// Not under the lock: a waker may run what it wakes.
fn wake(waiting: [Option<Waker>; 2]) {
    waiting.into_iter().flatten().for_each(Waker::wake);
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Read,
    Write,
}

/// The end of a line that is read and written. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct LineEnd(pub(crate) Arc<Line>);

impl Drop for LineEnd {
    fn drop(&mut self) {
        self.0.cut(Cut::Close);
    }
}

impl AsyncRead for LineEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.poll(context, Direction::Read, |socket, context| socket.poll_read(context, buffer))
    }
}

impl AsyncWrite for LineEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll(context, Direction::Write, |socket, context| socket.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // a TCP socket keeps nothing back
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll(context, Direction::Write, AsyncWrite::poll_shutdown)
    }
}

/// A listening socket that can be closed at any moment.
#[derive(Debug)]
pub(crate) struct Gate(Mutex<(Option<TcpListener>, Option<Waker>)>);

impl Gate {
    pub(crate) fn new(listener: TcpListener) -> Arc<Self> {
        Arc::new(Self(Mutex::new((Some(listener), None))))
    }

    /// Closes the port at once: connections are refused from now on.
    pub(crate) fn close(&self) {
        let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gate.0 = None;
        let waiting = gate.1.take();
        drop(gate);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// The next socket; `None` once the gate is closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a socket that was not handed out is accepted by the next call.
    pub(crate) async fn accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        std::future::poll_fn(|context| {
            let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gate.1 = Some(context.waker().clone());
            match &gate.0 {
                Some(listener) => listener.poll_accept(context).map(Some),
                None => Poll::Ready(None),
            }
        })
        .await
    }
}
