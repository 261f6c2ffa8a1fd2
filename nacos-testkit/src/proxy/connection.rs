//! One connection through the proxy: two sockets, and a pump for each direction.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
};

use crate::line::{Cut, Line, LineEnd};

use super::{
    command::{Command, Direction, What},
    link::{Both, DIRECTIONS, Hole, Link},
    pump::{Ended, Pump},
};

/// An accepted connection, as commands reach it.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    links: Both<watch::Sender<Link>>,
    client: Arc<Line>,
    server: Mutex<Server>,
    over: Notify,
}

/// The other end of a connection.
#[derive(Debug)]
enum Server {
    /// It has not been reached yet.
    Dialled,
    Reached(Arc<Line>),
    /// It is not to be reached any more, or told at once.
    Cut(Cut),
}

/// Is told how a connection fares.
pub(super) trait Observer {
    /// So many bytes have arrived in this direction.
    fn delivered(&self, direction: Direction, bytes: usize);
    /// The connection with this number has ended.
    fn ended(&self, number: u64);
}

impl Connection {
    pub(super) fn new(number: u64, client: TcpStream, links: Both<Link>) -> Arc<Self> {
        let links = Both {
            to_client: watch::Sender::new(links.to_client),
            to_server: watch::Sender::new(links.to_server),
        };
        let (client, server) = (line(client), Mutex::new(Server::Dialled));
        Arc::new(Self { number, links, client, server, over: Notify::new() })
    }

    /// Changes its links; says whether it is over by that.
    pub(super) fn handle_command(&self, command: Command) -> bool {
        for direction in DIRECTIONS.into_iter().filter(|it| command.concerns(*it)) {
            self.links.of(direction).send_modify(|link| link.change(command.what));
        }
        let over = command.what == What::Reset;
        if over {
            self.reset(|direction| command.concerns(direction));
        }
        over
    }

    /// Resets the sides that it is to be reset for, and closes the other.
    pub(super) fn reset(&self, concerns: impl Fn(Direction) -> bool) {
        let how = |direction| if concerns(direction) { Cut::Reset } else { Cut::Close };
        self.cut(how(Direction::ToClient), how(Direction::ToServer));
    }

    /// Ends both sockets at once, also while a task reads them.
    pub(super) fn cut(&self, client: Cut, server: Cut) {
        self.client.cut(client);
        if let Server::Reached(line) = std::mem::replace(&mut *self.server(), Server::Cut(server)) {
            line.cut(server);
        }
        self.over.notify_one();
    }

    /// Carries bytes until both directions have ended or the connection is cut.
    pub(super) async fn carry(self: Arc<Self>, upstream: SocketAddr, observer: Arc<impl Observer>) {
        tokio::select! {
            biased;
            // First: what is cut while it waits is not dialled.
            () = self.over.notified() => return observer.ended(self.number),
            () = self.reachable() => {}
        }
        if let Some(server) = self.dial(upstream).await {
            tokio::select! {
                biased;
                // First: nothing is delivered after a cut.
                () = self.over.notified() => {}
                () = self.exchange(&server, &*observer) => {}
            }
        }
        observer.ended(self.number);
    }

    /// A black hole swallows the handshake too: the server is not to see a connection.
    async fn reachable(&self) {
        let mut link = self.links.to_server.subscribe();
        if link.wait_for(|link| link.hole != Some(Hole::Hold)).await.is_err() {
            tracing::trace!("the sender lives in `self`");
        }
    }

    /// Reaches the server, to its end even when the connection is cut meanwhile: the server may
    /// have accepted it already, and is to see how it was cut.
    async fn dial(&self, upstream: SocketAddr) -> Option<Arc<Line>> {
        match TcpStream::connect(upstream).await {
            Ok(socket) => {
                let line = line(socket);
                let mut server = self.server();
                match *server {
                    Server::Cut(how) => line.cut(how),
                    Server::Dialled | Server::Reached(_) => {
                        *server = Server::Reached(Arc::clone(&line));
                    }
                }
                Some(line)
            }
            Err(error) => {
                tracing::debug!(%upstream, %error, "server not reached");
                self.cut(Cut::Reset, Cut::Reset);
                None
            }
        }
    }

    /// Cuts the connection itself at its end: the ends of the lines, once dropped, only close.
    async fn exchange(&self, server: &Arc<Line>, observer: &impl Observer) {
        let [mut from_client, mut to_client] = ends(&self.client);
        let [mut from_server, mut to_server] = ends(server);
        let inward = self.pump(Direction::ToClient);
        let outward = self.pump(Direction::ToServer);
        let how = both(
            inward.carry(&mut from_server, &mut to_client, |count| {
                observer.delivered(Direction::ToClient, count);
            }),
            outward.carry(&mut from_client, &mut to_server, |count| {
                observer.delivered(Direction::ToServer, count);
            }),
        )
        .await;
        self.cut(how, how);
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The jitter depends on nothing but the number of the connection: every run has the same.
    fn pump(&self, direction: Direction) -> Pump {
        let seed = self.number * 2 + u64::from(direction == Direction::ToServer);
        Pump::new(self.links.of(direction).subscribe(), Rng::with_seed(seed))
    }
}

/// Waits until both directions have ended, or either by a reset; says how their sockets end.
async fn both(
    to_client: impl Future<Output = Ended>,
    to_server: impl Future<Output = Ended>,
) -> Cut {
    let (mut to_client, mut to_server) = (pin!(to_client), pin!(to_server));
    let mut ended = Both::<Option<Ended>>::default();
    loop {
        tokio::select! {
            biased;
            // In this order or the other, but always the same: a seed is to replay.
            how = &mut to_client, if ended.to_client.is_none() => ended.to_client = Some(how),
            how = &mut to_server, if ended.to_server.is_none() => ended.to_server = Some(how),
        }
        match (ended.to_client, ended.to_server) {
            (Some(Ended::Finished), Some(Ended::Finished)) => return Cut::Close,
            (Some(Ended::Reset), _) | (_, Some(Ended::Reset)) | (Some(_), Some(_)) => {
                return Cut::Reset;
            }
            // The other direction still delivers all that is on its way, also after a break.
            (None, _) | (_, None) => {}
        }
    }
}

fn line(socket: TcpStream) -> Arc<Line> {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "peer is gone already");
    }
    Line::new(socket, false)
}

/// One end to read and one to write. Dropping either closes the socket.
fn ends(line: &Arc<Line>) -> [LineEnd; 2] {
    [LineEnd(Arc::clone(line)), LineEnd(Arc::clone(line))]
}
