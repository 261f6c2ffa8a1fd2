//! Where the servers are: read from an address server or from DNS, and followed as it changes.
use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use nacos_core::{ClaimState, Client, ErrorKind, Instance, SessionState};
use nacos_testkit::{Server, TimeLimit, within};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, lookup_host},
    time::Instant,
};

use crate::{
    address_server::AddressServer,
    support::{self, becomes, chain, reconnected, server, soon},
};

#[tokio::test(start_paused = true)]
async fn client_leaves_a_server_that_left_the_list_and_loses_no_registration() {
    let (one, two) = (server().await, server().await);
    let addresses = AddressServer::start(&format!("{}\n{}\n", one.addr(), two.addr())).await;
    let client = addresses.client().connect().await.expect("both are there");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let (old, new) = if one.connections() == 1 { (&one, &two) } else { (&two, &one) };
    addresses.answer(&new.addr().to_string());

    let held = |server: &Server| server.instances("", "DEFAULT_GROUP", "orders").len();
    let watching = async {
        loop {
            assert!(held(old) + held(new) > 0, "it was gone");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = reconnected(&client, 1) => {}
        () = watching => {}
    }
    becomes(&mut guard.claim(), |state| *state == ClaimState::Held).await;
    assert_eq!(held(new), 1);
    soon(old.until(|old| old.connections() == 0)).await;
    assert_eq!(client.stats().get().losses, 0);
}

#[tokio::test(start_paused = true)]
async fn one_flapping_answer_moves_nobody() {
    let (one, two) = (server().await, server().await);
    let addresses = AddressServer::start(&one.addr().to_string()).await;
    let client = addresses.client().connect().await.expect("it is there");
    for list in [two.addr().to_string(), one.addr().to_string()].iter().cycle().take(20) {
        let asked = addresses.asked();
        addresses.answer(list);
        addresses.until_asked(asked + 1).await;
    }
    assert_eq!((client.stats().get().connects, two.connects()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn address_server_that_is_down_fails_connect_with_its_cause() {
    let nobody = nobody().await;
    let began = Instant::now();
    let error = Client::builder().endpoint(&nobody).connect().await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    let text = chain(&error);
    assert!(text.contains(&format!("http://{nobody}/nacos/serverlist")), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(Instant::now() - began < Duration::from_secs(1), "it fails fast");
}

#[tokio::test(start_paused = true)]
async fn silent_address_server_fails_connect_within_its_timeout() {
    TimeLimit::for_test();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let began = Instant::now();
    let error = Client::builder().endpoint(&address).connect().await.expect_err("it is silent");
    assert!(chain(&error).contains("no answer in time"), "{}", chain(&error));
    assert!(Instant::now() - began <= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn lazy_client_works_when_the_address_server_appears() {
    let server = server().await;
    let nobody = nobody().await;
    let client = Client::builder().endpoint(&nobody).connect_lazy().expect("valid options");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Backoff { .. })).await;
    let _addresses = AddressServer::at(&nobody, &server.addr().to_string()).await;
    becomes(&mut client.state(), SessionState::is_connected).await;
    client.configs().get("d").await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn garbage_never_replaces_a_list() {
    let server = server().await;
    let good = format!("# ours\n\n{}\nno server at all\n", server.addr());
    let addresses = AddressServer::start(&good).await;
    let client = addresses.client().connect().await.expect("one line is right");
    for garbage in
        ["", "\n\n", "<html><h1>sorry</h1></html>", "{\"code\": 500}", "\0\0", "a b\nc d"]
    {
        let asked = addresses.asked();
        addresses.answer(garbage);
        addresses.until_asked(asked + 3).await;
        assert!(client.state().get().is_connected(), "{garbage:?}");
    }
    addresses.answer_raw("HTTP/1.1 503 Busy\r\ncontent-length: 9\r\n\r\n127.0.0.1");
    addresses.until_asked(addresses.asked() + 3).await;
    addresses.answer_raw("SSH-2.0-OpenSSH_9.6\r\n");
    addresses.until_asked(addresses.asked() + 3).await;
    addresses.answer_raw(&format!("HTTP/1.1 200 OK\r\n\r\n{}", "127.0.0.1:1\n".repeat(100_000)));
    addresses.until_asked(addresses.asked() + 3).await;
    assert_eq!((client.stats().get().connects, server.connects()), (1, 1));
    server.drop_connections();
    reconnected(&client, 1).await;
}

#[tokio::test(start_paused = true)]
async fn garbage_at_first_fails_connect_and_says_so() {
    for (garbage, said) in [("<html></html>", "no list of servers"), ("", "the list is empty")] {
        let addresses = AddressServer::start(garbage).await;
        let error = addresses.client().connect().await.expect_err("no list");
        assert!(chain(&error).contains(said), "{}", chain(&error));
    }
}

#[tokio::test(start_paused = true)]
async fn namespace_and_query_are_sent_and_the_query_is_never_shown() {
    let server = server().await;
    let addresses = AddressServer::start(&server.addr().to_string()).await;
    let builder = addresses.client().namespace("staging").endpoint_query("zone=a&token=hunter2");
    let builder = builder.endpoint_context_path("env").endpoint_cluster_name("blue");
    assert!(!format!("{builder:?}").contains("hunter2"));
    let client = builder.connect().await.expect("there");
    let request = addresses.last_request();
    let expected = "GET /env/blue?namespace=staging&zone=a&token=hunter2 HTTP/1.1\r\n";
    assert!(request.starts_with(expected), "{request}");
    assert!(request.to_ascii_lowercase().contains(&format!("host: {}", addresses.address)));
    for part in client.inspected() {
        assert!(!format!("{:?}", part.report()).contains("hunter2"));
    }
    let listed = client.inspected()[0].report();
    let listed = format!("{:?}", listed.get("servers"));
    assert!(listed.contains(&server.addr().to_string()), "{listed}");
}

#[tokio::test(start_paused = true)]
async fn login_waits_for_the_list_and_follows_it() {
    let server = support::start(Server::builder().credentials("nacos", "secret")).await;
    let addresses = AddressServer::start("127.0.0.1:1").await;
    let client = addresses.client().credentials("nacos", "secret").connect_lazy().expect("valid");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Backoff { .. })).await;
    addresses.answer(&server.addr().to_string());
    let began = Instant::now();
    becomes(&mut client.state(), SessionState::is_connected).await;
    // A list none of whose servers answers is not kept for the rest of its half minute.
    assert!(Instant::now() - began < Duration::from_secs(10), "{:?}", Instant::now() - began);
    client.configs().get("d").await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn each_address_of_a_name_is_a_server() {
    let server = server().await;
    // Bound to IPv4 only: `localhost` may be `::1` too, which is another server then.
    let name = format!("localhost:{}", server.addr().port());
    let client = Client::builder().server_dns(name).connect().await.expect("one is there");
    let state = client.state().get();
    let SessionState::Connected { server: name, .. } = &*state else { panic!("it just was") };
    assert_eq!(**name, *server.addr().to_string());
}

#[tokio::test(start_paused = true)]
async fn name_without_an_address_fails_connect_with_its_cause() {
    TimeLimit::for_test();
    let name = "does-not-exist.invalid:8848";
    let error = Client::builder().server_dns(name).connect().await.expect_err("no such name");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(chain(&error).contains("does-not-exist.invalid"), "{}", chain(&error));
}

/// An address at which no server listens for now.
async fn nobody() -> String {
    let server = server().await;
    server.stop().await;
    server.addr().to_string()
}

/// Forwards `port` at `::1` to `to`; says whether that can be.
async fn relay(port: u16, to: SocketAddr) -> bool {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await else { return false };
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a client");
            tokio::spawn(async move {
                socket.set_nodelay(true).expect("open");
                let mut there = TcpStream::connect(to).await.expect("there");
                there.set_nodelay(true).expect("open");
                // Either may end it.
                let _ = copy_bidirectional(&mut socket, &mut there).await;
            });
        }
    });
    true
}

/// Two servers at two addresses of one name, and the name; nothing where it has only one.
async fn of_one_name() -> Option<(Server, Server, String)> {
    let (first, second) = (server().await, server().await);
    let port = second.addr().port();
    let found: Vec<_> = lookup_host(("localhost", port)).await.expect("known").collect();
    let both = found.first().is_some_and(SocketAddr::is_ipv6) && found.contains(&second.addr());
    let relayed = both
        && relay(port, first.addr()).await
        && relay(second.grpc_addr().port(), first.grpc_addr()).await;
    relayed.then(|| (first, second, format!("localhost:{port}")))
}

#[tokio::test(start_paused = true)]
async fn address_that_only_refuses_hides_no_other_of_its_name() {
    let Some((starting, _works, name)) = of_one_name().await else { return };
    starting.answer_always("ServerCheckRequest", Some(300));
    let client = Client::builder().server_addr(name).connect_lazy().expect("valid");
    becomes(&mut client.state(), SessionState::is_connected).await;
    assert!(starting.requests("ServerCheckRequest") > 0);
}

#[tokio::test(start_paused = true)]
async fn unresponsive_server_is_left_for_another_address_of_its_name() {
    for holds in [false, true] {
        let Some((mute, works, name)) = of_one_name().await else { return };
        let client = Client::builder().server_addr(name).connect().await.expect("there");
        let register = |service| {
            let guard = client.naming().register(service, Instance::new("10.0.0.1", 80));
            guard.expect("valid")
        };
        let stock = if holds { Some(soon(register("stock").ready()).await) } else { None };
        assert!(stock.as_ref().is_none_or(Result::is_ok));
        assert_eq!(mute.connections(), 1);
        mute.answer_health_checks_only(true);
        let orders = register("orders");
        let held = |server: &Server| server.instances("", "DEFAULT_GROUP", "orders").len() == 1;
        within(Duration::from_secs(60), works.until(held)).await;
        drop((stock, orders));
    }
}
