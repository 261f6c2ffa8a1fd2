//! A door in front of a server that counts the tokens which go out through it.
use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Forwards a main port, and the gRPC port that clients derive from it. Drop closes both.
pub(crate) struct Relay {
    addr: SocketAddr,
    tokens: watch::Receiver<Vec<String>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    pub(crate) async fn before(to_main: SocketAddr, to_grpc: SocketAddr) -> Self {
        let (main, grpc) = loop {
            let main = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            let above = main.local_addr().expect("bound").port().checked_add(1000);
            // The port above may be taken; then another pair.
            if let Some(above) = above
                && let Ok(grpc) = TcpListener::bind((Ipv4Addr::LOCALHOST, above)).await
            {
                break (main, grpc);
            }
        };
        let addr = main.local_addr().expect("bound");
        let (granted, tokens) = watch::channel(Vec::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = main.accept().await {
                let granted = granted.clone();
                open.spawn(async move { listen_in(client, to_main, &granted).await });
            }
        });
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut client, _)) = grpc.accept().await {
                open.spawn(async move {
                    let mut server = TcpStream::connect(to_grpc).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Self { addr, tokens, _tasks: tasks }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until that many tokens were granted, and gives them in their order.
    pub(crate) async fn tokens(&self, count: usize) -> Vec<String> {
        let mut tokens = self.tokens.clone();
        let enough = |tokens: &Vec<String>| tokens.len() >= count;
        tokens.wait_for(enough).await.expect("the relay lives").clone()
    }
}

/// Forwards one connection of HTTP, on which a client logs in once.
async fn listen_in(
    mut client: TcpStream,
    to: SocketAddr,
    granted: &watch::Sender<Vec<String>>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to).await?;
    let (mut asks, mut hears) = client.split();
    let (mut answers, mut is_asked) = server.split();
    let there = copy(&mut asks, &mut is_asked);
    let back = async {
        let (mut answer, mut noted) = (Vec::new(), false);
        loop {
            let before = answer.len();
            if answers.read_buf(&mut answer).await? == 0 {
                return hears.shutdown().await;
            }
            // First noted, then handed out: a token that a client has is noted.
            if !noted && let Some(token) = token_in(&answer) {
                noted = true;
                granted.send_modify(|tokens| tokens.push(token));
            }
            hears.write_all(&answer[before..]).await?;
        }
    };
    tokio::try_join!(there, back).map(|_| ())
}

fn token_in(answer: &[u8]) -> Option<String> {
    let answer = String::from_utf8_lossy(answer);
    let (_, rest) = answer.split_once("\"accessToken\":\"")?;
    let (token, _) = rest.split_once('"')?;
    Some(token.to_owned())
}
