//! A socket to a host and port.
use std::{collections::VecDeque, io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::{TcpStream, lookup_host},
    time::sleep,
};

/// Connects to the first address of `host` that accepts.
///
/// Names are looked up anew each time, so that a server that moved is found. All addresses are
/// tried, in the resolver's order: the next one when one has failed, or beside one that is slow, so
/// that a dead address in front does not hide the living behind it. The caller gives the deadline.
///
/// # Errors
///
/// Names every address that was tried, and why it failed.
///
/// # Cancel safety
///
/// Dropping the future closes every socket.
pub(super) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut waiting: VecDeque<SocketAddr> = lookup_host((host, port)).await?.collect();
    let mut trying = FuturesUnordered::new();
    let mut causes = Vec::new();
    loop {
        trying.extend(waiting.pop_front().map(connect));
        let beside = async {
            if waiting.is_empty() {
                std::future::pending::<()>().await;
            } else {
                sleep(BESIDE).await;
            }
        };
        tokio::select! {
            outcome = trying.next() => match outcome {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(cause)) => causes.push(cause),
                None => break,
            },
            () = beside => {}
        }
    }
    if causes.is_empty() {
        causes.push("the name has no address".to_owned());
    }
    Err(io::Error::new(io::ErrorKind::NotConnected, causes.join(", ")))
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        // Without it the body of a request waits until its headers are acknowledged, which delayed
        // acknowledgements stretch to 40 ms.
        stream.set_nodelay(true)?;
        Ok::<_, io::Error>(stream)
    };
    connecting.await.map_err(|error| format!("{address}: {error}"))
}

/// An address that has not accepted by then gets company.
const BESIDE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn every_socket_has_nodelay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stream = dial("127.0.0.1", address.port()).await.expect("connects");
        assert!(stream.nodelay().expect("an option"));
    }

    #[tokio::test]
    async fn failure_names_the_addresses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let error = dial("127.0.0.1", address.port()).await.expect_err("nobody listens");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_tried() {
        // Bound to IPv4 only: `localhost` may be `::1` first.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        dial("localhost", port).await.expect("one of its addresses accepts");
    }
}
