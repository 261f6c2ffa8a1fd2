//! A server that stops and comes back, with the same ports and the same data.
use std::{rc::Rc, time::Duration};

use nacos_core::{ClaimState, DocumentState, Instance};

use crate::{
    check::{Check, Needs, Observation, Theme, check},
    subject::{Subject, connected},
    trace::written,
    wire::eventually,
};

pub(crate) const THEME: Theme = Theme { title: "Restart", checks: CHECKS };

const CHECKS: &[Check] =
    &[check!("our client: restart of its server", restart).alone().needs(Needs::Own)];

async fn restart(subject: Rc<Subject>) -> Observation {
    let builder = subject.builder().request_timeout(Duration::from_secs(30));
    let nacos = connected(builder).await;
    let (configs, naming) = (nacos.configs(), nacos.naming());
    let publish = |content: &str| written("restarted", content);
    configs.publish(publish("before")).await.expect("published");
    let watch = configs.watch("restarted").expect("valid").ready().await.expect("an answer");
    let says = |content: &'static str| {
        move |state: &DocumentState| {
            state.document().is_some_and(|document| *document.content == *content)
        }
    };
    watch.live().wait_for(says("before")).await.expect("the client lives");
    let guard = naming.register("restarted", Instance::new("127.0.0.1", 1)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    let lasting = Instance::new("127.0.0.1", 2);
    let lasts = naming.register_persistent("restarted-lasting", &lasting).await.is_ok();

    subject.open.restart().await;

    let mut stats = nacos.stats();
    stats.wait_for(|stats| stats.connects >= 2).await.expect("connected again");
    guard.claim().wait_for(|state| *state == ClaimState::Held).await.expect("registered again");
    let number = async |service: &str| match naming.query(service).await {
        Ok(service) => service.instances.len(),
        Err(_) => 0,
    };
    eventually(async || number("restarted").await == 1).await;
    if lasts {
        eventually(async || number("restarted-lasting").await == 1).await;
    }
    assert!(says("before")(&watch.state()), "what was known stays known");
    let kept = configs.get("restarted").await.expect("an answer");
    assert_eq!(kept.as_ref().map(|document| &*document.content), Some("before"));
    configs.publish(publish("after")).await.expect("published");
    watch.live().wait_for(says("after")).await.expect("the client lives");
    let lasting = if lasts { ", the persistent instance stays" } else { "" };
    format!("the document stays{lasting}, instance and watch are restored")
}
