//! Tests of harm that peers may do to a connection, on purpose or not.
use std::{
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response};
use nacos_testkit::TimeLimit;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    CallError, Caller, Headers, Http2Link, Limit, dialer::Work, frame::encode, socket::Socket,
};
use crate::{server::Server, tasks, wire::Payload};

/// A connection, its work, and the peer's end of its socket, in a test that has a time limit from
/// here on.
async fn linked(receive_limit: usize) -> (Http2Link, Work, TcpStream) {
    TimeLimit::for_test();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let socket = TcpStream::connect(&address).await.expect("connects");
    let (peer, _) = listener.accept().await.expect("a client");
    for socket in [&socket, &peer] {
        // Data that waits for an acknowledgement would wait in real time.
        socket.set_nodelay(true).expect("open");
    }
    let server = Server::parse_list(&address, 0).expect("valid").remove(0);
    let link = Http2Link::open(Socket::Plain(socket), &server, receive_limit).await;
    let (link, work) = link.expect("nothing is waited for");
    (link, Box::pin(work), peer)
}

/// A connection to a peer that answers the calls as `each` does, which is told their number.
async fn linked_to<F: Future<Output = Option<()>> + Send + 'static>(
    receive_limit: usize,
    each: impl Fn(usize, SendStream<Bytes>) -> F + Send + 'static,
) -> (Http2Link, tasks::Task<String>, tasks::Task<()>) {
    let (link, work, peer) = linked(receive_limit).await;
    let serving = tasks::spawn(async move {
        let mut peer = h2::server::handshake(peer).await.expect("HTTP/2");
        let mut answers = Vec::new();
        while let Some(Ok((_, mut respond))) = peer.accept().await {
            let stream = open(&mut respond).expect("open");
            answers.push(tasks::spawn(each(answers.len(), stream)));
        }
    });
    (link, tasks::spawn(work), serving)
}

fn open(respond: &mut SendResponse<Bytes>) -> Option<SendStream<Bytes>> {
    let mut head = Response::new(());
    let kind = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    respond.send_response(head, false).ok()
}

/// Sends as much as the client has room for, until all of it has gone.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Option<()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(64 * 1024));
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        stream.send_data(data.split_to(room.min(data.len())), false).ok()?;
    }
    Some(())
}

fn end(stream: &mut SendStream<Bytes>) -> Option<()> {
    let status = ("grpc-status".parse().ok()?, HeaderValue::from_static("0"));
    stream.send_trailers(HeaderMap::from_iter([status])).ok()
}

async fn answer(stream: &mut SendStream<Bytes>, size: usize) -> Option<()> {
    send(stream, encode(&Payload::new("Answer", vec![b'x'; size]))).await?;
    end(stream)
}

fn within(seconds: u64) -> Limit {
    let idle = Duration::from_secs(seconds);
    Limit { idle, deadline: Instant::now() + idle }
}

async fn call(link: &Http2Link, caller: Caller, limit: Limit) -> Result<Payload, CallError> {
    // Far longer than anything may take, so that a failure has a place.
    let call = link.call(caller, Payload::default(), Headers::new(), limit);
    timeout(Duration::from_secs(600), call).await.expect("it has a deadline of its own")
}

#[tokio::test(start_paused = true)]
async fn peer_that_goes_on_after_its_answer_is_left_at_once() {
    for size in [0, 1, 100] {
        let (link, _work, _peer) = linked_to(1024, move |number, mut stream| async move {
            if number > 0 {
                return answer(&mut stream, 3).await;
            }
            let mut many = BytesMut::new();
            for _ in 0..10_000 {
                many.put_u8(0);
                many.put_u32(size);
                many.put_bytes(b'x', size as usize);
            }
            let many = many.freeze();
            for _ in 0..20 {
                send(&mut stream, many.clone()).await?;
            }
            std::future::pending().await
        })
        .await;
        let error = call(&link, Caller::Session, within(60)).await.expect_err("more than one");
        assert_eq!(error, CallError::Unreadable("more than one message in an answer".to_owned()));
        let next = call(&link, Caller::Session, within(60)).await.expect("the connection lives");
        assert_eq!(next.json().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn answer_that_comes_for_ever_ends_with_the_deadline() {
    let (link, _work, _peer) = linked_to(64 << 20, |number, mut stream| async move {
        if number > 0 {
            return answer(&mut stream, 3).await;
        }
        send(&mut stream, Bytes::from_static(&[0, 3, 0xff, 0xff, 0xff])).await?;
        loop {
            send(&mut stream, Bytes::from_static(&[7; 300])).await?;
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let began = Instant::now();
    let limit = Limit { idle: Duration::from_secs(3), deadline: began + Duration::from_secs(20) };
    assert_eq!(call(&link, Caller::Session, limit).await, Err(CallError::Timeout));
    assert_eq!((Instant::now() - began).as_secs(), 20);
    call(&link, Caller::Session, within(60)).await.expect("the connection lives");
}

#[tokio::test(start_paused = true)]
async fn head_and_trailers_that_are_too_large_cost_the_call() {
    let (link, _work, _peer) = linked_to(1024, |number, mut stream| async move {
        if number > 0 {
            return answer(&mut stream, 3).await;
        }
        let large = HeaderValue::from_str(&"x".repeat(200_000)).ok()?;
        stream.send_trailers(HeaderMap::from_iter([("large".parse().ok()?, large)])).ok()
    })
    .await;
    let error = call(&link, Caller::Session, within(60)).await.expect_err("too large");
    assert!(!matches!(error, CallError::Timeout), "{error}");
    call(&link, Caller::Session, within(60)).await.expect("the connection lives");
}

#[tokio::test(start_paused = true)]
async fn message_over_the_limit_is_not_waited_for() {
    let (link, _work, _peer) = linked_to(1024, |number, mut stream| async move {
        if number > 0 {
            return answer(&mut stream, 3).await;
        }
        send(&mut stream, Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])).await?;
        std::future::pending().await
    })
    .await;
    let began = Instant::now();
    let error = call(&link, Caller::Session, within(60)).await.expect_err("4 GiB");
    assert!(matches!(error, CallError::Oversized { .. }), "{error}");
    assert!(Instant::now() - began < Duration::from_secs(1));
    call(&link, Caller::Session, within(60)).await.expect("the connection lives");
}

#[tokio::test(start_paused = true)]
async fn large_answers_wait_for_room_and_nothing_else_does() {
    let size = super::calls::ROOM / 4 * 3;
    let is_small = Arc::new(watch::Sender::new(false));
    let wanted = Arc::clone(&is_small);
    let (link, _work, _peer) = linked_to(super::calls::ROOM, move |_, mut stream| {
        let size = if *wanted.borrow() { 100 } else { size };
        async move { answer(&mut stream, size).await }
    })
    .await;
    let mut first = Box::pin(call(&link, Caller::User, within(60)));
    let mut second = Box::pin(call(&link, Caller::User, within(60)));
    poll_fn(|cx| {
        assert!(first.as_mut().poll(cx).is_pending() && second.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    sleep(Duration::from_secs(10)).await;
    is_small.send_replace(true);
    for caller in [Caller::User, Caller::Session] {
        call(&link, caller, within(60)).await.expect("small ones need no room");
    }
    let early = timeout(Duration::from_secs(10), &mut second).await;
    assert!(early.is_err(), "the first has its room: {:?}", early.map(|it| it.map(drop)));
    assert_eq!(first.await.expect("it came").json().len(), size);
    assert_eq!(second.await.expect("there is room now").json().len(), size);
}

#[tokio::test(start_paused = true)]
async fn answer_that_finds_no_room_in_time_is_no_silence_of_the_server() {
    let (link, _work, _peer) = linked_to(super::calls::ROOM, |_, mut stream| async move {
        answer(&mut stream, super::calls::ROOM / 4 * 3).await
    })
    .await;
    let mut first = Box::pin(call(&link, Caller::User, within(60)));
    poll_fn(|cx| {
        assert!(first.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    sleep(Duration::from_secs(10)).await;
    let second = call(&link, Caller::User, within(5)).await.map(drop);
    assert_eq!(second, Err(CallError::NoRoom));
    first.await.expect("it came");
}

#[tokio::test(start_paused = true)]
async fn large_answers_that_come_to_their_end_delay_no_reset() {
    const MANY: usize = 400;
    let large = Bytes::from_static(&[0, 0, 2, 0, 0]);
    let (abandoned, reset) = (watch::Sender::new(0), watch::Sender::new(false));
    let (seen, told) = (abandoned.clone(), reset.clone());
    let (link, _work, _peer) = linked_to(1 << 20, move |number, mut stream| {
        let (large, mut seen, told) = (large.clone(), seen.subscribe(), told.clone());
        async move {
            send(&mut stream, large).await?;
            send(&mut stream, Bytes::from(vec![b'x'; 100_000])).await?;
            if number < MANY {
                seen.wait_for(|abandoned| *abandoned > number).await.ok()?;
                send(&mut stream, Bytes::from(vec![b'x'; 131_072 - 100_000])).await?;
                return end(&mut stream);
            }
            poll_fn(|cx| stream.poll_reset(cx)).await.ok()?;
            told.send_replace(true);
            Some(())
        }
    })
    .await;
    for number in 0..=MANY {
        // Its beginning has come.
        let begun = timeout(Duration::from_secs(1), call(&link, Caller::User, within(60)));
        begun.await.expect_err("the rest is still to come");
        abandoned.send_replace(number + 1);
    }
    let began = Instant::now();
    let mut reset = reset.subscribe();
    let waited = timeout(Duration::from_secs(600), reset.wait_for(|reset| *reset));
    waited.await.expect("in the end").expect("it lives");
    let took = Instant::now() - began;
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_follow_each_of_the_peers_settings() {
    let (link, work, peer) = linked(1024).await;
    let _work = tasks::spawn(work);
    let (reading, mut writing) = peer.into_split();
    let (mut seen, _reading) = counted(reading, REQUEST);
    let calls: Vec<_> =
        (0..400).map(|_| tasks::spawn(call_alone(link.clone(), within(600)))).collect();
    let settings = |streams: u32| {
        let [a, b, c, d] = streams.to_be_bytes();
        [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, a, b, c, d]
    };
    for (streams, under_way) in [(20, 10), (100, 50), (20, 50), (200, 128)] {
        writing.write_all(&settings(streams)).await.expect("open");
        let all = timeout(Duration::from_secs(60), seen.wait_for(|seen| *seen >= under_way));
        all.await.expect("as many as there are places for").expect("it lives");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(*seen.borrow(), under_way, "{streams} streams");
    }
    writing.write_all(&settings(20)).await.expect("open");
    for number in 0..128 {
        let [a, b, c, d] = u32::to_be_bytes(2 * number + 1);
        writing.write_all(&[0, 0, 1, 1, 5, a, b, c, d, 0x88]).await.expect("still open");
    }
    let more = timeout(Duration::from_secs(60), seen.wait_for(|seen| *seen >= 128 + 10));
    more.await.expect("the next ones have their turn").expect("it lives");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(*seen.borrow(), 128 + 10);
    drop(calls);
}

/// How many frames of a kind the client has sent, as they come.
fn counted(mut reading: OwnedReadHalf, kind: u8) -> (watch::Receiver<usize>, tasks::Task<()>) {
    let count = watch::Sender::new(0);
    let seen = count.subscribe();
    let reading = tasks::spawn(async move {
        let mut preface = [0; 24];
        reading.read_exact(&mut preface).await.expect("a preface");
        while let Some(next) = frame(&mut reading).await {
            if next == kind {
                count.send_modify(|count| *count += 1);
            }
        }
    });
    (seen, reading)
}

/// The kind of the next frame; nothing at the end.
async fn frame(reading: &mut OwnedReadHalf) -> Option<u8> {
    let mut head = [0; 9];
    reading.read_exact(&mut head).await.ok()?;
    let [high, middle, low, kind, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
    reading.read_exact(&mut payload).await.ok()?;
    Some(kind)
}

#[tokio::test(start_paused = true)]
async fn call_whose_time_passes_before_the_connection_has_its_turn_is_not_sent() {
    let (link, mut work, peer) = linked(1024).await;
    let (reading, mut writing) = peer.into_split();
    let (requests, _reading) = counted(reading, REQUEST);
    writing.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("settings");
    let greeted = timeout(Duration::from_secs(1), &mut work);
    greeted.await.expect_err("the connection stands");
    let late = tasks::spawn(call_alone(link.clone(), within(1)));
    sleep(Duration::from_secs(2)).await;
    let _work = tasks::spawn(work);
    assert_eq!(late.await, Some(Err(CallError::Busy)));
    call_alone(link, within(1)).await.expect_err("nobody answers");
    assert_eq!(*requests.borrow(), 1, "the second one alone");
}

/// Speaks just as much HTTP/2 as it takes.
#[tokio::test(start_paused = true)]
async fn answers_to_streams_long_forgotten_are_ignored_however_many_there_are() {
    let (link, work, peer) = linked(1024).await;
    let _work = tasks::spawn(work);
    let (reading, mut writing) = peer.into_split();
    let (mut seen, _reading) = counted(reading, RESET);
    writing.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("settings");
    writing.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.expect("an acknowledgement");
    for round in 1..=7 {
        let calls: Vec<_> =
            (0..256).map(|_| tasks::spawn(call_alone(link.clone(), within(1)))).collect();
        for call in calls {
            assert_eq!(call.await, Some(Err(CallError::Timeout)));
        }
        let all = timeout(Duration::from_secs(600), seen.wait_for(|seen| *seen == round * 256));
        all.await.expect("they are reset").expect("it lives");
    }
    // `:status: 200`, the end of the headers and of the stream.
    for number in 0..7 * 256 {
        let [a, b, c, d] = u32::to_be_bytes(2 * number + 1);
        writing.write_all(&[0, 0, 1, 1, 5, a, b, c, d, 0x88]).await.expect("still open");
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(link.end(), None, "its answers are late, and no more");
}

async fn call_alone(link: Http2Link, limit: Limit) -> Result<Payload, CallError> {
    call(&link, Caller::User, limit).await
}

/// Kinds of frames.
const REQUEST: u8 = 1;
const RESET: u8 = 3;
