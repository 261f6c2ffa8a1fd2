//! Claims that a server lost without a word, and instances that an operator hid on purpose.
use std::time::Duration;

use nacos_core::{ClaimState, Client, Instance, Publish};
use nacos_testkit::{Instance as Held, Server};

use crate::support::{BEHAVIOURS, becomes, connected, server_like, soon};

/// Two intervals between checks, a fifth more each.
const TWO_CHECKS: Duration = Duration::from_secs(144);

fn held(server: &Server) -> Vec<String> {
    let held = server.instances("", "DEFAULT_GROUP", "orders");
    held.iter().map(|instance| format!("{}:{}", instance.ip, instance.port)).collect()
}

/// A real write at the end shows that the session is what it was.
async fn intact(server: &Server, client: &Client) {
    client.configs().publish(Publish::new("ok", "1").expect("valid")).await.expect("published");
    assert_eq!((server.connects(), client.stats().get().connects), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn lost_registration_is_back_within_two_checks_on_every_server() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let register = |port| {
            client.naming().register("orders", Instance::new("10.0.0.1", port)).expect("valid")
        };
        let one = register(1).ready().await.expect("registered");
        let _two = register(2).ready().await.expect("registered");
        tokio::time::sleep(TWO_CHECKS).await;
        assert_eq!(client.stats().get().reasserted, 0, "what is there is left alone");

        assert_eq!(server.forget_instances("", "DEFAULT_GROUP", "orders"), 2);
        assert!(held(&server).is_empty());
        let back = server.until(|server| held(server) == ["10.0.0.1:1", "10.0.0.1:2"]);
        tokio::time::timeout(TWO_CHECKS, back).await.expect("within two checks");
        let mut stats = client.stats();
        becomes(&mut stats, |stats| stats.reasserted == 1 && stats.unsettled == 0).await;
        assert_eq!(*one.claim().get(), ClaimState::Held);
        intact(&server, &client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_restarted_server_loses_right_after_the_redo_is_back_within_seconds() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let claims: Vec<_> = (0..20)
            .map(|n| {
                let instance = Instance::new("10.0.0.1", 80);
                client.naming().register(format!("orders{n}").as_str(), instance).expect("valid")
            })
            .collect();
        for claim in &claims {
            becomes(&mut claim.claim(), |state| *state == ClaimState::Held).await;
        }
        server.restart().await.expect("the same ports");
        let mut stats = client.stats();
        becomes(&mut stats, |stats| stats.connects == 2 && stats.unsettled == 0).await;
        // The others' older data comes in last, and all of this is gone.
        for n in 0..20 {
            let name = format!("orders{n}");
            assert_eq!(server.forget_instances("", "DEFAULT_GROUP", &name), 1);
        }
        let all = |server: &Server| {
            let mut names = (0..20).map(|n| format!("orders{n}"));
            names.all(|name| server.instances("", "DEFAULT_GROUP", &name).len() == 1)
        };
        let soon = Duration::from_secs(3);
        tokio::time::timeout(soon, server.until(all)).await.expect("looked for after 2 s");
        becomes(&mut stats, |stats| stats.reasserted == 20 && stats.unsettled == 0).await;
        assert_eq!(stats.get().connects, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn instance_disabled_by_an_operator_stays_disabled_and_is_not_registered_in_a_loop() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let guard =
            client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
        let mut edited = Held::new("10.0.0.1", 80);
        edited.enabled = false;
        edited.weight = 7.0;
        server.edit("", "DEFAULT_GROUP", "orders", edited.clone());
        let before = server.requests("InstanceRequest");
        tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
        let again = server.requests("InstanceRequest") - before;
        assert!((1..=10).contains(&again), "registered {again} times in four hours");
        assert!(client.naming().query("orders").await.expect("an answer").instances.is_empty());

        // The operator enables it again: nothing is repeated any more, and the weight is his.
        edited.enabled = true;
        server.edit("", "DEFAULT_GROUP", "orders", edited);
        let view = client.naming().query("orders").await.expect("an answer");
        assert_eq!(view.instances[0].weight.to_string(), "7");
        let reasserted = client.stats().get().reasserted;
        tokio::time::sleep(TWO_CHECKS).await;
        assert_eq!(client.stats().get().reasserted, reasserted);
        intact(&server, &client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn edited_weight_and_metadata_are_left_to_the_operator() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let guard =
            client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
        let mut edited = Held::new("10.0.0.1", 80);
        edited.weight = 7.0;
        edited.metadata.insert("edited".to_owned(), "yes".to_owned());
        server.edit("", "DEFAULT_GROUP", "orders", edited);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(server.requests("InstanceRequest"), 1);
        assert!(server.requests("ServiceQueryRequest") >= 50, "it was looked for");
        assert_eq!(client.stats().get().reasserted, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn persistent_instance_is_nobodys_claim() {
    let server = server_like(nacos_testkit::Behaviour::Nacos3_0).await;
    let client = connected(&server).await;
    let instance = Instance::new("10.0.0.1", 80);
    client.naming().register_persistent("kept", &instance).await.expect("registered");
    let before = server.requests("ServiceQueryRequest");
    tokio::time::sleep(TWO_CHECKS).await;
    assert_eq!(server.requests("ServiceQueryRequest"), before);
    soon(async { client.naming().query("kept").await.expect("an answer") }).await;
}
