//! The governor of queries for watched documents: what waits, for what, and for how long.
use super::*;
use crate::{
    storm::{PullHold, PullMode, StormReport},
    wire::{
        Request,
        config::{ConfigBatchListenRequest, ConfigQueryRequest},
    },
};

#[test]
fn wait_for_a_token_is_no_part_of_a_querys_time_and_is_shown() {
    let mut stage = watching(3, few(1, 1));
    pass(&mut stage, 10 * SECOND);
    push_all(&mut stage, 3);
    for (n, seconds) in ["d0", "d1", "d2"].into_iter().zip(1..) {
        assert_eq!(queries(&stage), [n], "one at a time");
        assert!(within_its_time(&stage), "its time begins when it is sent");
        answer(&mut stage, "2");
        pass(&mut stage, SECOND + MS);
        assert_eq!(report(&stage).waiting, 2_usize.saturating_sub(seconds));
    }
    // The third has waited for two seconds, the second for one, and that was nobody's failure.
    assert_eq!(held(&stage), ["d2 Throttled"]);
    assert_eq!((report(&stage).counts.timeouts, report(&stage).mode), (0, PullMode::Normal));
}

#[test]
fn pushes_are_asked_for_before_what_a_listen_has_found() {
    let mut stage = watching(9, few(1, 1));
    pass(&mut stage, 20 * SECOND);
    listen_again(&mut stage, &[0, 1, 2, 3]);
    assert_eq!(queries(&stage), ["d0"]);
    for n in [7, 3] {
        push(&mut stage, n);
    }
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.extend(queries(&stage));
        answer(&mut stage, "2");
        pass(&mut stage, SECOND + MS);
    }
    assert_eq!(asked, ["d0", "d7", "d3", "d1", "d2"]);
}

#[test]
fn start_is_not_throttled_however_many_documents_there_are() {
    let mut stage = Stage::governed("a", false, 0.5, None, few(10, 1));
    stage.begin();
    watch(&mut stage, 60);
    listen_again(&mut stage, &(0..60).collect::<Vec<_>>());
    assert_eq!(queries(&stage).len(), 60);
}

#[test]
fn queries_that_time_out_together_are_one_timeout() {
    let mut stage = watching(9, PullOptions::new("c0"));
    push_all(&mut stage, 9);
    assert_eq!(queries(&stage).len(), 9);
    time_out(&mut stage);
    assert_eq!((report(&stage).counts.timeouts, report(&stage).mode), (1, PullMode::Normal));
}

#[test]
fn queries_under_way_when_a_link_dies_are_one_timeout() {
    let mut stage = watching(9, PullOptions::new("c0"));
    for timeouts in 1..5 {
        push_all(&mut stage, 9);
        lose(&mut stage);
        assert_eq!(report(&stage).counts.timeouts, timeouts);
    }
    push_all(&mut stage, 9);
    let link = stage.serving();
    stage.session.handle_lost(stage.now, link, "reset");
    stage.perform();
    assert!(matches!(report(&stage).mode, PullMode::ReadOnly { .. }));
    // One that is lost while nothing is asked says nothing about queries.
    let mut stage = watching(9, PullOptions::new("c0"));
    lose(&mut stage);
    assert_eq!(report(&stage).counts.timeouts, 0);
}

#[test]
fn push_causes_a_probe_soon_and_its_answer_ends_read_only() {
    let mut stage = read_only();
    push_all(&mut stage, 2);
    assert!(kinds(&stage).is_empty(), "what is known is not asked for");
    pass(&mut stage, SECOND);
    assert_eq!(kinds(&stage), [LISTEN]);
    listen_again(&mut stage, &[]);
    assert_eq!(queries(&stage), ["d0", "d1"], "nothing is lost");
    answer(&mut stage, "2");
    assert_eq!(report(&stage).mode, PullMode::Normal);
    assert_eq!(report(&stage).counts.read_only.left_by_push, 1);
}

#[test]
fn read_only_client_probes_by_itself_and_recovers() {
    let mut stage = read_only();
    pass(&mut stage, 5 * SECOND);
    assert_eq!(kinds(&stage), [LISTEN], "half of five seconds later");
    listen_again(&mut stage, &[1]);
    assert_eq!(report(&stage).counts.read_only.left_by_probe, 1);
    let mut asked = queries(&stage);
    asked.sort();
    assert_eq!(asked, ["d0", "d1"], "d0 is dirty since before");
    // Two more timeouts lead back.
    time_out(&mut stage);
    push_all(&mut stage, 1);
    time_out(&mut stage);
    assert!(matches!(report(&stage).mode, PullMode::ReadOnly { .. }));
    assert_eq!(report(&stage).counts.read_only.entered, 2);
}

#[test]
fn lost_probe_is_not_sent_again_before_the_next_one_is_due_and_each_push_hurries_that() {
    let mut stage = read_only();
    let began = stage.now;
    let mut sent = Vec::new();
    // Every listen times out after 3 s.
    let lose_probes = |stage: &mut Stage, sent: &mut Vec<u64>, seconds: u32| {
        let end = stage.now + seconds * SECOND;
        while stage.now < end {
            if !kinds(stage).iter().any(|kind| kind == LISTEN) {
                pass(stage, SECOND / 4);
                continue;
            }
            assert_eq!(kinds(stage), [LISTEN], "of all documents");
            sent.push((stage.now - began).as_secs());
            pass(stage, 3 * SECOND);
            answer_listens(stage, &Err(CallError::Timeout));
        }
    };
    lose_probes(&mut stage, &mut sent, 80);
    // Half of 5, 10, 20, 40 and 60 s.
    assert_eq!(sent, [2, 7, 17, 37, 67]);
    assert_eq!(stage.claim(GuardId(0)), None, "its guards are told nothing");
    for _ in 0..2 {
        sent.clear();
        push(&mut stage, 0);
        let pushed = (stage.now - began).as_secs();
        lose_probes(&mut stage, &mut sent, 5);
        assert_eq!((sent.len(), sent[0] - pushed < 2), (1, true), "{pushed} {sent:?}");
        // Another one right after that waits until the probe may have been answered.
        push(&mut stage, 0);
        lose_probes(&mut stage, &mut sent, 8);
        assert!((5..9).contains(&(sent[1] - sent[0])), "{sent:?}");
        lose_probes(&mut stage, &mut sent, 1);
        assert_eq!(sent.len(), 2);
    }
    pass(&mut stage, 60 * SECOND);
    listen_again(&mut stage, &[0]);
    assert_eq!(queries(&stage), ["d0"]);
}

#[test]
fn lost_listens_are_sent_again_when_another_answer_ends_read_only() {
    let mut stage = read_only();
    pass(&mut stage, 5 * SECOND);
    answer_listens(&mut stage, &Err(CallError::Timeout));
    assert_eq!(kinds(&stage), [""; 0]);
    // One of which nothing is known is asked for in spite of it.
    watch(&mut stage, 4);
    let changed = json!({"dataId": "d3", "group": "DEFAULT_GROUP"});
    let body = json!({"resultCode": 200, "changedConfigs": [changed]});
    assert_eq!(kinds(&stage), [LISTEN]);
    let sent = stage.calls.remove(0);
    assert_eq!(sent.body()["configListenContexts"].as_array().map(Vec::len), Some(1));
    stage.answer(&sent, &Ok(message("ConfigChangeBatchListenResponse", &body)));
    let listens: Vec<_> = stage.calls.iter().filter(|sent| sent.request.kind() == LISTEN).collect();
    assert_eq!(listens.len(), 1);
    let again = listens[0].body()["configListenContexts"].as_array().map(Vec::len);
    assert_eq!(again, Some(3), "all that were not answered");
}

#[test]
fn refused_listen_ends_read_only() {
    let mut stage = polled();
    let since = stage.now;
    let end = since + 90 * SECOND;
    while stage.now < end && report(&stage).counts.read_only.left_by_probe == 0 {
        pass(&mut stage, SECOND);
        answer_listens(&mut stage, &refused(DENIED));
    }
    assert_eq!(queries(&stage), ["d0"], "the document is asked for again");
    answer(&mut stage, "2");
    assert_eq!(report(&stage).mode, PullMode::Normal);
}

#[test]
fn where_no_listen_stands_the_probe_is_one_query() {
    let mut stage = watching(1, PullOptions::new("c0"));
    stage.session.configs.reassert_all();
    stage.settle();
    answer_listens(&mut stage, &refused(PARAMETER));
    for _ in 0..5 {
        push(&mut stage, 0);
        time_out(&mut stage);
    }
    for probe in 0..3 {
        assert!(matches!(report(&stage).mode, PullMode::ReadOnly { .. }));
        time_out(&mut stage);
        assert_eq!(kinds(&stage), [""; 0]);
        pass(&mut stage, 60 * SECOND);
        assert_eq!(queries(&stage), ["d0"], "probe {probe}");
    }
    answer(&mut stage, "2");
    assert_eq!(report(&stage).counts.read_only.left_by_answer, 1);
}

#[test]
fn reconnect_ends_read_only_with_its_first_listen() {
    let mut stage = read_only();
    lose(&mut stage);
    listen_again(&mut stage, &[0, 1]);
    assert_eq!(queries(&stage), ["d0", "d1"]);
    assert_eq!(report(&stage).counts.read_only.left_by_reconnect, 1);
}

#[test]
fn read_only_for_more_than_a_minute_is_an_alarm() {
    let mut stage = read_only();
    stage.events.clear();
    let end = stage.now + 61 * SECOND;
    while stage.now < end {
        // Every listen is lost on the way.
        stage.calls.retain(|sent| sent.request.kind() == "HealthCheckRequest");
        stage.answer_all(&ok("HealthCheckResponse"));
        let next = stage.session.poll_timeout(stage.now).expect("open").min(end);
        stage.advance(next - stage.now);
    }
    let alarms = stage.events.iter().filter(|event| {
        matches!(event, Event::Pulls { mode: PullMode::ReadOnly { .. }, is_alarming: true })
    });
    assert_eq!(alarms.count(), 1);
    assert!(report(&stage).is_alarming);
}

#[test]
fn frozen_client_notes_everything_and_asks_for_it_when_it_is_thawed() {
    let mut stage = watching(3, PullOptions::new("c0"));
    freeze(&mut stage, true);
    let since = stage.now;
    push_all(&mut stage, 2);
    listen_again(&mut stage, &[1, 2]);
    watch(&mut stage, 4);
    listen_again(&mut stage, &[3]);
    pass(&mut stage, 70 * SECOND);
    assert_eq!(queries(&stage), [""; 0], "of a new watch neither");
    assert_eq!(report(&stage).mode, PullMode::Frozen { since });
    assert!(report(&stage).is_alarming);
    assert_eq!(report(&stage).waiting, 4);
    let mut told = held(&stage);
    told.sort();
    assert_eq!(told, ["d0 Frozen", "d1 Frozen", "d2 Frozen", "d3 Frozen"]);
    // Also over another connection, on which everything is listened to as ever.
    lose(&mut stage);
    assert_eq!(kinds(&stage), [LISTEN]);
    listen_again(&mut stage, &[0, 1, 2, 3]);
    assert_eq!(queries(&stage), [""; 0]);
    freeze(&mut stage, false);
    let mut asked = queries(&stage);
    asked.sort();
    assert_eq!(asked, ["d0", "d1", "d2", "d3"]);
    assert_eq!(report(&stage).mode, PullMode::Normal);
}

#[test]
fn single_reconnect_and_a_move_are_not_staggered() {
    let mut stage = watching(3, staggered());
    lose(&mut stage);
    listen_again(&mut stage, &[0, 1, 2]);
    assert_eq!(queries(&stage).len(), 3, "one server was lost");
    answer(&mut stage, "2");

    stage.reset();
    pass(&mut stage, 5 * SECOND);
    listen_again(&mut stage, &[0, 1, 2]);
    assert_eq!(queries(&stage).len(), 3, "the server asked us to move");
    assert_eq!(report(&stage).counts.staggers, 0);
}

#[test]
fn mass_event_delays_queries_up_to_the_stagger_and_pushes_pass_it() {
    let mut stage = watching(4, staggered());
    stage.down = "a";
    lose(&mut stage);
    pass(&mut stage, 2 * SECOND);
    stage.down = "";
    pass(&mut stage, SECOND);
    let serves = stage.now;
    assert_eq!(kinds(&stage), [LISTEN], "which is not staggered");
    listen_again(&mut stage, &[0, 1, 2]);
    assert_eq!(queries(&stage), [""; 0]);
    let until = report(&stage).staggered_until.expect("a mass event");
    assert!(until > serves && until < serves + 30 * SECOND);
    push(&mut stage, 1);
    push(&mut stage, 3);
    assert_eq!(queries(&stage), ["d1", "d3"]);
    answer(&mut stage, "2");
    let left = (until - stage.now).saturating_sub(MS);
    pass(&mut stage, left);
    assert_eq!(queries(&stage), [""; 0]);
    let mut told = held(&stage);
    told.sort();
    assert_eq!(told, ["d0 Staggered", "d2 Staggered"]);
    pass(&mut stage, MS);
    assert_eq!(queries(&stage), ["d0", "d2"]);
}

#[test]
fn two_servers_that_are_lost_in_turn_are_a_mass_event() {
    let mut stage = Stage::governed("a,b", false, 0.5, None, staggered());
    stage.begin();
    watch(&mut stage, 1);
    listen_again(&mut stage, &[0]);
    answer(&mut stage, "1");
    for _ in 0..2 {
        assert_eq!(report(&stage).counts.staggers, 0);
        // The next one is the other.
        stage.down = if stage.dialled.last().is_some_and(|host| host == "a") { "a" } else { "b" };
        lose(&mut stage);
        stage.down = "";
    }
    assert_eq!(report(&stage).counts.staggers, 1);
    lose(&mut stage);
    assert_eq!(report(&stage).counts.staggers, 2, "a third one right after them");
}

#[test]
fn last_watch_that_leaves_ends_read_only_and_nothing_wakes_the_session_for_it() {
    for is_connected in [true, false] {
        let mut stage = read_only();
        if !is_connected {
            stage.down = "a";
            lose(&mut stage);
        }
        for n in 0..3 {
            stage.session.commands().withdraw(&listen(&format!("d{n}")), GuardId(n));
        }
        stage.settle();
        assert_eq!(report(&stage).mode, PullMode::Normal, "there is nothing to probe with");
    }
}

#[test]
fn request_that_was_never_sent_says_nothing_of_the_server() {
    let unsigned = Err(CallError::Unsigned("it was not signed in time"));
    let mut stage = read_only();
    let since = stage.now;
    stage.session.configs.reassert_all();
    stage.settle();
    answer_listens(&mut stage, &unsigned);
    assert_eq!(report(&stage).mode, PullMode::ReadOnly { since });

    let mut stage = watching(3, PullOptions::new("c0"));
    for round in 0..5 {
        push(&mut stage, 0);
        time_out(&mut stage);
        if round < 4 {
            push(&mut stage, 1);
            let sent = stage.calls.pop().expect("a query");
            stage.answer(&sent, &unsigned);
        }
    }
    assert!(matches!(report(&stage).mode, PullMode::ReadOnly { .. }), "five in a row");
}

/// Nothing is shown of it yet that a server has said, however much was on the disk.
#[test]
fn start_from_snapshots_is_not_throttled_either() {
    let mut stage = Stage::governed("a", false, 0.5, None, few(10, 1));
    stage.begin();
    watch_remembering(&mut stage, 60);
    listen_again(&mut stage, &(0..60).collect::<Vec<_>>());
    assert_eq!(queries(&stage).len(), 60);
    assert_eq!(report(&stage).counts.start, 60);
}

#[test]
fn push_during_a_query_keeps_its_turn_after_a_listen() {
    let mut stage = watching(2, few(1, 1));
    pass(&mut stage, 20 * SECOND);
    push(&mut stage, 0);
    assert_eq!(queries(&stage), ["d0"]);
    push(&mut stage, 0);
    listen_again(&mut stage, &[0, 1]);
    answer(&mut stage, "2");
    pass(&mut stage, SECOND + MS);
    assert_eq!(queries(&stage), ["d0"], "a push comes before what a listen has found");
}

#[test]
fn idle_client_sends_health_checks_alone_and_is_woken_by_nothing_else() {
    let mut stage = watching(50, PullOptions::new("c0"));
    let end = stage.now + 140 * SECOND;
    let (mut wakes, mut checks) = (0, 0);
    while stage.now < end {
        assert!(wakes < 1000, "it is woken again and again");
        stage.wait();
        wakes += 1;
        for sent in std::mem::take(&mut stage.calls) {
            assert_eq!(sent.request.kind(), "HealthCheckRequest");
            checks += 1;
            stage.answer(&sent, &ok("HealthCheckResponse"));
        }
    }
    // Each check wakes it once to be sent, and may once more for the time that its answer has.
    assert!(checks >= 10 && wakes <= 2 * checks, "{checks} checks, woken {wakes} times");
}

#[test]
fn overloaded_server_is_asked_more_slowly() {
    let mut stage = watching(9, PullOptions::new("c0"));
    let before = report(&stage);
    push_all(&mut stage, 9);
    stage.answer_all(&refused(503));
    let after = report(&stage);
    assert_eq!((before.refill, after.refill), (10, 5));
    assert_eq!((after.counts.overloads, after.tokens), (1, 0));
    assert_eq!(after.mode, PullMode::Normal, "it has answered");
}

#[test]
fn push_waits_for_the_jitter_that_all_watches_bear() {
    let mut stage = watching(1, PullOptions::new("c0"));
    let ClaimKey::Listen(key) = listen("d0") else { unreachable!("it is one") };
    let patience = |stage: &mut Stage, guard, most| {
        stage.session.commands().pull_jitter(&key, GuardId(guard), most);
    };
    patience(&mut stage, 0, 10 * SECOND);
    push(&mut stage, 0);
    push(&mut stage, 0);
    assert_eq!(queries(&stage), [""; 0]);
    pass(&mut stage, 10 * SECOND);
    assert_eq!(queries(&stage), ["d0"], "one query for both");
    // A push that comes during the query waits, too.
    push(&mut stage, 0);
    answer(&mut stage, "2");
    assert_eq!(queries(&stage), [""; 0]);
    pass(&mut stage, 10 * SECOND);
    assert_eq!(queries(&stage), ["d0"]);
    answer(&mut stage, "3");

    // Another watch wants it at once, and goes again.
    stage.session.commands().assert(listen("d0"), GuardId(9), None);
    push(&mut stage, 0);
    assert_eq!(queries(&stage), ["d0"]);
    answer(&mut stage, "4");
    stage.session.commands().withdraw(&listen("d0"), GuardId(9));
    push(&mut stage, 0);
    assert_eq!(queries(&stage), [""; 0]);
}

/// A session that watches `d0`, `d1` … and has read them.
fn watching(documents: usize, pulls: PullOptions) -> Stage {
    let mut stage = Stage::governed("a", false, 0.5, None, pulls);
    stage.begin();
    watch(&mut stage, documents);
    listen_again(&mut stage, &(0..documents).collect::<Vec<_>>());
    answer(&mut stage, "1");
    assert_eq!((report(&stage).waiting, stage.calls.len()), (0, 0));
    stage.events.clear();
    stage
}

/// The same with three documents, whose server has left five queries in a row unanswered.
fn read_only() -> Stage {
    let mut stage = watching(3, PullOptions::new("c0"));
    for _ in 0..5 {
        assert_eq!(report(&stage).mode, PullMode::Normal);
        push(&mut stage, 0);
        time_out(&mut stage);
    }
    assert_eq!(report(&stage).mode, PullMode::ReadOnly { since: stage.now });
    stage
}

/// A session that polls a document because it may not listen to it, and whose server has left five
/// of those queries in a row unanswered.
fn polled() -> Stage {
    let mut stage = Stage::governed("a", false, 0.5, None, PullOptions::new("c0"));
    stage.begin();
    watch(&mut stage, 1);
    let ClaimKey::Listen(key) = listen("d0") else { unreachable!("it is one") };
    stage.session.commands().poll_when_refused(&key, GuardId(0));
    stage.settle();
    answer_listens(&mut stage, &refused(DENIED));
    answer(&mut stage, "1");
    let end = stage.now + 900 * SECOND;
    while report(&stage).mode == PullMode::Normal {
        assert!(stage.now < end, "it is polled, and not answered");
        pass(&mut stage, SECOND);
        answer_listens(&mut stage, &refused(DENIED));
        time_out(&mut stage);
    }
    assert!(matches!(report(&stage).mode, PullMode::ReadOnly { .. }));
    stage
}

fn answer_listens(stage: &mut Stage, outcome: &Result<Payload, CallError>) {
    let (listens, rest): (Vec<_>, _) = std::mem::take(&mut stage.calls)
        .into_iter()
        .partition(|sent| sent.request.kind() == LISTEN);
    stage.calls = rest;
    for sent in listens {
        stage.answer(&sent, outcome);
    }
}

fn few(burst: usize, rate: usize) -> PullOptions {
    PullOptions { burst: Some(burst), rate: Some(rate), ..PullOptions::new("c0") }
}

fn staggered() -> PullOptions {
    PullOptions { stagger: 30 * SECOND, ..PullOptions::new("c0") }
}

fn watch(stage: &mut Stage, documents: usize) {
    for (n, guard) in (0..documents).zip(0..) {
        stage.session.commands().assert(listen(&format!("d{n}")), GuardId(guard), None);
    }
    stage.settle();
}

/// The same, and each was on the disk when the client began.
fn watch_remembering(stage: &mut Stage, documents: usize) {
    for (n, guard) in (0..documents).zip(0..) {
        let document = listen(&format!("d{n}"));
        let ClaimKey::Listen(key) = &document else { unreachable!("it is one") };
        stage.session.commands().assert(document.clone(), GuardId(guard), None);
        stage.session.commands().remember(key, crate::document::Document::new("old", "text"));
    }
    stage.settle();
}

fn freeze(stage: &mut Stage, is_frozen: bool) {
    let now = stage.now;
    stage.session.handle_commands(now, |commands| commands.freeze(now, is_frozen));
    stage.perform();
}

/// Loses the connection that serves; another comes up, unless all servers are down for 2 s.
fn lose(stage: &mut Stage) {
    let link = stage.serving();
    stage.session.handle_lost(stage.now, link, "reset");
    stage.perform();
    let end = stage.now + 2 * SECOND;
    while !stage.session.can_send(stage.now) && stage.now < end {
        stage.wait();
    }
}

/// Answers the listens under way, and every document that is listened to once more: `changed` ones
/// differ.
fn listen_again(stage: &mut Stage, changed: &[usize]) {
    let name = |n: &usize| json!({"dataId": format!("d{n}"), "group": "DEFAULT_GROUP"});
    let changed: Vec<_> = changed.iter().map(name).collect();
    if !kinds(stage).iter().any(|kind| kind == LISTEN) {
        stage.session.configs.reassert_all();
        stage.settle();
    }
    let (listens, rest): (Vec<_>, _) = std::mem::take(&mut stage.calls)
        .into_iter()
        .partition(|sent| sent.request.kind() == LISTEN);
    stage.calls = rest;
    for sent in listens {
        let body = json!({"resultCode": 200, "changedConfigs": changed});
        stage.answer(&sent, &Ok(message("ConfigChangeBatchListenResponse", &body)));
    }
}

/// Answers every query.
fn answer(stage: &mut Stage, content: &str) {
    let body = json!({"resultCode": 200, "content": content, "contentType": "text"});
    stage.answer_all(&Ok(message("ConfigQueryResponse", &body)));
}

fn time_out(stage: &mut Stage) {
    stage.answer_all(&Err(CallError::Timeout));
}

fn push_all(stage: &mut Stage, documents: usize) {
    (0..documents).for_each(|n| push(stage, n));
}

fn push(stage: &mut Stage, n: usize) {
    let link = stage.serving();
    let notice = json!({"requestId": "1", "dataId": format!("d{n}"), "group": "DEFAULT_GROUP"});
    let push = message("ConfigChangeNotifyRequest", &notice);
    stage.session.handle_push(stage.now, link, &push);
    stage.perform();
}

/// Lets time pass, with everything that is due on the way. Health checks are answered.
fn pass(stage: &mut Stage, time: Duration) {
    let end = stage.now + time;
    loop {
        let (checks, rest): (Vec<_>, _) = std::mem::take(&mut stage.calls)
            .into_iter()
            .partition(|sent| sent.request.kind() == "HealthCheckRequest");
        stage.calls = rest;
        for sent in checks {
            stage.answer(&sent, &ok("HealthCheckResponse"));
        }
        let next = stage.session.poll_timeout(stage.now).map_or(end, |next| next.min(end));
        let next = stage.taking.iter().map(|(at, _)| *at).fold(next, Instant::min);
        stage.advance(next.saturating_duration_since(stage.now));
        if stage.now >= end {
            break;
        }
    }
}

fn report(stage: &Stage) -> StormReport {
    stage.session.storm()
}

fn within_its_time(stage: &Stage) -> bool {
    stage.calls.iter().all(|sent| sent.request.kind() == QUERY)
}

/// The documents of which it was told that they wait, and for what.
fn held(stage: &Stage) -> Vec<String> {
    let told = stage.events.iter().filter_map(|event| match event {
        Event::Held(key, why) => Some((key, *why)),
        _ => None,
    });
    told.map(|(key, why): (_, PullHold)| format!("{} {why:?}", key.data_id())).collect()
}

fn kinds(stage: &Stage) -> Vec<String> {
    stage.calls.iter().map(|sent| sent.request.kind().to_owned()).collect()
}

/// The documents that are asked for, in order.
fn queries(stage: &Stage) -> Vec<String> {
    let queries = stage.calls.iter().filter(|sent| sent.request.kind() == QUERY);
    queries.map(|sent| sent.body()["dataId"].as_str().expect("a name").to_owned()).collect()
}

const LISTEN: &str = ConfigBatchListenRequest::TYPE;
/// The code with which a server refuses a request for what it says, and always will.
const PARAMETER: i32 = 400;
const QUERY: &str = ConfigQueryRequest::TYPE;
const MS: Duration = Duration::from_millis(1);
