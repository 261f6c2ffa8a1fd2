//! A build without TLS: asking for TLS is an error.
use std::io;

use tokio::net::TcpStream;

use super::{Alpn, TlsProblem, TlsSettings};
use crate::transport::socket::Socket;

#[derive(Clone, Debug)]
pub(crate) struct Tls;

impl Tls {
    pub(crate) fn new(_: TlsSettings) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "the same face as with TLS")]
    pub(crate) fn check(&self) -> Result<(), TlsProblem> {
        Err(TlsProblem { option: "tls", why: ABSENT.to_owned() })
    }

    #[expect(clippy::unused_self, reason = "the same face as with TLS")]
    pub(in crate::transport) fn server_name(&self) -> Option<&str> {
        None
    }

    #[expect(clippy::unused_async, reason = "the same face as with TLS")]
    pub(in crate::transport) async fn connect(
        &self,
        _: TcpStream,
        _: (&str, u16),
        _: &str,
        _: Alpn,
    ) -> io::Result<Socket> {
        Err(io::Error::new(io::ErrorKind::Unsupported, ABSENT))
    }
}

const ABSENT: &str = "this build has no TLS: switch on the cargo feature `tls` of nacos-core";
