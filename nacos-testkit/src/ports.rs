//! The two ports of a Nacos server.
use std::{io, net::Ipv4Addr};

use tokio::net::TcpListener;

/// Two free ports at the distance at which clients look for gRPC. Below the range from which
/// systems take the ports of outgoing connections: those come and go, and a client that knocks at a
/// stopped server must not meet itself there.
pub(crate) async fn free_pair() -> io::Result<(TcpListener, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let main = fastrand::u16(10_000..31_000);
        let [main, grpc] = [main, main + GRPC_OFFSET];
        match (
            TcpListener::bind((Ipv4Addr::LOCALHOST, main)).await,
            TcpListener::bind((Ipv4Addr::LOCALHOST, grpc)).await,
        ) {
            (Ok(main), Ok(grpc)) => return Ok((main, grpc)),
            (Err(error), _) | (_, Err(error)) => last = error,
        }
    }
    Err(last)
}

/// The gRPC port of a Nacos server, seen from its main port.
pub(crate) const GRPC_OFFSET: u16 = 1000;
const TRIES: u32 = 200;
