//! The memory of a document under watch, without its content.
use nacos_core::Watch;
use nacos_testkit::TimeLimit;

use super::with_a_server;

#[test]
fn watched_document_takes_less_than_two_kibibytes() {
    let _limit = TimeLimit::start();
    with_a_server(|runtime, client| {
        let watch = |n: usize| -> Watch {
            let name = format!("service-{n:05}.yaml");
            client.configs().watch((name.as_str(), "DEFAULT_GROUP")).expect("valid")
        };
        let settle = |watches: &[Watch]| {
            runtime.block_on(async {
                let mut stats = client.stats();
                let known = stats.wait_for(|s| s.claims == watches.len() && s.unsettled == 0).await;
                assert!(known.is_some());
            });
        };
        let mut watches: Vec<Watch> = (0..MANY / 8).map(watch).collect();
        settle(&watches);
        let counted = allocation_counter::measure(|| {
            watches.extend((MANY / 8..MANY).map(watch));
            settle(&watches);
        });
        let each = counted.bytes_current / i64::try_from(MANY - MANY / 8).expect("small");
        assert!(each < 2048, "{each} bytes each");
    });
}

const MANY: usize = 5000;
