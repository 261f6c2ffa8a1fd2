//! Getting a connection, or a clear error.
use std::time::Duration;

use nacos_core::{Client, ErrorKind, SessionState};
use nacos_testkit::TimeLimit;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};

use crate::support::{becomes, builder, chain, connected, server, soon};

fn assert_send_sync<T: Send + Sync>() {}

#[test]
fn handles_can_be_shared_between_threads() {
    assert_send_sync::<Client>();
    assert_send_sync::<nacos_core::Registration>();
    assert_send_sync::<nacos_core::Subscription>();
    assert_send_sync::<nacos_core::Watch>();
    assert_send_sync::<nacos_core::Error>();
}

/// The address of a server that listens no more, and a listener on another port.
async fn refused() -> (TcpListener, String) {
    let server = server().await;
    let address = server.addr();
    drop(server);
    let hold = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    (hold, address.to_string())
}

#[tokio::test(start_paused = true)]
async fn one_connection_carries_everything() {
    let server = server().await;
    let client = connected(&server).await;
    let _watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let _orders =
        client.naming().subscribe("orders").expect("valid").ready().await.expect("an answer");
    client.configs().get("d").await.expect("an answer");
    assert_eq!((server.connects(), server.connections()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_there_fails_fast_and_names_every_address_and_cause() {
    let (_hold, one) = refused().await;
    let (_hold, two) = refused().await;
    let began = Instant::now();
    let error =
        Client::builder().server_addr(format!("{one},{two}")).connect().await.expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let text = chain(&error);
    assert!(text.contains(&one) && text.contains(&two) && text.contains("refused"), "{text}");
    assert!(Instant::now() - began < Duration::from_secs(1), "as soon as all have refused");
}

#[tokio::test(start_paused = true)]
async fn silent_server_fails_within_the_connect_timeout() {
    let server = server().await;
    server.black_hole(true);
    let began = Instant::now();
    let error = builder(&server).connect().await.expect_err("it never answers");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(Instant::now() - began <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn one_dead_server_of_three_is_no_obstacle() {
    for _ in 0..20 {
        let (silent, alive) = (server().await, server().await);
        silent.black_hole(true);
        let (_hold, refused) = refused().await;
        let addresses = format!("{},{refused},{}", silent.addr(), alive.addr());
        let began = Instant::now();
        Client::builder().server_addr(addresses).connect().await.expect("one is alive");
        assert!(
            Instant::now() - began < Duration::from_millis(600),
            "{:?}",
            Instant::now() - began
        );
    }
}

#[tokio::test(start_paused = true)]
async fn failed_connects_leave_no_task_behind() {
    let server = server().await;
    server.withhold_setup_ack(true);
    let (_hold, refused) = refused().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..50 {
        let within = Duration::from_millis(300);
        builder(&server).connect_timeout(within).connect().await.expect_err("it takes nobody");
        let refused = Client::builder().server_addr(&refused);
        refused.connect().await.expect_err("nobody is there");
    }
    soon(server.until(|server| server.connections() == 0)).await;
    soon(async {
        while tasks() > before {
            // A runtime that is never idle would never come to the end of the wait.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lazy_client_works_when_the_server_appears() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    server.stop().await;
    let client = builder(&server).connect_lazy().expect("valid options");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Backoff { .. })).await;
    server.resume().await.expect("the same ports");
    // Waits for the connection within its own timeout.
    let document = client.configs().get("d").await.expect("an answer");
    assert!(document.is_some());
}

#[tokio::test(start_paused = true)]
async fn request_without_a_server_fails_within_its_timeout_and_says_why() {
    let (_hold, nobody) = refused().await;
    let lazy = Client::builder().server_addr(&nobody).request_timeout(Duration::from_secs(4));
    let client = lazy.connect_lazy().expect("valid options");
    let began = Instant::now();
    let error = client.configs().get("d").await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.is_retryable());
    assert!(chain(&error).contains(&nobody), "{}", chain(&error));
    assert!(Instant::now() - began <= Duration::from_millis(4100));
}

#[tokio::test(start_paused = true)]
async fn withheld_setup_acknowledgement_fails_with_its_name() {
    let server = server().await;
    server.withhold_setup_ack(true);
    let error = builder(&server).connect().await.expect_err("it never comes");
    assert!(chain(&error).contains("setup was not acknowledged"), "{}", chain(&error));
}

#[tokio::test(start_paused = true)]
async fn slow_server_is_waited_for_until_the_connect_timeout() {
    let server = server().await;
    server.withhold_setup_ack(true);
    let connecting = tokio::spawn(builder(&server).connect());
    tokio::time::sleep_until(Instant::now() + Duration::from_millis(1500)).await;
    server.withhold_setup_ack(false);
    soon(connecting).await.expect("no panic").expect("it was only slow");
}

#[tokio::test(start_paused = true)]
async fn connect_timeout_in_the_middle_of_a_pass_tells_what_is_known() {
    let (silent, (_hold, refused)) = (server().await, refused().await);
    silent.black_hole(true);
    let within = Duration::from_millis(700);
    let both = Client::builder().server_addr(format!("{},{refused}", silent.addr()));
    let error = both.connect_timeout(within).connect().await.expect_err("nobody takes it");
    let text = chain(&error);
    assert!(text.contains("refused") && text.contains(&refused), "{text}");
    assert!(text.contains(&format!("{}: no HTTP/2 connection yet", silent.addr())), "{text}");
}

/// The test server listens on 127.0.0.1: this stands between.
#[tokio::test(start_paused = true)]
async fn server_with_an_ipv6_address_is_reached() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let address = listener.local_addr().expect("bound").to_string();
    let server = server().await;
    let relaying = async {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut there =
            tokio::net::TcpStream::connect(server.grpc_addr()).await.expect("the server is there");
        let _ = tokio::io::copy_bidirectional(&mut client, &mut there).await;
    };
    let asking = async {
        let client = Client::builder().server_addr(&address).grpc_port_offset(0);
        let client = client.connect().await.expect("connects");
        client.configs().get("d").await.expect("an answer");
    };
    tokio::select! {
        () = asking => {}
        () = relaying => unreachable!("the client ends first"),
    }
}

#[tokio::test(start_paused = true)]
async fn port_that_speaks_something_else_is_named() {
    TimeLimit::for_test();
    // An HTTP/1 server where gRPC is due.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let answering = async {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a client");
            let mut buffer = [0; 1024];
            let _ = socket.read(&mut buffer).await;
            let page = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<h1>sorry</h1>\n";
            let _ = socket.write_all(page.as_bytes()).await;
        }
    };
    let connecting =
        Client::builder().server_addr(format!("127.0.0.1:{port}")).grpc_port_offset(0).connect();
    let error = tokio::select! {
        outcome = connecting => outcome.expect_err("that is no Nacos server"),
        () = answering => unreachable!("it answers for ever"),
    };
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(chain(&error).contains(&port.to_string()), "{}", chain(&error));
}

#[tokio::test(start_paused = true)]
async fn two_clients_never_meet() {
    let (one, two) = (server().await, server().await);
    let (client, other) = (connected(&one).await, connected(&two).await);
    one.publish("", "DEFAULT_GROUP", "d", "1");
    assert!(client.configs().get("d").await.expect("an answer").is_some());
    assert!(other.configs().get("d").await.expect("an answer").is_none());
    client.shutdown(Duration::from_secs(1)).await;
    assert!(other.state().get().is_connected());
}

#[tokio::test(start_paused = true)]
async fn session_can_be_looked_into() {
    let server = server().await;
    let client = connected(&server).await;
    let _watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let parts = soon(async { client.inspected() }).await;
    let report = parts[0].report();
    assert_eq!(parts[0].name(), "session");
    let state = report.get("state").and_then(|state| state.get("name"));
    assert_eq!(state, Some(&nacos_core::inspect::Tree::from("connected")));
    let claims = report.get("stats").and_then(|stats| stats.get("claims"));
    assert_eq!(claims, Some(&nacos_core::inspect::Tree::Count(1)));
}
