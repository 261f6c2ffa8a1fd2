//! In what one line of servers differs from the next.

mod client;

use client::{Client, http, instance};
use nacos_testkit::{Behaviour, Server};
use serde_json::{Value, json};

use Behaviour::{Nacos2_3, Nacos2_5, Nacos3_0, Nacos3_3, RNacos};

#[tokio::test]
async fn public_is_the_default_place_of_configuration_from_2_5_on() {
    for (behaviour, one) in
        [(Nacos2_3, false), (Nacos2_5, true), (Nacos3_0, true), (Nacos3_3, true), (RNacos, true)]
    {
        let (server, client) = open(behaviour).await;
        server.publish("", "g", "d", "x");
        let query = json!({ "dataId": "d", "group": "g", "tenant": "public" });
        let (_, body) = client.call("ConfigQueryRequest", &query).await.expect("answered");
        assert_eq!(body["content"] == "x", one, "{behaviour:?}: {body}");
    }
}

/// 2.5 alone: what is queried as `public` is listened to in another place, and has always changed.
#[tokio::test]
async fn listen_to_public_names_another_place_in_2_5() {
    for (behaviour, changed) in [(Nacos2_5, 1), (Nacos3_0, 0), (Nacos3_3, 0), (RNacos, 0)] {
        let (server, client) = open(behaviour).await;
        server.publish("", "g", "d", "x");
        let query = json!({ "dataId": "d", "group": "g", "tenant": "public" });
        let (_, found) = client.call("ConfigQueryRequest", &query).await.expect("answered");
        let context =
            json!({ "dataId": "d", "group": "g", "tenant": "public", "md5": found["md5"] });
        let listen = json!({ "listen": true, "configListenContexts": [context] });
        for _ in 0..2 {
            let (_, body) = client.call("ConfigBatchListenRequest", &listen).await.expect("ok");
            let said = body["changedConfigs"].as_array().map_or(0, Vec::len);
            assert_eq!(said, changed, "{behaviour:?}: {body}");
        }
    }
}

#[tokio::test]
async fn blank_namespace_of_naming_is_a_place_of_its_own_in_2_3_and_3() {
    for (behaviour, one) in
        [(Nacos2_3, false), (Nacos2_5, true), (Nacos3_0, false), (Nacos3_3, false), (RNacos, true)]
    {
        let (_server, client) = open(behaviour).await;
        let body = json!({
            "namespace": "", "serviceName": "s", "groupName": "g",
            "type": "registerInstance", "instance": instance(1),
        });
        client.call("InstanceRequest", &body).await.expect("answered");
        for (namespace, expected) in [("", true), ("public", one)] {
            let query = json!({ "namespace": namespace, "serviceName": "s", "groupName": "g" });
            let (_, body) = client.call("ServiceQueryRequest", &query).await.expect("answered");
            let found = body["serviceInfo"]["hosts"].as_array().is_some_and(|it| it.len() == 1);
            assert_eq!(found, expected, "{behaviour:?} {namespace:?}: {body}");
        }
    }
}

#[tokio::test]
async fn query_without_a_data_id_is_answered_by_the_handler_of_3() {
    for (behaviour, kind) in [
        (Nacos2_3, "ErrorResponse"),
        (Nacos2_5, "ErrorResponse"),
        (Nacos3_0, "ConfigQueryResponse"),
        (Nacos3_3, "ConfigQueryResponse"),
    ] {
        let (_server, client) = open(behaviour).await;
        let query = json!({ "group": "g", "tenant": "" });
        let (answered, body) = client.call("ConfigQueryRequest", &query).await.expect("answered");
        assert_eq!((answered.as_str(), &body["errorCode"]), (kind, &json!(500)), "{behaviour:?}");
    }
}

#[tokio::test]
async fn type_that_no_server_knows_is_kept_or_becomes_text() {
    for (behaviour, expected) in [
        (Nacos2_3, "poetry"),
        (Nacos2_5, "text"),
        (Nacos3_0, "poetry"),
        (Nacos3_3, "text"),
        (RNacos, "text"),
    ] {
        let (server, client) = open(behaviour).await;
        let publish = json!({
            "dataId": "d", "group": "g", "tenant": "", "content": "x",
            "additionMap": { "type": "poetry" },
        });
        client.call("ConfigPublishRequest", &publish).await.expect("answered");
        let stored = server.document("", "g", "d").expect("just published");
        assert_eq!(stored.content_type, expected, "{behaviour:?}");
    }
}

#[tokio::test]
async fn question_of_servers_is_refused_from_2_5_on() {
    for (behaviour, code) in [(Nacos2_3, 0), (Nacos2_5, 502), (Nacos3_0, 502), (Nacos3_3, 502)] {
        let (_server, client) = open(behaviour).await;
        let (_, body) = client.call("ServerLoaderInfoRequest", &json!({})).await.expect("answered");
        assert_eq!(body["errorCode"], json!(code), "{behaviour:?}: {body}");
    }
}

#[tokio::test]
async fn conflict_is_spelled_with_or_without_a_space() {
    for (behaviour, text) in [
        (Nacos2_3, "Cas publish fail,server md5 may have changed."),
        (Nacos2_5, "Cas publish fail, server md5 may have changed."),
        (Nacos3_0, "Cas publish fail, server md5 may have changed."),
    ] {
        let (server, client) = open(behaviour).await;
        server.publish("", "g", "d", "x");
        let publish =
            json!({ "dataId": "d", "group": "g", "tenant": "", "content": "y", "casMd5": "0" });
        let (_, body) = client.call("ConfigPublishRequest", &publish).await.expect("answered");
        assert_eq!(body["message"], text, "{behaviour:?}");
    }
}

#[tokio::test]
async fn each_line_announces_its_abilities() {
    let persistent = "supportPersistentInstanceByGrpc";
    let third = [persistent, "fuzzyWatch", "lock", "mcp"];
    let newest = [&third[..], &["agent", "radV1", "radWatchV1"]].concat();
    for (behaviour, expected) in [
        (Nacos2_3, vec![persistent]),
        (Nacos2_5, vec![persistent]),
        (Nacos3_0, third.to_vec()),
        (Nacos3_3, newest),
    ] {
        let server = started(behaviour).await;
        let mut client = Client::connect(server.grpc_addr()).await.expect("the server listens");
        client.open().await;
        client.send("ConnectionSetupRequest", &client::setup());
        let (kind, body) = client.next().await.push();
        assert_eq!(kind, "SetupAckRequest");
        let expected: Value = expected.into_iter().map(|name| (name, true)).collect();
        assert_eq!(body["abilityTable"], expected, "{behaviour:?}");
    }
}

#[tokio::test]
async fn operators_use_the_paths_that_their_server_has_left_them() {
    for (behaviour, older, newer) in
        [(Nacos2_3, 200, 404), (Nacos2_5, 200, 404), (Nacos3_0, 410, 200), (Nacos3_3, 404, 200)]
    {
        let server = started(behaviour).await;
        server.register("", "g", "s", nacos_testkit::Instance::new("10.0.0.1", 80));
        let change = "?serviceName=s&groupName=g&ip=10.0.0.1&port=80&weight=7";
        for (family, expected) in [("v1", older), ("v3/admin", newer)] {
            let path = format!("/nacos/{family}/ns/instance{change}");
            let (status, body) = http(server.addr(), "PUT", &path, "").await.expect("answered");
            assert_eq!(status, expected, "{behaviour:?} {family}: {body}");
        }
        let client = Client::set_up(&server).await;
        let query = json!({ "namespace": "public", "serviceName": "s", "groupName": "g" });
        let (_, body) = client.call("ServiceQueryRequest", &query).await.expect("answered");
        assert_eq!(body["serviceInfo"]["hosts"][0]["weight"], 7.0, "{behaviour:?}");
    }
}

#[tokio::test]
async fn client_of_3_reads_and_lists_and_publishes_no_document_over_http() {
    for behaviour in [Nacos3_0, Nacos3_3] {
        let server = started(behaviour).await;
        server.publish("", "g", "d", "x");
        let path = "/nacos/v3/client/cs/config?dataId=d&groupName=g&namespaceId=public";
        let (status, body) = http(server.addr(), "GET", path, "").await.expect("answered");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &body["data"]["content"]), (200, &json!("x")));
        let missing = path.replace("dataId=d", "dataId=e");
        let (status, body) = http(server.addr(), "GET", &missing, "").await.expect("answered");
        assert!(status == 404 && body.contains("20004"), "{body}");
        let publish = http(server.addr(), "POST", path, "content=y").await.expect("answered");
        assert_eq!(publish.0, 405);
        let instance = "serviceName=s&groupName=g&ip=10.0.0.1&port=80";
        let path = "/nacos/v3/client/ns/instance";
        assert_eq!(http(server.addr(), "POST", path, instance).await.expect("answered").0, 200);
        let path = format!("{path}/list?{instance}");
        let (_, body) = http(server.addr(), "GET", &path, "").await.expect("answered");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["data"][0]["port"], 80, "{body}");
    }
}

#[tokio::test]
async fn operators_of_3_log_in_though_clients_need_not() {
    let builder = Server::builder().credentials("nacos", "secret").authentication(false);
    let server = client::start(builder).await;
    let path = "/nacos/v3/admin/cs/config?dataId=d&groupName=g";
    assert_eq!(http(server.addr(), "POST", path, "content=x").await.expect("answered").0, 403);
    let path = format!("{path}&accessToken={}", server.issue_token());
    assert_eq!(http(server.addr(), "POST", &path, "content=x").await.expect("answered").0, 200);
    assert_eq!(server.document("", "g", "d").map(|it| it.content).as_deref(), Some("x"));
    let open = "/nacos/v3/client/cs/config?dataId=d&groupName=g";
    assert_eq!(http(server.addr(), "GET", open, "").await.expect("answered").0, 200);
    let removed = http(server.addr(), "DELETE", &path, "").await.expect("answered");
    assert_eq!((removed.0, server.document("", "g", "d")), (200, None));
}

async fn open(behaviour: Behaviour) -> (Server, Client) {
    let server = started(behaviour).await;
    let client = Client::set_up(&server).await;
    (server, client)
}

async fn started(behaviour: Behaviour) -> Server {
    let builder = Server::builder().behaviour(behaviour).authentication(false);
    client::start(builder).await
}
