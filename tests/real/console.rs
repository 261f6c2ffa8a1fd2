//! Questions of an operator to a server about its clients, which the server asks the client.
use std::time::Duration;

use nacos_core::Publish;
use servers::{Product, Request, covers};

use crate::common::{connect, document_becomes, shared, within_a_minute};

#[test]
fn console_learns_the_size_and_the_digest_of_what_a_client_holds() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let server = shared(Product::JavaNacos);
    within_a_minute(async {
        let content = "secret: hunter2";
        let nacos = connect(&server.builder()).await;
        let configs = nacos.configs();
        configs.publish(Publish::new("held.yaml", content).expect("valid")).await.expect("stored");
        let watch = configs.watch("held.yaml").expect("valid").ready().await.expect("an answer");
        document_becomes(&watch, Some(content)).await;
        let question = Request::get("/nacos/v1/cs/metrics/current")
            .query("ip", "127.0.0.1")
            .query("dataId", "held.yaml")
            .query("group", "DEFAULT_GROUP");
        let asking = tokio::task::spawn_blocking(move || {
            question.send(server.addr, Duration::from_secs(30))
        });
        let answer = asking.await.expect("no panic").expect("an answer");
        let expected = format!("{}:{}", content.len(), nacos_core::digest(content));
        assert!(answer.is_ok() && answer.body().contains(&expected), "{}", answer.body());
        assert!(!answer.body().contains("hunter2"), "{}", answer.body());
        configs.remove("held.yaml").await.expect("removed");
    });
}
