//! Policies that users write.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request};
use nacos_core::Instance;
use nacos_tower::{Balance, Candidate, Candidates, ErrorKind, PickArgs, Policy};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::network::{Manner, Network, Set, Wire, service, text, until_ready};

/// Sends a request to the instance whose metadata has the value of a header.
#[derive(Debug)]
struct ByVersion;

impl Policy for ByVersion {
    fn pick<'a>(
        &self,
        candidates: &Candidates<'a>,
        args: &mut PickArgs<'_>,
    ) -> Option<Candidate<'a>> {
        let version = args.headers().get("version")?.to_str().ok()?;
        candidates.iter().find(|candidate| {
            candidate
                .endpoint()
                .instance()
                .metadata
                .get("version")
                .is_some_and(|has| has == version)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn policy_sees_the_request_and_the_metadata_of_endpoints() {
    let network = Network::new();
    let (set, services) = Set::new(service(&[]));
    let balance = network.builder().policy(ByVersion).follow(services);
    let versions = |versions: [(&str, &str); 2]| {
        let instance = |(ip, version)| Instance::new(ip, 1).with_metadata("version", version);
        versions.map(instance).to_vec()
    };
    set.publish_instances(versions([("a", "1"), ("b", "2")]));
    until_ready(&balance, 2).await;
    for _ in 0..20 {
        assert_eq!(call(&balance, versioned("1")).await, "a:1");
        assert_eq!(call(&balance, versioned("2")).await, "b:1");
    }
    // Other metadata, over the same connections.
    let mut reports = balance.inspect().changed().expect("balancers tell");
    let before = *reports.get();
    set.publish_instances(versions([("a", "2"), ("b", "1")]));
    reports.wait_for(|count| *count > before).await.expect("the balancer lives");
    assert_eq!(call(&balance, versioned("2")).await, "a:1");
    assert_eq!(network.dials("a:1"), 1);
}

#[tokio::test(start_paused = true)]
async fn request_that_a_policy_picks_nothing_for_waits_for_another_set() {
    let network = Network::new();
    let (set, services) = Set::new(service(&[("a", 1.0)]));
    let balance = network.builder().policy(ByVersion).follow(services);
    until_ready(&balance, 1).await;

    let started = Instant::now();
    let error = balance.clone().oneshot(versioned("2")).await.expect_err("nobody has version 2");
    assert_eq!(error.kind(), ErrorKind::Unsent);
    assert!(error.is_unsent());
    assert_eq!(Instant::now() - started, Duration::from_secs(2), "the ready timeout");

    let waiting = tokio::spawn(balance.clone().oneshot(versioned("2")));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    set.publish_instances(vec![Instance::new("b", 1).with_metadata("version", "2")]);
    assert_eq!(text(waiting.await.expect("ends").expect("answered")).await, "b:1");
}

/// Picks the first candidate, always, and counts how often it is asked.
#[derive(Debug, Default)]
struct First {
    asked: AtomicUsize,
}

impl Policy for First {
    fn pick<'a>(&self, candidates: &Candidates<'a>, _: &mut PickArgs<'_>) -> Option<Candidate<'a>> {
        self.asked.fetch_add(1, Relaxed);
        candidates.iter().next()
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_gave_a_request_back_are_no_candidates_for_it() {
    let network = Network::new();
    let first = Arc::new(First::default());
    let (_set, services) = Set::new(service(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]));
    let balance = network.builder().policy(Arc::clone(&first)).follow(services);
    until_ready(&balance, 3).await;
    network.set("a:1", Manner::Returns);
    network.set("b:1", Manner::Returns);
    assert_eq!(call(&balance, Request::new(())).await, "c:1");
    assert_eq!(first.asked.load(Relaxed), 3, "once for each attempt");
}

#[tokio::test(start_paused = true)]
async fn policy_is_asked_again_when_the_connection_of_its_pick_has_ended() {
    let network = Network::new();
    let first = Arc::new(First::default());
    let (_set, services) = Set::new(service(&[("a", 1.0), ("b", 1.0)]));
    let balance = network.builder().policy(Arc::clone(&first)).follow(services);
    until_ready(&balance, 2).await;
    // The controller has not noticed it yet.
    network.set("a:1", Manner::Down);
    assert_eq!(call(&balance, Request::new(())).await, "b:1");
    assert_eq!(first.asked.load(Relaxed), 2);
}

/// Keeps what it was shown of the candidates, and picks by weight.
#[derive(Debug, Default)]
struct Notes {
    seen: Mutex<Vec<Vec<Note>>>,
}

#[derive(Debug)]
struct Note {
    position: usize,
    weight: f64,
    in_flight: u32,
    latency: f32,
}

impl Policy for Notes {
    fn pick<'a>(
        &self,
        candidates: &Candidates<'a>,
        args: &mut PickArgs<'_>,
    ) -> Option<Candidate<'a>> {
        assert_eq!((args.method(), args.uri().path()), (&Method::GET, "/"));
        let note = |candidate: Candidate<'_>| Note {
            position: candidate.position(),
            weight: candidate.weight(),
            in_flight: candidate.in_flight(),
            latency: candidate.latency_seconds(),
        };
        self.seen.lock().expect("no panic").push(candidates.iter().map(note).collect());
        candidates.draw(args.random())
    }
}

#[tokio::test(start_paused = true)]
async fn policy_sees_weights_requests_under_way_and_latencies() {
    let network = Network::new();
    let notes = Arc::new(Notes::default());
    let (_set, services) = Set::new(service(&[("a", 1.5), ("b", 1e-9)]));
    let balance = network.builder().policy(Arc::clone(&notes)).follow(services);
    until_ready(&balance, 2).await;
    network.set("a:1", Manner::Holds);
    let held = tokio::spawn(balance.clone().oneshot(Request::new(())));
    tokio::time::sleep(Duration::from_millis(250)).await;
    let second = tokio::spawn(balance.clone().oneshot(Request::new(())));
    tokio::task::yield_now().await;
    network.set("a:1", Manner::Answers);
    let response = held.await.expect("ends").expect("answered");
    drop(response);
    drop(second.await.expect("ends").expect("answered"));
    call(&balance, Request::new(())).await;

    let seen = notes.seen.lock().expect("no panic");
    let of = |pick: usize, at: usize| &seen[pick][at];
    assert_eq!([of(0, 0).position, of(0, 1).position], [0, 1]);
    assert!((of(0, 0).weight - 1.5).abs() < f64::EPSILON);
    assert_eq!([of(0, 0).in_flight, of(1, 0).in_flight, of(2, 0).in_flight], [0, 1, 0]);
    assert!(of(0, 0).latency.abs() < f32::EPSILON, "nothing was observed");
    assert!(of(2, 0).latency > 0.02, "one of 250 ms: {:?}", of(2, 0));
}

/// Picks candidates one after the other, from any number on.
#[derive(Debug)]
struct RoundRobin {
    next: AtomicUsize,
}

impl Policy for RoundRobin {
    fn pick<'a>(&self, candidates: &Candidates<'a>, _: &mut PickArgs<'_>) -> Option<Candidate<'a>> {
        assert!(!candidates.is_empty());
        assert!(candidates.get(candidates.len()).is_none(), "beyond the last one");
        candidates.iter_from(self.next.fetch_add(1, Relaxed)).next()
    }
}

#[tokio::test(start_paused = true)]
async fn positions_go_around_the_end() {
    let network = Network::new();
    let (_set, services) = Set::new(service(&[("a", 1.0), ("b", 1.0), ("c", 1.0)]));
    let policy = RoundRobin { next: AtomicUsize::new(usize::MAX - 1) };
    let balance = network.builder().policy(policy).follow(services);
    until_ready(&balance, 3).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(call(&balance, Request::new(())).await);
    }
    // 2⁶⁴ - 1 is a multiple of 3: the second and the third pick both begin at 0.
    assert_eq!(answers, ["c:1", "a:1", "a:1", "b:1", "c:1"]);
}

#[tokio::test(start_paused = true)]
async fn report_names_the_policy() {
    let network = Network::new();
    let (_set, services) = Set::new(service(&[("a", 1.0)]));
    let balance = network.builder().policy(ByVersion).follow(services);
    let policy = balance.inspect().report().get("policy").map(|policy| format!("{policy:?}"));
    assert_eq!(policy.as_deref(), Some("Text(\"ByVersion\")"));
}

async fn call(balance: &Balance<Wire>, request: Request<()>) -> String {
    text(balance.clone().oneshot(request).await.expect("answered")).await
}

fn versioned(version: &'static str) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert("version", HeaderValue::from_static(version));
    request
}
