//! Bytes: late, slow, held and lost.

use std::time::Duration;

use nacos_testkit::proxy::{Command, Direction};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::rig::{Rig, connect, end, millis, soon};

#[tokio::test(start_paused = true)]
async fn everything_passes_in_both_directions_and_is_counted() {
    let mut rig = Rig::new().await;
    for mut way in rig.directions() {
        way.flows().await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (sender, receiver) = (&mut way.sender, &mut way.receiver);
        let mut arrived = vec![0; sent.len()];
        let (written, read) = soon(async {
            tokio::join!(sender.write_all(&sent), receiver.read_exact(&mut arrived))
        })
        .await;
        written.and(read.map(drop)).expect("open");
        assert!(sent == arrived, "{}", way.direction);
    }
    let proxy = &rig.proxy;
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
    soon(proxy.until(|proxy| proxy.delivered(Direction::ToServer) == 3_000_005)).await;
    soon(proxy.until(|proxy| proxy.delivered(Direction::ToClient) == 3_000_005)).await;
}

#[tokio::test(start_paused = true)]
async fn delay_is_for_its_direction_and_until_pass() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::delay(millis(700), Duration::ZERO)));
        rig.directions()[1 - index].flows().await;

        let mut ways = rig.directions();
        let began = Instant::now();
        ways[index].send(b"late").await;
        assert_eq!(ways[index].receive(4).await, b"late");
        assert_eq!(Instant::now() - began, millis(700));

        ways[index].send(b"held").await;
        ways[1 - index].flows().await;
        rig.apply(only(Command::pass()));
        let now = Instant::now();
        assert_eq!(rig.directions()[index].receive(4).await, b"held");
        assert_eq!(Instant::now(), now, "what was on its way has arrived");
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_bytes_travel_side_by_side_and_the_end_behind_them() {
    let mut rig = Rig::new().await;
    rig.apply(Command::delay(millis(500), millis(400)));
    let began = Instant::now();
    for byte in 0..100 {
        rig.client.write_all(&[byte]).await.expect("writable");
        tokio::task::yield_now().await;
    }
    rig.client.shutdown().await.expect("open");
    let mut received = Vec::new();
    soon(rig.server.read_to_end(&mut received)).await.expect("readable");
    assert_eq!(received, (0..100).collect::<Vec<u8>>());
    let took = Instant::now() - began;
    assert!((millis(100)..=millis(901)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn delay_holds_no_more_than_its_bound() {
    let mut rig = Rig::new().await;
    rig.apply(Command::delay(Duration::from_secs(3600), Duration::ZERO));
    // The buffers of the proxy and of the system are finite; an hour has not passed.
    let endless = async {
        loop {
            rig.client.write_all(&vec![0; 64 << 10]).await.expect("writable");
        }
    };
    assert!(timeout(Duration::from_secs(60), endless).await.is_err());
    assert_eq!(rig.proxy.delivered(Direction::ToServer), 0);
}

#[tokio::test(start_paused = true)]
async fn throttle_lets_through_its_rate_in_its_direction() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::throttle(10_000)));
        let mut ways = rig.directions();
        ways[1 - index].flows().await;
        let began = Instant::now();
        ways[index].send(&vec![7; 30_000]).await;
        ways[index].receive(30_000).await;
        let took = Instant::now() - began;
        // The first slice goes at once.
        assert!((millis(2980)..=millis(3010)).contains(&took), "{took:?}");
        rig.apply(only(Command::pass()));
        rig.directions()[index].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn black_hole_holds_what_is_sent_and_pass_delivers_it() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::black_hole()));
        let mut ways = rig.directions();
        ways[index].send(b"held").await;
        ways[index].is_silent().await;
        ways[1 - index].flows().await;
        rig.apply(only(Command::pass()));
        let mut ways = rig.directions();
        assert_eq!(ways[index].receive(4).await, b"held");
        ways[index].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn black_hole_holds_the_end_and_the_handshake_too() {
    let mut rig = Rig::new().await;
    rig.apply(Command::black_hole());
    rig.client.shutdown().await.expect("open");
    rig.directions()[0].is_silent().await;
    let mut late = TcpStream::connect(rig.proxy.addr()).await.expect("by the system");
    late.write_all(b"late").await.expect("writable");
    assert!(timeout(Duration::from_secs(3600), rig.upstream.accept()).await.is_err());
    rig.apply(Command::pass());
    assert_eq!(end(&mut rig.server).await, Ok(0));
    let (mut server, _) = soon(rig.upstream.accept()).await.expect("dialled");
    assert_eq!(end(&mut server).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn discarded_bytes_never_come_but_the_next_and_the_end_do() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::discard()));
        let mut ways = rig.directions();
        ways[index].send(b"lost").await;
        ways[index].is_silent().await;
        ways[1 - index].flows().await;
        rig.apply(only(Command::pass()));
        rig.directions()[index].flows().await;

        rig.apply(only(Command::discard()));
        let mut ways = rig.directions();
        ways[index].send(b"lost").await;
        ways[index].sender.shutdown().await.expect("open");
        ways[index].is_silent().await;
        rig.apply(only(Command::pass()));
        let [one, two] = [&mut rig.server, &mut rig.client];
        assert_eq!(end(if index == 0 { one } else { two }).await, Ok(0));
    }
}

#[tokio::test(start_paused = true)]
async fn commands_for_existing_or_fresh_connections_leave_the_others() {
    let mut rig = Rig::new().await;
    rig.apply(Command::black_hole().existing());
    let (mut client, mut server) = connect(&rig.proxy, &rig.upstream).await;
    client.write_all(b"new").await.expect("writable");
    assert_eq!(end(&mut server).await, Ok(3));
    rig.directions()[0].send(b"old").await;
    rig.directions()[0].is_silent().await;
    rig.apply(Command::pass().existing());
    assert_eq!(rig.directions()[0].receive(3).await, b"old");

    rig.apply(Command::delay(millis(300), Duration::ZERO).to_server().fresh());
    rig.directions()[0].flows().await;
    let (mut client, mut server) = connect(&rig.proxy, &rig.upstream).await;
    let began = Instant::now();
    client.write_all(b"new").await.expect("writable");
    assert_eq!(end(&mut server).await, Ok(3));
    assert_eq!(Instant::now() - began, millis(300));
}
