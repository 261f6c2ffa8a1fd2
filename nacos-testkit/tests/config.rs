//! Configuration beyond what the captures show.

mod client;

use std::time::Duration;

use client::{Client, http};
use nacos_testkit::{Behaviour, Server};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn both_spellings_of_the_default_namespace_name_one_document() {
    let server = client::server().await;
    server.publish("public", "g", "d", "a");
    assert_eq!(server.document("", "g", "d"), server.document("public", "g", "d"));
    assert_eq!(server.document("", "g", "d").expect("it is there").content_type, "text");
    server.publish_typed("", "g", "d", "a: 1", "yaml");
    let document = server.document("", "g", "d").expect("it is there");
    assert_eq!((document.content.as_str(), document.content_type.as_str()), ("a: 1", "yaml"));
    server.remove("", "g", "d");
    assert_eq!(server.document("public", "g", "d"), None);
}

#[tokio::test(start_paused = true)]
async fn java_notices_after_its_answer_and_r_nacos_before() {
    for behaviour in [Behaviour::Nacos2_3, Behaviour::Nacos3_0, Behaviour::RNacos] {
        let server = client::server_like(behaviour).await;
        let mut client = Client::set_up(&server).await;
        let publisher = Client::set_up(&server).await;
        listen(&client, "").await;
        let begun = Instant::now();
        server.delay(Duration::from_secs(1));
        let publish = json!({ "dataId": "d", "group": "g", "tenant": "", "content": "a" });
        let (answer, noticed) =
            tokio::join!(publisher.call("ConfigPublishRequest", &publish), async {
                client.next_acknowledged().await;
                Instant::now() - begun
            });
        assert_eq!(answer.expect("answered").1["resultCode"], 200);
        let before_the_answer = noticed < Duration::from_secs(1);
        assert_eq!(before_the_answer, behaviour == Behaviour::RNacos, "{behaviour:?}: {noticed:?}");
    }
}

#[tokio::test]
async fn r_nacos_forgets_who_listens_along_with_the_configuration() {
    for behaviour in [Behaviour::Nacos2_3, Behaviour::Nacos3_0, Behaviour::RNacos] {
        let server = client::server_like(behaviour).await;
        let mut client = Client::set_up(&server).await;
        server.publish("", "g", "d", "a");
        listen(&client, "").await;
        server.remove("", "g", "d");
        client.next_acknowledged().await;
        let forgotten = server.listeners("", "g", "d") == 0;
        assert_eq!(forgotten, behaviour == Behaviour::RNacos, "{behaviour:?}");
    }
}

#[tokio::test]
async fn prompt_server_lets_you_read_what_you_wrote() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    let publish = json!({ "dataId": "d", "group": "g", "tenant": "", "content": "a" });
    client.call("ConfigPublishRequest", &publish).await.expect("answered");
    assert_eq!(query(&client).await["content"], "a");
}

#[tokio::test(start_paused = true)]
async fn dump_delay_shows_old_content_and_notices_follow_it() {
    let server = client::start(
        Server::builder()
            .config_dump_delay(Duration::from_secs(1))
            .config_notice_delay(Duration::from_secs(2)),
    )
    .await;
    let mut client = Client::set_up(&server).await;
    listen(&client, "").await;
    let begun = Instant::now();
    server.publish("", "g", "d", "a");
    assert_eq!(query(&client).await["errorCode"], 300);
    client.next_acknowledged().await;
    assert!(Instant::now() - begun >= Duration::from_secs(3));
    assert_eq!(query(&client).await["content"], "a");
}

#[tokio::test]
async fn listen_with_the_right_digest_reports_nothing() {
    let server = client::server().await;
    let client = Client::set_up(&server).await;
    server.publish("", "g", "d", "k=v");
    assert_eq!(listen(&client, "5a8a83c40ada249c61f6b20210c9448c").await, json!([]));
    assert_ne!(listen(&client, "").await, json!([]));
    server.remove("", "g", "d");
    assert_eq!(listen(&client, "").await, json!([]));
}

#[tokio::test(start_paused = true)]
async fn beta_version_is_shown_to_its_addresses_only() {
    let server = client::server_like(Behaviour::Nacos2_3).await;
    let mut client = Client::set_up(&server).await;
    server.publish("", "g", "d", "formal");
    listen(&client, "").await;
    let beta = |ips: &str| {
        json!({ "dataId": "d", "group": "g", "tenant": "", "content": "beta",
            "additionMap": { "betaIps": ips } })
    };
    client.call("ConfigPublishRequest", &beta("10.9.9.9")).await.expect("answered");
    assert_eq!(query(&client).await["content"], "formal");
    assert!(timeout(Duration::from_secs(5), client.next()).await.is_err());
    client.call("ConfigPublishRequest", &beta("10.9.9.9,127.0.0.1")).await.expect("answered");
    client.next_acknowledged().await;
    assert_eq!(query(&client).await["content"], "beta");
}

#[tokio::test]
async fn fuzzy_watch_that_goes_on_is_told_the_difference() {
    let server = client::server().await;
    let mut client = Client::set_up(&server).await;
    server.publish("", "g", "app-1", "a");
    server.publish("", "g", "other", "a");
    let watch = json!({ "groupKeyPattern": "public>>g>>app-*", "watchType": "WATCH",
        "receivedGroupKeys": ["app-0+g+public"], "initializing": false });
    client.call("ConfigFuzzyWatchRequest", &watch).await.expect("answered");
    let (_, push) = client.next_acknowledged().await;
    assert_eq!(push["syncType"], "FUZZY_WATCH_DIFF_SYNC_NOTIFY");
    let contexts = json!([
        { "groupKey": "app-1+g+public", "changedType": "ADD_CONFIG" },
        { "groupKey": "app-0+g+public", "changedType": "DELETE_CONFIG" },
    ]);
    assert_eq!(push["contexts"], contexts);

    server.remove("", "g", "app-1");
    let (message_type, push) = client.next_acknowledged().await;
    assert_eq!(message_type, "ConfigFuzzyWatchChangeNotifyRequest");
    assert_eq!(push["changeType"], "DELETE_CONFIG");
}

#[tokio::test]
async fn another_client_works_over_http() {
    for behaviour in [Behaviour::Nacos2_3, Behaviour::Nacos3_0, Behaviour::RNacos] {
        let server = client::server_like(behaviour).await;
        let addr = server.addr();
        let path = "/nacos/v1/cs/configs";
        let form = "dataId=d&group=g&content=a%3A+1%0A&type=yaml";
        let posted = http(addr, "POST", path, form).await.expect("answered");
        assert_eq!(posted, (200, "true".to_owned()));
        let document = server.document("", "g", "d").expect("it was published");
        assert_eq!((document.content.as_str(), document.content_type.as_str()), ("a: 1\n", "yaml"));
        let read = http(addr, "GET", &format!("{path}?dataId=d&group=g"), "").await;
        assert_eq!(read.expect("answered"), (200, "a: 1\n".to_owned()));
        let deleted = http(addr, "DELETE", &format!("{path}?dataId=d&group=g"), "").await;
        assert_eq!(deleted.expect("answered"), (200, "true".to_owned()));
        let read = http(addr, "GET", &format!("{path}?dataId=d&group=g"), "").await;
        assert_eq!(read.expect("answered").0, 404);
    }
}

async fn query(client: &Client) -> Value {
    let query = json!({ "dataId": "d", "group": "g", "tenant": "" });
    client.call("ConfigQueryRequest", &query).await.expect("answered").1
}

async fn listen(client: &Client, md5: &str) -> Value {
    let contexts = json!([{ "dataId": "d", "group": "g", "tenant": "", "md5": md5 }]);
    let body = json!({ "listen": true, "configListenContexts": contexts });
    let answer = client.call("ConfigBatchListenRequest", &body).await.expect("answered");
    answer.1["changedConfigs"].clone()
}
