//! Makes HTTP/2 connections.
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use nacos_tower::{BoxError, Connect, Endpoint};
use tokio::{net::TcpStream, sync::watch};

use super::{
    connection::{Body, Http2},
    driver::{drive, executor},
    origin::Origin,
};
use crate::tasks;

/// Connects to endpoints with HTTP/2 in clear text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connector {
    pub(super) keep_alive: Option<Duration>,
}

impl Connect for Connector {
    type Connection = Http2;

    async fn connect(&self, endpoint: Endpoint) -> Result<Http2, BoxError> {
        let origin = Origin::parse(endpoint.address())?;
        let socket = TcpStream::connect(endpoint.address()).await?;
        // A call is one small write: it must not wait for the acknowledgement of the one before.
        socket.set_nodelay(true)?;
        let (executor, jobs) = executor();
        let mut builder = http2::Builder::new(executor);
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(self.keep_alive)
            // Answers that still come on streams that were reset are no fault of the instance's,
            // however many there are in the life of a connection.
            .max_local_error_reset_streams(None);
        let (sender, connection) = builder.handshake::<_, Body>(TokioIo::new(socket)).await?;
        let (over, ended) = watch::channel(false);
        let driver = tasks::spawn(drive(connection, jobs, over));
        Ok(Http2::new(sender, origin, ended, driver))
    }
}
