//! Real HTTP requests, some at a time, and the instances that answered them.
use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::Result;

/// The outcome of a number of requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How many requests each instance answered.
    pub(crate) answers: BTreeMap<String, u32>,
    /// The errors of the others.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn answered(&self) -> u32 {
        self.answers.values().sum()
    }

    fn add(&mut self, other: Self) {
        for (instance, answers) in other.answers {
            *self.answers.entry(instance).or_default() += answers;
        }
        self.failures.extend(other.failures);
    }
}

/// Sends `requests`, over as many connections as `callers`.
pub(crate) async fn send(gateway: SocketAddr, requests: u32, callers: u32) -> Result<Tally> {
    let mut calling = JoinSet::new();
    for _ in 0..callers {
        calling.spawn(call(gateway, requests / callers));
    }
    let mut tally = Tally::default();
    while let Some(outcome) = calling.join_next().await {
        tally.add(outcome??);
    }
    Ok(tally)
}

async fn call(gateway: SocketAddr, requests: u32) -> Result<Tally> {
    let mut connection = Connection::open(gateway).await?;
    let mut tally = Tally::default();
    for n in 0..requests {
        let (status, body) = connection.get(&format!("/stock/item-{n}")).await?;
        match body.split_once(' ') {
            Some((instance, _)) if status == StatusCode::OK => {
                *tally.answers.entry(instance.to_owned()).or_default() += 1;
            }
            _ => tally.failures.push(format!("{status}: {body}")),
        }
    }
    Ok(tally)
}

/// One HTTP connection to the gateway.
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    gateway: SocketAddr,
    _work: JoinSet<()>,
}

impl Connection {
    pub(crate) async fn open(gateway: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(gateway).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        let mut work = JoinSet::new();
        // How the connection ends shows in the requests that it carries.
        work.spawn(async move { drop(connection.await) });
        Ok(Self { sender, gateway, _work: work })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<(StatusCode, String)> {
        self.sender.ready().await?;
        let request = Request::get(path).header(header::HOST, self.gateway.to_string());
        let response = self.sender.send_request(request.body(Empty::new())?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
