//! Gray versions: what a server shows to some clients is marked, and goes when its rule goes.
use std::net::Ipv4Addr;

use nacos_core::{DocumentState, Gray, Publish};
use nacos_testkit::Behaviour;

use crate::support::{builder, connected, server_like, soon};

const JAVA: [Behaviour; 4] =
    [Behaviour::Nacos2_3, Behaviour::Nacos2_5, Behaviour::Nacos3_0, Behaviour::Nacos3_3];

/// The content, and the text of its mark.
fn shown(state: &DocumentState) -> (&str, Option<String>) {
    let document = state.document().expect("there");
    (&document.content, document.gray().map(Gray::to_string))
}

fn publish(content: &str) -> Publish {
    Publish::new("d", content).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn beta_version_is_marked_where_it_is_read() {
    for behaviour in JAVA {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        configs.publish(publish("formal")).await.expect("published");
        let mut watch = configs.watch("d").expect("valid").ready().await.expect("an answer");
        assert_eq!(shown(&watch.state()), ("formal", None));

        let here = [Ipv4Addr::LOCALHOST.into()];
        configs.publish(publish("beta").beta(here)).await.expect("published");
        soon(watch.changed()).await.expect("a state");
        assert_eq!(shown(&watch.state()), ("beta", Some("beta".to_owned())));
        let read = configs.get("d").await.expect("an answer").expect("there");
        assert_eq!(read.gray(), Some(&Gray::Beta));
        assert!(format!("{read:?}").contains("Beta"), "{read:?}");

        // The same text for some is another thing than for everybody.
        configs.publish(publish("beta").beta([Ipv4Addr::BROADCAST.into()])).await.expect("moved");
        soon(watch.changed()).await.expect("a state");
        assert_eq!(shown(&watch.state()), ("formal", None), "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn same_text_that_is_no_longer_for_some_only_is_a_change() {
    let server = server_like(Behaviour::Nacos3_0).await;
    let configs = connected(&server).await.configs();
    configs.publish(publish("1")).await.expect("published");
    let mut watch = configs.watch("d").expect("valid").ready().await.expect("an answer");
    configs.publish(publish("1").beta([Ipv4Addr::LOCALHOST.into()])).await.expect("published");
    soon(watch.changed()).await.expect("a state");
    assert_eq!(shown(&watch.state()), ("1", Some("beta".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn client_with_the_label_of_a_tag_is_shown_its_version() {
    for behaviour in JAVA {
        let server = server_like(behaviour).await;
        let others = connected(&server).await.configs();
        let labelled = builder(&server).app_labels("Vipserver-Tag=blue,zone=z1");
        let configs = labelled.connect().await.expect("the server is there").configs();
        others.publish(publish("formal")).await.expect("published");
        let mut watch = configs.watch("d").expect("valid").ready().await.expect("an answer");
        others.publish(publish("tag").gray_tag("blue")).await.expect("published");
        soon(watch.changed()).await.expect("a state");
        assert_eq!(shown(&watch.state()), ("tag", Some("tag_blue".to_owned())), "{behaviour:?}");
        let read = configs.get("d").await.expect("an answer").expect("there");
        assert_eq!(read.gray(), Some(&Gray::Tag("blue".into())));
        let read = others.get("d").await.expect("an answer").expect("there");
        assert_eq!((&*read.content, read.gray()), ("formal", None));
    }
}
