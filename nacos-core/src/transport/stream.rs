//! The stream of a server's pushes, and the acknowledgements that go back on it.
use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::ResponseFuture};
use tokio::sync::mpsc;

use super::{
    CallError,
    activity::Activity,
    answer::{check_head, check_status, decode, lost},
    frame::{self, Frame, FrameReader},
};
use crate::{
    telemetry,
    wire::{Payload, push},
};

/// A message that came on the stream.
#[derive(Debug)]
pub(crate) enum StreamMessage {
    Whole(Payload),
    /// One that is too large, or is no Nacos message: as much of it as is known, which may be
    /// nothing, and what is wrong with it.
    Unreadable {
        head: Payload,
        why: CallError,
    },
}

/// The pushes of one connection, in the order in which they and the answers to calls came.
///
/// Each is acknowledged on its very stream before it is handed out, whether it can be read or not,
/// known or unknown: what happens to it later cannot delay that. Only a question is left for its
/// reader to [answer](Self::answer).
#[derive(Debug)]
pub(crate) struct Pushes {
    pushes: mpsc::Receiver<Result<StreamMessage, CallError>>,
    answers: mpsc::UnboundedSender<Payload>,
}

impl Pushes {
    /// The next push.
    ///
    /// # Errors
    ///
    /// The end of the stream, and with it of the connection.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no push is lost, and none is acknowledged twice.
    pub(crate) async fn next(&mut self) -> Result<StreamMessage, CallError> {
        let ended = || Err(CallError::Lost("the stream has ended".to_owned()));
        self.pushes.recv().await.unwrap_or_else(ended)
    }

    /// Answers a push on the stream that it came on.
    pub(crate) fn answer(&mut self, answer: Payload) {
        // The only error is that the stream has ended, which `next` will tell.
        let _ = self.answers.send(answer);
    }
}

/// The work of the connection's task for [`Pushes`].
pub(super) struct Reading {
    stream: Stream,
    pushes: mpsc::Sender<Result<StreamMessage, CallError>>,
    answers: mpsc::UnboundedReceiver<Payload>,
}

impl Reading {
    pub(super) fn new(
        response: ResponseFuture,
        send: SendStream<Bytes>,
        reader: FrameReader,
        activity: Arc<Activity>,
    ) -> (Self, Pushes) {
        let (pushes, received) = mpsc::channel(PUSHES_AT_ONCE);
        // At most one for each push that was received.
        let (answering, answers) = mpsc::unbounded_channel();
        let stream = Stream::new(response, send, reader, activity);
        let handle = Pushes { pushes: received, answers: answering };
        (Self { stream, pushes, answers }, handle)
    }

    /// Reads until the stream has ended, or [`Pushes`] is dropped.
    pub(super) async fn carry_out(self) {
        let Self { mut stream, pushes, mut answers } = self;
        loop {
            let push = tokio::select! {
                biased;
                () = pushes.closed() => return,
                Some(answer) = answers.recv() => {
                    stream.answer(&answer);
                    continue;
                }
                push = poll_fn(|cx| stream.poll_next(cx)) => push,
            };
            let has_ended = push.is_err();
            if pushes.send(push).await.is_err() || has_ended {
                return;
            }
        }
    }
}

struct Stream {
    /// Until the server's first answer, which may come with its first push only.
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    send: SendStream<Bytes>,
    /// Acknowledgements that the server has not made room for yet, one after the other: those that
    /// wait go out together.
    queue: BytesMut,
    reader: FrameReader,
    data: Bytes,
    activity: Arc<Activity>,
}

impl Stream {
    fn new(
        response: ResponseFuture,
        send: SendStream<Bytes>,
        reader: FrameReader,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            response: Some(response),
            body: None,
            send,
            queue: BytesMut::new(),
            reader,
            data: Bytes::new(),
            activity,
        }
    }

    fn answer(&mut self, answer: &Payload) {
        self.queue.extend_from_slice(&frame::encode(answer));
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamMessage, CallError>> {
        // Before reading on, so that acknowledgements go out as soon as there is room for them. A
        // server that makes none is read until so many of them wait.
        if let Poll::Ready(Err(error)) = self.poll_acknowledge(cx) {
            return Poll::Ready(Err(error));
        }
        if self.queue.len() > MAX_QUEUED {
            let why = "the server takes no acknowledgements".to_owned();
            return Poll::Ready(Err(CallError::Lost(why)));
        }
        for _ in 0..PIECES_AT_ONCE {
            if let Some(frame) = self.reader.next(&mut self.data) {
                return Poll::Ready(self.received(cx, frame));
            }
            let Some(body) = &mut self.body else {
                std::task::ready!(self.poll_response(cx))?;
                continue;
            };
            match std::task::ready!(body.poll_data(cx)) {
                Some(Ok(data)) => {
                    telemetry::received(data.len());
                    let _ = body.flow_control().release_capacity(data.len());
                    self.data = data;
                    let frame = self.reader.next(&mut self.data);
                    self.activity.beat(self.reader.is_between_messages());
                    if let Some(frame) = frame {
                        return Poll::Ready(self.received(cx, frame));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(ended(&lost(&error)))),
                None => {
                    let trailers = std::task::ready!(body.poll_trailers(cx));
                    let trailers = trailers.map_err(|error| lost(&error)).unwrap_or_default();
                    let status = check_status(&trailers.unwrap_or_default());
                    let why = status.err().unwrap_or(CallError::Lost("end of stream".to_owned()));
                    return Poll::Ready(Err(ended(&why)));
                }
            }
        }
        // However fast a large message comes, the connection's task has other work, too.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(CallError::Lost("the stream has ended".to_owned())));
        };
        let response = std::task::ready!(std::pin::Pin::new(response).poll(cx));
        self.response = None;
        let (head, body) = response.map_err(|error| ended(&lost(&error)))?.into_parts();
        check_head(head.status, &head.headers).map_err(|error| ended(&error))?;
        self.body = Some(body);
        Poll::Ready(Ok(()))
    }

    fn received(&mut self, cx: &mut Context<'_>, frame: Frame) -> Result<StreamMessage, CallError> {
        // Its type and its number stand in front: that is enough to acknowledge a push that is too
        // large, which the server would send again and again otherwise.
        let head = if let Frame::Oversized { head, .. } = &frame {
            Some(Payload::cut(head))
        } else {
            None
        };
        let push = match (decode(frame), head) {
            (Ok(payload), _) => StreamMessage::Whole(payload),
            (Err(why), head) => StreamMessage::Unreadable { head: head.unwrap_or_default(), why },
        };
        let (StreamMessage::Whole(payload) | StreamMessage::Unreadable { head: payload, .. }) =
            &push;
        if let Some(ack) = push::acknowledge(payload) {
            self.answer(&ack);
            if let Poll::Ready(Err(error)) = self.poll_acknowledge(cx) {
                return Err(error);
            }
        }
        Ok(push)
    }

    /// Sends what the server has room for.
    fn poll_acknowledge(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        while !self.queue.is_empty() {
            self.send.reserve_capacity(self.queue.len());
            let room = self.send.capacity().min(self.queue.len());
            if room == 0 {
                match std::task::ready!(self.send.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return Poll::Ready(Err(ended(&lost(&error)))),
                    None => {
                        return Poll::Ready(Err(CallError::Lost(
                            "the stream is closed".to_owned(),
                        )));
                    }
                }
            }
            let acks = self.queue.split_to(room).freeze();
            telemetry::sent(acks.len());
            self.send.send_data(acks, false).map_err(|error| ended(&lost(&error)))?;
        }
        Poll::Ready(Ok(()))
    }
}

/// The end of the stream ends the connection: a stream is never opened a second time.
fn ended(error: &CallError) -> CallError {
    CallError::Lost(format!("the stream ended: {error}"))
}

/// Pieces of a message that are read before others get their turn.
const PIECES_AT_ONCE: usize = 64;
/// Pushes that may wait for the session; those behind them wait in the stream's window.
const PUSHES_AT_ONCE: usize = 64;
/// Bytes of acknowledgements that may wait: some ten thousand of them.
const MAX_QUEUED: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nacos_testkit::{TimeLimit, within};
    use tokio::{
        net::{TcpListener, TcpStream},
        sync::oneshot,
    };

    use super::*;
    use crate::{
        server::Server,
        transport::{link::Http2Link, socket::Socket},
    };

    /// Their acknowledgements are more bytes than may wait.
    const MANY: usize = 10_000;

    #[tokio::test]
    async fn server_that_makes_no_room_for_acknowledgements_is_left() {
        TimeLimit::for_test();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let socket = TcpStream::connect(&address).await.expect("connects");
        let (peer, _) = listener.accept().await.expect("a client");
        let server = Server::parse_list(&address, 0).expect("valid").remove(0);
        let link = Http2Link::open(Socket::Plain(socket), &server, 1024 * 1024).await;
        let (link, work) = link.expect("nothing is waited for");
        let pushing = async {
            let mut settings = h2::server::Builder::new();
            let peer = settings.initial_window_size(0).handshake(peer).await;
            let mut peer = peer.expect("HTTP/2");
            let (_request, mut respond) = peer.accept().await.expect("a stream").expect("opened");
            let mut head = http::Response::new(());
            let kind = http::HeaderValue::from_static("application/grpc");
            head.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            let mut stream = respond.send_response(head, false).expect("open");
            let id = "x".repeat(100);
            for _ in 0..MANY {
                let push = format!(r#"{{"requestId": "{id}", "dataId": "d", "group": "g"}}"#);
                let push = Payload::new("ConfigChangeNotifyRequest", push.into_bytes());
                stream.send_data(frame::encode(&push), false).expect("open");
            }
            // Sends them, and never reads what comes back.
            while peer.accept().await.is_some() {}
        };
        let reading = async {
            let mut pushes = link.open_stream(Payload::default()).await.expect("opens");
            let mut read = 0;
            loop {
                match pushes.next().await {
                    Ok(_) => read += 1,
                    Err(error) => return (read, error),
                }
                assert!(read < MANY, "every one of them was answered");
            }
        };
        let (read, error) = tokio::select! {
            outcome = reading => outcome,
            why = work => panic!("{why}"),
            () = pushing => panic!("the client has left"),
        };
        assert!(error.to_string().contains("takes no acknowledgements"), "{error}");
        assert!(read > 0);
    }

    #[tokio::test]
    async fn acknowledgements_that_wait_go_out_together() {
        const PUSHES: usize = 1000;
        TimeLimit::for_test();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let socket = TcpStream::connect(&address).await.expect("connects");
        let (peer, _) = listener.accept().await.expect("a client");
        let server = Server::parse_list(&address, 0).expect("valid").remove(0);
        let link = Http2Link::open(Socket::Plain(socket), &server, 1024 * 1024).await;
        let (link, work) = link.expect("nothing is waited for");
        let (all, come) = oneshot::channel();
        let pushing = async {
            let mut settings = h2::server::Builder::new();
            let peer = settings.initial_window_size(0).handshake(peer).await;
            let mut peer = peer.expect("HTTP/2");
            let (request, mut respond) = peer.accept().await.expect("a stream").expect("opened");
            let mut head = http::Response::new(());
            let kind = http::HeaderValue::from_static("application/grpc");
            head.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            let mut stream = respond.send_response(head, false).expect("open");
            for id in 0..PUSHES {
                let push = format!(r#"{{"requestId": "{id}", "dataId": "d", "group": "g"}}"#);
                let push = Payload::new("ConfigChangeNotifyRequest", push.into_bytes());
                stream.send_data(frame::encode(&push), false).expect("open");
            }
            tokio::select! {
                come = come => come.expect("all are read"),
                _ = peer.accept() => panic!("another stream"),
            }
            peer.set_initial_window_size(1024 * 1024).expect("no other change is under way");
            let mut body = request.into_body();
            let reading = async {
                let (mut bytes, mut pieces) = (BytesMut::new(), 0);
                // The setup, and then as many acknowledgements.
                let mut messages = 0;
                while messages < PUSHES + 1 {
                    let piece = body.data().await.expect("more").expect("open");
                    let room = body.flow_control().release_capacity(piece.len());
                    room.expect("it was taken up");
                    bytes.extend_from_slice(&piece);
                    pieces += 1;
                    while let Some(head) = bytes.first_chunk::<5>() {
                        let [_, length @ ..] = *head;
                        let whole = 5 + u32::from_be_bytes(length) as usize;
                        if bytes.len() < whole {
                            break;
                        }
                        drop(bytes.split_to(whole));
                        messages += 1;
                    }
                }
                pieces
            };
            tokio::select! {
                pieces = reading => pieces,
                _ = peer.accept() => panic!("another stream"),
            }
        };
        let reading = async {
            let mut pushes = link.open_stream(Payload::default()).await.expect("opens");
            for _ in 0..PUSHES {
                pushes.next().await.expect("a push");
            }
            all.send(()).expect("awaited");
            // Sends what there is room for.
            pushes.next().await.map(drop)
        };
        let counting = Box::pin(async {
            tokio::select! {
                pieces = pushing => pieces,
                outcome = reading => panic!("{outcome:?}"),
                why = work => panic!("{why}"),
            }
        });
        let pieces = within(Duration::from_secs(60), counting).await;
        assert!(pieces < PUSHES / 10, "{pieces} pieces");
    }
}
