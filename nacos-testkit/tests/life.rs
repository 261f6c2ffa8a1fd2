//! The server's life: start, stop, drop, silence, and a paused clock.

mod client;

use std::{future::Future, time::Duration};

use client::{Client, Down, http};
use nacos_testkit::{Behaviour, Server};
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

#[tokio::test(start_paused = true)]
async fn debug_of_a_server_shows_neither_documents_nor_credentials() {
    let server = client::server().await;
    server.publish("", "G", "limits", "hunter2");
    let shown = format!("{server:?}");
    assert!(shown.contains(&server.addr().to_string()) && shown.len() < 200, "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn server_may_be_shared_between_threads() {
    fn assert_send_sync<T: Send + Sync>(_: &T) {}
    fn assert_send<T: Future + Send>(_: T) {}
    let server = client::server().await;
    assert_send_sync(&server);
    assert_send(server.until(|_| true));
}

#[tokio::test]
async fn grpc_port_is_1000_above_the_main_port() {
    let server = client::server().await;
    assert_eq!(server.grpc_addr().port(), server.addr().port() + 1000);
    assert_eq!(server.addr().to_string(), format!("127.0.0.1:{}", server.addr().port()));
}

#[tokio::test]
async fn dropped_server_closes_its_ports_and_connections() {
    let server = client::server().await;
    let (main, grpc) = (server.addr(), server.grpc_addr());
    let mut client = Client::set_up(&server).await;
    drop(server);
    assert!(TcpStream::connect(main).await.is_err());
    assert!(TcpStream::connect(grpc).await.is_err());
    assert_eq!(client.next().await, Down::End(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_runs_on_a_runtime_with_threads_too() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    let (message_type, _) = client.call("HealthCheckRequest", &json!({})).await.expect("answered");
    assert_eq!(message_type, "HealthCheckResponse");
}

#[tokio::test]
async fn dropped_connections_lose_what_lives_in_them_at_once() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    client.call("InstanceRequest", &registration(8080)).await.expect("answered");
    client.call("SubscribeServiceRequest", &subscription()).await.expect("answered");
    assert_eq!(server.instances("", "g", "s").len(), 1);
    assert_eq!(server.subscribers("", "g", "s"), 1);

    server.drop_connections();
    assert_eq!(server.connections(), 0);
    assert!(server.instances("public", "g", "s").is_empty());
    assert_eq!(server.subscribers("", "g", "s"), 0);
    assert!(client.call("HealthCheckRequest", &json!({})).await.is_err());

    let again = Client::set_up(&server).await;
    assert!(again.call("HealthCheckRequest", &json!({})).await.is_ok());
    assert_eq!(server.connects(), 2);
}

#[tokio::test]
async fn closed_transport_takes_its_instances_along() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    client.call("InstanceRequest", &registration(8080)).await.expect("answered");
    drop(client);
    server.until(|server| server.instances("", "g", "s").is_empty()).await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn stopped_server_refuses_connections_until_it_resumes_on_its_ports() {
    let server = client::server().await;
    let addr = server.addr();
    server.publish("", "g", "d", "a");
    server.stop().await;
    assert!(TcpStream::connect(server.addr()).await.is_err());
    assert!(TcpStream::connect(server.grpc_addr()).await.is_err());

    server.resume().await.expect("the ports are still free");
    assert_eq!(server.addr(), addr);
    Client::set_up(&server).await;
    assert!(server.document("", "g", "d").is_some());
}

#[tokio::test]
async fn main_port_is_closed_alone_and_stays_so_over_a_restart() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.close_main_port(true).await.expect("nothing is opened");
    assert!(TcpStream::connect(server.addr()).await.is_err());
    assert!(client.call("HealthCheckRequest", &json!({})).await.is_ok(), "gRPC goes on");
    server.stop().await;
    server.resume().await.expect("the ports are ours");
    assert!(TcpStream::connect(server.addr()).await.is_err());
    assert!(TcpStream::connect(server.grpc_addr()).await.is_ok());
    server.close_main_port(false).await.expect("the port is ours");
    assert!(TcpStream::connect(server.addr()).await.is_ok());
    // A stopped server opens none.
    server.stop().await;
    server.close_main_port(true).await.expect("nothing is opened");
    server.close_main_port(false).await.expect("nothing is opened");
    assert!(TcpStream::connect(server.addr()).await.is_err());
    server.resume().await.expect("the ports are ours");
    assert!(TcpStream::connect(server.addr()).await.is_ok());
}

#[tokio::test]
async fn restart_keeps_documents_and_forgets_connections_and_tokens() {
    let server = client::start(Server::builder().credentials("nacos", "secret")).await;
    server.publish("", "g", "d", "a");
    let client = Client::set_up(&server).await;
    let token = client::log_in(&server).await;
    let query = json!({ "dataId": "d", "group": "g", "tenant": "" });
    let (_, body) = client.call_as(&token, "ConfigQueryRequest", &query).await.expect("answered");
    assert_eq!(body["content"], "a");

    server.restart().await.expect("the ports are ours");
    assert_eq!(server.connections(), 0);
    let client = Client::set_up(&server).await;
    let (_, body) = client.call_as(&token, "ConfigQueryRequest", &query).await.expect("answered");
    assert_eq!(body["errorCode"], 403);
    assert!(server.document("", "g", "d").is_some());
}

#[tokio::test(start_paused = true)]
async fn black_hole_answers_nothing_and_closes_nothing_until_it_heals() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.black_hole(true);
    let body = json!({});
    let call = client.call("HealthCheckRequest", &body);
    let mut call = std::pin::pin!(call);
    assert!(timeout(Duration::from_secs(10), call.as_mut()).await.is_err());
    assert!(!client.is_closed());
    server.black_hole(false);
    assert!(call.await.is_ok(), "what came meanwhile is answered");
}

#[tokio::test(start_paused = true)]
async fn black_hole_swallows_new_connections_too() {
    let server = client::server().await;
    server.black_hole(true);
    let client = Client::connect(server.grpc_addr()).await.expect("the port is open");
    let body = json!({});
    let call = client.call("ServerCheckRequest", &body);
    assert!(timeout(Duration::from_secs(10), call).await.is_err());
    let login = http(server.addr(), "POST", "/nacos/v1/auth/login", "");
    assert!(timeout(Duration::from_secs(10), login).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn answers_are_delayed_by_what_was_asked_for() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.delay(Duration::from_secs(2));
    let begun = Instant::now();
    client.call("HealthCheckRequest", &json!({})).await.expect("answered");
    let took = Instant::now() - begun;
    assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(2100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn delay_taken_back_frees_answers_that_wait() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.delay(Duration::from_secs(3600));
    let body = json!({});
    let (answer, ()) = tokio::join!(client.call("HealthCheckRequest", &body), async {
        server.until(|server| server.requests("HealthCheckRequest") == 1).await;
        server.delay(Duration::ZERO);
    });
    assert!(answer.is_ok());
}

#[tokio::test(start_paused = true)]
async fn paused_clock_does_not_run_ahead_of_the_sockets() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    let begun = Instant::now();
    for _ in 0..200 {
        // tokio before 1.54 would let each of these cost as long as the nearest timer.
        let body = json!({});
        let call = client.call("HealthCheckRequest", &body);
        timeout(Duration::from_millis(100), call).await.expect("in time").expect("answered");
    }
    assert!(Instant::now() - begun < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn silent_java_connection_is_probed_after_20_s_and_closed_5_s_later() {
    let server = client::server().await;
    let mut client = Client::set_up(&server).await;
    client.call("InstanceRequest", &registration(8080)).await.expect("answered");
    let silent_since = Instant::now();
    let (message_type, _) = client.next().await.push();
    assert_eq!(message_type, "ClientDetectionRequest");
    let probed_at = Instant::now();
    let probed = probed_at - silent_since;
    assert!((20..24).contains(&probed.as_secs()), "{probed:?}");

    assert_eq!(client.next().await, Down::End(Some(("0".to_owned(), String::new()))));
    let closed = Instant::now() - probed_at;
    assert!((4900..5200).contains(&closed.as_millis()), "{closed:?}");
    assert!(server.instances("", "g", "s").is_empty());
}

#[tokio::test(start_paused = true)]
async fn silent_r_nacos_connection_is_probed_after_15_s_and_unregistered_later() {
    let server = r_nacos().await;
    let mut client = Client::set_up(&server).await;
    let silent_since = Instant::now();
    let (message_type, _) = client.next().await.push();
    assert_eq!(message_type, "ClientDetectionRequest");
    let probed = Instant::now() - silent_since;
    assert!((15..18).contains(&probed.as_secs()), "{probed:?}");

    assert_eq!(client.next().await, Down::End(Some(("1".to_owned(), "close".to_owned()))));
    // The transport is still there, only unregistered.
    let (_, body) = client.call("HealthCheckRequest", &json!({})).await.expect("answered");
    assert_eq!(body["errorCode"], 301);
}

#[tokio::test(start_paused = true)]
async fn probed_connection_that_answers_stays() {
    for behaviour in [Behaviour::Nacos3_0, Behaviour::RNacos] {
        let server = client::server_like(behaviour).await;
        let mut client = Client::set_up(&server).await;
        for _ in 0..3 {
            let (message_type, _) = client.next_acknowledged().await;
            assert_eq!(message_type, "ClientDetectionRequest");
        }
        assert_eq!(server.connections(), 1);
        assert_eq!(server.acks("ClientDetectionResponse"), 2, "the last one is still under way");
    }
}

#[tokio::test]
async fn ended_stream_leaves_a_java_connection_registered_but_deaf() {
    let server = client::server().await;
    let mut client = Client::set_up(&server).await;
    client.call("InstanceRequest", &registration(8080)).await.expect("answered");
    client.finish_stream();
    assert!(matches!(client.next().await, Down::End(_)));
    assert_eq!(server.connections(), 1);
    assert_eq!(server.instances("", "g", "s").len(), 1);
    assert!(client.call("HealthCheckRequest", &json!({})).await.is_ok());
}

#[tokio::test]
async fn ended_stream_ends_the_connection_where_it_should() {
    let friendly = client::start(Server::builder().forget_on_stream_end(true)).await;
    for server in [friendly, r_nacos().await] {
        let mut client = Client::set_up(&server).await;
        client.call("InstanceRequest", &registration(8080)).await.expect("answered");
        client.finish_stream();
        server.until(|server| server.connections() == 0).await;
        assert!(server.instances("", "g", "s").is_empty());
    }
}

#[tokio::test]
async fn setup_without_labels_never_registers_a_java_connection() {
    let server = client::server().await;
    let mut client = Client::connect(server.grpc_addr()).await.expect("the server listens");
    client.open().await;
    client.send("ConnectionSetupRequest", &json!({ "labels": null, "abilityTable": {} }));
    server.until(|server| server.requests("ConnectionSetupRequest") == 1).await;
    let (_, body) = client.call("HealthCheckRequest", &json!({})).await.expect("answered");
    assert_eq!(body["errorCode"], 301);
    assert_eq!(server.connections(), 0);
}

async fn r_nacos() -> Server {
    client::server_like(Behaviour::RNacos).await
}

fn registration(port: u16) -> serde_json::Value {
    client::instance_request("registerInstance", &client::instance(port))
}

fn subscription() -> serde_json::Value {
    json!({ "namespace": "public", "serviceName": "s", "groupName": "g", "subscribe": true, "clusters": "" })
}
