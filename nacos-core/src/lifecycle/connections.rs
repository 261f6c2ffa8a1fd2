//! The open connections of a server, and the switch that cuts them.
use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

use crate::room::Map;

/// The open connections of one server: counted, and cut all at once if need be.
///
/// A framework's graceful end has no limit, and does not know of connections that were upgraded,
/// such as web sockets. Sockets wrapped by [`track`](Self::track) are known until they are dropped,
/// whatever they have become.
///
/// Cheap to clone; every clone is the same set.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use nacos_core::lifecycle::Connections;
/// use tokio::io::AsyncReadExt;
///
/// let connections = Connections::new();
/// let (_client, socket) = tokio::io::duplex(64);
/// let mut socket = connections.track(socket);
/// assert_eq!(connections.open(), 1);
/// assert_eq!(connections.cut(), 1);
/// assert!(socket.read_u8().await.is_err());
/// drop(socket);
/// connections.closed().await;
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Connections {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    set: Mutex<Set>,
    open: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Set {
    next: u64,
    is_cut: bool,
    switches: Map<u64, Arc<Switch>>,
}

/// Cuts one connection. Reading and writing may be two tasks.
#[derive(Debug, Default)]
struct Switch {
    is_cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Connections {
    /// No connections yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `io` one of these connections until it is dropped.
    pub fn track<Io>(&self, io: Io) -> Tracked<Io> {
        let mut set = self.shared.set();
        let switch = Arc::new(Switch::default());
        switch.is_cut.store(set.is_cut, Ordering::Release);
        let id = set.next;
        set.next += 1;
        set.switches.insert(id, Arc::clone(&switch));
        drop(set);
        self.shared.counted();
        Tracked { io, switch, _entry: Entry { id, shared: Arc::clone(&self.shared) } }
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.set().switches.len()
    }

    /// Waits until there are none.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn closed(&self) {
        // Fails without a sender only, and `self` holds it.
        let _ = self.shared.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Lets every read and write fail from now on, those that wait included and those of later
    /// connections too. Says how many connections there were.
    #[expect(clippy::must_use_candidate, reason = "the number is by the way")]
    pub fn cut(&self) -> usize {
        let mut set = self.shared.set();
        set.is_cut = true;
        let switches: Vec<_> = set.switches.values().cloned().collect();
        // Before waking: a task that wakes may drop its connection, which takes the lock.
        drop(set);
        for switch in &switches {
            switch.cut();
        }
        switches.len()
    }
}

impl Shared {
    /// Tells how many there are. Not under the lock: a task that is woken may open or drop a
    /// connection.
    fn counted(&self) {
        let mut now = self.set().switches.len();
        loop {
            self.open.send_replace(now);
            let then = std::mem::replace(&mut now, self.set().switches.len());
            if then == now {
                return;
            }
        }
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        // A panic under the lock cannot leave the set half-changed.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Switch {
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    /// An error if the connection is cut. If not, `waker` is woken when it is.
    fn check(&self, side: &AtomicWaker, waker: &Waker) -> io::Result<()> {
        // Registered first, so that a cut in between is not missed.
        side.register(waker);
        if self.is_cut.load(Ordering::Acquire) {
            let why = "the server has ended, and this connection with it";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        Ok(())
    }
}

/// A socket that is one of a server's [`Connections`].
pub struct Tracked<Io> {
    io: Io,
    switch: Arc<Switch>,
    _entry: Entry,
}

impl<Io> Tracked<Io> {
    /// The socket.
    pub fn get_ref(&self) -> &Io {
        &self.io
    }
}

/// The place among the connections.
#[derive(Debug)]
struct Entry {
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let gone = self.shared.set().switches.remove(&self.id);
        // Not under the lock: with it go the wakers of the task that used the connection last.
        drop(gone);
        self.shared.counted();
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Tracked<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.switch.check(&self.switch.reader, cx.waker())?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Tracked<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.switch.check(&self.switch.writer, cx.waker())?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.switch.check(&self.switch.writer, cx.waker())?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.switch.check(&self.switch.writer, cx.waker())?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.switch.check(&self.switch.writer, cx.waker())?;
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("open", &self.open()).finish_non_exhaustive()
    }
}

impl<Io: fmt::Debug> fmt::Debug for Tracked<Io> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracked").field(&self.io).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use nacos_testkit::TimeLimit;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    use super::*;
    use crate::testing::{inline_waker, waker_that_drops};

    #[test]
    fn whoever_is_woken_may_look_at_the_connections_at_once() {
        let _limit = TimeLimit::start();
        let connections = Connections::new();
        let tracked = connections.track(());
        let waker = inline_waker({
            let connections = connections.clone();
            move || assert_eq!(connections.cut(), 0)
        });
        let mut closed = pin!(connections.closed());
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(tracked);
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }

    #[test]
    fn waker_of_a_connection_that_goes_may_look_at_the_others() {
        let _limit = TimeLimit::start();
        let connections = Connections::new();
        let mut tracked = connections.track(Silent);
        let (looked, seen) = std::sync::mpsc::channel();
        let waker = waker_that_drops({
            let connections = connections.clone();
            move || looked.send(connections.open()).expect("awaited")
        });
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut tracked).poll_read(&mut cx, &mut buffer).is_pending());
        drop(waker);
        drop(tracked);
        assert_eq!(seen.try_recv(), Ok(0));
    }

    /// A socket that nothing comes over, and that keeps no waker.
    struct Silent;

    impl AsyncRead for Silent {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn cut_wakes_reader_and_writer_that_wait() {
        TimeLimit::for_test();
        let connections = Connections::new();
        let (_peer, socket) = duplex(1);
        let (mut read, mut write) = split(connections.track(socket));
        let reading = tokio::spawn(async move { read.read_u8().await.is_err() });
        let writing = tokio::spawn(async move { write.write_all(&[0; 9]).await.is_err() });
        tokio::task::yield_now().await;
        assert_eq!(connections.cut(), 1);
        assert!(reading.await.expect("does not panic"));
        assert!(writing.await.expect("does not panic"));
        connections.closed().await;
    }

    #[tokio::test]
    async fn connection_that_comes_after_the_cut_is_cut() {
        TimeLimit::for_test();
        let connections = Connections::new();
        assert_eq!(connections.cut(), 0);
        let (_peer, socket) = duplex(1);
        assert!(connections.track(socket).read_u8().await.is_err());
    }
}
