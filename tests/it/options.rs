//! Options as users give them: in the environment of a process, and in files that another library
//! reads.
use std::{cell::Cell, time::Duration};

use nacos_core::{Client, ClientOptions, ConfigKey, Publish, ServiceKey};
use nacos_figment::figment::{Figment, providers::Serialized};
use nacos_testkit::Behaviour;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tracing::Level;

use crate::{
    logs::Log,
    support::{BEHAVIOURS, builder, child, ends_with_its_parent, server_like},
};

#[test]
#[ignore = "another test runs it, in an environment of its own"]
fn reads_its_environment() {
    ends_with_its_parent();
    let (log, _guard) = Log::keep();
    println!("{:?}", Client::from_env());
    for line in log.at(Level::WARN) {
        println!("warning: {line}");
    }
}

#[tokio::test]
async fn misspelt_variable_is_warned_about_and_nothing_else() {
    let printed = child(
        "options::reads_its_environment",
        &[
            ("NACOS_SEVER_ADDR", "hunter2"),
            ("NACOS_NAMESPACE", "staging"),
            // Kubernetes sets these for a service called `nacos`.
            ("NACOS_SERVICE_HOST", "10.0.0.1"),
            ("NACOS_PORT_8848_TCP", "tcp://10.0.0.1:8848"),
        ],
    );
    let printed = printed.await.expect("it runs");
    assert!(printed.contains("staging"), "what is right is read: {printed}");
    let warnings: Vec<_> = printed.lines().filter(|line| line.starts_with("warning")).collect();
    let [warning] = warnings.as_slice() else { panic!("{printed}") };
    assert!(warning.contains("NACOS_SEVER_ADDR"), "{warning}");
    assert!(warning.contains("is NACOS_SERVER_ADDR meant?"), "{warning}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn what_kubernetes_sets_for_a_service_is_warned_about_and_real_options_are_read() {
    let variables = [
        ("NACOS_ENDPOINT_PORT", "tcp://10.0.0.1:8080"),
        ("NACOS_SERVER_ADDR", "10.0.0.9:8848"),
        ("NACOS_PORT", "tcp://10.0.0.2:8848"),
    ];
    let printed = child("options::reads_its_environment", &variables).await.expect("it runs");
    assert!(printed.contains("Ok(") && printed.contains("10.0.0.9:8848"), "{printed}");
    let warnings: Vec<_> = printed.lines().filter(|line| line.starts_with("warning")).collect();
    let [warning] = warnings.as_slice() else { panic!("{printed}") };
    assert!(warning.contains("NACOS_ENDPOINT_PORT") && warning.contains("Kubernetes"), "{warning}");
}

#[test]
fn what_kubernetes_sets_for_a_service_is_no_option_of_a_layer_either() {
    let (log, _guard) = Log::keep();
    let file = json!({ "server_addr": "10.0.0.9:8848", "app": "orders" });
    // As figment's `Env::prefixed("NACOS_")` has it, where there is a service `nacos`.
    let environment = json!({
        "endpoint_port": "tcp://10.0.0.1:8080",
        "port": "tcp://10.0.0.2:8848",
        "port_8848_tcp": "tcp://10.0.0.2:8848",
        "port_8848_tcp_port": 8848,
        "service_host": "10.0.0.2",
        "app": "stock",
    });
    let layers = Figment::from(Serialized::defaults(file)).merge(Serialized::defaults(environment));
    let options: ClientOptions = layers.extract().expect("readable");
    assert_eq!(options.server_addr.as_deref(), Some("10.0.0.9:8848"));
    assert_eq!((options.app.as_deref(), options.endpoint_port), (Some("stock"), None));
    let warnings = log.at(Level::WARN);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    for name in ["endpoint_port", "port_8848_tcp", "service_host", "Kubernetes"] {
        assert!(warning.contains(name), "{warning}");
    }
}

#[tokio::test]
async fn names_that_people_try_are_warned_about_unless_ours_is_set_too() {
    let variables = [
        ("NACOS_NAMESPACE_ID", "staging"),
        ("NACOS_CLIENT_USERNAME", "hunter2"),
        ("NACOS_SERVER_ADDRESS", "10.0.0.8:8848"),
        ("NACOS_SERVER_ADDR", "10.0.0.9:8848"),
    ];
    let printed = child("options::reads_its_environment", &variables).await.expect("it runs");
    let mut warnings: Vec<_> = printed.lines().filter(|line| line.starts_with("warning")).collect();
    warnings.sort_unstable();
    let [namespace, user] = warnings.as_slice() else { panic!("{printed}") };
    assert!(user.contains("NACOS_CLIENT_USERNAME") && user.contains("is NACOS_USERNAME meant?"));
    assert!(namespace.contains("NACOS_NAMESPACE_ID"), "{namespace}");
    assert!(namespace.contains("is NACOS_NAMESPACE meant?"), "{namespace}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn variable_that_cannot_be_read_is_an_error_that_names_it() {
    let variables = [("NACOS_REQUEST_TIMEOUT", "hunter2")];
    let printed = child("options::reads_its_environment", &variables).await.expect("it runs");
    assert!(printed.contains("Err(") && printed.contains("NACOS_REQUEST_TIMEOUT"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test(start_paused = true)]
async fn namespaces_that_differ_are_warned_about_with_both_names() {
    let (log, _guard) = Log::keep();
    let builder = Client::builder().server_addr("127.0.0.1:1").namespace("common");
    drop(builder.clone().connect_lazy().expect("valid"));
    drop(builder.clone().config_namespace("common").connect_lazy().expect("valid"));
    assert_eq!(log.at(Level::WARN), [""; 0]);
    drop(builder.naming_namespace("services").connect_lazy().expect("valid"));
    let warnings = log.at(Level::WARN);
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.contains("common") && warning.contains("services"), "{warning}");
}

#[tokio::test(start_paused = true)]
async fn namespace_that_the_server_does_not_list_is_told_once_where_it_says_so() {
    for behaviour in BEHAVIOURS {
        let (log, _guard) = Log::keep();
        let server = server_like(behaviour).await;
        let told = || log.at(Level::WARN).iter().filter(|it| it.contains("does not list")).count();
        let look = async |builder: nacos_core::ClientBuilder| {
            let client = builder.connect().await.expect("the server is there");
            tokio::time::sleep(Duration::from_secs(60)).await;
            server.drop_connections();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(client.state().get().is_connected());
            told()
        };
        let builder = || builder(&server).namespace("staging");
        assert_eq!(look(builder()).await, 0, "nobody says which there are");
        server.list_namespaces(Some(&[("0f3a", "staging")]));
        assert_eq!(look(builder().check_namespaces(false)).await, 0);
        assert_eq!(look(builder().namespace("0f3a")).await, 0);
        assert_eq!(look(builder().namespace("public")).await, 0);
        assert_eq!(look(builder()).await, 1);
        let warnings = log.at(Level::WARN);
        let line = warnings.iter().find(|it| it.contains("does not list")).expect("just counted");
        assert!(line.contains("namespace=staging") && line.contains("0f3a"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn namespace_of_a_key_that_the_server_does_not_list_is_told_once_too() {
    for behaviour in BEHAVIOURS {
        let (log, _guard) = Log::keep();
        let server = server_like(behaviour).await;
        server.list_namespaces(Some(&[("0f3a", "staging")]));
        let told = |namespace: &str| {
            let about = format!("namespace={namespace} ");
            let lines = log.at(Level::WARN);
            lines.iter().filter(|it| it.contains("does not list") && it.contains(&about)).count()
        };
        let pause = || tokio::time::sleep(Duration::from_secs(10));
        let off = builder(&server).check_namespaces(false).connect().await.expect("there");
        let client = builder(&server).connect().await.expect("the server is there");
        let place = |id: &str| nacos_core::Namespace::parse(id).expect("valid");
        let document = |id| ConfigKey::try_from("d").expect("valid").in_namespace(place(id));
        let service = |id| ServiceKey::try_from("s").expect("valid").in_namespace(place(id));
        for _ in 0..3 {
            let _unread = off.configs().get(document("staging")).await;
            let _unread = client.configs().get("d").await;
            let _unread = client.configs().get(document("0f3a")).await;
            pause().await;
        }
        assert_eq!(log.at(Level::WARN), [""; 0], "listed, the default one, or not asked");
        for _ in 0..3 {
            let _watch = client.configs().watch(document("staging")).expect("valid");
            let _subscription = client.naming().subscribe(service("nowhere")).expect("valid");
            let publish = Publish::new(document("elsewhere"), "x").expect("valid");
            let _unread = client.configs().publish(publish).await;
            pause().await;
        }
        assert_eq!([told("staging"), told("nowhere"), told("elsewhere")], [1; 3], "{behaviour:?}");
        // One that is created later is none that is missing.
        server.list_namespaces(Some(&[("0f3a", "staging"), ("late", "late")]));
        let _unread = client.naming().query(service("late")).await;
        pause().await;
        assert_eq!(told("late"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn namespace_whose_list_could_not_be_had_is_looked_for_again() {
    let (log, _guard) = Log::keep();
    let server = server_like(Behaviour::Nacos2_5).await;
    let ports = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (one, other) = (ports().await, ports().await);
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    let (http, grpc) = if port(&one) < port(&other) { (one, other) } else { (other, one) };
    let addr = http.local_addr().expect("bound").to_string();
    let client = Client::builder().server_addr(addr).namespace("staging");
    let client = client.grpc_port_offset(port(&grpc) - port(&http)).connect_lazy().expect("valid");
    let told = || log.at(Level::WARN).iter().filter(|it| it.contains("does not list")).count();
    let asked = Cell::new(0);
    // A proxy that has no server behind its main port for a while.
    let answering = async {
        loop {
            let (mut socket, _) = http.accept().await.expect("a client");
            asked.set(asked.get() + 1);
            let _ = socket.read(&mut [0; 4096]).await;
            let answer = if asked.get() <= 1 {
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned()
            } else {
                let list = r#"{"data":[{"namespace":"","namespaceShowName":"public"}]}"#;
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{list}", list.len())
            };
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    };
    let relaying = async {
        let (mut socket, _) = grpc.accept().await.expect("a client");
        let mut there = TcpStream::connect(server.grpc_addr()).await.expect("the server is there");
        let _ = tokio::io::copy_bidirectional(&mut socket, &mut there).await;
    };
    let patience = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!((told(), asked.get()), (0, 1), "no older path, and not in a loop");
        tokio::time::sleep(Duration::from_secs(3600)).await;
    };
    tokio::select! {
        () = patience => {}
        () = relaying => panic!("the client stays"),
        () = answering => unreachable!("a loop"),
    }
    assert_eq!((told(), asked.get()), (1, 2));
    drop(client);
}

#[test]
fn figment_fills_options_and_its_layers_are_merged() {
    let file = json!({ "nacos": { "server-addr": "file", "connect_timeout": "2s", "tls": false } });
    let site = json!({ "nacos": { "server-addr": "site", "health-check-interval": "3s" } });
    let figment = Figment::from(Serialized::defaults(file)).merge(Serialized::defaults(site));
    let options: ClientOptions = figment.extract_inner("nacos").expect("readable");
    assert_eq!(options.server_addr.as_deref(), Some("site"));
    assert_eq!(options.connect_timeout, Some(Duration::from_secs(2)));
    assert_eq!(options.health_check_interval, Some(Duration::from_secs(3)));
    assert_eq!(options.tls, Some(false));
}

#[test]
fn unknown_field_in_a_figment_suggests_the_nearest_and_shows_no_value() {
    let extract = |options| {
        let figment = Figment::from(Serialized::defaults(json!({ "nacos": options })));
        figment.extract_inner::<ClientOptions>("nacos").expect_err("refused").to_string()
    };
    let error = extract(json!({ "sever_adr": "hunter2" }));
    assert!(error.contains("did you mean `server_addr`?") && error.contains("nacos"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    let error = extract(json!({ "connect_timeout": 5 }));
    assert!(error.contains("`connect_timeout`") && error.contains("unit"), "{error}");
}
