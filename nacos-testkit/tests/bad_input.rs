//! Input that no client should send: answered as a real server does, survived in any case.

mod client;

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use client::{Client, Down, Failure, envelope, frame, http};
use nacos_testkit::Behaviour;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ALL: [Behaviour; 3] = [Behaviour::Nacos2_3, Behaviour::Nacos3_0, Behaviour::RNacos];

#[tokio::test]
async fn truncated_json_is_refused_by_the_code_of_the_server() {
    for (behaviour, code) in ALL.into_iter().zip([502, 502, 500]) {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        let body = r#"{"dataId":"d","gro"#.to_owned();
        let answer = client.call_with("ConfigQueryRequest", &HashMap::new(), body).await;
        let (message_type, body) = answer.expect("answered");
        assert_eq!(message_type, "ErrorResponse");
        assert_eq!(body["errorCode"], code);
        let received = server.last_request("ConfigQueryRequest").expect("it was counted");
        assert_eq!(received.body, json!(r#"{"dataId":"d","gro"#));
    }
}

#[tokio::test]
async fn missing_field_is_a_default_to_java_and_an_error_to_r_nacos() {
    for (behaviour, expected) in ALL.into_iter().zip([300, 300, 500]) {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        let without_tenant = json!({ "dataId": "d", "group": "g" });
        let answer = client.call("ConfigQueryRequest", &without_tenant).await;
        assert_eq!(answer.expect("answered").1["errorCode"], expected);
    }
}

#[tokio::test]
async fn explicit_null_is_zero_to_java_and_an_error_to_r_nacos() {
    for behaviour in ALL {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        let mut instance = client::instance(8080);
        instance["weight"] = Value::Null;
        let request = client::instance_request("registerInstance", &instance);
        let (_, body) = client.call("InstanceRequest", &request).await.expect("answered");
        let weights: Vec<f64> = server.instances("", "g", "s").iter().map(|i| i.weight).collect();
        if behaviour == Behaviour::RNacos {
            assert_eq!((&body["errorCode"], weights), (&json!(500), vec![]));
        } else {
            assert_eq!((&body["resultCode"], weights), (&json!(200), vec![0.0]));
        }
    }
}

#[tokio::test]
async fn json_of_another_shape_is_refused() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    for body in ["", "null", "[]", "42", "\"text\"", r#"{"dataId":{}}"#, r#"{"dataId":["d"]}"#] {
        let answer = client.call_with("ConfigQueryRequest", &HashMap::new(), body.to_owned()).await;
        assert_eq!(answer.expect("answered").1["errorCode"], 502, "{body}");
    }
}

#[tokio::test]
async fn unknown_type_is_not_found_even_without_a_connection() {
    for (behaviour, text) in ALL.into_iter().zip([
        "RequestHandler Not Found",
        "RequestHandler Not Found",
        "FutureRequest RequestHandler Not Found",
    ]) {
        let server = client::server_like(behaviour).await;
        let client = Client::connect(server.grpc_addr()).await.expect("the server listens");
        let (_, body) = client.call("FutureRequest", &json!({})).await.expect("answered");
        assert_eq!((&body["errorCode"], &body["message"]), (&json!(302), &json!(text)));
    }
}

#[tokio::test]
async fn bytes_that_are_no_envelope_end_in_a_status() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    for body in [
        frame(&[0xff; 20]),
        Bytes::from_static(b"<html><body>Bad Gateway</body></html>"),
        Bytes::from_static(&[0, 0, 0, 0]),
        Bytes::from_static(&[0, 0, 0, 0, 9, 1, 2]),
        Bytes::from_static(&[1, 0, 0, 0, 1, 1]),
        Bytes::new(),
    ] {
        let answer = client.call_raw(body.clone()).await;
        assert!(matches!(answer, Err(Failure::Status { .. })), "{body:?}: {answer:?}");
    }
    assert!(client.call("HealthCheckRequest", &json!({})).await.is_ok());
}

#[tokio::test]
async fn announced_length_is_refused_before_it_is_read() {
    for (behaviour, expected) in [(Behaviour::Nacos2_3, 8), (Behaviour::Nacos3_0, 0)] {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        let answer = client.call_raw(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])).await;
        match answer {
            Err(Failure::Reset(code)) => assert_eq!(code, expected),
            Err(Failure::Status { code, message }) => {
                assert_eq!((code.as_str(), expected), ("8", 0));
                assert!(message.starts_with("gRPC message exceeds maximum size 10485760: "));
            }
            other => panic!("{other:?}"),
        }
        assert!(client.call("HealthCheckRequest", &json!({})).await.is_ok());
    }
}

#[tokio::test]
async fn unknown_method_is_unimplemented() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    let body = http_body_util::BodyExt::boxed_unsync(http_body_util::Full::new(frame(b"")));
    let response = client.post("/grpc.health.v1.Health/Check", body).await.expect("answered");
    assert_eq!(response.headers()["grpc-status"], "12");
}

#[tokio::test]
async fn nonsense_on_the_stream_is_dropped_and_the_stream_survives() {
    for behaviour in ALL {
        let server = client::server_like(behaviour).await;
        let mut client = Client::set_up(&server).await;
        client.send("ConfigPublishRequest", &json!({ "dataId": "d" }));
        client.send("NoSuchResponse", &json!({ "requestId": "77777", "resultCode": 200 }));
        client.send("NoSuchResponse", &json!({ "requestId": { "a": 1 } }));
        client.send("NoSuchResponse", &json!([]));
        client.send_raw(frame(&envelope("NoSuchResponse", &HashMap::new(), "{".to_owned())));
        client.send_raw(frame(&[0xff; 20]));
        server.push_raw("FutureRequest", json!(null));
        assert_eq!(client.next_acknowledged().await.0, "FutureRequest");
        server.until(|server| server.acks("FutureResponse") == 1).await;
    }
}

#[tokio::test]
async fn broken_frame_on_the_stream_ends_the_stream() {
    let server = client::server().await;
    let mut client = Client::set_up(&server).await;
    client.send_raw(Bytes::from_static(&[1, 0, 0, 0, 0]));
    assert!(matches!(client.next().await, Down::End(_)));
    assert!(client.call("HealthCheckRequest", &json!({})).await.is_ok());
}

#[tokio::test]
async fn another_protocol_on_the_grpc_port_is_hung_up_on() {
    let server = client::server().await;
    let mut socket = TcpStream::connect(server.grpc_addr()).await.expect("the server listens");
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    // Whether as an end or as a reset: it is over.
    let _ = socket.read_to_end(&mut answer).await;
    assert!(server.connects() == 1 && server.connections() == 0);
}

#[tokio::test]
async fn nonsense_over_http_is_answered() {
    for behaviour in ALL {
        let server = client::server_like(behaviour).await;
        for (method, path, form) in [
            ("GET", "/", ""),
            ("BREW", "/nacos/v1/cs/configs", "dataId=%zz&&&=&group"),
            ("POST", "/nacos/v1/cs/configs?content=%ff%fe", "%"),
            ("POST", "/nacos/v1/ns/instance", "ip=1&port=99999999999"),
            ("POST", "/nacos/v1/ns/instance", "ip=1&port=1&weight=heavy"),
            ("GET", "/nacos/v1/ns/instance/list?healthyOnly=perhaps", ""),
            ("DELETE", "/nacos/v1/auth/users/login", ""),
        ] {
            http(server.addr(), method, path, form).await.expect("answered");
        }
        assert!(http(server.addr(), "GET", "/nacos/serverlist", "").await.is_ok());
    }
}

/// Mutations of requests that make sense, from a fixed seed.
#[tokio::test]
async fn no_mutation_of_a_request_ends_the_server() {
    let mut random = fastrand::Rng::with_seed(7);
    for behaviour in ALL {
        let server = client::server_like(behaviour).await;
        let client = Client::set_up(&server).await;
        for round in 0..600 {
            let (message_type, body) = sample(round);
            let mut bytes = body.to_string().into_bytes();
            for _ in 0..random.usize(0..4) {
                let at = random.usize(0..bytes.len());
                bytes[at] = *random.choice(b"{}[]\",:01-.eE\\ntf\xff \0").expect("some");
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut message = BytesMut::from(&envelope(message_type, &HashMap::new(), text)[..]);
            if random.u8(..) < 64 {
                let at = random.usize(0..message.len());
                message[at] = random.u8(..);
            }
            if random.u8(..) < 32 {
                message.put_u8(random.u8(..));
            }
            // Any answer will do, if only the next call is answered, too.
            let _ = client.call_raw(frame(&message)).await;
        }
        client.call("HealthCheckRequest", &json!({})).await.expect("the server lives");
        server.drop_connections();
        Client::set_up(&server).await;
    }
}

fn sample(round: usize) -> (&'static str, Value) {
    let instance = client::instance(8080);
    let config = json!({ "dataId": "d", "group": "g", "tenant": "", "content": "c",
        "additionMap": { "type": "yaml", "betaIps": "1,2", "tag": "" }, "casMd5": "x" });
    let samples = [
        ("ConfigPublishRequest", config.clone()),
        ("ConfigQueryRequest", config.clone()),
        ("ConfigRemoveRequest", config),
        (
            "ConfigBatchListenRequest",
            json!({ "listen": true, "configListenContexts": [
                { "dataId": "d", "group": "g", "tenant": "", "md5": "" } ] }),
        ),
        ("InstanceRequest", client::instance_request("registerInstance", &instance)),
        ("PersistentInstanceRequest", client::instance_request("registerInstance", &instance)),
        (
            "BatchInstanceRequest",
            json!({ "serviceName": "s", "type": "batchRegisterInstance", "instances": [instance] }),
        ),
        ("SubscribeServiceRequest", json!({ "serviceName": "s", "subscribe": true })),
        ("ServiceQueryRequest", json!({ "serviceName": "s", "cluster": "a,b" })),
        ("ServiceListRequest", json!({ "pageNo": 9_223_372_036_854_775_807_i64, "pageSize": 10 })),
        (
            "NamingFuzzyWatchRequest",
            json!({ "groupKeyPattern": "public>>*>>*", "watchType": "WATCH",
                "receivedGroupKeys": ["x"], "initializing": true }),
        ),
    ];
    let (message_type, body) = &samples[round % samples.len()];
    (message_type, body.clone())
}
