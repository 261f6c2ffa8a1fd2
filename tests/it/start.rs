//! Where a watched document comes from first: the server, or its snapshot on disk.
use std::{fs, path::PathBuf, time::Duration};

use futures_util::FutureExt;
use nacos_core::{
    Client, ClientBuilder, ConfigKey, Document, DocumentState, ErrorKind, Freshness, SessionState,
    SnapshotDir, StartPolicy, Watch, digest,
};
use nacos_testkit::{Server, TimeLimit};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{BEHAVIOURS, becomes, builder, chain, reconnected, server, server_like, soon};

/// A directory of snapshots of the cluster `blue`.
struct Kept {
    root: TempDir,
}

impl Kept {
    fn new() -> Self {
        TimeLimit::for_test();
        Self { root: tempfile::tempdir().expect("a directory") }
    }

    fn with(data_id: &str, content: &str) -> Self {
        let kept = Self::new();
        kept.keep(data_id, content);
        kept
    }

    fn snapshots(&self) -> SnapshotDir {
        SnapshotDir::new(self.root.path(), "blue")
    }

    fn keep(&self, data_id: &str, content: &str) {
        let document = Document::new(content, "text");
        self.snapshots().write(&key(data_id), Some(&document)).expect("written");
    }

    fn file(&self, data_id: &str) -> PathBuf {
        self.snapshots().path().join("received/public/DEFAULT_GROUP%ufff").join(data_id)
    }

    fn of(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.snapshot_dir(self.root.path().display().to_string()).snapshot_scope("blue")
    }

    fn client(&self, server: &Server) -> Client {
        self.of(builder(server)).connect_lazy().expect("valid")
    }

    /// A client whose server refuses connections.
    fn alone(&self) -> Client {
        self.of(Client::builder().server_addr("127.0.0.1:1")).connect_lazy().expect("valid")
    }
}

fn key(data_id: &str) -> ConfigKey {
    ConfigKey::try_from(data_id).expect("valid")
}

fn content(watch: &Watch) -> Option<String> {
    watch.state().document().map(|document| document.content.to_string())
}

fn begin(client: &Client, policy: StartPolicy) -> Watch {
    client.configs().watch("d").expect("valid").start(policy)
}

/// Longer than everything that comes with a start.
const LATER: Duration = Duration::from_secs(60);

async fn confirmed(watch: &Watch) {
    becomes(&mut watch.freshness(), Freshness::is_confirmed).await;
}

#[tokio::test(start_paused = true)]
async fn snapshot_that_the_server_confirms_wakes_no_reader_of_the_state() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        server.publish("", "DEFAULT_GROUP", "d", "same");
        let kept = Kept::with("d", "same");
        let client = kept.client(&server);
        let mut watch = begin(&client, StartPolicy::snapshot_first()).ready().await.expect("kept");
        confirmed(&watch).await;
        assert_eq!(watch.changed().now_or_never(), None, "{behaviour:?}");
        assert_eq!(content(&watch).as_deref(), Some("same"));
        assert_eq!(server.requests("ConfigQueryRequest"), 0, "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn content_on_disk_under_the_digest_of_another_is_never_confirmed() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        server.publish("", "DEFAULT_GROUP", "d", "real");
        let kept = Kept::new();
        let mut planted = Document::new("planted", "text");
        planted.md5 = digest("real").into();
        kept.snapshots().write(&key("d"), Some(&planted)).expect("written");
        let client = kept.client(&server);
        let watch = begin(&client, StartPolicy::snapshot_first()).ready().await.expect("kept");
        confirmed(&watch).await;
        assert_eq!(content(&watch).as_deref(), Some("real"), "{behaviour:?}");
        assert_eq!(server.requests("ConfigQueryRequest"), 1, "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn document_that_has_changed_since_its_snapshot_is_an_ordinary_change() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let kept = Kept::with("d", "old");
        server.publish("", "DEFAULT_GROUP", "d", "new");
        server.stop().await;
        let client = kept.client(&server);
        let mut watch = begin(&client, StartPolicy::snapshot_first()).ready().await.expect("kept");
        assert_eq!(content(&watch).as_deref(), Some("old"));
        assert!(matches!(*watch.freshness().get(), Freshness::FromDisk { .. }));
        server.resume().await.expect("its ports");
        soon(watch.changed()).await.expect("a state");
        assert_eq!(content(&watch).as_deref(), Some("new"), "{behaviour:?}");
        confirmed(&watch).await;
        // The next start has it, too.
        soon(client.shutdown(Duration::from_secs(60))).await;
        let snapshot = kept.snapshots().read(&key("d")).expect("readable").expect("kept");
        assert_eq!(snapshot.document.map(|document| document.content), Some("new".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn document_that_the_server_confirms_absent_is_never_taken_from_disk() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let kept = Kept::with("d", "gone");
        let client = kept.client(&server);
        let mut watch = begin(&client, StartPolicy::snapshot_first()).ready().await.expect("kept");
        if *watch.state() != DocumentState::Absent {
            soon(watch.changed()).await.expect("a state");
        }
        assert_eq!(*watch.state(), DocumentState::Absent, "{behaviour:?}");
        soon(client.shutdown(Duration::from_secs(60))).await;

        // Nor after a restart without a server.
        for policy in
            [StartPolicy::default(), StartPolicy::snapshot_first(), StartPolicy::offline()]
        {
            let watch = begin(&kept.alone(), policy).ready().await.expect("it is known");
            assert_eq!(*watch.state(), DocumentState::Absent, "{policy:?}");
            assert!(matches!(*watch.freshness().get(), Freshness::FromDisk { .. }));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_snapshots_serve_without_a_server() {
    let kept = Kept::new();
    for n in 0..50 {
        kept.keep(&format!("d{n}"), &n.to_string());
    }
    for policy in [StartPolicy::default(), StartPolicy::snapshot_first(), StartPolicy::offline()] {
        let client = kept.alone();
        let began = Instant::now();
        let configs = client.configs();
        let watch = |n| configs.watch(format!("d{n}").as_str()).expect("valid").start(policy);
        let watches: Vec<_> = (0..50).map(watch).collect();
        for (n, watch) in watches.into_iter().enumerate() {
            let watch = watch.ready().await.expect("kept");
            assert_eq!(content(&watch), Some(n.to_string()), "{policy:?}");
            assert!(matches!(*watch.freshness().get(), Freshness::FromDisk { .. }));
        }
        assert!((Instant::now() - began) < Duration::from_secs(1), "nothing was waited for");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_server_and_without_a_snapshot_that_counts_no_policy_shows_anything() {
    let year = Duration::from_secs(365 * 24 * 3600);
    let policies = [StartPolicy::remote(), StartPolicy::default(), StartPolicy::snapshot_first()];
    for policy in policies {
        let (none, corrupt, old) = (Kept::new(), Kept::with("d", "1"), Kept::with("d", "1"));
        fs::write(corrupt.file("d"), "NACOSSNAP1 damaged").expect("written");
        for (what, kept, policy) in [
            ("none", &none, policy),
            ("corrupt", &corrupt, policy),
            ("too old", &old, policy.max_age(Duration::ZERO)),
        ] {
            let outcome = begin(&kept.alone(), policy).ready().await;
            let error = outcome.expect_err("nothing is known");
            assert_eq!(
                error.kind(),
                ErrorKind::Disconnected,
                "{policy:?} {what}: {}",
                chain(&error)
            );
        }
        let shown = begin(&old.alone(), policy.max_age(year)).ready().await;
        assert_eq!(shown.is_ok(), policy != StartPolicy::remote());
    }
    let error = begin(&Kept::new().alone(), StartPolicy::offline()).ready().await;
    assert!(chain(&error.expect_err("nothing is kept")).contains("no snapshot"));
}

#[tokio::test(start_paused = true)]
async fn silent_server_is_waited_for_as_long_as_the_policy_says() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "new");
    let kept = Kept::with("d", "old");
    let client = kept.of(builder(&server)).connect().await.expect("the server is there");
    server.black_hole(true);
    let began = Instant::now();
    let policy = StartPolicy::remote_then_snapshot().timeout(Duration::from_secs(2));
    let watch = begin(&client, policy).ready().await.expect("kept");
    assert_eq!(content(&watch).as_deref(), Some("old"));
    let waited = Instant::now() - began;
    assert!((2.0..2.5).contains(&waited.as_secs_f64()), "{waited:?}");

    // It has said nothing to one who does not ask the disk.
    let short = StartPolicy::remote().timeout(Duration::from_secs(1));
    let began = Instant::now();
    begin(&client, short).ready().await.expect_err("nobody answers");
    assert!((1.0..1.5).contains(&(Instant::now() - began).as_secs_f64()));
    server.black_hole(false);
    confirmed(&watch).await;
    assert_eq!(content(&watch).as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn watches_of_one_document_start_each_by_its_own_policy() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "new");
    let kept = Kept::with("d", "old");
    let client = kept.of(builder(&server)).connect().await.expect("the server is there");
    server.black_hole(true);
    let first = begin(&client, StartPolicy::snapshot_first()).ready().await.expect("kept");
    let remote = begin(&client, StartPolicy::remote());
    let offline = begin(&client, StartPolicy::offline()).ready().await.expect("kept");
    assert_eq!((content(&first), content(&remote)), (Some("old".to_owned()), None));
    server.black_hole(false);
    confirmed(&first).await;
    confirmed(&remote).await;
    for watch in [&first, &remote] {
        assert_eq!(content(watch).as_deref(), Some("new"));
    }
    assert_eq!(content(&offline).as_deref(), Some("old"), "no server is asked for it");
    assert!(matches!(*offline.freshness().get(), Freshness::FromDisk { .. }));
}

#[tokio::test(start_paused = true)]
async fn offline_watch_claims_nothing_and_ends_with_its_guard() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "new");
    let kept = Kept::with("d", "old");
    let client = kept.of(builder(&server)).connect().await.expect("the server is there");
    let watch = begin(&client, StartPolicy::offline()).ready().await.expect("kept");
    watch.refetch();
    let other = client.configs().watch("other").expect("valid").ready().await.expect("an answer");
    assert_eq!(server.listeners("", "DEFAULT_GROUP", "d"), 0);
    let mut reader = watch.live();
    drop(watch);
    assert_eq!(soon(reader.changed()).await, None);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn jitter_of_an_offline_watch_delays_no_other() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "old");
    let kept = Kept::with("d", "old");
    let client = kept.of(builder(&server)).connect().await.expect("the server is there");
    let offline = begin(&client, StartPolicy::offline()).ready().await.expect("kept");
    let watch = begin(&client, StartPolicy::remote()).ready().await.expect("an answer");
    let offline = offline.pull_jitter(LATER * 60);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut reader, began) = (watch.live(), Instant::now());
    server.publish("", "DEFAULT_GROUP", "d", "new");
    becomes(&mut reader, |state| state.document().is_some_and(|it| &*it.content == "new")).await;
    let taken = Instant::now() - began;
    assert!(taken < Duration::from_secs(1), "{taken:?}");
    drop(offline);
}

#[tokio::test(start_paused = true)]
async fn freshness_is_stale_without_a_connection_and_the_state_stays() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let client = builder(&server).connect().await.expect("the server is there");
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    assert!(watch.freshness().get().is_confirmed());
    let before = client.stats().get().connects;
    server.stop().await;
    let is_stale = |freshness: &Freshness| {
        matches!(freshness, Freshness::Stale { why: ErrorKind::Disconnected, .. })
    };
    becomes(&mut watch.freshness(), is_stale).await;
    server.resume().await.expect("its ports");
    reconnected(&client, before).await;
    confirmed(&watch).await;
    assert_eq!(watch.changed().now_or_never(), None, "the document is the same");
}

#[tokio::test(start_paused = true)]
async fn audit_moves_the_time_of_confirmation_on() {
    let server = server().await;
    let client = builder(&server).connect().await.expect("the server is there");
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    let mut freshness = watch.freshness();
    let Freshness::Confirmed { at: first } = *freshness.get() else { panic!("just confirmed") };
    let is_later =
        |now: &Freshness| matches!(now, Freshness::Confirmed { at } if *at > first + LATER);
    becomes(&mut freshness, is_later).await;
}

#[tokio::test(start_paused = true)]
async fn login_that_was_refused_takes_nothing_away_that_is_on_disk() {
    let builder_of = Server::builder().credentials("nacos", "right");
    let server = crate::support::start(builder_of).await;
    let kept = Kept::with("d", "kept");
    let files = TempDir::new().expect("a directory");
    let folder = files.path().join("public/DEFAULT_GROUP");
    fs::create_dir_all(&folder).expect("made");
    fs::write(folder.join("file"), "operator").expect("written");
    let wrong = kept.of(builder(&server)).override_dir(files.path().display().to_string());
    let client = wrong.credentials("nacos", "wrong").connect_lazy().expect("valid");
    // Until nobody waits for it any more.
    let error = client.configs().get("other").await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Denied);
    for (name, expected) in [("d", "kept"), ("file", "operator")] {
        let watch = client.configs().watch(name).expect("valid");
        let watch = soon(watch.start(StartPolicy::snapshot_first()).ready()).await;
        assert_eq!(content(&watch.expect("on disk")).as_deref(), Some(expected));
    }
    let nothing = client.configs().watch("other").expect("valid");
    let error = nothing.start(StartPolicy::snapshot_first()).ready().await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test(start_paused = true)]
async fn connect_names_connect_lazy_where_there_are_snapshots() {
    let (kept, none) = (Kept::with("d", "1"), Kept::new());
    let error = |kept: &Kept| kept.of(Client::builder().server_addr("127.0.0.1:1")).connect();
    let named = chain(&error(&kept).await.expect_err("no server"));
    assert!(named.contains("connect_lazy"), "{named}");
    let unnamed = chain(&error(&none).await.expect_err("no server"));
    assert!(!unnamed.contains("connect_lazy"), "{unnamed}");
}

#[tokio::test(start_paused = true)]
async fn get_takes_a_snapshot_only_if_it_is_told_to() {
    let kept = Kept::with("d", "old");
    let configs = kept.alone().configs();
    let document = configs.get("d").or_snapshot().await.expect("kept").expect("kept");
    assert_eq!(&*document.content, "old");
    let error = configs.get("d").await.expect_err("no server");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    configs.get("other").or_snapshot().await.expect_err("nothing is kept");
}

#[tokio::test(start_paused = true)]
async fn get_keeps_what_it_may_need_and_believes_the_server() {
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "new");
    let kept = Kept::with("d", "old");
    let client = kept.of(builder(&server)).connect().await.expect("the server is there");
    let configs = client.configs();
    let document = configs.get("d").or_snapshot().await.expect("an answer").expect("there");
    assert_eq!(&*document.content, "new");
    server.black_hole(true);
    let began = Instant::now();
    let document = configs.get("d").or_snapshot().await.expect("kept").expect("there");
    assert_eq!((&*document.content, (Instant::now() - began).as_secs()), ("new", 3));
    server.black_hole(false);
    server.remove("", "DEFAULT_GROUP", "d");
    assert_eq!(configs.get("d").or_snapshot().await.expect("an answer"), None);
    server.stop().await;
    configs.get("d").or_snapshot().await.expect_err("it was confirmed absent");
}

#[tokio::test(start_paused = true)]
async fn get_waits_for_no_server_that_is_known_to_be_out_of_reach() {
    let kept = Kept::with("d", "old");
    let client = kept.alone();
    becomes(&mut client.state(), |state| matches!(state, SessionState::Backoff { .. })).await;
    for _ in 0..5 {
        // Wherever it stands between two searches.
        tokio::time::sleep(Duration::from_millis(333)).await;
        let began = Instant::now();
        let document = client.configs().get("d").or_snapshot().await.expect("kept");
        assert_eq!(&*document.expect("kept").content, "old");
        assert!(Instant::now() - began < Duration::from_millis(100));
    }
}
