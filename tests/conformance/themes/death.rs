//! How clients end, and how long their instances stay.
use std::{rc::Rc, time::Duration};

use nacos_core::{Instance, Subscription};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    capture::Line,
    check::{Check, Observation, Theme, about, check},
    client::Down,
    subject::Subject,
    trace,
    wire::{Answer, Wire, document, instance, named, pace, with},
};

pub(crate) const THEME: Theme = Theme { title: "How clients end", checks: CHECKS };

const CHECKS: &[Check] = &[
    check!("our client shuts down: its instance leaves the views", graceful),
    check!("our client is dropped: its instance leaves the views", dropped),
    check!("socket closed: its instance leaves the views", closed).captured(|capture| {
        let step = "naming: the last one leaves with its connection";
        let push = capture.pushes(step, "NotifySubscriberRequest");
        about(between(capture.ends(step)[0], push[0])).to_owned()
    }),
    check!("stream ended by the client, socket open: its instance leaves the views", half_closed),
    check!("silent client: probed, closed", silent).captured(|capture| {
        let lines: Vec<&Line> = capture.step(SILENCE).filter(|line| line.conn == "q").collect();
        let at = |kind: &str| lines.iter().position(|line| line.kind == kind).expect("a line");
        let (probe, end) = (at("ClientDetectionRequest"), lines.len() - 3);
        times(between(lines[probe - 2], lines[probe]), between(lines[probe], lines[end]))
    }),
    check!("silent client: its instance leaves the views", silent_instance),
    check!("call over a connection that was closed for silence", afterwards),
];

const SILENCE: &str = "silence: no answers, no health checks";

fn between(first: &Line, second: &Line) -> Duration {
    Duration::from_millis(second.ms - first.ms)
}

async fn graceful(subject: Rc<Subject>) -> Observation {
    let seen = subscribed(&subject, "graceful").await;
    let provider = subject.client().await;
    let guard = provider.naming().register("graceful", Instance::new("127.0.0.1", 1));
    let _guard = guard.expect("valid").ready().await.expect("registered");
    seen.live().wait_for(|service| service.instances.len() == 1).await.expect("it came");
    let begun = Instant::now();
    let report = provider.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.withdrawn, report.unacknowledged), (1, 0));
    left(&seen, begun).await.to_owned()
}

async fn dropped(subject: Rc<Subject>) -> Observation {
    let seen = subscribed(&subject, "dropped").await;
    let provider = subject.client().await;
    let guard = provider.naming().register("dropped", Instance::new("127.0.0.1", 1));
    let guard = guard.expect("valid").ready().await.expect("registered");
    seen.live().wait_for(|service| service.instances.len() == 1).await.expect("it came");
    let begun = Instant::now();
    drop(provider);
    drop(guard);
    left(&seen, begun).await.to_owned()
}

async fn closed(subject: Rc<Subject>) -> Observation {
    let (wire, seen, _) = registered(&subject, "closed").await;
    let begun = Instant::now();
    drop(wire);
    left(&seen, begun).await.to_owned()
}

async fn half_closed(subject: Rc<Subject>) -> Observation {
    let (mut wire, seen, spoke) = registered(&subject, "half-closed").await;
    wire.client.finish_stream();
    left(&seen, spoke).await.to_owned()
}

async fn silent(subject: Rc<Subject>) -> Observation {
    let (mut wire, _seen, spoke) = registered(&subject, "silent").await;
    let probed = probe(&mut wire).await;
    end(&mut wire).await;
    times(probed.duration_since(spoke), Instant::now().duration_since(probed))
}

fn times(probed: Duration, closed: Duration) -> Observation {
    // Finer than elsewhere: r-nacos asks after 15 to 17 s, Java after 20 to 23 s.
    let probed = match probed.as_millis() {
        14_001..=18_500 => "after 14 to 18 s",
        18_501..=25_000 => "after 19 to 25 s",
        _ => about(probed),
    };
    // Both look at their connections at intervals: how long is left to answer is a matter of luck.
    let closed = if closed <= Duration::from_secs(8) { "within 8 s" } else { about(closed) };
    format!("probed {probed}, closed {closed} more")
}

async fn silent_instance(subject: Rc<Subject>) -> Observation {
    let (wire, seen, spoke) = registered(&subject, "silent-instance").await;
    let observed = left(&seen, spoke).await.to_owned();
    drop(wire);
    observed
}

async fn afterwards(subject: Rc<Subject>) -> Observation {
    let (mut wire, ..) = registered(&subject, "afterwards").await;
    end(&mut wire).await;
    // More than once: a socket may be closed some time after its stream.
    let (mut said, mut pace) = (String::new(), pace());
    for _ in 0..20 {
        pace.tick().await;
        said = match wire.ask("ConfigQueryRequest", document("x")).await {
            Answer::Failed(_) => return "the socket is closed".to_owned(),
            answer @ Answer::Message { .. } => answer.said(),
        };
    }
    said
}

/// A connection with one instance, a subscription that sees it, and the time of its last request.
async fn registered(subject: &Subject, service: &str) -> (Wire, Subscription, Instant) {
    let seen = subscribed(subject, service).await;
    let wire = Wire::to(subject).await;
    let namespace = || Some(trace::namespace()).filter(|it| !it.is_empty()).unwrap_or("public");
    let body = json!({
        "namespace": namespace(), "groupName": "DEFAULT_GROUP", "type": "registerInstance",
        "instance": instance(1),
    });
    let spoke = Instant::now();
    wire.ask("InstanceRequest", with(&named(service), body)).await.granted();
    seen.live().wait_for(|service| service.instances.len() == 1).await.expect("it came");
    (wire, seen, spoke)
}

async fn subscribed(subject: &Subject, service: &str) -> Subscription {
    let consumer = subject.client().await;
    consumer.naming().subscribe(service).expect("valid").ready().await.expect("an answer")
}

/// How long it takes until the views are empty.
async fn left(seen: &Subscription, begun: Instant) -> &'static str {
    seen.live().wait_for(|service| service.instances.is_empty()).await.expect("it went");
    about(Instant::now().duration_since(begun))
}

/// The time of the probe, which is not answered.
async fn probe(wire: &mut Wire) -> Instant {
    loop {
        match wire.client.next().await {
            Down::Push { message_type, .. } if message_type == "ClientDetectionRequest" => {
                return Instant::now();
            }
            Down::Push { .. } => {}
            Down::End(status) => panic!("ended without a probe: {status:?}"),
        }
    }
}

async fn end(wire: &mut Wire) {
    while !matches!(wire.client.next().await, Down::End(_)) {}
}
