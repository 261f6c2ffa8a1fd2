//! One HTTP/2 connection to one server, and unary calls over it.
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use tokio::time::Instant;

use super::{
    CallError,
    activity::Limit,
    answer::{decode, lost, not_sent},
    calls::{self, Abandoned, Caller, Calls, Job, NONE_YET},
    frame::{self, FrameReader},
    places::USERS,
    socket::Socket,
    stream::{Pushes, Reading},
};
use crate::{server::Server, telemetry, wire::Payload};

/// The headers that go with one request, inside its metadata: the token, the signature.
pub(crate) type Headers = HashMap<String, String>;

/// One connection. Cheap to clone; every clone is the same connection.
///
/// It ends when the future that [`Http2Link::open`] returns beside it is dropped.
#[derive(Clone)]
pub(crate) struct Http2Link {
    shared: Arc<Shared>,
}

struct Shared {
    h2: SendRequest<Bytes>,
    unary: Uri,
    stream: Uri,
    headers: HeaderMap,
    /// The address that servers show for this client.
    local_ip: String,
    receive_limit: usize,
    calls: Calls,
    /// Why the connection ended.
    end: OnceLock<String>,
}

impl Http2Link {
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
            .max_header_list_size(MAX_HEAD)
            .initial_max_send_streams(NONE_YET)
            .enable_push(false)
            // Answers that still come on streams that were reset are no fault of the server's,
            // however many there are in the life of a connection.
            .max_local_error_reset_streams(None)
            .max_concurrent_reset_streams(RESET)
            .reset_stream_duration(RESET_FOR)
            .data_frame_budget(SMALL_FRAMES)
            .handshake(socket)
            .await
            .map_err(|error| not_sent(&error))?;
        let (calls, inbox) = Calls::new(receive_limit);
        let shared = Arc::new(Shared {
            h2,
            unary,
            stream,
            headers: headers(),
            local_ip,
            receive_limit,
            calls,
            end: OnceLock::new(),
        });
        let ending = Arc::clone(&shared);
        let work = async move {
            // Before the connection is dropped, of which calls hear as of a broken pipe.
            let tell = |why| drop(ending.end.set(why));
            calls::work(connection, &ending.h2, &ending.calls, inbox, tell).await;
            ending.end.get().cloned().unwrap_or_default()
        };
        Ok((Self { shared }, work))
    }

    /// Waits until the peer has said its first words: before them, it is a socket that was
    /// accepted, and no server. Until then `work` is done here.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub(super) async fn greeted(
        &self,
        work: &mut (impl Future<Output = String> + Unpin),
    ) -> Result<(), CallError> {
        poll_fn(|cx| match Pin::new(&mut *work).poll(cx) {
            Poll::Ready(why) => Poll::Ready(Err(CallError::NotSent(why))),
            Poll::Pending if calls::is_open(&self.shared.h2) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Has `request` carried out, and waits for the answer, within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the server may have done it. A small call comes to its
    /// end in the background.
    pub(crate) async fn call(
        &self,
        caller: Caller,
        request: Payload,
        headers: Headers,
        limit: Limit,
    ) -> Result<Payload, CallError> {
        let calls = &self.shared.calls;
        let body = frame::encode(&self.addressed(request, headers));
        let head = self.head(&self.shared.unary);
        match calls.begin(caller, head, body, limit).outcome().await {
            // The room of a large answer is free again once this is over.
            Ok(Ok((frame, _room))) => decode(frame),
            // For what reason its connection ended, if that is why.
            Ok(Err(CallError::Lost(_))) if self.end().is_some() => {
                Err(CallError::Lost(self.why_ended()))
            }
            Ok(Err(CallError::NotSent(_))) if self.end().is_some() => {
                Err(CallError::NotSent(self.why_ended()))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CallError::Lost(self.why_ended())),
        }
    }

    fn why_ended(&self) -> String {
        self.end().unwrap_or("the connection was closed").to_owned()
    }

    /// Opens the stream of pushes, with `setup` as its first message.
    pub(crate) async fn open_stream(&self, setup: Payload) -> Result<Pushes, CallError> {
        let body = frame::encode(&self.addressed(setup, Headers::new()));
        let mut h2 = self.shared.h2.clone().ready().await.map_err(|error| not_sent(&error))?;
        let (response, mut send) = h2
            .send_request(self.head(&self.shared.stream), false)
            .map_err(|error| not_sent(&error))?;
        telemetry::sent(body.len());
        send.send_data(body, false).map_err(|error| lost(&error))?;
        let reader = FrameReader::new(self.shared.receive_limit);
        let activity = Arc::clone(&self.shared.calls.activity);
        let (reading, pushes) = Reading::new(response, send, reader, activity);
        if !self.shared.calls.hand_over(Job::Reading(reading)) {
            return Err(CallError::NotSent(self.why_ended()));
        }
        Ok(pushes)
    }

    /// Why the connection ended, if it has.
    pub(crate) fn end(&self) -> Option<&str> {
        self.shared.end.get().map(String::as_str)
    }

    /// The outcomes of users' calls whose caller has stopped waiting.
    pub(crate) fn abandoned(&self) -> &Abandoned {
        &self.shared.calls.abandoned
    }

    /// When something was last heard, on a call or on the stream.
    pub(crate) fn last_heard(&self) -> Instant {
        self.shared.calls.activity.last()
    }

    fn addressed(&self, mut payload: Payload, headers: Headers) -> Payload {
        let metadata = payload.metadata.get_or_insert_default();
        metadata.client_ip.clone_from(&self.shared.local_ip);
        if metadata.headers.is_empty() {
            metadata.headers = headers;
        } else {
            metadata.headers.extend(headers);
        }
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

impl std::fmt::Debug for Http2Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2Link")
            .field("to", &self.shared.unary.authority())
            .finish_non_exhaustive()
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

fn ip(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

/// How much may be under way to us on one stream.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// How much on the connection: more than the unread answers of all users can take, so that there is
/// room for the session's own whatever users do. Nothing is set aside for it.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024 + 256 * STREAM_WINDOW;
const _: () = assert!(USERS == 256, "each may leave a window full of data unread");
const MAX_FRAME: u32 = 64 * 1024;
/// Of an answer: a status, and what the server says about it.
const MAX_HEAD: u32 = 64 * 1024;
/// Streams that were reset, whose answers may still be under way, and for how long.
const RESET: usize = 256;
const RESET_FOR: Duration = Duration::from_secs(10);
/// The memory that pieces of less than 256 bytes may cost beyond themselves, until they are read.
const SMALL_FRAMES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use nacos_testkit::TimeLimit;

    use super::*;
    use crate::call_error::status;

    /// A connection, and the peer's end of its socket.
    async fn linked() -> (Http2Link, impl Future<Output = String>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let (peer, _) = listener.accept().await.expect("a client");
        let server = Server::parse_list(&format!("127.0.0.1:{port}"), 0).expect("valid").remove(0);
        let link = Http2Link::open(Socket::Plain(socket), &server, 1024).await;
        let (link, work) = link.expect("nothing is waited for");
        (link, work, peer)
    }

    fn minute() -> Limit {
        let minute = Duration::from_secs(60);
        Limit { idle: minute, deadline: Instant::now() + minute }
    }

    #[tokio::test]
    async fn only_a_cancelled_stream_is_a_refusal() {
        TimeLimit::for_test();
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
                answer = link.call(Caller::Session, Payload::default(), Headers::new(), minute()) => answer,
                why = work => panic!("{why}"),
                () = resetting => panic!("the client has left"),
            };
            let Err(CallError::Status { code: got, .. }) = answer else { panic!("{answer:?}") };
            assert_eq!(got, code, "{reason}");
        }
    }

    #[tokio::test]
    async fn peer_that_leaves_is_quoted_in_a_line() {
        TimeLimit::for_test();
        let (link, work, mut peer) = linked().await;
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let leaving = [0, 0x27, 0x18, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
        let why = [b'x'; 10_000];
        let bytes = [&settings[..], &leaving[..], &why[..]].concat();
        peer.write_all(&bytes).await.expect("written");
        let (answer, why) = tokio::join!(
            link.call(Caller::Session, Payload::default(), Headers::new(), minute()),
            work
        );
        let answer = answer.expect_err("nobody answers").to_string();
        assert!(why.contains("xxx") && why.len() <= 300, "{} {why}", why.len());
        assert!(answer.len() < 400, "{answer}");
    }

    #[tokio::test]
    async fn call_says_for_what_reason_its_connection_ended() {
        TimeLimit::for_test();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let _silent = listener.accept().await.expect("a client");
        let socket = socket.into_std().expect("a socket");
        let handle = socket.try_clone().expect("a second handle");
        let socket = Socket::Plain(TcpStream::from_std(socket).expect("a socket"));
        let server = Server::parse_list(&format!("127.0.0.1:{port}"), 0).expect("valid").remove(0);
        let (link, work) =
            Http2Link::open(socket, &server, 1024).await.expect("nothing is waited for");
        // Writing fails, and there is nothing to be read.
        handle.shutdown(Shutdown::Write).expect("open");
        let (answer, why) = tokio::join!(
            link.call(Caller::Session, Payload::default(), Headers::new(), minute()),
            work
        );
        assert_eq!(answer, Err(CallError::Lost(why)));
    }
}
