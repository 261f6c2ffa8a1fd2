//! Connections as tonic wants them, which can be cut.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use nacos_core::lifecycle::{Connections, Tracked};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::{debug, warn};

/// The connections that `listener` accepts, as some of `connections`. Never ends.
pub(super) fn accept(
    listener: TcpListener,
    connections: Connections,
) -> impl Stream<Item = Result<Io, io::Error>> + Send {
    stream::unfold((listener, connections), async |(listener, connections)| {
        let socket = next(&listener).await;
        if let Err(error) = socket.set_nodelay(true) {
            // It has been closed meanwhile, which reading from it shows, too.
            debug!(%error, "a connection keeps Nagle's algorithm");
        }
        let io = Io { info: socket.connect_info(), socket: connections.track(socket) };
        Some((Ok(io), (listener, connections)))
    })
}

async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(error) if is_of_one_connection(&error) => {
                debug!(%error, "a connection ended before it began");
            }
            Err(error) => {
                // Too many open files, most likely: trying again at once would only heat the CPU.
                warn!(%error, "accepts no connections for a while");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A connection of a server.
#[derive(Debug)]
pub struct Io {
    socket: Tracked<TcpStream>,
    info: TcpConnectInfo,
}

impl Connected for Io {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
