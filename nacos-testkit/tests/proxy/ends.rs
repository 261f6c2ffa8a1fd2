//! How connections end.

use std::{io::ErrorKind, time::Duration};

use nacos_testkit::proxy::{Command, Direction};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::rig::{Rig, connect, end, soon};

#[tokio::test(start_paused = true)]
async fn end_of_each_stream_passes_and_both_end_the_connection() {
    let mut rig = Rig::new().await;
    rig.client.shutdown().await.expect("open");
    assert_eq!(end(&mut rig.server).await, Ok(0));
    rig.directions()[1].flows().await;
    assert_eq!(rig.proxy.connections(), 1);
    drop(rig.server);
    assert_eq!(end(&mut rig.client).await, Ok(0));
    soon(rig.proxy.until(|proxy| proxy.connections() == 0)).await;
}

#[tokio::test(start_paused = true)]
async fn reset_of_a_peer_passes() {
    for from_client in [true, false] {
        let Rig { proxy, client, server, .. } = Rig::new().await;
        let (dead, mut other) = if from_client { (client, server) } else { (server, client) };
        dead.set_zero_linger().expect("open");
        drop(dead);
        assert_eq!(end(&mut other).await, Err(ErrorKind::ConnectionReset));
        soon(proxy.until(|proxy| proxy.connections() == 0)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn half_close_ends_one_direction_and_swallows_what_follows() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.directions()[index].send(b"before").await;
        soon(rig.proxy.until(|proxy| {
            proxy.delivered(Direction::ToServer) + proxy.delivered(Direction::ToClient) == 6
        }))
        .await;
        rig.apply(only(Command::half_close()));
        let mut ways = rig.directions();
        let mut received = Vec::new();
        soon(ways[index].receiver.read_to_end(&mut received)).await.expect("an end");
        assert_eq!(received, b"before");
        ways[1 - index].flows().await;
        ways[index].send(&vec![0; 1 << 20]).await;
        ways[1 - index].flows().await;
        assert_eq!(rig.proxy.connections(), 1);
        drop((rig.client, rig.server));
        soon(rig.proxy.until(|proxy| proxy.connections() == 0)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn reset_is_seen_by_the_side_it_is_for() {
    let reset = Err(ErrorKind::ConnectionReset);
    for (command, at_client, at_server) in [
        (Command::reset(), reset, reset),
        (Command::reset().to_client(), reset, Ok(0)),
        (Command::reset().to_server(), Ok(0), reset),
    ] {
        let mut rig = Rig::new().await;
        rig.apply(command);
        assert_eq!(rig.proxy.connections(), 0);
        assert_eq!(end(&mut rig.client).await, at_client, "{command}");
        assert_eq!(end(&mut rig.server).await, at_server, "{command}");
        let (client, server) = connect(&rig.proxy, &rig.upstream).await;
        (rig.client, rig.server) = (client, server);
        rig.directions()[0].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn fresh_connections_can_be_reset_and_existing_ones_spared() {
    let mut rig = Rig::new().await;
    rig.apply(Command::reset().fresh());
    let mut refused = TcpStream::connect(rig.proxy.addr()).await.expect("accepted");
    assert_eq!(end(&mut refused).await, Err(ErrorKind::ConnectionReset));
    rig.directions()[0].flows().await;
    assert_eq!((rig.proxy.accepted(), rig.proxy.connections()), (2, 1));
    rig.apply(Command::pass());
    connect(&rig.proxy, &rig.upstream).await;
}

#[tokio::test(start_paused = true)]
async fn drop_closes_ports_and_connections_at_once() {
    for command in [Command::pass(), Command::black_hole(), Command::refuse()] {
        let Rig { proxy, mut client, mut server, .. } = Rig::new().await;
        proxy.apply(command).expect("applied");
        let addr = proxy.addr();
        drop(proxy);
        TcpListener::bind(addr).await.expect("the port is free again");
        assert_eq!(end(&mut client).await, Ok(0));
        assert_eq!(end(&mut server).await, Ok(0));
        assert!(TcpStream::connect(addr).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn drop_ends_a_connection_whose_server_was_never_reached() {
    let Rig { proxy, upstream, .. } = Rig::new().await;
    proxy.apply(Command::black_hole()).expect("applied");
    let mut late = TcpStream::connect(proxy.addr()).await.expect("accepted");
    soon(proxy.until(|proxy| proxy.accepted() == 2)).await;
    drop(proxy);
    assert_eq!(end(&mut late).await, Ok(0));
    assert!(timeout(Duration::from_secs(60), upstream.accept()).await.is_err());
}
