//! A socket to a host and port.
use std::{io, net::SocketAddr};

use tokio::net::{TcpStream, lookup_host};

/// Connects to the first address of `host` that accepts.
///
/// Names are looked up anew each time, so that a server that moved is found. The caller gives the
/// deadline.
///
/// # Errors
///
/// Names every address that was tried, and why it failed.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    let mut causes = Vec::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it the body of a request waits until its headers are acknowledged, which
                // delayed acknowledgements stretch to 40 ms.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => causes.push(format!("{address}: {error}")),
        }
    }
    if causes.is_empty() {
        causes.push("the name has no address".to_owned());
    }
    Err(io::Error::new(io::ErrorKind::NotConnected, causes.join(", ")))
}

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
}
