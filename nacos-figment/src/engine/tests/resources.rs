//! Resources: built before a version is committed, and only when their part changes.
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

/// Something that is built from `db`, and that counts how many there are.
struct Pool {
    db: String,
    open: Arc<AtomicUsize>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn resource_is_rebuilt_only_when_its_part_changes_and_drains_when_unpinned() {
    let documents = &[("a.json", Some(r#"{"n": 1, "db": "one"}"#))];
    let (documents, config) = start(spec(), documents).await.expect("valid");
    let (open, built) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&open), Arc::clone(&built));
    let pool = config
        .resource(
            "db",
            |config| &config.db,
            move |db| {
                let (open, built) = counters.clone();
                async move {
                    open.fetch_add(1, Ordering::Relaxed);
                    built.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, std::io::Error>(Pool { db, open })
                }
            },
        )
        .await
        .expect("built");
    assert_eq!((&*pool.load().db, config.hot().generation()), ("one", 2));
    let pinned = pool.pin();

    documents.publish(0, r#"{"n": 2, "db": "one"}"#);
    generation(&config, 3).await;
    assert_eq!(built.load(Ordering::Relaxed), 1, "an unrelated change builds nothing");

    documents.publish(0, r#"{"n": 2, "db": "two"}"#);
    generation(&config, 4).await;
    assert_eq!((&*pool.load().db, &*pinned.db), ("two", "one"));
    assert_eq!(open.load(Ordering::Relaxed), 2);
    drop(pinned);
    assert_eq!(open.load(Ordering::Relaxed), 1, "the old one went with its last pin");
}

#[tokio::test(start_paused = true)]
async fn failing_build_rejects_the_version_and_is_tried_again_by_itself() {
    let documents = &[("a.json", Some(r#"{"n": 1, "db": "up"}"#))];
    let (documents, config) = start(spec(), documents).await.expect("valid");
    let failures = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failures);
    let pool = config
        .resource(
            "db",
            |config| &config.db,
            move |db: String| {
                let count = Arc::clone(&count);
                async move {
                    if db != "up" && count.fetch_add(1, Ordering::Relaxed) < 3 {
                        let why = "connect to pg://root:hunter2@db failed";
                        return Err(std::io::Error::other(why));
                    }
                    Ok(db)
                }
            },
        )
        .await
        .expect("built");
    documents.publish(0, r#"{"n": 2, "db": "down"}"#);
    let rejected = status(&config, |status| status.rejection.is_some()).await;
    let rejection = rejected.rejection.expect("just seen");
    assert!(rejection.is_transient() && rejection.stage == Stage::Build);
    let shown = rejection.to_string();
    assert!(shown.contains("`db`") && shown.contains("@db failed"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!((config.hot().load().n, &**pool.load()), (1, "up"));

    let healed = status(&config, |status| status.rejection.is_none()).await;
    assert_eq!((healed.generation, &**pool.load()), (3, "down"));
    assert_eq!(failures.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn newer_configuration_cancels_a_build_and_a_panic_is_a_rejection() {
    let documents = &[("a.json", Some(r#"{"n": 1, "db": "one"}"#))];
    let (documents, config) = start(spec(), documents).await.expect("valid");
    let building = Arc::new(Notify::new());
    let signal = Arc::clone(&building);
    let pool = config
        .resource(
            "db",
            |config| &config.db,
            move |db: String| {
                let signal = Arc::clone(&signal);
                async move {
                    match &*db {
                        "never" => {
                            signal.notify_one();
                            std::future::pending::<()>().await;
                        }
                        "panic" => panic!("told to"),
                        _ => {}
                    }
                    Ok::<_, std::io::Error>(db)
                }
            },
        )
        .await
        .expect("built");
    documents.publish(0, r#"{"n": 2, "db": "never"}"#);
    building.notified().await;
    let begun = Instant::now();
    documents.publish(0, r#"{"n": 3, "db": "three"}"#);
    generation(&config, 3).await;
    assert_eq!((&**pool.load(), Instant::now()), ("three", begun));

    documents.publish(0, r#"{"n": 4, "db": "panic"}"#);
    status(&config, |status| status.rejection.is_some()).await;
    assert_eq!(&**pool.load(), "three");
    documents.publish(0, r#"{"n": 5, "db": "never"}"#);
    let timed_out = |status: &Status| {
        let rejection = status.rejection.as_ref();
        rejection.is_some_and(|rejection| rejection.to_string().contains("not built within"))
    };
    status(&config, timed_out).await;
}

#[tokio::test(start_paused = true)]
async fn first_build_that_fails_is_told_to_who_asked_and_leaves_nothing() {
    let documents = &[("a.json", Some(r#"{"n": 1, "db": "one"}"#))];
    let (documents, config) = start(spec(), documents).await.expect("valid");
    let failed =
        config.resource("db", |config| &config.db, |_| async { Err::<(), _>("no database") }).await;
    let error = failed.map(|_| ()).expect_err("it failed");
    assert!(error.to_string().contains("no database"), "{error}");
    documents.publish(0, r#"{"n": 2, "db": "two"}"#);
    generation(&config, 2).await;
}
