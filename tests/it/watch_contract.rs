//! The contract of a watch, as its documentation has it: each sentence is the name of a test.
use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nacos_core::{
    Client, DocumentState, ErrorKind, Live, Watch,
    filter::{ConfigContent, ConfigFilter, FilterError, FilterFuture},
};
use nacos_testkit::{Behaviour, PushFault, RawAnswer, Server};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    support::{BEHAVIOURS, becomes, builder, connected, server, server_like, soon, start},
    tidy::root,
};

fn content(state: &DocumentState) -> Option<String> {
    state.document().map(|document| document.content.to_string())
}

async fn watched(client: &Client) -> Watch {
    client.configs().watch("d").expect("valid").ready().await.expect("an answer")
}

fn publish(server: &Server, content: impl Into<String>) {
    server.publish("", "DEFAULT_GROUP", "d", content);
}

async fn shows(live: &mut Live<DocumentState>, wanted: &str) {
    becomes(live, |state| content(state).as_deref() == Some(wanted)).await;
}

#[test]
fn each_sentence_of_the_contract_has_a_test_of_its_name() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("it stands there");
    let (documented, tested) =
        (read("nacos-core/src/config/watch.rs"), read("tests/it/watch_contract.rs"));
    let section = documented.split_once("/// # Contract\n").expect("the contract").1;
    let section = section.split_once("/// # ").expect("what comes after it").0;
    let sentences: Vec<_> = section
        .split("/// - **")
        .skip(1)
        .map(|item| item.split_once(".**").expect("a sentence").0.to_lowercase().replace(' ', "_"))
        .collect();
    assert!(sentences.len() >= 9, "{sentences:?}");
    for sentence in sentences {
        assert!(tested.contains(&format!("fn {sentence}()")), "no test is called {sentence}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_current_state_comes_first() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        for n in 1..=9 {
            publish(&server, n.to_string());
        }
        let client = connected(&server).await;
        let mut first = client.configs().watch("d").expect("valid");
        assert_eq!(*first.state(), DocumentState::Pending);
        let state = soon(first.changed()).await.expect("a state");
        assert_eq!(content(&state).as_deref(), Some("9"), "{behaviour:?}");
        // One that joins is told what the other one knows, without a question.
        let asked = server.requests("ConfigQueryRequest");
        let mut second = client.configs().watch("d").expect("valid");
        assert_eq!(content(&second.state()).as_deref(), Some("9"));
        publish(&server, "10");
        assert_eq!(content(&soon(second.changed()).await.expect("a state")).as_deref(), Some("10"));
        assert_eq!(server.requests("ConfigQueryRequest"), asked + 1);
    }
}

/// Everything that a reader has seen: numbers, and that there is none.
type Seen = Arc<Mutex<Vec<Option<u32>>>>;

fn read_all(mut live: Live<DocumentState>) -> (Seen, JoinHandle<()>) {
    let seen = Seen::default();
    let keeps = Arc::clone(&seen);
    let reading = tokio::spawn(async move {
        loop {
            let state = live.get();
            let number = content(&state).map(|number| number.parse().expect("a number"));
            if number.is_some() || *state == DocumentState::Absent {
                keeps.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            }
            if live.changed().await.is_none() {
                break;
            }
        }
    });
    (seen, reading)
}

/// The same numbers for each seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        // Knuth's, of which the upper half is good.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// Whether no state is older than the one before, of numbers that only grow: one that was removed
/// does not come back.
fn is_in_order(seen: &[Option<u32>]) -> bool {
    let (mut last, mut is_gone) = (0, false);
    seen.iter().all(|state| {
        let Some(number) = *state else {
            is_gone = true;
            return true;
        };
        let is_newer = number > last || number == last && !is_gone;
        (last, is_gone) = (number, false);
        is_newer
    })
}

/// Publishes numbers that only grow, through a history of faults, and returns what readers on two
/// clients have seen of them.
async fn history(behaviour: Behaviour, seed: u64) -> (u32, Vec<Vec<Option<u32>>>) {
    let settings = Server::builder().behaviour(behaviour).authentication(false);
    let server = start(settings.observed_timing()).await;
    let clients = [connected(&server).await, connected(&server).await];
    let mut watches = Vec::new();
    for client in &clients {
        watches.extend([watched(client).await, watched(client).await]);
    }
    let readers: Vec<_> = watches.iter().map(|watch| read_all(watch.live())).collect();
    let mut random = Random(seed);
    let mut last = 0;
    for _ in 0..40 {
        match random.below(20) {
            0 => server.drop_connections(),
            1 => server.next_push(PushFault::Drop),
            2 => server.next_push(PushFault::Duplicate),
            3 => server.next_push(PushFault::Reorder),
            4 => server.delay(Duration::from_millis(random.below(80).into())),
            5 => server.step_clock(43_200_000 - i64::from(random.below(86_400_000))),
            6 => server.answer_next("ConfigQueryRequest", 503),
            7 => server.answer_next_raw("ConfigQueryRequest", RawAnswer::Silent),
            8 => server.answer_next_raw("ConfigBatchListenRequest", RawAnswer::Reset),
            9 => server.remove("", "DEFAULT_GROUP", "d"),
            10 => server.restart().await.expect("its ports are free"),
            _ => {
                last += 1;
                publish(&server, last.to_string());
            }
        }
        sleep(Duration::from_millis(random.below(300).into())).await;
    }
    last += 1;
    publish(&server, last.to_string());
    for watch in &watches {
        shows(&mut watch.live(), &last.to_string()).await;
    }
    drop(watches);
    let mut all = Vec::new();
    for (seen, reading) in readers {
        soon(reading).await.expect("no panic");
        all.push(seen.lock().unwrap_or_else(PoisonError::into_inner).clone());
    }
    (last, all)
}

#[tokio::test(start_paused = true)]
async fn no_state_is_older_than_the_one_before() {
    for behaviour in BEHAVIOURS {
        for seed in 0..5 {
            let (_, all) = history(behaviour, seed).await;
            for seen in all {
                assert!(is_in_order(&seen), "{behaviour:?}, seed {seed}: {seen:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_state_is_never_lost() {
    for behaviour in BEHAVIOURS {
        for seed in 100..105 {
            let (last, all) = history(behaviour, seed).await;
            for seen in all {
                assert_eq!(seen.last(), Some(&Some(last)), "{behaviour:?}, seed {seed}: {seen:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_or_panicking_reader_hurts_nobody() {
    let server = server().await;
    let client = connected(&server).await;
    let (idle, watch) = (watched(&client).await, watched(&client).await);
    let held = idle.state();
    let mut panics = watch.live();
    let panicking = tokio::spawn(async move {
        panics
            .wait_for(|state| content(state).is_some_and(|it| it == "never") || panic!("ours"))
            .await
    });
    assert!(soon(panicking).await.is_err_and(|error| error.is_panic()));
    for n in 1..=100 {
        publish(&server, n.to_string());
        shows(&mut watch.live(), &n.to_string()).await;
    }
    assert_eq!(*held, DocumentState::Absent, "as it was taken");
    let mut slow = idle;
    let state = soon(slow.changed()).await.expect("a state");
    assert_eq!(content(&state).as_deref(), Some("100"), "the newest one, and none in between");
    assert_eq!(client.stats().get().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_removal_is_a_state() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        publish(&server, "1");
        let client = connected(&server).await;
        let mut watch = watched(&client).await;
        server.remove("", "DEFAULT_GROUP", "d");
        let state = soon(watch.changed()).await.expect("a state");
        assert_eq!(*state, DocumentState::Absent, "{behaviour:?}");
        // Also while nobody was connected.
        soon(server.until(|server| server.listeners("", "DEFAULT_GROUP", "d") == 1)).await;
        publish(&server, "2");
        shows(&mut watch.live(), "2").await;
        server.stop().await;
        server.remove("", "DEFAULT_GROUP", "d");
        server.resume().await.expect("the same ports");
        becomes(&mut watch.live(), |state| *state == DocumentState::Absent).await;
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_content_replaces_nothing() {
    /// Reads numbers alone.
    #[derive(Debug)]
    struct Numbers;

    impl ConfigFilter for Numbers {
        fn after_query(&self, document: ConfigContent) -> FilterFuture<'_> {
            let number = document.content.parse::<u32>().map_err(FilterError::rejected);
            Box::pin(std::future::ready(number.map(|_| document)))
        }
    }

    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        publish(&server, "1");
        let client = builder(&server).with_config_filter(Numbers).connect().await;
        let client = client.expect("the server is there");
        let watch = watched(&client).await;
        publish(&server, "one");
        let failed = |state: &DocumentState| {
            matches!(state, DocumentState::Unreachable { why: ErrorKind::Filter, .. })
        };
        becomes(&mut watch.live(), failed).await;
        assert_eq!(content(&watch.state()).as_deref(), Some("1"), "{behaviour:?}");
        assert!(!watch.freshness().get().is_confirmed());
        publish(&server, "2");
        shows(&mut watch.live(), "2").await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_watches_of_a_document_are_one_listen() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let client = connected(&server).await;
        let mut watches = Vec::new();
        for _ in 0..100 {
            watches.push(watched(&client).await);
        }
        assert_eq!(server.requests("ConfigBatchListenRequest"), 1, "{behaviour:?}");
        let asked = server.requests("ConfigQueryRequest");
        publish(&server, "1");
        for watch in &watches {
            shows(&mut watch.live(), "1").await;
        }
        assert_eq!(server.requests("ConfigQueryRequest"), asked + 1, "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_listen_ends_with_the_last_watch() {
    let server = server().await;
    let client = connected(&server).await;
    let (first, second) = (watched(&client).await, watched(&client).await);
    drop(first);
    // A claim that comes later is told after the end of the first watch would have been.
    let other = client.configs().watch("other").expect("valid").ready().await.expect("an answer");
    assert_eq!(server.listeners("", "DEFAULT_GROUP", "d"), 1);
    publish(&server, "1");
    shows(&mut second.live(), "1").await;
    let mut live = second.live();
    drop(second);
    soon(server.until(|server| server.listeners("", "DEFAULT_GROUP", "d") == 0)).await;
    assert!(soon(live.wait_for(|_| false)).await.is_none(), "its readers end");
    assert_eq!(content(&live.get()).as_deref(), Some("1"), "and keep the last state");
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_being_modified_is_asked_for_again() {
    let server = server_like(Behaviour::Nacos2_3).await;
    publish(&server, "1");
    let client = connected(&server).await;
    let watch = watched(&client).await;
    let (seen, reading) = read_all(watch.live());
    for _ in 0..3 {
        let message = "requested file is being modified, please try later.";
        let body = serde_json::json!({
            "resultCode": 500, "errorCode": 400, "message": message, "success": false,
        });
        let message_type = "ConfigQueryResponse".to_owned();
        let answer = RawAnswer::Message { message_type, body: body.to_string() };
        server.answer_next_raw("ConfigQueryRequest", answer);
    }
    publish(&server, "2");
    becomes(
        &mut watch.live(),
        |state| matches!(state, DocumentState::Present(document) if *document.content == *"2"),
    )
    .await;
    drop(watch);
    soon(reading).await.expect("no panic");
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    seen.dedup();
    assert_eq!(seen, [Some(1), Some(2)], "the former content stays known");
}

#[tokio::test(start_paused = true)]
async fn times_order_nothing() {
    const YEAR: i64 = 365 * 24 * 3600 * 1000;
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        publish(&server, "0");
        let client = connected(&server).await;
        let watch = watched(&client).await;
        for (n, step) in [(1, -YEAR), (2, 2 * YEAR), (3, -2 * YEAR), (4, 0)] {
            server.step_clock(step);
            publish(&server, n.to_string());
            shows(&mut watch.live(), &n.to_string()).await;
        }
    }
}
