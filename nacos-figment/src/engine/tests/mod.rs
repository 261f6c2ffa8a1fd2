//! The engine on documents that the test writes, on a paused clock.
mod dry_run;
mod resources;

use std::error::Error;

use nacos_core::{Document, DocumentState, ErrorKind as CoreErrorKind};
use serde::Deserialize;
use tokio::time::sleep_until;

use super::*;
use crate::{
    ErrorKind, Freshness, HotConfig,
    testing::{Documents, start, status},
};

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Config {
    n: u32,
    #[serde(default)]
    db: String,
}

fn spec() -> Spec<Config> {
    Spec::default()
}

/// Lets time pass on the paused clock, and everything happen that happens in it.
async fn pass(time: Duration) {
    sleep_until(Instant::now() + time).await;
}

async fn generation(config: &HotConfig<Config>, generation: u64) {
    let reached = status(config, |status| status.generation >= generation).await;
    assert_eq!(reached.generation, generation);
}

#[tokio::test(start_paused = true)]
async fn bad_document_leaves_the_last_good_value_and_a_good_one_heals() {
    let (documents, config) =
        start(spec(), &[("a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    let hot = config.hot();
    documents.publish(0, "{\"n\":\n \"hunter2\"}");
    let rejected = status(&config, |status| status.rejection.is_some()).await;
    let rejection = rejected.rejection.expect("just seen");
    assert_eq!((hot.load().n, rejected.generation, rejection.kept), (1, 1, 1));
    assert_eq!((rejection.stage, rejection.is_transient()), (Stage::Extract, false));
    let at = rejection.issues[0].place.as_ref().and_then(|place| place.position).expect("known");
    assert_eq!((at.line, at.column), (2, 2));
    for shown in [rejection.to_string(), format!("{rejection:?}"), format!("{config:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    documents.publish(0, r#"{"n": 2}"#);
    let healed = status(&config, |status| status.rejection.is_none()).await;
    assert_eq!((hot.load().n, healed.generation), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn rolling_back_to_what_is_in_force_clears_the_rejection_without_a_commit() {
    let (documents, config) =
        start(spec(), &[("a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    documents.publish(0, "{");
    status(&config, |status| status.rejection.is_some()).await;
    documents.publish(0, r#"{"n": 1}"#);
    let cleared = status(&config, |status| status.rejection.is_none()).await;
    assert_eq!(cleared.generation, 1);
}

#[tokio::test(start_paused = true)]
async fn burst_of_changes_becomes_few_commits() {
    let first = Some(r#"{"n": 0}"#);
    let (documents, config) =
        start(spec(), &[("a.json", first), ("b.json", None)]).await.expect("valid");
    let begun = Instant::now();
    for (n, document) in (1..=200).zip([0, 1].into_iter().cycle()) {
        documents.publish(document, &format!(r#"{{"n": {n}}}"#));
        pass(Duration::from_millis(10)).await;
    }
    documents.publish(1, r#"{"n": 1000}"#);
    let last = status(&config, |_| config.hot().load().n == 1000).await;
    // Two seconds of changes that never pause: one commit every 750 ms, and the last.
    assert!((2..=4).contains(&(last.generation - 1)), "{} commits", last.generation - 1);
    assert!(Instant::now() - begun < Duration::from_millis(2_000 + 760));
}

#[tokio::test(start_paused = true)]
async fn single_document_is_applied_at_once() {
    let (documents, config) =
        start(spec(), &[("a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    let begun = Instant::now();
    documents.publish(0, r#"{"n": 2}"#);
    generation(&config, 2).await;
    assert_eq!(Instant::now(), begun);
}

#[tokio::test(start_paused = true)]
async fn start_names_what_is_wrong_or_unknown() {
    let error = start(spec(), &[("a.json", Some("{\n\"n\": \"hunter2\"}"))]).await.map(|_| ());
    let error = error.expect_err("invalid");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let shown = error.to_string();
    assert!(shown.contains("nacos://G/a.json@") && shown.contains("line 2 column 6"), "{shown}");
    assert!(!format!("{shown} {error:?}").contains("hunter2"));

    let missing = start(spec(), &[("!a.json", None)]).await.map(|_| ()).expect_err("required");
    let shown = missing.to_string();
    assert!(shown.contains("the document does not exist, in nacos://G/a.json"), "{shown}");

    let (documents, watched) = Documents::new(&[("a.json", None)]);
    documents.set(0, DocumentState::Pending);
    let error = spec().start(watched, None).await.map(|_| ()).expect_err("never known");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("nacos://G/a.json"), "{error}");

    let (documents, watched) = Documents::new(&[("a.json", None)]);
    let (why, cause) = (CoreErrorKind::Denied, "no".into());
    documents.set(0, DocumentState::Unreachable { last: None, why, cause });
    let error = spec().start(watched, None).await.map(|_| ()).expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn start_names_each_document_with_its_own_cause() {
    let (documents, watched) =
        Documents::new(&[("a.json", None), ("b.json", None), ("c.json", None)]);
    for (at, why, cause) in
        [(0, CoreErrorKind::Timeout, "reason of a"), (1, CoreErrorKind::Overloaded, "reason of b")]
    {
        documents.set(at, DocumentState::Unreachable { last: None, why, cause: cause.into() });
    }
    documents.set(2, DocumentState::Pending);
    let error = spec().start(watched, None).await.map(|_| ()).expect_err("never known");
    let shown = error.to_string();
    for said in ["reason of a", "reason of b", "nacos://G/c.json"] {
        assert!(shown.contains(said), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn unreachable_document_stays_in_force_and_is_shown_as_stale() {
    let text = r#"{"n": 1}"#;
    let (documents, config) = start(spec(), &[("a.json", Some(text))]).await.expect("valid");
    let why = CoreErrorKind::Disconnected;
    documents.set(0, DocumentState::Unreachable { last: None, why, cause: "lost".into() });
    let stale = status(&config, |status| status.freshness != Freshness::Confirmed).await;
    assert_eq!(stale.generation, 1);
    let [document] = stale.freshness.stale() else { panic!("{stale:?}") };
    assert_eq!((&*document.name, document.why), ("nacos://G/a.json", why));
    assert_eq!(&*document.cause, "lost");
    // The client's own error, and down from it each reason once.
    let source = document.source().and_then(|source| source.downcast_ref::<nacos_core::Error>());
    assert_eq!(source.expect("the client's").kind(), why);
    assert_eq!(causes(document), "ask for the document: not connected to any server: lost");
    let short = format!("{config:?}");
    assert!(short.contains("stale: nacos://G/a.json: not connected"), "{short}");
    documents.publish(0, text);
    status(&config, |status| status.freshness == Freshness::Confirmed).await;
    assert_eq!(config.hot().generation(), 1);
}

#[tokio::test(start_paused = true)]
async fn encrypted_document_is_never_parsed() {
    let mut cipher = Document::new("n: 7", "yaml");
    cipher.encrypted_data_key = Some("hunter2".into());
    let (why, cause) = (CoreErrorKind::Disconnected, "lost".into());
    let unreachable = DocumentState::Unreachable { last: Some(cipher.clone()), why, cause };
    // Optional or required: its text cannot be read.
    for name in ["a.yaml", "!a.yaml"] {
        for state in [DocumentState::Present(cipher.clone()), unreachable.clone()] {
            let (documents, watched) = Documents::new(&[(name, None)]);
            documents.set(0, state);
            let began = Instant::now();
            let error = spec().start(watched, None).await.map(|_| ()).expect_err("encrypted");
            assert_eq!(error.kind(), ErrorKind::Unreachable);
            let cause = causes(&error);
            assert!(error.to_string().contains("nacos://G/a.yaml"), "{error}");
            assert!(cause.contains("encrypted") || cause.contains("lost"), "{cause}");
            assert!(!format!("{error:?}{error}").contains("hunter2"));
            assert_eq!(Instant::now(), began, "nothing is waited for");
        }
    }
    // The last readable text stays in force, and the next readable one is taken.
    let (documents, config) = start(spec(), &[("a.yaml", Some("n: 1"))]).await.expect("valid");
    documents.set(0, DocumentState::Present(cipher));
    let stale = status(&config, |status| status.freshness != Freshness::Confirmed).await;
    let [document] = stale.freshness.stale() else { panic!("{stale:?}") };
    assert_eq!((&*document.name, document.why), ("nacos://G/a.yaml", CoreErrorKind::Protocol));
    assert!(document.cause.starts_with("the document is encrypted"), "{document:?}");
    assert_eq!(causes(document), *document.cause);
    assert!(!format!("{stale:?}").contains("hunter2"));
    assert_eq!((stale.generation, stale.rejection.is_none()), (1, true));
    assert_eq!(config.hot().load().n, 1);
    documents.publish(0, "n: 2");
    generation(&config, 2).await;
    assert_eq!(config.hot().load().n, 2);
}

#[tokio::test(start_paused = true)]
async fn document_that_can_be_read_but_not_followed_ends_the_start_with_the_reason() {
    let (documents, watched) = Documents::new(&[("a.yaml", None)]);
    let last = Some(Document::new("n: 1", "yaml"));
    let (why, cause) = (CoreErrorKind::Denied, "the right to read is missing".into());
    documents.set(0, DocumentState::Unreachable { last, why, cause });
    let error = spec().start(watched, None).await.map(|_| ()).expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(causes(&error).ends_with(": the right to read is missing"), "{}", causes(&error));
}

/// One document of several ends the start: it is its reason that counts, not a neighbour's.
#[tokio::test(start_paused = true)]
async fn start_that_fails_names_the_reason_of_the_document_that_it_names() {
    let mut cipher = Document::new("n: 7", "yaml");
    cipher.encrypted_data_key = Some("hunter2".into());
    let denied: CoreErrorKind = CoreErrorKind::Denied;
    let missing = DocumentState::Unreachable { last: None, why: denied, cause: "no right".into() };
    for (state, reason) in [(DocumentState::Present(cipher), "encrypted"), (missing, "no right")] {
        let (documents, watched) = Documents::new(&[("a.yaml", None), ("b.yaml", None)]);
        let (why, cause) = (CoreErrorKind::Overloaded, "busy".into());
        documents.set(0, DocumentState::Unreachable { last: None, why, cause });
        documents.set(1, state);
        let error = spec().start(watched, None).await.map(|_| ()).expect_err("unreachable");
        assert!(error.to_string().contains("nacos://G/b.yaml"), "{error}");
        let causes = causes(&error);
        assert!(causes.contains(reason) && !causes.contains("busy"), "{causes}");
    }
}

/// A failure that passes by itself does not hide one that needs help.
#[tokio::test(start_paused = true)]
async fn of_several_stale_documents_the_one_that_needs_help_is_told_first() {
    let given = &[("b.yaml", Some("db: x")), ("a.yaml", Some("n: 1")), ("c.yaml", None)];
    let (documents, config) = start(spec(), given).await.expect("valid");
    let mut cipher = Document::new("n: 7", "yaml");
    cipher.encrypted_data_key = Some("hunter2".into());
    let (why, cause) = (CoreErrorKind::Disconnected, "lost".into());
    documents.set(0, DocumentState::Unreachable { last: None, why, cause });
    documents.set(1, DocumentState::Present(cipher));
    let stale = status(&config, |status| status.freshness.stale().len() == 2).await;
    let names: Vec<_> = stale.freshness.stale().iter().map(|stale| &*stale.name).collect();
    assert_eq!(names, ["nacos://G/a.yaml", "nacos://G/b.yaml"]);
    let shown = stale.freshness.to_string();
    assert!(shown.starts_with("stale: nacos://G/a.yaml: "), "{shown}");
    assert!(shown.ends_with("; and 1 more"), "{shown}");
}

/// Why it is so, down to the last reason.
fn causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// It would otherwise be due for ever, and the task that waits for it would never rest.
#[tokio::test(start_paused = true)]
async fn removed_document_whose_server_is_gone_too_is_given_up_after_the_same_while() {
    let documents = &[("a.json", Some(r#"{"n": 1}"#)), ("b.json", Some(r#"{"db": "x"}"#))];
    let (documents, config) = start(spec(), documents).await.expect("valid");
    let (why, cause) = (CoreErrorKind::Disconnected, "lost".into());
    documents.set(1, DocumentState::Absent);
    pass(Duration::from_secs(1)).await;
    documents.set(1, DocumentState::Unreachable { last: None, why, cause });
    generation(&config, 2).await;
    assert_eq!(config.hot().load().db, "");
}

#[tokio::test(start_paused = true)]
async fn removed_document_takes_effect_after_a_while_and_a_required_one_never() {
    let documents = &[("a.json", Some(r#"{"n": 1}"#)), ("b.json", Some(r#"{"db": "x"}"#))];
    let (documents, config) = start(spec(), documents).await.expect("valid");
    let begun = Instant::now();
    documents.set(1, DocumentState::Absent);
    generation(&config, 2).await;
    assert_eq!(config.hot().load().db, "");
    assert!(Instant::now() - begun >= Duration::from_secs(3));

    let (documents, config) =
        start(spec(), &[("!a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    documents.set(0, DocumentState::Absent);
    let rejected = status(&config, |status| status.rejection.is_some()).await;
    assert_eq!(rejected.rejection.expect("just seen").stage, Stage::Collect);
    assert_eq!(config.hot().load().n, 1);
}

#[tokio::test(start_paused = true)]
async fn document_that_comes_back_in_time_was_never_gone() {
    let text = r#"{"n": 1}"#;
    let (documents, config) =
        start(spec(), &[("a.json", Some(text)), ("b.json", None)]).await.expect("valid");
    documents.set(0, DocumentState::Absent);
    pass(Duration::from_secs(2)).await;
    documents.publish(0, text);
    pass(Duration::from_secs(10)).await;
    assert_eq!(config.hot().generation(), 1);
    assert!(config.status().get().rejection.is_none());
}

#[tokio::test(start_paused = true)]
async fn task_ends_with_the_last_handle_and_with_the_client() {
    let (documents, config) =
        start(spec(), &[("a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    let hot = config.hot().map(|config| &config.n);
    let mut statuses = config.status();
    drop(config);
    documents.publish(0, r#"{"n": 2}"#);
    hot.changes().next().await.expect("a part of it keeps it going");
    drop(hot);
    while statuses.changed().await.is_some() {}

    let (documents, config) =
        start(spec(), &[("a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    let mut changes = config.hot().changes();
    drop(documents);
    assert!(changes.next().await.is_none());
    assert_eq!(config.hot().load().n, 1);
}

#[tokio::test(start_paused = true)]
async fn large_documents_are_read_off_the_task() {
    let padding = "x".repeat(INLINE_AND_MORE);
    let text = |n: u32| format!(r#"{{"n": {n}, "db": "{padding}"}}"#);
    let (documents, config) = start(spec(), &[("a.json", Some(&*text(1)))]).await.expect("valid");
    documents.publish(0, &text(2));
    generation(&config, 2).await;
    assert_eq!(config.hot().load().n, 2);
}

#[tokio::test(start_paused = true)]
async fn content_type_matters_when_no_ending_tells() {
    let (documents, watched) = Documents::new(&[("a", None)]);
    documents.set(0, DocumentState::Present(Document::new("n=1", "properties")));
    let config = HotConfig::new(spec().start(watched, None).await.expect("valid"));
    documents.set(0, DocumentState::Present(Document::new(r#"{"n": 2}"#, "json")));
    generation(&config, 2).await;
    assert_eq!(config.hot().load().n, 2);
}

#[tokio::test(start_paused = true)]
async fn files_are_below_documents_and_read_again_on_reload() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("application.json");
    std::fs::write(&path, r#"{"n": 1, "db": "file"}"#).expect("written");
    let mut spec = spec();
    spec.files = vec![path.clone().into(), dir.path().join("absent.json").into()];
    let (_documents, config) =
        start(spec, &[("a.json", Some(r#"{"n": 2}"#))]).await.expect("valid");
    assert_eq!(*config.hot().load(), Config { n: 2, db: "file".to_owned() });
    std::fs::write(&path, r#"{"n": 1, "db": "again"}"#).expect("written");
    config.reload();
    generation(&config, 2).await;
    assert_eq!(config.hot().load().db, "again");
    std::fs::write(&path, b"\xff").expect("written");
    config.reload();
    let rejected = status(&config, |status| status.rejection.is_some()).await;
    assert!(rejected.rejection.expect("just seen").to_string().contains("not UTF-8"));
}

const INLINE_AND_MORE: usize = 100 * 1024;
