//! Listens that are refused: which guards are told, and what is done instead.
use super::*;
use crate::wire::{
    Request,
    config::{ConfigBatchListenRequest, ConfigQueryRequest},
};

#[test]
fn listens_of_one_request_are_of_one_namespace_and_none_is_empty() {
    let mut stage = Stage::connected("a");
    for n in 0..6 {
        let key = placed(&format!("d{n}"), ["", "team-a", "team-b"][n % 3]);
        stage.session.commands().assert(key, GuardId(n as u64), None);
    }
    stage.settle();
    let mut seen: Vec<_> = stage.calls.iter().map(|sent| names(&sent.body())).collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            [":d0", ":d3"].map(str::to_owned),
            ["team-a:d1", "team-a:d4"].map(str::to_owned),
            ["team-b:d2", "team-b:d5"].map(str::to_owned),
        ]
    );
}

#[test]
fn refused_namespace_does_not_hold_back_the_others() {
    let mut stage = Stage::connected("a");
    stage.session.commands().assert(placed("d", ""), GuardId(1), None);
    stage.session.commands().assert(placed("d", "theirs"), GuardId(2), None);
    stage.settle();
    for sent in std::mem::take(&mut stage.calls) {
        let theirs = names(&sent.body())[0].starts_with("theirs");
        stage.answer(&sent, &if theirs { refused(DENIED) } else { listening() });
    }
    assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Held));
    assert_eq!(kinds(&stage), [QUERY], "whether it can be read");
    stage.answer_all(&refused(DENIED));
    let Some(ClaimState::Refused { code: DENIED, message, .. }) = stage.claim(GuardId(2)) else {
        panic!("refused")
    };
    assert!(message.starts_with("no"), "nothing is said of a right where reading is refused, too");
}

#[test]
fn refused_listen_of_what_can_be_read_names_the_missing_right() {
    for (namespace, right) in [("", "`:*:config/*`"), ("team-a", "`team-a:*:config/*`")] {
        let mut stage = Stage::connected("a");
        stage.session.commands().assert(placed("d", namespace), GuardId(1), None);
        stage.settle();
        stage.answer_all(&refused(DENIED));
        assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Pending), "not known yet");
        stage.answer_all(&document("7"));
        let Some(ClaimState::Refused { code: DENIED, message, retrying: true }) =
            stage.claim(GuardId(1))
        else {
            panic!("refused")
        };
        assert!(message.contains(right) && message.contains("poll_when_refused"), "{message}");
        let Some(DocumentState::Unreachable { last: Some(last), why, cause }) =
            document_state(&stage)
        else {
            panic!("nobody would tell of a change")
        };
        assert_eq!((&*last.content, why), ("7", ErrorKind::Denied));
        assert!(cause.contains(right), "{cause}");
        let log = stage.events.iter().any(
            |event| matches!(event, Event::Refused { message, .. } if message.contains(right)),
        );
        assert!(log, "the log says it, too");
        // It is asked for once, and the listen again and again.
        let sent = sent_within(&mut stage, 300 * SECOND, |request| match request {
            LISTEN => refused(DENIED),
            _ => document("8"),
        });
        assert_eq!(sent.iter().filter(|(kind, _)| kind == QUERY).count(), 0);
        assert!(sent.len() > 3, "{sent:?}");
    }
}

/// Its end is refused as well, and may be answered after others have come.
#[test]
fn refused_end_of_a_watch_says_nothing_to_the_watches_that_follow() {
    let mut stage = Stage::connected("a");
    let key = placed("d", "");
    stage.session.commands().assert(key.clone(), GuardId(1), None);
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&document("1"));
    stage.session.commands().withdraw(&key, GuardId(1));
    stage.settle();
    let end = stage.calls.remove(0);
    for guard in [GuardId(2), GuardId(3)] {
        stage.session.commands().assert(key.clone(), guard, None);
        stage.settle();
    }
    stage.answer(&end, &refused(DENIED));
    for guard in [GuardId(2), GuardId(3)] {
        assert_eq!(stage.claim(guard), Some(ClaimState::Pending), "{guard:?}");
    }
}

/// r-nacos leaves out of a listen what the user may not read, and says nothing.
#[test]
fn document_of_which_a_server_without_abilities_says_nothing_is_asked_for() {
    let mut stage = Stage::new("a", true, 0.5);
    stage.begin();
    stage.log_in();
    stage.session.commands().assert(placed("d", ""), GuardId(1), None);
    stage.settle();
    stage.answer_all(&listening());
    assert_eq!(stage.claim(GuardId(1)), Some(ClaimState::Held));
    assert_eq!((document_state(&stage), kinds(&stage)), (None, vec![QUERY.to_owned()]));
    let text = "NO_NAMESPACE_PERMISSION, user no such namespace permission: ";
    let body = json!({"resultCode": 500, "errorCode": DENIED, "message": text});
    stage.answer_all(&Ok(message("ErrorResponse", &body)));
    let Some(DocumentState::Unreachable { last: None, why, cause }) = document_state(&stage) else {
        panic!("{:?}", document_state(&stage))
    };
    assert_eq!(why, ErrorKind::Denied);
    assert!(cause.contains("NO_NAMESPACE_PERMISSION"), "{cause}");

    // The server does not know either that somebody listens.
    let sent = sent_within(&mut stage, 100 * SECOND, |request| match request {
        LISTEN => listening(),
        _ => document("1"),
    });
    let sent: Vec<_> = sent.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(sent[..2], [QUERY, LISTEN]);
    assert!(matches!(document_state(&stage), Some(DocumentState::Present(_))));
}

#[test]
fn polled_document_is_asked_for_every_half_minute_until_the_listen_is_granted() {
    let mut stage = Stage::connected("a");
    let (key, guard) = (placed("d", ""), GuardId(1));
    stage.session.commands().assert(key.clone(), guard, None);
    let ClaimKey::Listen(name) = &key else { panic!("a listen") };
    stage.session.commands().poll_when_refused(name, guard);
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&document("0"));
    assert!(
        matches!(document_state(&stage), Some(DocumentState::Present(_))),
        "{:?}",
        document_state(&stage)
    );
    let mut version = 0;
    let began = stage.now;
    let sent = sent_within(&mut stage, 600 * SECOND, |request| {
        if request == LISTEN {
            return refused(DENIED);
        }
        version += 1;
        document(&version.to_string())
    });
    let polls: Vec<_> = sent.iter().filter(|(kind, _)| kind == QUERY).collect();
    assert!((15..=25).contains(&polls.len()), "{} in ten minutes", polls.len());
    let mut last = began;
    for (_, at) in polls {
        let gap = *at - last;
        assert!(gap >= 24 * SECOND && gap <= 36 * SECOND, "{gap:?}");
        last = *at;
    }
    let Some(DocumentState::Present(read)) = document_state(&stage) else {
        panic!("as it was read")
    };
    assert_eq!(*read.content, *version.to_string());

    // The right is granted: what has changed meanwhile is seen, and nobody polls any more.
    let sent = sent_within(&mut stage, 600 * SECOND, |request| match request {
        LISTEN => listening(),
        _ => document(&version.to_string()),
    });
    assert_eq!(stage.claim(guard), Some(ClaimState::Held));
    let polls = sent.iter().filter(|(kind, _)| kind == QUERY).count();
    assert!(polls <= 2 && sent.len() <= 8, "until the listen, and audits: {sent:?}");
}

#[test]
fn poll_that_finds_the_same_confirms_it_and_one_that_fails_does_not() {
    let mut stage = Stage::connected("a");
    let (key, guard) = (placed("d", ""), GuardId(1));
    let ClaimKey::Listen(name) = &key else { panic!("a listen") };
    stage.session.commands().assert(key.clone(), guard, None);
    stage.session.commands().poll_when_refused(name, guard);
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&document("0"));
    for (answer, is_confirmed) in [(document("0"), true), (refused(500), false)] {
        stage.events.clear();
        let sent = sent_within(&mut stage, 60 * SECOND, |request| match request {
            LISTEN => refused(DENIED),
            _ => answer.clone(),
        });
        assert!(sent.iter().any(|(kind, _)| kind == QUERY));
        let confirms =
            |event: &Event| matches!(event, Event::Confirmed(keys) if keys[..] == [name.clone()]);
        assert_eq!(stage.events.iter().any(confirms), is_confirmed, "{:?}", stage.events);
    }
}

#[test]
fn polling_ends_with_the_guard_that_asked_for_it() {
    let mut stage = Stage::connected("a");
    let key = placed("d", "");
    let ClaimKey::Listen(name) = &key else { panic!("a listen") };
    for guard in [GuardId(1), GuardId(2)] {
        stage.session.commands().assert(key.clone(), guard, None);
    }
    stage.session.commands().poll_when_refused(name, GuardId(1));
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&document("0"));
    stage.session.commands().withdraw(&key, GuardId(1));
    stage.settle();
    let answer = |request: &str| match request {
        LISTEN => refused(DENIED),
        _ => document("1"),
    };
    let sent = sent_within(&mut stage, 600 * SECOND, answer);
    let polls = sent.iter().filter(|(kind, _)| kind == QUERY).count();
    assert!(polls <= 1, "{polls}");
    assert!(matches!(
        document_state(&stage),
        Some(DocumentState::Unreachable { last: Some(_), .. })
    ));
    stage.session.commands().withdraw(&key, GuardId(2));
    stage.settle();
    stage.answer_all(&listening());
    assert!(sent_within(&mut stage, 600 * SECOND, answer).is_empty());
}

#[test]
fn poll_asked_for_after_the_refusal_begins_at_once() {
    let mut stage = Stage::connected("a");
    let (key, guard) = (placed("d", ""), GuardId(1));
    let ClaimKey::Listen(name) = &key else { panic!("a listen") };
    stage.session.commands().assert(key.clone(), guard, None);
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&document("0"));
    stage.events.clear();
    stage.session.commands().poll_when_refused(name, guard);
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&document("0"));
    assert!(
        matches!(document_state(&stage), Some(DocumentState::Present(_))),
        "{:?}",
        stage.events
    );
    assert!(matches!(stage.claim(guard), Some(ClaimState::Refused { code: DENIED, .. })));
}

#[test]
fn polled_documents_are_asked_for_a_few_at_once() {
    let mut stage = Stage::connected("a");
    for n in 0..1000 {
        let key = placed(&format!("d{n}"), "");
        let ClaimKey::Listen(name) = &key else { panic!("a listen") };
        stage.session.commands().assert(key.clone(), GuardId(n), None);
        stage.session.commands().poll_when_refused(name, GuardId(n));
    }
    stage.settle();
    stage.answer_all(&refused(DENIED));
    let mut most = 0;
    let end = stage.now + 100 * SECOND;
    while stage.now < end {
        let queries = kinds(&stage).iter().filter(|kind| *kind == QUERY).count();
        most = most.max(queries);
        if stage.calls.is_empty() {
            stage.wait();
        }
        let Some(sent) = stage.calls.pop() else { continue };
        let answer = match sent.request.kind() {
            LISTEN => refused(DENIED),
            QUERY => document("1"),
            _ => ok("HealthCheckResponse"),
        };
        stage.answer(&sent, &answer);
    }
    assert_eq!(most, 64);
}

#[test]
fn one_bad_document_of_many_is_found_and_the_others_are_listened_to() {
    let mut stage = Stage::connected("a");
    for n in 0..1000 {
        stage.session.commands().assert(placed(&format!("d{n}"), ""), GuardId(n), None);
    }
    stage.settle();
    let mut requests = 0;
    while let Some(sent) = stage.calls.pop() {
        requests += 1;
        let bad = names(&sent.body()).iter().any(|name| name == ":d345");
        stage.answer(&sent, &if bad { refused(400) } else { listening() });
    }
    assert!(requests <= 25, "{requests}");
    let held = |n| stage.claim(GuardId(n)) == Some(ClaimState::Held);
    assert!((0..1000).filter(|n| *n != 345).all(held));
    let refused = ClaimState::Refused { code: 400, message: "no".into(), retrying: false };
    assert_eq!(stage.claim(GuardId(345)), Some(refused));
}

#[test]
fn thousands_of_bad_documents_cause_no_flood() {
    let mut stage = Stage::connected("a");
    for n in 0..1000 {
        stage.session.commands().assert(placed(&format!("d{n}"), ""), GuardId(n), None);
    }
    stage.settle();
    let mut at_once = 0;
    while let Some(sent) = stage.calls.pop() {
        at_once += 1;
        stage.answer(&sent, &refused(400));
    }
    assert!(at_once <= 200, "{at_once}");
    let sent = sent_within(&mut stage, 600 * SECOND, |_| refused(400));
    assert!(sent.len() <= 8_000, "{}", sent.len());
}

#[test]
fn document_that_a_server_fails_at_does_not_keep_the_others_from_being_listened_to() {
    let mut stage = Stage::connected("a");
    for n in 0..100 {
        stage.session.commands().assert(placed(&format!("d{n}"), ""), GuardId(n), None);
    }
    stage.settle();
    let end = stage.now + 600 * SECOND;
    let mut requests = 0;
    while stage.now < end {
        for sent in std::mem::take(&mut stage.calls) {
            let answer = if sent.request.kind() == "HealthCheckRequest" {
                ok("HealthCheckResponse")
            } else {
                requests += 1;
                let bad = names(&sent.body()).iter().any(|name| name == ":d50");
                if bad { refused(SERVER_ERROR) } else { listening() }
            };
            stage.answer(&sent, &answer);
        }
        stage.wait();
    }
    let held = |n| stage.claim(GuardId(n)) == Some(ClaimState::Held);
    assert_eq!((0..100).filter(|n| !held(*n)).collect::<Vec<_>>(), [50]);
    assert!(requests < 60, "{requests}");
}

/// The requests that are sent within `time`, each with its moment; health checks are left out.
fn sent_within(
    stage: &mut Stage,
    time: Duration,
    mut answer: impl FnMut(&str) -> Result<Payload, CallError>,
) -> Vec<(String, Instant)> {
    let end = stage.now + time;
    let mut all = Vec::new();
    while stage.now < end {
        for sent in std::mem::take(&mut stage.calls) {
            let kind = sent.request.kind().to_owned();
            if kind == "HealthCheckRequest" {
                stage.answer(&sent, &ok("HealthCheckResponse"));
            } else {
                let answer = answer(&kind);
                stage.answer(&sent, &answer);
                all.push((kind, stage.now));
            }
        }
        if stage.calls.is_empty() {
            stage.wait();
        }
    }
    all
}

/// The last state that was shown of a document.
fn document_state(stage: &Stage) -> Option<DocumentState> {
    stage.events.iter().rev().find_map(|event| match event {
        Event::Document(_, told) => Some(told.clone()),
        _ => None,
    })
}

fn kinds(stage: &Stage) -> Vec<String> {
    stage.calls.iter().map(|sent| sent.request.kind().to_owned()).collect()
}

/// `namespace:data id` of each document that a listen names.
fn names(body: &Value) -> Vec<String> {
    let contexts = body["configListenContexts"].as_array().expect("a list");
    let text = |context: &Value, name: &str| context[name].as_str().unwrap_or("").to_owned();
    let name = |context| format!("{}:{}", text(context, "tenant"), text(context, "dataId"));
    contexts.iter().map(name).collect()
}

fn placed(name: &str, namespace: &str) -> ClaimKey {
    let key = ConfigKey::try_from(name).expect("valid");
    ClaimKey::Listen(key.resolve(&namespace.parse().expect("valid")))
}

fn listening() -> Result<Payload, CallError> {
    ok("ConfigChangeBatchListenResponse")
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, among answers that are errors")]
fn document(content: &str) -> Result<Payload, CallError> {
    let body = json!({"resultCode": 200, "content": content, "contentType": "text"});
    Ok(message("ConfigQueryResponse", &body))
}

const LISTEN: &str = ConfigBatchListenRequest::TYPE;
const QUERY: &str = ConfigQueryRequest::TYPE;

#[test]
fn refused_listen_makes_the_document_unreachable() {
    let mut stage = Stage::connected("a");
    stage.session.commands().assert(listen("orders"), GuardId(1), None);
    stage.settle();
    stage.answer_all(&refused(DENIED));
    stage.answer_all(&refused(DENIED));
    let told = stage.events.iter().find_map(|event| match event {
        Event::Document(_, document) => Some(document.clone()),
        _ => None,
    });
    let Some(DocumentState::Unreachable { last: None, why, .. }) = told else { panic!("{told:?}") };
    assert_eq!(why, ErrorKind::Denied);
}
