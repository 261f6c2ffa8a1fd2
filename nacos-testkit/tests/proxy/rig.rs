//! A connection through the proxy, with both of its ends.

use std::{io::ErrorKind, time::Duration};

use nacos_testkit::{
    TimeLimit,
    proxy::{Command, Direction, FaultProxy},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// A proxy with a connection through it, and both ends of that.
pub(crate) struct Rig {
    pub(crate) proxy: FaultProxy,
    pub(crate) upstream: TcpListener,
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

impl Rig {
    /// For a test that has a time limit from here on.
    pub(crate) async fn new() -> Self {
        TimeLimit::for_test();
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = upstream.local_addr().expect("bound");
        let proxy = FaultProxy::start(addr).await.expect("a free port");
        let (client, server) = connect(&proxy, &upstream).await;
        Self { proxy, upstream, client, server }
    }

    pub(crate) fn apply(&self, command: Command) {
        self.proxy.apply(command).expect("only `accept` can fail");
    }

    /// Both directions: sender, receiver, and the command for this one only.
    pub(crate) fn directions(&mut self) -> [Way<'_>; 2] {
        let Self { client, server, .. } = self;
        let (from_server, to_server) = client.split();
        let (from_client, to_client) = server.split();
        [
            Way {
                direction: Direction::ToServer,
                sender: to_server,
                receiver: from_client,
                only: Command::to_server,
            },
            Way {
                direction: Direction::ToClient,
                sender: to_client,
                receiver: from_server,
                only: Command::to_client,
            },
        ]
    }
}

pub(crate) struct Way<'a> {
    pub(crate) direction: Direction,
    pub(crate) sender: tokio::net::tcp::WriteHalf<'a>,
    pub(crate) receiver: tokio::net::tcp::ReadHalf<'a>,
    pub(crate) only: fn(Command) -> Command,
}

impl Way<'_> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.sender.write_all(bytes)).await.expect("writable");
    }

    pub(crate) async fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        soon(self.receiver.read_exact(&mut bytes)).await.expect("readable");
        bytes
    }

    /// Bytes that are sent arrive, and in no time.
    pub(crate) async fn flows(&mut self) {
        let began = Instant::now();
        self.send(b"flows").await;
        assert_eq!(self.receive(5).await, b"flows", "{}", self.direction);
        assert_eq!(Instant::now(), began, "{}", self.direction);
    }

    /// Nothing arrives, not even the end.
    pub(crate) async fn is_silent(&mut self) {
        let read = timeout(Duration::from_secs(3600), self.receiver.read(&mut [0; 8])).await;
        assert!(read.is_err(), "{}: {read:?}", self.direction);
    }
}

pub(crate) async fn connect(proxy: &FaultProxy, upstream: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.addr()).await.expect("accepted");
    let (server, _) = soon(upstream.accept()).await.expect("dialled");
    (client, server)
}

/// Bounds a wait, far beyond what it may take; virtual time, so that a failure comes at once.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(86_400), future).await.expect("it never came")
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The result of the next read.
pub(crate) async fn end(socket: &mut TcpStream) -> Result<usize, ErrorKind> {
    soon(socket.read(&mut [0; 8])).await.map_err(|error| error.kind())
}
