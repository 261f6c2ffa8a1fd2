//! A connection to a peer that speaks just as much HTTP/2 as it takes.
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use nacos_core::Instance;
use nacos_testkit::TimeLimit;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    sync::watch,
};
use tracing::Span;

use super::*;
use crate::{
    endpoint::Endpoint,
    tasks::{self, Task},
    transport::{Connect, Connection, SendRequest},
};

/// An endpoint may have sent the rest of an answer before it hears of the reset: that is no fault,
/// however often it happens in the life of a connection.
#[tokio::test(start_paused = true)]
async fn answers_that_are_given_up_and_come_late_do_not_add_up_to_the_end_of_their_connection() {
    let (connection, mut resets, _peer) = connected().await;
    for round in 1..=40 {
        let requests: Vec<_> = (0..50).map(|_| connection.send(request())).collect();
        for request in requests {
            let response = request.await.expect("the connection lives");
            drop(response.into_body());
        }
        // At the pace of resets, which no clock waits for.
        resets.wait_for(|resets| *resets == 50 * round).await.expect("the peer lives");
    }
    // It comes after all that was late.
    connection.send(request()).await.expect("the connection lives");
    assert!(connection.is_open());
}

/// The number of streams that the peer was told to give up; it has answered each of them since.
async fn connected() -> (Http2Connection<Empty<Bytes>>, watch::Receiver<usize>, Task) {
    TimeLimit::for_test();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let endpoint = Endpoint::new(Instance::new(address.ip().to_string(), address.port()));
    let (told, resets) = watch::channel(0);
    // The client waits for its first words.
    let peer = tasks::spawn(Span::none(), async move {
        let (socket, _) = listener.accept().await.expect("a client");
        answer(socket, told).await;
    });
    let connection = Http2Connector::new().connect(endpoint).await.expect("it speaks");
    (connection, resets, peer)
}

/// Sends the head of an answer to each request, and the rest of it once the client gives it up.
async fn answer(socket: TcpStream, resets: watch::Sender<usize>) {
    let (mut reading, mut writing) = socket.into_split();
    reading.read_exact(&mut [0; 24]).await.expect("a preface");
    writing.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await.expect("open");
    while let Some(([_, _, _, kind, flags, a, b, c, d], payload)) = frame(&mut reading).await {
        let answer = match kind {
            // `:status: 200`, and the end of the head.
            HEADERS => vec![0, 0, 1, HEADERS, 4, a, b, c, d, 0x88],
            // One byte, and the end of the stream. The client may say again that it is reset.
            RESET if payload == [0, 0, 0, CANCEL] => {
                resets.send_modify(|resets| *resets += 1);
                vec![0, 0, 1, DATA, 1, a, b, c, d, b'x']
            }
            SETTINGS if flags == 0 => vec![0, 0, 0, SETTINGS, 1, 0, 0, 0, 0],
            _ => continue,
        };
        // Without a client, there is no next frame either.
        let _gone = writing.write_all(&answer).await;
    }
}

/// The head and the payload of the next frame; nothing at the end.
async fn frame(reading: &mut OwnedReadHalf) -> Option<([u8; 9], Vec<u8>)> {
    let mut head = [0; 9];
    reading.read_exact(&mut head).await.ok()?;
    let [high, middle, low, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
    reading.read_exact(&mut payload).await.ok()?;
    Some((head, payload))
}

fn request() -> Request<Empty<Bytes>> {
    Request::new(Empty::new())
}

/// Kinds of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
/// Why the client gives a stream up.
const CANCEL: u8 = 8;
