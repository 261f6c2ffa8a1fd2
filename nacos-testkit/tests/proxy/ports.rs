//! Ports, and the servers behind them.

use std::io::ErrorKind;

use nacos_testkit::{
    Server, TimeLimit,
    proxy::{Command, FaultProxy},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::rig::{Rig, connect, end, soon};

#[tokio::test(start_paused = true)]
async fn unreachable_server_resets_the_client() {
    TimeLimit::for_test();
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = FaultProxy::start(upstream.local_addr().expect("bound")).await.expect("a port");
    drop(upstream);
    let mut client = TcpStream::connect(proxy.addr()).await.expect("accepted");
    assert_eq!(end(&mut client).await, Err(ErrorKind::ConnectionReset));
    soon(proxy.until(|proxy| (proxy.accepted(), proxy.connections()) == (1, 0))).await;
}

#[tokio::test(start_paused = true)]
async fn refused_connections_fail_the_port_stays_ours_and_open_ones_live() {
    let mut rig = Rig::new().await;
    for _ in 0..3 {
        rig.apply(Command::refuse());
        rig.apply(Command::refuse());
        let error = TcpStream::connect(rig.proxy.addr()).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let taken = TcpListener::bind(rig.proxy.addr()).await;
        assert_eq!(taken.expect_err("it is reserved").kind(), ErrorKind::AddrInUse);
        rig.directions()[0].flows().await;
        rig.apply(Command::accept());
        rig.apply(Command::accept());
        let (client, server) = connect(&rig.proxy, &rig.upstream).await;
        drop((client, server)); // leaves a connection in TIME_WAIT on the port
        rig.directions()[1].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nacos_front_is_two_ports_that_are_refused_together() {
    TimeLimit::for_test();
    let server = Server::start().await.expect("free ports");
    let proxy = FaultProxy::nacos(server.addr()).await.expect("free ports");
    let ports = [proxy.addr(), proxy.grpc_addr().expect("in front of a Nacos server")];
    assert_eq!(ports[1].port() - ports[0].port(), 1000);
    let _grpc = TcpStream::connect(ports[1]).await.expect("accepted");
    soon(server.until(|server| server.connects() == 1)).await;

    let mut http = TcpStream::connect(ports[0]).await.expect("accepted");
    let request = b"GET /nacos/v1/console/health/readiness HTTP/1.1\r\nhost: n\r\n\r\n";
    http.write_all(request).await.expect("writable");
    let mut status = [0; 12];
    soon(http.read_exact(&mut status)).await.expect("an answer");
    assert!(status.starts_with(b"HTTP/1.1 "), "{status:?}");

    proxy.apply(Command::refuse()).expect("closed");
    for port in ports {
        let error = TcpStream::connect(port).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    proxy.apply(Command::accept()).expect("reserved");
    for port in ports {
        TcpStream::connect(port).await.expect("accepted");
    }
}

#[tokio::test]
async fn server_without_a_port_for_grpc_is_refused_at_the_start() {
    TimeLimit::for_test();
    let upstream = "127.0.0.1:64536".parse().expect("an address");
    let error = FaultProxy::nacos(upstream).await.expect_err("65536 is no port");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
