//! Naming beyond what the captures show.

mod client;

use std::time::Duration;

use client::{Client, http};
use nacos_testkit::{Behaviour, Instance, Server};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn registrations_of_another_client_are_pushed() {
    let server = client::server().await;
    let mut client = subscribed(&server).await;
    server.register("", "g", "s", Instance::new("10.0.0.1", 80));
    assert_eq!(ports(&client.next_acknowledged().await.1["serviceInfo"]), [80]);
    server.register("public", "g", "s", Instance { weight: 2.0, ..Instance::new("10.0.0.1", 80) });
    let (_, push) = client.next_acknowledged().await;
    assert_eq!(push["serviceInfo"]["hosts"][0]["weight"], 2.0);
    server.deregister("", "g", "s", &Instance::new("10.0.0.1", 80));
    assert!(ports(&client.next_acknowledged().await.1["serviceInfo"]).is_empty());
    assert!(server.instances("", "g", "s").is_empty());
}

#[tokio::test]
async fn forgotten_instances_are_gone_while_their_connection_stays() {
    for behaviour in [Behaviour::Nacos2_3, Behaviour::Nacos3_0, Behaviour::RNacos] {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        let instance = json!({"ip": "10.0.0.1", "port": 80, "weight": 1.0, "healthy": true,
                              "enabled": true, "ephemeral": true, "clusterName": "DEFAULT"});
        let register = json!({"namespace": "public", "serviceName": "s", "groupName": "g",
                              "type": "registerInstance", "instance": instance});
        client.call("InstanceRequest", &register).await.expect("answered");
        server.register("", "g", "s", Instance::new("10.0.0.2", 80));
        assert_eq!(server.forget_instances("", "g", "s"), 1);
        assert_eq!(server.forget_instances("", "g", "missing"), 0);
        assert_eq!(server.instances("", "g", "s"), [Instance::new("10.0.0.2", 80)]);
        let answer = client.call("HealthCheckRequest", &json!({})).await.expect("answered");
        assert_eq!((answer.0.as_str(), server.connections()), ("HealthCheckResponse", 1));
        client.call("InstanceRequest", &register).await.expect("answered");
        assert_eq!(server.instances("", "g", "s").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn changes_within_the_push_delay_are_one_push() {
    let server =
        client::start(Server::builder().naming_push_delay(Duration::from_millis(500))).await;
    let mut client = Client::set_up(&server).await;
    let begun = Instant::now();
    client.call("SubscribeServiceRequest", &subscription()).await.expect("answered");
    server.register("", "g", "s", Instance::new("10.0.0.1", 80));
    server.register("", "g", "s", Instance::new("10.0.0.1", 81));
    let (_, push) = client.next_acknowledged().await;
    assert_eq!(ports(&push["serviceInfo"]), [80, 81]);
    let took = Instant::now() - begun;
    assert!((500..520).contains(&took.as_millis()), "{took:?}");
    assert!(timeout(Duration::from_secs(10), client.next()).await.is_err());
}

#[tokio::test]
async fn instances_are_listed_in_order_with_everything_held() {
    let server = client::server().await;
    server.register("", "g", "s", Instance::new("10.0.0.2", 80));
    server.register("", "g", "s", Instance { enabled: false, ..Instance::new("10.0.0.1", 81) });
    server.register("", "g", "s", Instance { healthy: false, ..Instance::new("10.0.0.1", 80) });
    let held: Vec<(String, u32)> =
        server.instances("", "g", "s").into_iter().map(|i| (i.ip, i.port)).collect();
    let expected = [("10.0.0.1", 80), ("10.0.0.1", 81), ("10.0.0.2", 80)];
    assert_eq!(held, expected.map(|(ip, port)| (ip.to_owned(), port)));
}

#[tokio::test]
async fn equal_publications_of_two_connections_are_one_host() {
    let server = client::server().await;
    let clients = [Client::set_up(&server).await, Client::set_up(&server).await];
    for client in &clients {
        register(client, client::instance(8080)).await;
    }
    assert_eq!(server.instances("", "g", "s").len(), 2);
    assert_eq!(ports(&query(&clients[0]).await), [8080]);
    let mut other = client::instance(8080);
    other["metadata"] = json!({ "started": "later" });
    register(&clients[1], other).await;
    assert_eq!(ports(&query(&clients[0]).await), [8080, 8080]);
}

#[tokio::test]
async fn new_connection_takes_an_r_nacos_instance_over() {
    let server = client::server_like(Behaviour::RNacos).await;
    let old = Client::set_up(&server).await;
    register(&old, client::instance(8080)).await;
    let new = Client::set_up(&server).await;
    register(&new, client::instance(8080)).await;
    drop(old);
    server.until(|server| server.connections() == 1).await;
    assert_eq!(server.instances("", "g", "s").len(), 1);
    drop(new);
    server.until(|server| server.instances("", "g", "s").is_empty()).await;
}

#[tokio::test]
async fn r_nacos_takes_the_default_weight_for_no_weight() {
    let server = client::server_like(Behaviour::RNacos).await;
    let client = Client::set_up(&server).await;
    let mut instance = client::instance(8080);
    instance["weight"] = json!(5.0);
    register(&client, instance).await;
    register(&client, client::instance(8080)).await;
    let weights: Vec<f64> = server.instances("", "g", "s").iter().map(|i| i.weight).collect();
    assert_eq!(weights, [5.0]);
}

#[tokio::test]
async fn operators_edit_outlives_registrations() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    register(&client, client::instance(8080)).await;
    server.edit("", "g", "s", Instance { weight: 7.0, ..Instance::new("10.0.0.1", 8080) });
    register(&client, client::instance(8080)).await;
    assert_eq!(query(&client).await["hosts"][0]["weight"], 7.0);
    server.edit("", "g", "s", Instance { enabled: false, ..Instance::new("10.0.0.1", 8080) });
    assert!(ports(&query(&client).await).is_empty());
    assert!(server.instances("", "g", "s")[0].enabled, "what is held is what was published");
}

#[tokio::test]
async fn protection_shows_everything_as_healthy() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.register("", "g", "s", Instance::new("10.0.0.1", 80));
    server.register("", "g", "s", Instance { healthy: false, ..Instance::new("10.0.0.1", 81) });
    let info = query(&client).await;
    assert_eq!(info["reachProtectionThreshold"], false, "a service without metadata has none");
    server.protect("", "g", "s", 0.5);
    let info = query(&client).await;
    assert_eq!(info["reachProtectionThreshold"], true);
    let hosts = info["hosts"].as_array().expect("a list");
    assert!(hosts.len() == 2 && hosts.iter().all(|host| host["healthy"] == true));
}

#[tokio::test]
async fn r_nacos_shows_unhealthy_instances_only_when_there_are_no_others() {
    let server = client::server_like(Behaviour::RNacos).await;
    let client = Client::set_up(&server).await;
    server.register("", "g", "s", Instance { healthy: false, ..Instance::new("10.0.0.1", 81) });
    let info = query(&client).await;
    assert_eq!((ports(&info), &info["reachProtectionThreshold"]), (vec![81], &json!(true)));
    server.register("", "g", "s", Instance::new("10.0.0.1", 80));
    let info = query(&client).await;
    assert_eq!((ports(&info), &info["reachProtectionThreshold"]), (vec![80], &json!(false)));
}

#[tokio::test]
async fn persistent_instance_outlives_its_connection_and_the_server() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    let request = client::instance_request("registerInstance", &client::instance(8080));
    client.call("PersistentInstanceRequest", &request).await.expect("answered");
    server.restart().await.expect("the ports are ours");
    let held = server.instances("", "g", "s");
    assert!(held.len() == 1 && !held[0].ephemeral);
    assert!(server.set_health("", "g", "s", ("10.0.0.1", 8080), false));
    assert!(!server.instances("", "g", "s")[0].healthy);

    let client = Client::set_up(&server).await;
    let (_, body) = client.call("InstanceRequest", &request).await.expect("answered");
    assert_eq!(body["errorCode"], 400, "the service is persistent");
}

#[tokio::test]
async fn connection_without_the_naming_label_has_no_part_in_naming() {
    let server = client::server().await;
    let mut client = Client::connect(server.grpc_addr()).await.expect("the server listens");
    client.open().await;
    let mut setup = client::setup();
    setup["labels"] = json!({ "source": "sdk", "module": "config" });
    client.send("ConnectionSetupRequest", &setup);
    client.next().await.push();
    let request = client::instance_request("registerInstance", &client::instance(8080));
    let (message_type, body) = client.call("InstanceRequest", &request).await.expect("answered");
    assert_eq!((message_type.as_str(), &body["errorCode"]), ("ErrorResponse", &json!(-401)));
    let query = json!({ "dataId": "d", "group": "g", "tenant": "" });
    let (_, body) = client.call("ConfigQueryRequest", &query).await.expect("answered");
    assert_eq!(body["errorCode"], 300, "configuration does not care");
}

#[tokio::test(start_paused = true)]
async fn emptied_service_is_listed_for_a_minute() {
    let server = client::start(Server::builder().probe_silence(false)).await;
    let client = Client::set_up(&server).await;
    server.register("", "g", "s", Instance::new("10.0.0.1", 80));
    server.deregister("", "g", "s", &Instance::new("10.0.0.1", 80));
    let list = json!({ "namespace": "public", "groupName": "g", "pageNo": 1, "pageSize": 10 });
    let (_, body) = client.call("ServiceListRequest", &list).await.expect("answered");
    assert_eq!(body["serviceNames"], json!(["s"]));
    tokio::time::advance(Duration::from_secs(61)).await;
    let (_, body) = client.call("ServiceListRequest", &list).await.expect("answered");
    assert_eq!((&body["count"], &body["serviceNames"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn services_are_listed_page_by_page() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    for name in ["a", "b", "c"] {
        server.register("", "g", name, Instance::new("10.0.0.1", 80));
    }
    let list = json!({ "namespace": "public", "groupName": "g", "pageNo": 2, "pageSize": 2 });
    let (_, body) = client.call("ServiceListRequest", &list).await.expect("answered");
    assert_eq!((&body["count"], &body["serviceNames"]), (&json!(3), &json!(["c"])));
}

#[tokio::test]
async fn another_client_registers_over_http() {
    for behaviour in [Behaviour::Nacos2_3, Behaviour::Nacos3_0, Behaviour::RNacos] {
        let server = client::server_like(behaviour).await;
        let addr = server.addr();
        let form = "serviceName=g%40%40s&ip=10.0.0.1&port=80&weight=3&metadata=%7B%22k%22%3A1%7D";
        let path = "/nacos/v1/ns/instance";
        let done = http(addr, "POST", path, form).await.expect("answered");
        assert_eq!(done, (200, "ok".to_owned()));
        assert_eq!(server.instances("", "g", "s").len(), 1);
        let list = http(addr, "GET", &format!("{path}/list?serviceName=s&groupName=g"), "").await;
        let info: Value = serde_json::from_str(&list.expect("answered").1).expect("JSON");
        assert_eq!((ports(&info), &info["name"]), (vec![80], &json!("g@@s")));
        let gone = format!("{path}?serviceName=s&groupName=g&ip=10.0.0.1&port=80");
        http(addr, "DELETE", &gone, "").await.expect("answered");
        assert!(server.instances("", "g", "s").is_empty());
    }
}

async fn subscribed(server: &Server) -> Client {
    let mut client = Client::set_up(server).await;
    client.call("SubscribeServiceRequest", &subscription()).await.expect("answered");
    let (_, push) = client.next_acknowledged().await;
    assert!(ports(&push["serviceInfo"]).is_empty(), "the push that follows a first subscribe");
    client
}

async fn register(client: &Client, instance: Value) {
    let request = client::instance_request("registerInstance", &instance);
    let (_, body) = client.call("InstanceRequest", &request).await.expect("answered");
    assert_eq!(body["resultCode"], 200);
}

async fn query(client: &Client) -> Value {
    let query =
        json!({ "namespace": "public", "serviceName": "s", "groupName": "g", "cluster": "" });
    let (_, body) = client.call("ServiceQueryRequest", &query).await.expect("answered");
    body["serviceInfo"].clone()
}

fn subscription() -> Value {
    json!({ "namespace": "public", "serviceName": "s", "groupName": "g", "subscribe": true, "clusters": "" })
}

fn ports(info: &Value) -> Vec<u64> {
    let hosts = info["hosts"].as_array().into_iter().flatten();
    let mut ports: Vec<u64> = hosts.filter_map(|host| host["port"].as_u64()).collect();
    ports.sort_unstable();
    ports
}
