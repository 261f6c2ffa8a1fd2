//! A client as small as can be: bare HTTP/2, its own envelope, no session, no retries. And the
//! servers that it calls, in tests that cannot hang for ever.

#![allow(dead_code, reason = "each test binary uses its own part of the client")]

use std::{collections::HashMap, convert::Infallible, net::SocketAddr, pin::Pin};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use nacos_testkit::{Behaviour, Builder, Server, TimeLimit};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

/// The server of a test, which has a time limit from here on.
pub(crate) async fn server() -> Server {
    start(Server::builder()).await
}

pub(crate) async fn server_like(behaviour: Behaviour) -> Server {
    start(Server::builder().behaviour(behaviour)).await
}

/// The same, with settings.
pub(crate) async fn start(settings: Builder) -> Server {
    TimeLimit::for_test();
    settings.start().await.expect("free ports")
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One transport to a server, and the stream on it.
pub(crate) struct Client {
    calls: http2::SendRequest<Body>,
    stream: Option<Stream>,
    _transport: JoinSet<()>,
}

struct Stream {
    sender: mpsc::UnboundedSender<Bytes>,
    /// Java servers answer when they have something to push, not before.
    opening: Option<Opening>,
    receiver: Option<Incoming>,
    buffer: BytesMut,
}

type Opening = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

/// An item that comes down a stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Down {
    /// The end, with its gRPC status if it had one.
    End(Option<(String, String)>),
    Push {
        message_type: String,
        body: Value,
    },
}

impl Down {
    pub(crate) fn push(self) -> (String, Value) {
        match self {
            Self::Push { message_type, body } => (message_type, body),
            Self::End(status) => panic!("the stream has ended: {status:?}"),
        }
    }
}

/// How a call ends that brings no message.
#[derive(Debug, PartialEq)]
pub(crate) enum Failure {
    /// HTTP says no.
    Http(u16),
    /// The message cannot be read.
    Message(String),
    /// The stream was reset with this code.
    Reset(u32),
    /// A gRPC status.
    Status { code: String, message: String },
    /// The transport is gone.
    Transport(String),
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpStream::connect(addr).await?;
        socket.set_nodelay(true)?;
        let mut settings = http2::Builder::new(TokioExecutor::new());
        settings.initial_stream_window_size(1 << 24).initial_connection_window_size(1 << 24);
        let handshake = settings.handshake(TokioIo::new(socket)).await;
        let (calls, transport) = handshake.map_err(std::io::Error::other)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // How it ends shows in the calls.
            let _ = transport.await;
        });
        Ok(Self { calls, stream: None, _transport: tasks })
    }

    /// Connects and sets up, waiting for the server to know the connection.
    pub(crate) async fn set_up(server: &Server) -> Self {
        let before = server.connections();
        let mut client = Self::connect(server.grpc_addr()).await.expect("the server listens");
        client.open().await;
        client.send("ConnectionSetupRequest", &setup());
        server.until(|server| server.connections() > before).await;
        if server.behaviour() != Behaviour::RNacos {
            let (message_type, _) = client.next().await.push();
            assert_eq!(message_type, "SetupAckRequest");
        }
        client
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    pub(crate) async fn call(
        &self,
        message_type: &str,
        body: &Value,
    ) -> Result<(String, Value), Failure> {
        self.call_with(message_type, &HashMap::new(), body.to_string()).await
    }

    /// Calls with a token.
    pub(crate) async fn call_as(
        &self,
        token: &str,
        message_type: &str,
        body: &Value,
    ) -> Result<(String, Value), Failure> {
        let headers = HashMap::from([("accessToken".to_owned(), token.to_owned())]);
        self.call_with(message_type, &headers, body.to_string()).await
    }

    pub(crate) async fn call_with(
        &self,
        message_type: &str,
        headers: &HashMap<String, String>,
        body: String,
    ) -> Result<(String, Value), Failure> {
        let envelope = envelope(message_type, headers, body);
        self.call_raw(frame(&envelope)).await
    }

    /// Sends these bytes as the body of a unary call.
    pub(crate) async fn call_raw(&self, body: Bytes) -> Result<(String, Value), Failure> {
        let body = Full::new(body).boxed_unsync();
        let response = self.post("/Request/request", body).await?;
        if response.status() != 200 {
            return Err(Failure::Http(response.status().as_u16()));
        }
        if let Some(status) = status(response.headers())
            && status.0 != "0"
        {
            return Err(Failure::Status { code: status.0, message: status.1 });
        }
        let collected = response.into_body().collect().await.map_err(|error| failure(&error))?;
        let status = collected.trailers().and_then(status);
        let mut buffer = BytesMut::from(&collected.to_bytes()[..]);
        match (take(&mut buffer), status) {
            (Some(message), _) => decode(&message).map_err(Failure::Message),
            (None, Some((code, message))) if code != "0" => Err(Failure::Status { code, message }),
            (None, _) => Err(Failure::Message("no whole frame".to_owned())),
        }
    }

    pub(crate) async fn post(&self, path: &str, body: Body) -> Result<Response<Incoming>, Failure> {
        let sent = self.start(path, body).await.map_err(|error| failure(&error))?;
        sent.await.map_err(|error| failure(&error))
    }

    /// Sends a request; the future is its answer.
    async fn start(&self, path: &str, body: Body) -> hyper::Result<Opening> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://testkit{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .expect("a request of constants");
        let mut calls = self.calls.clone();
        calls.ready().await?;
        Ok(Box::pin(calls.send_request(request)))
    }

    pub(crate) async fn open(&mut self) {
        let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
        let frames = stream::unfold(receiver, |mut receiver| async move {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(bytes)), receiver))
        });
        let body = StreamBody::new(frames).boxed_unsync();
        let opening = self.start("/BiRequestStream/requestBiStream", body).await;
        let opening = Some(opening.expect("the transport lives"));
        self.stream = Some(Stream { sender, opening, receiver: None, buffer: BytesMut::new() });
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    pub(crate) fn send(&self, message_type: &str, body: &Value) {
        let envelope = envelope(message_type, &HashMap::new(), body.to_string());
        self.send_raw(frame(&envelope));
    }

    pub(crate) fn send_raw(&self, bytes: Bytes) {
        let stream = self.stream.as_ref().expect("the stream is open");
        stream.sender.send(bytes).expect("the stream is read");
    }

    /// Ends the client's side of the stream, and nothing else.
    pub(crate) fn finish_stream(&mut self) {
        let stream = self.stream.as_mut().expect("the stream is open");
        stream.sender = mpsc::unbounded_channel().0;
    }

    /// The next push, not acknowledged yet.
    pub(crate) async fn next(&mut self) -> Down {
        let stream = self.stream.as_mut().expect("the stream is open");
        // Cancel safe: what is not answered yet stays where it is.
        if let Some(opening) = &mut stream.opening {
            let response = opening.await;
            stream.opening = None;
            stream.receiver = response.ok().map(Response::into_body);
        }
        let Some(receiver) = &mut stream.receiver else { return Down::End(None) };
        loop {
            if let Some(message) = take(&mut stream.buffer) {
                let (message_type, body) = decode(&message).expect("a push is an envelope");
                return Down::Push { message_type, body };
            }
            match receiver.frame().await {
                None | Some(Err(_)) => return Down::End(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => stream.buffer.put(data),
                    Err(frame) => return Down::End(frame.trailers_ref().and_then(status)),
                },
            }
        }
    }

    /// The next push, acknowledged.
    pub(crate) async fn next_acknowledged(&mut self) -> (String, Value) {
        let (message_type, body) = self.next().await.push();
        self.acknowledge(&message_type, &body);
        (message_type, body)
    }

    pub(crate) fn acknowledge(&self, message_type: &str, push: &Value) {
        let answer = message_type.replace("Request", "Response");
        let body = json!({ "resultCode": 200, "errorCode": 0, "requestId": push["requestId"] });
        self.send(&answer, &body);
    }
}

/// A connection setup that every server accepts.
pub(crate) fn setup() -> Value {
    json!({
        "clientVersion": "testkit",
        "tenant": "",
        "labels": { "source": "sdk", "module": "naming" },
        "abilityTable": {},
    })
}

/// An instance of the test's service, as a request names it: strict enough for r-nacos.
pub(crate) fn instance(port: u16) -> Value {
    json!({
        "ip": "10.0.0.1", "port": port, "weight": 1.0, "healthy": true, "enabled": true,
        "ephemeral": true, "clusterName": "DEFAULT", "serviceName": "", "metadata": {},
    })
}

/// A request about one instance of the service `g@@s`.
pub(crate) fn instance_request(kind: &str, instance: &Value) -> Value {
    json!({
        "namespace": "public", "serviceName": "s", "groupName": "g", "type": kind,
        "instance": instance,
    })
}

/// Logs in as the user `nacos` with the password `secret`.
pub(crate) async fn log_in(server: &Server) -> String {
    let form = "username=nacos&password=secret";
    let login = http(server.addr(), "POST", "/nacos/v1/auth/users/login", form).await;
    let (status, body) = login.expect("the server answers");
    assert_eq!(status, 200);
    let body: Value = serde_json::from_str(&body).expect("the login answers JSON");
    body["accessToken"].as_str().expect("a token").to_owned()
}

/// An HTTP/1 request, with a form as its body; returns status and text.
pub(crate) async fn http(
    addr: SocketAddr,
    method: &str,
    path: &str,
    form: &str,
) -> std::io::Result<(u16, String)> {
    let socket = TcpStream::connect(addr).await?;
    let handshake = http1::handshake(TokioIo::new(socket)).await;
    let (mut calls, transport) = handshake.map_err(std::io::Error::other)?;
    let task = Owned(tokio::spawn(async move { drop(transport.await) }).abort_handle());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", addr.to_string())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(form.to_owned())))
        .map_err(std::io::Error::other)?;
    let response = calls.send_request(request).await.map_err(std::io::Error::other)?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    drop(task);
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

struct Owned(AbortHandle);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len().try_into().expect("a test sends less than 4 GiB"));
    framed.put_slice(message);
    framed.freeze()
}

fn take(buffer: &mut BytesMut) -> Option<Bytes> {
    let mut header = &buffer[..];
    if header.len() < 5 {
        return None;
    }
    assert_eq!(header.get_u8(), 0, "servers do not compress");
    let length = usize::try_from(header.get_u32()).expect("usize holds 32 bits");
    if header.len() < length {
        return None;
    }
    buffer.advance(5);
    Some(buffer.split_to(length).freeze())
}

fn status(headers: &http::HeaderMap) -> Option<(String, String)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Some((text("grpc-status")?, text("grpc-message").unwrap_or_default()))
}

fn failure(error: &hyper::Error) -> Failure {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>()
            && error.is_reset()
            && let Some(reason) = error.reason()
        {
            return Failure::Reset(reason.into());
        }
        source = cause.source();
    }
    Failure::Transport(error.to_string())
}

pub(crate) fn envelope(
    message_type: &str,
    headers: &HashMap<String, String>,
    body: String,
) -> Vec<u8> {
    let metadata = Metadata {
        message_type: message_type.to_owned(),
        headers: headers.clone(),
        client_ip: "127.0.0.1".to_owned(),
    };
    let body = Any { type_url: String::new(), value: body.into_bytes() };
    Payload { metadata: Some(metadata), body: Some(body) }.encode_to_vec()
}

fn decode(message: &[u8]) -> Result<(String, Value), String> {
    let payload = Payload::decode(message).map_err(|error| error.to_string())?;
    let metadata = payload.metadata.unwrap_or_default();
    let body = payload.body.unwrap_or_default().value;
    let body = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    Ok((metadata.message_type, body))
}

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Metadata>,
    #[prost(message, optional, tag = "3")]
    body: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(string, tag = "3")]
    message_type: String,
    #[prost(map = "string, string", tag = "7")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "8")]
    client_ip: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}
