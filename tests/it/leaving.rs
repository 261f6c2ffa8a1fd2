//! Servers that leave, refuse to begin, or answer with nothing but a status; and users who give up,
//! hurry or exaggerate.
//!
//! A clock that stands still while a client is busy makes a hot loop a test that never ends; where
//! time does pass, requests are counted.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use nacos_core::{ClaimState, Client, ErrorKind, Instance, Publish, ShutdownReport};
use nacos_testkit::{Behaviour, RawAnswer, Server};
use prost::Message;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, timeout},
};

use crate::support::{self, becomes, builder, connected, reconnected, server, soon};

#[tokio::test(start_paused = true)]
async fn requests_go_on_while_a_server_leaves_and_keeps_its_stream_open() {
    let leaving = Leaving::start().await;
    let client = leaving.client().await;
    let began = Instant::now();
    leaving.leave();
    for _ in 0..100 {
        client.configs().get("d").await.expect("the one or the other answers");
    }
    assert_eq!((client.stats().get().connects, leaving.connects()), (2, 2));
    assert!(Instant::now() - began < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn idle_client_moves_on_with_its_claims_when_a_server_leaves() {
    let leaving = Leaving::start().await;
    let client = leaving.client().await;
    let guard = client.naming().register("orders", instance()).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let began = Instant::now();
    leaving.leave();
    reconnected(&client, 1).await;
    becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    // The health check after five seconds of silence cannot be sent.
    assert!(Instant::now() - began < Duration::from_secs(6), "{:?}", Instant::now() - began);
    assert_eq!(leaving.connects(), 2);
}

#[tokio::test(start_paused = true)]
async fn users_timeouts_fire_though_every_connection_is_left_at_once() {
    let leaving = Leaving::start().await;
    let client = leaving.client().await;
    leaving.leave_always();
    reconnected(&client, 1).await;
    let guard = client.naming().register("orders", instance()).expect("valid");
    let mut claim = guard.claim();
    let held = claim.wait_for(|state| *state == ClaimState::Held);
    assert!(timeout(Duration::from_secs(2), held).await.is_err());

    let began = Instant::now();
    let error = client.configs().get("d").await.expect_err("nobody answers for long");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(Instant::now() - began < Duration::from_secs(11));
    // Some twelve seconds, with delays of up to 250 ms.
    assert!(leaving.connects() < 300, "{} connections", leaving.connects());
}

#[tokio::test(start_paused = true)]
async fn refused_streams_are_not_asked_for_in_a_hot_loop() {
    let leaving = Leaving::start().await;
    let client = leaving.client().await;
    leaving.refuse(true);
    let before = leaving.requests();
    let guard = client.naming().register("orders", instance()).expect("valid");
    let mut claim = guard.claim();
    let held = claim.wait_for(|state| *state == ClaimState::Held);
    assert!(timeout(Duration::from_secs(60), held).await.is_err());
    let claims = leaving.requests() - before;
    assert!((2..12).contains(&claims), "{claims} requests for one claim in a minute");

    let before = leaving.requests();
    let error = client.configs().get("d").await.expect_err("never begun");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let queries = leaving.requests() - before;
    assert!((2..300).contains(&queries), "{queries} requests for one query in ten seconds");

    leaving.refuse(false);
    becomes(&mut claim, |state| *state == ClaimState::Held).await;
    assert_eq!(leaving.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn unavailable_server_is_not_asked_in_a_hot_loop() {
    let server = server().await;
    let client = connected(&server).await;
    let unavailable = || RawAnswer::Status { code: 14, message: "unavailable".to_owned() };
    for _ in 0..300 {
        server.answer_next_raw("ConfigQueryRequest", unavailable());
        server.answer_next_raw("InstanceRequest", unavailable());
    }
    let error = client.configs().get("d").await.expect_err("unavailable");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let queries = server.requests("ConfigQueryRequest");
    assert!((2..300).contains(&queries), "{queries} requests for one query in ten seconds");

    let guard = client.naming().register("orders", instance()).expect("valid");
    let mut claim = guard.claim();
    let held = claim.wait_for(|state| *state == ClaimState::Held);
    assert!(timeout(Duration::from_secs(60), held).await.is_err());
    let claims = server.requests("InstanceRequest");
    assert!((2..12).contains(&claims), "{claims} requests for one claim in a minute");
    assert_eq!(server.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn unavailable_server_is_sent_a_publish_once() {
    let server = server().await;
    let client = connected(&server).await;
    let unavailable = RawAnswer::Status { code: 14, message: "unavailable".to_owned() };
    server.answer_next_raw("ConfigPublishRequest", unavailable);
    let publish = Publish::new("d", "1").expect("valid");
    let error = client.configs().publish(publish).await.expect_err("it may have been stored");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert_eq!(server.requests("ConfigPublishRequest"), 1);
}

#[tokio::test(start_paused = true)]
async fn publish_under_way_during_a_planned_move_is_answered() {
    let server = server().await;
    let client = connected(&server).await;
    server.delay(Duration::from_millis(100));
    server.reset_connections(None);
    for n in 0..30 {
        let publish = Publish::new("d", n.to_string()).expect("valid");
        client.configs().publish(publish).await.expect("answered where it was sent");
    }
    assert_eq!(server.connects(), 2);
    assert_eq!(server.requests("ConfigPublishRequest"), 30);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_the_same_shutdown_gets_its_report() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", instance()).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    server.delay(Duration::from_millis(300));
    let within = Duration::from_secs(5);
    let (one, other) = tokio::join!(client.shutdown(within), client.shutdown(within));
    assert_eq!((one.withdrawn, one.unacknowledged), (1, 0));
    assert_eq!(one, other);
    assert_eq!(client.shutdown(within).await, ShutdownReport::default());
}

#[tokio::test(start_paused = true)]
async fn endless_durations_are_no_panic() {
    let server = server().await;
    let endless = builder(&server)
        .connect_timeout(Duration::MAX)
        .request_timeout(Duration::MAX)
        .backoff_cap(Duration::MAX);
    let client = endless.connect().await.expect("the server is there");
    client.configs().get("d").await.expect("an answer");
    let guard = client.naming().register("orders", instance()).expect("valid");
    let guard = guard.ready().await.expect("registered");
    guard.deregister().await.expect("agreed");
    server.drop_connections();
    reconnected(&client, 1).await;
    let _watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    assert_eq!(client.shutdown(Duration::MAX).await.withdrawn, 1);
}

#[tokio::test(start_paused = true)]
async fn wrong_password_is_denied_at_once_to_whoever_waits_for_a_claim() {
    // The one server that says so in no uncertain terms.
    let server = support::start(
        Server::builder().behaviour(Behaviour::Nacos2_3).credentials("nacos", "right"),
    )
    .await;
    let client = builder(&server).credentials("nacos", "wrong").connect_lazy().expect("valid");
    let (configs, naming) = (client.configs(), client.naming());
    let began = Instant::now();
    let watch = configs.watch("d").expect("valid").ready();
    let subscription = naming.subscribe("orders").expect("valid").ready();
    let registration = naming.register("orders", instance()).expect("valid").ready();
    let kinds = [
        watch.await.expect_err("denied").kind(),
        subscription.await.expect_err("denied").kind(),
        registration.await.expect_err("denied").kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Denied; 3]);
    assert!(Instant::now() - began < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn refused_token_is_no_refusal_to_whoever_waits_for_a_claim() {
    let server = support::start(Server::builder().credentials("nacos", "right")).await;
    let client = builder(&server).credentials("nacos", "right").connect().await.expect("logs in");
    server.expire_tokens();
    let guard = client.naming().register("orders", instance()).expect("valid");
    let _guard = guard.ready().await.expect("registered with another token");
    assert_eq!(server.logins(), 2);
}

#[tokio::test(start_paused = true)]
async fn updated_registration_is_pending_until_the_server_knows() {
    let server = server().await;
    let client = connected(&server).await;
    let guard = client.naming().register("orders", instance()).expect("valid");
    let mut guard = guard.ready().await.expect("registered");
    let mut former = guard.claim();
    let weights = || -> Vec<f64> {
        let instances = server.instances("", "DEFAULT_GROUP", "orders");
        instances.iter().map(|instance| instance.weight).collect()
    };
    guard.update(instance().with_weight(5.0)).expect("valid");
    assert_eq!(*guard.claim().get(), ClaimState::Pending);
    assert_eq!(weights(), [1.0]);
    becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    assert_eq!(weights(), [5.0]);
    // It spoke of the former instance.
    while soon(former.changed()).await.is_some() {}
}

fn instance() -> Instance {
    Instance::new("10.0.0.1", 80)
}

/// A server that agrees to everything, and can do what the test server cannot: send GOAWAY while
/// its stream stays open, refuse streams, and end the one of its pushes alone.
pub(crate) struct Leaving {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// Changes when all connections of the moment are to be left.
    leave: watch::Sender<()>,
    /// Changes when the streams of pushes are to end.
    end_streams: watch::Sender<()>,
    leaves_always: AtomicBool,
    refuses: AtomicBool,
    requests: AtomicUsize,
    connects: AtomicUsize,
}

impl Leaving {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            leave: watch::Sender::new(()),
            end_streams: watch::Sender::new(()),
            leaves_always: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            connects: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                accepting.connects.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(socket, Arc::clone(&accepting)));
            }
        });
        Self { port, shared }
    }

    pub(crate) async fn client(&self) -> Client {
        let address = format!("127.0.0.1:{}", self.port);
        let builder = Client::builder().server_addr(address).grpc_port_offset(0);
        builder.connect().await.expect("the server is there")
    }

    fn leave(&self) {
        self.shared.leave.send_replace(());
    }

    pub(crate) fn end_streams(&self) {
        self.shared.end_streams.send_replace(());
    }

    fn leave_always(&self) {
        self.shared.leaves_always.store(true, Ordering::Relaxed);
        self.leave();
    }

    fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Those that could be refused.
    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    fn connects(&self) -> usize {
        self.shared.connects.load(Ordering::Relaxed)
    }
}

/// Ends with the connection.
async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    let mut leave = shared.leave.subscribe();
    // A paused clock does not wait for delayed acknowledgements.
    socket.set_nodelay(true).expect("it has been accepted");
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let mut stays = true;
    loop {
        tokio::select! {
            request = connection.accept() => {
                let Some(Ok((request, respond))) = request else { return };
                let streams = request.uri().path().contains("BiRequestStream");
                // Before the acknowledgement, so that no request fits in between.
                if streams && stays && shared.leaves_always.load(Ordering::Relaxed) {
                    stays = false;
                    connection.graceful_shutdown();
                }
                tokio::spawn(answer(request, respond, Arc::clone(&shared)));
            }
            Ok(()) = leave.changed(), if stays => {
                stays = false;
                connection.graceful_shutdown();
            }
        }
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
) -> Option<()> {
    let streams = request.uri().path().contains("BiRequestStream");
    let mut body = request.into_body();
    let mut received = BytesMut::new();
    let envelope = loop {
        received.put(body.data().await?.ok()?);
        // An incomplete message ends too early to be one.
        if let Some(Ok(envelope)) = received.get(FRAME_HEADER..).map(Envelope::decode)
            && envelope.metadata.is_some()
        {
            break envelope;
        }
    };
    let head = Response::builder().header("content-type", "application/grpc").body(());
    let head = head.expect("valid");
    if streams {
        let mut send = respond.send_response(head, false).ok()?;
        let ack = frame("SetupAckRequest", &json!({"abilityTable": {}}));
        send.send_data(ack, false).ok()?;
        let mut ends = shared.end_streams.subscribe();
        // Open for as long as the client's half is.
        let reading = async { while let Some(Ok(_)) = body.data().await {} };
        tokio::select! {
            () = reading => return None,
            _ = ends.changed() => {}
        }
        let status = ("grpc-status".parse().ok()?, HeaderValue::from_static("0"));
        return send.send_trailers(HeaderMap::from_iter([status])).ok();
    }
    let kind = envelope.metadata?.kind;
    if !matches!(kind.as_str(), "HealthCheckRequest" | "ServerCheckRequest") {
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if shared.refuses.load(Ordering::Relaxed) {
            respond.send_reset(Reason::REFUSED_STREAM);
            return None;
        }
    }
    let mut send = respond.send_response(head, false).ok()?;
    let agreed = json!({"resultCode": 200, "supportAbilityNegotiation": true, "content": ""});
    send.send_data(frame(&kind.replace("Request", "Response"), &agreed), false).ok()?;
    let status = ("grpc-status".parse().ok()?, HeaderValue::from_static("0"));
    send.send_trailers(HeaderMap::from_iter([status])).ok()
}

pub(crate) fn frame(kind: &str, json: &serde_json::Value) -> Bytes {
    let envelope = Envelope {
        metadata: Some(Metadata { kind: kind.to_owned() }),
        body: Some(Body { value: serde_json::to_vec(json).expect("JSON") }),
    };
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(envelope.encoded_len()).expect("small"));
    envelope.encode(&mut frame).expect("a buffer grows");
    frame.freeze()
}

/// `Payload` of the protocol, as far as it matters here.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Envelope {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "3")]
    body: Option<Body>,
}

impl Envelope {
    /// The type of the one message in a body.
    pub(crate) fn of(body: &[u8]) -> Option<String> {
        Some(Self::decode(body.get(FRAME_HEADER..)?).ok()?.metadata?.kind)
    }
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "3")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct Body {
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Of a gRPC message: whether it is compressed, and its length.
const FRAME_HEADER: usize = 5;
