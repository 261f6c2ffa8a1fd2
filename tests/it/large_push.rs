//! A large push takes its time on the wire, and nothing else waits for it.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use nacos_core::Client;
use nacos_testkit::TimeLimit;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    leaving::{Envelope, frame},
    support::{becomes, soon},
};

#[tokio::test(start_paused = true)]
async fn half_a_large_push_delays_neither_health_checks_nor_requests_nor_acknowledgements() {
    TimeLimit::for_test();
    let peer = Arc::new(Peer::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(serve(listener, Arc::clone(&peer)));
    let client = Client::builder().server_addr(address).grpc_port_offset(0).connect().await;
    let client = client.expect("the server is there");

    // A small push before it, and half of a push that is larger than what may be under way.
    peer.may_send.send_replace(LARGE / 2);
    soon(peer.sent.subscribe().wait_for(|sent| *sent >= LARGE / 2)).await.expect("sent");
    let began = Instant::now();
    timeout(Duration::from_secs(1), client.configs().get("d")).await.expect("at once").ok();
    assert!(Instant::now() - began < Duration::from_secs(1));
    sleep_until(Instant::now() + Duration::from_secs(60)).await;
    assert!(peer.health_checks.load(Ordering::Relaxed) >= 8, "every five seconds of silence");
    assert_eq!(client.stats().get().connects, 1, "nobody was suspected");
    assert_eq!(client.stats().get().losses, 0);
    let acknowledged = |count| move |acks: &usize| *acks == count;
    soon(peer.acks.subscribe().wait_for(acknowledged(1))).await.expect("the small one");

    peer.may_send.send_replace(usize::MAX);
    soon(peer.acks.subscribe().wait_for(acknowledged(2))).await.expect("the large one");
    becomes(&mut client.stats(), |stats| stats.pushes == 3).await;
    assert_eq!(client.stats().get().unreadable, 0);
    assert_eq!(client.stats().get().connects, 1);
}

/// A server that sends one large push piece by piece, as far as it may.
struct Peer {
    may_send: watch::Sender<usize>,
    sent: watch::Sender<usize>,
    /// Whole messages of the client on the stream, the first apart.
    acks: watch::Sender<usize>,
    health_checks: AtomicUsize,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            may_send: watch::Sender::new(0),
            sent: watch::Sender::new(0),
            acks: watch::Sender::new(0),
            health_checks: AtomicUsize::new(0),
        }
    }
}

async fn serve(listener: TcpListener, peer: Arc<Peer>) {
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).expect("it has been accepted");
        let peer = Arc::clone(&peer);
        tokio::spawn(async move {
            let Ok(mut connection) = h2::server::handshake(socket).await else { return };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(answer(request, respond, Arc::clone(&peer)));
            }
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    peer: Arc<Peer>,
) -> Option<()> {
    let streams = request.uri().path().contains("BiRequestStream");
    let mut body = request.into_body();
    let head = Response::builder().header("content-type", "application/grpc").body(());
    let mut send = respond.send_response(head.expect("valid"), false).ok()?;
    if streams {
        send.send_data(frame("SetupAckRequest", &json!({"abilityTable": {}})), false).ok()?;
        tokio::spawn(push(send, Arc::clone(&peer)));
        let mut messages = Messages::default();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).ok()?;
            // The setup is no acknowledgement.
            let count = messages.count(&data).saturating_sub(1);
            peer.acks.send_replace(count);
        }
        return None;
    }
    let mut received = BytesMut::new();
    while let Some(Ok(data)) = body.data().await {
        received.extend_from_slice(&data);
    }
    let kind = Envelope::of(&received)?;
    let health = kind == "HealthCheckRequest";
    peer.health_checks.fetch_add(usize::from(health), Ordering::Relaxed);
    let agreed = json!({"resultCode": 200, "supportAbilityNegotiation": true, "content": ""});
    send.send_data(frame(&kind.replace("Request", "Response"), &agreed), false).ok()?;
    let status = ("grpc-status".parse().ok()?, HeaderValue::from_static("0"));
    send.send_trailers(HeaderMap::from_iter([status])).ok()
}

/// A small push and a large one, as far as they may go.
async fn push(mut send: SendStream<Bytes>, peer: Arc<Peer>) -> Option<()> {
    let mut may_send = peer.may_send.subscribe();
    may_send.wait_for(|may| *may > 0).await.ok()?;
    send.send_data(frame("NoveltyRequest", &json!({"requestId": "1"})), false).ok()?;
    let text = "x".repeat(LARGE);
    let mut large = frame("NoveltyRequest", &json!({"requestId": "2", "text": text}));
    let mut gone = 0;
    while !large.is_empty() {
        let may = *may_send.wait_for(|may| *may > gone).await.ok()?;
        send.reserve_capacity(PIECE);
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await?.ok()?;
        let piece = large.split_to(room.min(PIECE).min(may - gone).min(large.len()));
        gone += piece.len();
        send.send_data(piece, false).ok()?;
        peer.sent.send_replace(gone);
    }
    // Until the client goes.
    std::future::poll_fn(|cx| send.poll_reset(cx)).await.ok().map(drop)
}

/// Counts gRPC messages, whatever pieces they come in.
#[derive(Default)]
struct Messages {
    buffer: BytesMut,
    whole: usize,
}

impl Messages {
    fn count(&mut self, data: &[u8]) -> usize {
        self.buffer.extend_from_slice(data);
        while let Some(length) = self.buffer.get(1..5) {
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            if self.buffer.len() < 5 + length {
                break;
            }
            let _ = self.buffer.split_to(5 + length);
            self.whole += 1;
        }
        self.whole
    }
}

/// More than may be under way on one stream, and on the connection.
const LARGE: usize = 40 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
