//! One HTTP/2 connection to one server, and unary calls over it.
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::Poll,
};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use tokio::time::Instant;

use super::{
    CallError,
    answer::{check_head, check_status, decode, lost, told},
    frame::{self, FrameReader},
    pulse::{Limit, Pulse},
    socket::Socket,
    stream::Pushes,
};
use crate::{server::Server, telemetry, wire::Payload};

/// The headers that go with one request, inside its metadata: the token, the signature.
pub(crate) type Headers = HashMap<String, String>;

/// One connection. Cheap to clone; every clone is the same connection.
///
/// It ends when the future that [`Link::open`] returns beside it is dropped.
#[derive(Clone)]
pub(crate) struct Link {
    h2: SendRequest<Bytes>,
    shared: Arc<Shared>,
}

struct Shared {
    unary: Uri,
    stream: Uri,
    headers: HeaderMap,
    /// The address that servers show for this client.
    local_ip: String,
    receive_limit: usize,
    pulse: Arc<Pulse>,
    /// Why the connection ended.
    end: OnceLock<String>,
}

impl Link {
    /// Makes a connection of `socket`. The future returned beside it does its work, and ends with
    /// the reason for which the connection did; it has to be polled by a task of its own.
    ///
    /// # Errors
    ///
    /// The peer does not speak HTTP/2.
    pub(crate) async fn open(
        socket: Socket,
        server: &Server,
        receive_limit: usize,
    ) -> Result<(Self, impl Future<Output = String> + Send + use<>), CallError> {
        let lost = |error: &dyn std::fmt::Display| CallError::NotSent(error.to_string());
        let local_ip = socket.local_addr().map_or_else(|_| String::new(), |addr| ip(addr.ip()));
        let authority = server.grpc_authority();
        let scheme = socket.scheme();
        let uri = |path: &str| {
            Uri::builder().scheme(scheme).authority(authority.as_str()).path_and_query(path).build()
        };
        let unary = uri("/Request/request").map_err(|error| lost(&error))?;
        let stream = uri("/BiRequestStream/requestBiStream").map_err(|error| lost(&error))?;
        let (h2, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .enable_push(false)
            .handshake(socket)
            .await
            .map_err(|error| not_sent(&error))?;
        let shared = Arc::new(Shared {
            unary,
            stream,
            headers: headers(),
            local_ip,
            receive_limit,
            pulse: Arc::new(Pulse::new()),
            end: OnceLock::new(),
        });
        let ending = Arc::clone(&shared);
        let work = async move {
            let mut connection = connection;
            let why = match (&mut connection).await {
                Ok(()) => "the server closed the connection".to_owned(),
                Err(error) => told(&error),
            };
            // Before the connection is dropped, of which calls hear as of a broken pipe.
            ending.end.get_or_init(|| why).clone()
        };
        Ok((Self { h2, shared }, work))
    }

    /// Sends `request` and waits for its answer, within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the server may have done it.
    pub(crate) async fn call(
        &self,
        request: Payload,
        headers: Headers,
        limit: Limit,
    ) -> Result<Payload, CallError> {
        let pulse = &*self.shared.pulse;
        let body = frame::encode(&self.addressed(request, headers));
        let ready = pulse.next(limit, self.h2.clone().ready()).await;
        let not_yet = |_| CallError::NotSent("the server takes no more requests yet".to_owned());
        let mut h2 = ready.map_err(not_yet)?.map_err(|error| not_sent(&error))?;
        let (mut response, mut send) = h2
            .send_request(self.head(&self.shared.unary), false)
            .map_err(|error| not_sent(&error))?;
        telemetry::sent(body.len());
        let head = if body.len() <= AT_ONCE {
            send.send_data(body, true).map_err(|error| self.lost(&error))?;
            pulse.next(limit, response).await?
        } else {
            match self.send(&mut send, body, &mut response, limit).await? {
                Some(head) => head,
                // The system may hold megabytes that are still to go, and does not tell.
                None => pulse.next(limit.patient(), response).await?,
            }
        };
        let (head, body) = head.map_err(|error| self.lost(&error))?.into_parts();
        check_head(head.status, &head.headers)?;
        self.receive(body, limit).await
    }

    /// Sends a large body as the server makes room for it, each piece of which it takes being
    /// progress. Ends early with the answer of a server that does not want to read it all.
    async fn send(
        &self,
        send: &mut SendStream<Bytes>,
        mut body: Bytes,
        response: &mut ResponseFuture,
        limit: Limit,
    ) -> Result<Option<Answered>, CallError> {
        while !body.is_empty() {
            send.reserve_capacity(body.len().min(AT_ONCE));
            let room = poll_fn(|cx| {
                if let Poll::Ready(head) = Pin::new(&mut *response).poll(cx) {
                    return Poll::Ready(Err(head));
                }
                send.poll_capacity(cx).map(Ok)
            });
            let room = match self.shared.pulse.next(limit, room).await? {
                Ok(Some(Ok(room))) => room,
                // The stream was ended by the server, whose answer says why.
                Ok(_) => return Ok(None),
                Err(head) => return Ok(Some(head)),
            };
            let part = body.split_to(room.min(body.len()));
            send.send_data(part, body.is_empty()).map_err(|error| self.lost(&error))?;
        }
        Ok(None)
    }

    /// Opens the stream of pushes, with `setup` as its first message.
    pub(crate) async fn open_stream(&self, setup: Payload) -> Result<Pushes, CallError> {
        let body = frame::encode(&self.addressed(setup, Headers::new()));
        let mut h2 = self.h2.clone().ready().await.map_err(|error| not_sent(&error))?;
        let (response, mut send) = h2
            .send_request(self.head(&self.shared.stream), false)
            .map_err(|error| not_sent(&error))?;
        telemetry::sent(body.len());
        send.send_data(body, false).map_err(|error| lost(&error))?;
        let reader = FrameReader::new(self.shared.receive_limit);
        Ok(Pushes::new(response, send, reader, Arc::clone(&self.shared.pulse)))
    }

    /// Why the connection ended, if it has.
    pub(crate) fn end(&self) -> Option<&str> {
        self.shared.end.get().map(String::as_str)
    }

    /// When something was last heard, on a call or on the stream.
    pub(crate) fn last_heard(&self) -> Instant {
        self.shared.pulse.last()
    }

    /// One message, then the trailers.
    async fn receive(&self, mut body: RecvStream, limit: Limit) -> Result<Payload, CallError> {
        let pulse = &*self.shared.pulse;
        let mut reader = FrameReader::new(self.shared.receive_limit);
        let mut answer = None;
        while let Some(data) = pulse.next(limit, body.data()).await? {
            let mut data = data.map_err(|error| self.lost(&error))?;
            telemetry::received(data.len());
            let _ = body.flow_control().release_capacity(data.len());
            while let Some(frame) = reader.next(&mut data) {
                // The first message is the answer; a peer that sends more is not listened to.
                answer.get_or_insert(frame);
            }
            pulse.beat(reader.is_between_messages());
        }
        let trailers = pulse.next(limit, body.trailers()).await?;
        let trailers = trailers.map_err(|error| self.lost(&error))?;
        check_status(&trailers.unwrap_or_default())?;
        match answer {
            Some(frame) => decode(frame),
            None if reader.is_between_messages() => {
                Err(CallError::Unreadable("an answer without a message".to_owned()))
            }
            None => Err(CallError::Unreadable("an answer that ends within a message".to_owned())),
        }
    }

    /// Why a call has no answer: for what reason its connection ended, if that is why.
    fn lost(&self, error: &h2::Error) -> CallError {
        match (lost(error), self.shared.end.get()) {
            (CallError::Lost(_), Some(why)) => CallError::Lost(why.clone()),
            (error, _) => error,
        }
    }

    fn addressed(&self, mut payload: Payload, headers: Headers) -> Payload {
        let metadata = payload.metadata.get_or_insert_default();
        metadata.client_ip.clone_from(&self.shared.local_ip);
        metadata.headers = headers;
        payload
    }

    fn head(&self, uri: &Uri) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        request.uri_mut().clone_from(uri);
        request.headers_mut().clone_from(&self.shared.headers);
        request
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("to", &self.shared.unary.authority()).finish_non_exhaustive()
    }
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let agent = concat!("nacos-core/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers
}

fn not_sent(error: &h2::Error) -> CallError {
    CallError::NotSent(told(error))
}

fn ip(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

/// The head of an answer.
type Answered = Result<http::Response<RecvStream>, h2::Error>;

/// What is handed to HTTP/2 in one piece: its initial window, which every server grants.
const AT_ONCE: usize = 65_535;
/// How much may be under way to us on one stream, and on the connection: whatever comes on one
/// stream, there is room for the answers on others.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const MAX_FRAME: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::transport::error::status;

    /// A connection, and the peer's end of its socket.
    async fn linked() -> (Link, impl Future<Output = String>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let (peer, _) = listener.accept().await.expect("a client");
        let server = Server::parse_list(&format!("127.0.0.1:{port}"), 0).expect("valid").remove(0);
        let link = Link::open(Socket::Plain(socket), &server, 1024).await;
        let (link, work) = link.expect("nothing is waited for");
        (link, work, peer)
    }

    fn minute() -> Limit {
        let minute = std::time::Duration::from_secs(60);
        Limit { idle: minute, deadline: Instant::now() + minute }
    }

    #[tokio::test]
    async fn only_a_cancelled_stream_is_a_refusal() {
        for (reason, code) in [
            (h2::Reason::CANCEL, status::CANCELLED),
            (h2::Reason::ENHANCE_YOUR_CALM, status::EXHAUSTED),
            (h2::Reason::REFUSED_STREAM, status::UNAVAILABLE),
            (h2::Reason::INTERNAL_ERROR, status::INTERNAL),
            (h2::Reason::NO_ERROR, status::INTERNAL),
            (h2::Reason::PROTOCOL_ERROR, status::INTERNAL),
        ] {
            let (link, work, peer) = linked().await;
            let resetting = async {
                let mut peer = h2::server::handshake(peer).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = peer.accept().await {
                    respond.send_reset(reason);
                }
            };
            let answer = tokio::select! {
                answer = link.call(Payload::default(), Headers::new(), minute()) => answer,
                why = work => panic!("{why}"),
                () = resetting => panic!("the client has left"),
            };
            let Err(CallError::Status { code: got, .. }) = answer else { panic!("{answer:?}") };
            assert_eq!(got, code, "{reason}");
        }
    }

    #[tokio::test]
    async fn peer_that_leaves_is_quoted_in_a_line() {
        let (link, work, mut peer) = linked().await;
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let leaving = [0, 0x27, 0x18, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
        let why = [b'x'; 10_000];
        let bytes = [&settings[..], &leaving[..], &why[..]].concat();
        peer.write_all(&bytes).await.expect("written");
        let (answer, why) =
            tokio::join!(link.call(Payload::default(), Headers::new(), minute()), work);
        let answer = answer.expect_err("nobody answers").to_string();
        assert!(why.contains("xxx") && why.len() <= 300, "{} {why}", why.len());
        assert!(answer.len() < 400, "{answer}");
    }

    #[tokio::test]
    async fn call_says_for_what_reason_its_connection_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let _silent = listener.accept().await.expect("a client");
        let socket = socket.into_std().expect("a socket");
        let handle = socket.try_clone().expect("a second handle");
        let socket = Socket::Plain(TcpStream::from_std(socket).expect("a socket"));
        let server = Server::parse_list(&format!("127.0.0.1:{port}"), 0).expect("valid").remove(0);
        let (link, work) = Link::open(socket, &server, 1024).await.expect("nothing is waited for");
        // Writing fails, and there is nothing to be read.
        handle.shutdown(Shutdown::Write).expect("open");
        let (answer, why) =
            tokio::join!(link.call(Payload::default(), Headers::new(), minute()), work);
        assert_eq!(answer, Err(CallError::Lost(why)));
    }
}
