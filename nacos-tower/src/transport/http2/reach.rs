//! The first address of an endpoint at which a connection comes to be.
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
    time::Instant,
};

use crate::{time::sleep_until, transport::BoxError};

/// The outcome of the first attempt that succeeds. The addresses are tried in their order: the next
/// one when one has failed, or beside one that is slow, so that a dead address does not hide the
/// living behind it (RFC 8305). The caller gives the deadline.
///
/// # Errors
///
/// Those of all addresses.
pub(super) async fn first<C, A>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    attempt: impl Fn(SocketAddr) -> A,
) -> Result<C, BoxError>
where
    A: Future<Output = Result<C, BoxError>>,
{
    let mut waiting: VecDeque<_> = addresses.into_iter().collect();
    let mut trying = FuturesUnordered::new();
    let mut causes = Vec::new();
    loop {
        if let Some(address) = waiting.pop_front() {
            let attempt = attempt(address);
            trying.push(async move { (address, attempt.await) });
        }
        let beside = sleep_until((!waiting.is_empty()).then(|| Instant::now() + BESIDE));
        tokio::select! {
            biased;
            ended = trying.next() => match ended {
                Some((_, Ok(connection))) => return Ok(connection),
                Some((address, Err(error))) => causes.push(format!("{address}: {error}")),
                None if causes.is_empty() => return Err("the name has no address".into()),
                None => return Err(causes.join(", ").into()),
            },
            () = beside => {}
        }
    }
}

/// A socket that tells when the peer has said its first words.
pub(super) struct Greeted {
    socket: TcpStream,
    /// Where to tell it, and how many bytes are still to come until then.
    awaited: Option<(oneshot::Sender<()>, usize)>,
}

impl Greeted {
    /// Tells `told` once there is as much as an empty SETTINGS frame, with which every peer begins.
    pub(super) fn new(socket: TcpStream) -> (Self, oneshot::Receiver<()>) {
        let (tell, told) = oneshot::channel();
        (Self { socket, awaited: Some((tell, FRAME_HEAD)) }, told)
    }
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if let Some((tell, missing)) = self.awaited.take() {
            match missing.checked_sub(buffer.filled().len() - before) {
                None | Some(0) => drop(tell.send(())),
                Some(missing) => self.awaited = Some((tell, missing)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greeted {
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

/// If an address has not come up by then, the next one is tried beside it.
const BESIDE: Duration = Duration::from_millis(250);
/// Of HTTP/2.
const FRAME_HEAD: usize = 9;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use nacos_testkit::TimeLimit;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn address_that_leads_nowhere_costs_a_quarter_of_a_second() {
        TimeLimit::for_test();
        let addresses = [1, 2, 3, 4].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let began = Instant::now();
        let reached = first(addresses, |address| async move {
            match address.port() {
                1 | 3 => pending().await,
                2 => Err("refused".into()),
                port => Ok(port),
            }
        });
        assert_eq!(reached.await.expect("the last one"), 4);
        assert_eq!(Instant::now() - began, 2 * BESIDE);
    }

    #[tokio::test(start_paused = true)]
    async fn failure_names_every_address() {
        TimeLimit::for_test();
        let addresses = [1, 2].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let failed = first(addresses, |_| async { Err::<(), _>("refused".into()) }).await;
        let error = failed.expect_err("none").to_string();
        assert_eq!(error, "10.0.0.1:1: refused, 10.0.0.1:2: refused");
        let nothing = first([], |_| async { Ok(()) }).await.expect_err("none");
        assert_eq!(nothing.to_string(), "the name has no address");
    }
}
