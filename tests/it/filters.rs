//! Filters between documents and the server: what they see, where they run, and what happens when
//! they fail.
use std::{
    future::{pending, ready},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use nacos_core::{
    Client, ConfigKey, DocumentState, ErrorKind, Freshness, Live, Publish, SnapshotDir,
    StartPolicy, Visibility, Watch,
    filter::{ConfigContent, ConfigFilter, FilterError, FilterFuture},
};
use nacos_testkit::{Server, within};
use tokio::time::{Instant, sleep};

use crate::support::{after, becomes, builder, chain, server, soon};

/// The behaviour of a [`Scripted`] filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Works,
    /// After so many seconds.
    WorksLate(u64),
    Rejects,
    IsUnavailable,
    Hangs,
    Panics,
    ReturnsAnother,
}

/// Puts its mark before what is published, and takes it away again.
#[derive(Clone, Debug)]
struct Scripted {
    mark: &'static str,
    mode: Arc<Mutex<Mode>>,
    calls: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(mark: &'static str) -> Self {
        Self { mark, mode: Arc::new(Mutex::new(Mode::Works)), calls: Arc::default() }
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn call(
        &self,
        document: ConfigContent,
        works: impl FnOnce(ConfigContent) -> Result<ConfigContent, FilterError> + Send + 'static,
    ) -> FilterFuture<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mode = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(async move {
            match mode {
                Mode::Works => works(document),
                Mode::WorksLate(seconds) => {
                    sleep(Duration::from_secs(seconds)).await;
                    works(document)
                }
                Mode::Rejects => Err(FilterError::rejected("it is not signed")),
                Mode::IsUnavailable => Err(FilterError::unavailable("no key service")),
                Mode::Hangs => pending().await,
                Mode::Panics => panic!("on purpose"),
                Mode::ReturnsAnother => {
                    let other = ConfigKey::try_from("other").expect("valid");
                    Ok(ConfigContent::new(other, "of another document"))
                }
            }
        })
    }
}

impl ConfigFilter for Scripted {
    fn before_publish(&self, mut document: ConfigContent) -> FilterFuture<'_> {
        let mark = self.mark;
        self.call(document.clone(), move |_| {
            document.content = format!("{mark}{}", document.content).into();
            Ok(document)
        })
    }

    fn after_query(&self, mut document: ConfigContent) -> FilterFuture<'_> {
        let mark = self.mark;
        self.call(document.clone(), move |_| {
            let content = document.content.strip_prefix(mark).map(str::to_owned);
            let content = content.ok_or_else(|| FilterError::rejected("its mark is missing"))?;
            document.content = content.into();
            Ok(document)
        })
    }
}

async fn filtering(server: &Server, filter: &Scripted) -> Client {
    let builder = builder(server).with_config_filter(filter.clone());
    builder.connect().await.expect("the server is there")
}

fn publish(server: &Server, content: &str) {
    server.publish("", "DEFAULT_GROUP", "d", content);
}

fn stored(server: &Server) -> Option<String> {
    server.document("", "DEFAULT_GROUP", "d").map(|document| document.content)
}

fn content(state: &DocumentState) -> Option<String> {
    state.document().map(|document| document.content.to_string())
}

async fn shows(watch: &Watch, wanted: &str) {
    let is_shown = |state: &DocumentState| matches!(state, DocumentState::Present(document) if &*document.content == wanted);
    becomes(&mut watch.live(), is_shown).await;
}

async fn fails(live: &mut Live<DocumentState>) -> (Option<String>, ErrorKind, String) {
    let failed = |state: &DocumentState| matches!(state, DocumentState::Unreachable { .. });
    let state = soon(live.wait_for(failed)).await.expect("a state");
    match &*state {
        DocumentState::Unreachable { last, why, cause } => {
            (last.as_ref().map(|last| last.content.to_string()), *why, cause.to_string())
        }
        other => panic!("{other:?}"),
    }
}

const FAILURES: [(Mode, ErrorKind, &str); 5] = [
    (Mode::Rejects, ErrorKind::Filter, "it is not signed"),
    (Mode::IsUnavailable, ErrorKind::FilterUnavailable, "no key service"),
    (Mode::Hangs, ErrorKind::FilterUnavailable, "gave no answer in 5s"),
    (Mode::Panics, ErrorKind::FilterUnavailable, "it panicked"),
    (Mode::ReturnsAnother, ErrorKind::Filter, "another document"),
];

#[tokio::test(start_paused = true)]
async fn first_filter_is_nearest_to_the_program_in_both_directions() {
    let server = server().await;
    let [inner, outer] = ["inner ", "outer "].map(Scripted::new);
    let builder = builder(&server).with_config_filter(inner).with_config_filter(outer);
    let client = builder.connect().await.expect("the server is there");
    let configs = client.configs();
    let published = configs.publish(Publish::new("d", "1").expect("valid")).await;
    let published = published.expect("published");
    assert_eq!(stored(&server).as_deref(), Some("outer inner 1"));
    assert_eq!(published.md5(), nacos_core::digest("outer inner 1"));
    assert_eq!(published.visible().await.expect("an answer"), Visibility::Visible);

    let document = configs.get("d").await.expect("an answer").expect("there");
    assert_eq!((&*document.content, &*document.md5), ("1", published.md5()));
    let watch = configs.watch("d").expect("valid").ready().await.expect("an answer");
    assert_eq!(*watch.state(), DocumentState::Present(document.clone()));

    // A condition is about what is stored.
    let next = Publish::new("d", "2").expect("valid").if_unchanged(&document);
    configs.publish(next.clone()).await.expect("unchanged");
    let conflict = configs.publish(next).await.expect_err("changed");
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    shows(&watch, "2").await;
    let appended = |old: Option<&nacos_core::Document>| Some(format!("{}3", old?.content));
    configs.update("d", appended).await.expect("updated");
    assert_eq!(stored(&server).as_deref(), Some("outer inner 23"));
    shows(&watch, "23").await;
}

#[tokio::test(start_paused = true)]
async fn filter_that_fails_reads_nothing_and_publishes_nothing() {
    let server = server().await;
    let filter = Scripted::new("> ");
    let client = filtering(&server, &filter).await;
    let configs = client.configs();
    publish(&server, "> 1");
    for (mode, kind, why) in FAILURES {
        filter.set(mode);
        let sent = server.requests("ConfigPublishRequest");
        let begun = Instant::now();
        let publish = Publish::new("d", "hunter2").expect("valid");
        let errors = [
            configs.get("d").await.map(|_| ()).expect_err("it fails"),
            configs.get("d").or_snapshot().await.map(|_| ()).expect_err("it fails"),
            configs.publish(publish).await.map(|_| ()).expect_err("it fails"),
            configs.update("d", |_| Some("2")).await.map(|_| ()).expect_err("it fails"),
        ];
        for error in errors {
            let text = chain(&error);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.contains(why) && text.contains("Scripted"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(Instant::now() - begun < Duration::from_secs(21), "{mode:?}");
        assert_eq!(server.requests("ConfigPublishRequest"), sent, "{mode:?}");
    }
    assert_eq!(stored(&server).as_deref(), Some("> 1"));
}

#[tokio::test(start_paused = true)]
async fn update_whose_filter_hangs_says_that_nothing_was_sent() {
    let server = server().await;
    let filter = Scripted::new("> ");
    publish(&server, "> 1");
    let builder = builder(&server).request_timeout(Duration::from_secs(3));
    let client = builder.with_config_filter(filter.clone()).connect().await.expect("there");
    for hangs_after_query in [true, false] {
        filter.set(if hangs_after_query { Mode::Hangs } else { Mode::Works });
        let begun = Instant::now();
        let change = |_: Option<&nacos_core::Document>| {
            filter.set(Mode::Hangs);
            Some("2")
        };
        let error = client.configs().update("d", change).await.map(|_| ()).expect_err("it hangs");
        assert_eq!(error.kind(), ErrorKind::FilterUnavailable, "{}", chain(&error));
        assert!(Instant::now() - begun < Duration::from_secs(4));
    }
    assert_eq!(server.requests("ConfigPublishRequest"), 0);
}

#[tokio::test(start_paused = true)]
async fn watched_document_that_fails_is_unreachable_with_its_cause_and_heals_without_a_publish() {
    let server = server().await;
    let filter = Scripted::new("> ");
    for (mode, kind, why) in FAILURES {
        filter.set(Mode::Works);
        publish(&server, "> 1");
        let client = filtering(&server, &filter).await;
        let watch = client.configs().watch("d").expect("valid").ready().await;
        let watch = watch.expect("an answer");
        filter.set(mode);
        publish(&server, "> 2");
        let (last, is, cause) = fails(&mut watch.live()).await;
        assert_eq!((last.as_deref(), is), (Some("1"), kind), "{cause}");
        assert!(cause.contains(why), "{cause}");
        let freshness = watch.freshness().get();
        assert!(matches!(*freshness, Freshness::Stale { why, .. } if why == kind));

        let queries = server.requests("ConfigQueryRequest");
        filter.set(Mode::Works);
        shows(&watch, "2").await;
        assert!(watch.freshness().get().is_confirmed());
        assert_eq!(server.requests("ConfigQueryRequest"), queries, "nobody is asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn watch_that_begins_with_a_failure_says_so_at_once_if_it_does_not_pass_by_itself() {
    let server = server().await;
    let filter = Scripted::new("> ");
    publish(&server, "1");
    let client = filtering(&server, &filter).await;
    let configs = client.configs();
    let begun = Instant::now();
    let error = configs.watch("d").expect("valid").ready().await.expect_err("without a mark");
    assert_eq!(error.kind(), ErrorKind::Filter);
    assert!(chain(&error).contains("its mark is missing"), "{}", chain(&error));
    assert!(Instant::now() - begun < Duration::from_secs(1));

    filter.set(Mode::IsUnavailable);
    let error = configs.watch("d").expect("valid").ready().await.expect_err("no keys");
    assert_eq!(error.kind(), ErrorKind::FilterUnavailable);
    // One that is back within the time of the request is waited for.
    publish(&server, "> 1");
    let watch = configs.watch("d").expect("valid").ready();
    let heals = async {
        after(3).await;
        filter.set(Mode::Works);
    };
    let (watch, ()) = tokio::join!(watch, heals);
    assert_eq!(content(&watch.expect("it is back").state()).as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn failure_is_tried_again_ever_more_rarely_and_no_more_once_nobody_wants_it() {
    let server = server().await;
    let filter = Scripted::new("> ");
    filter.set(Mode::IsUnavailable);
    publish(&server, "> 1");
    let client = filtering(&server, &filter).await;
    let mut watch = client.configs().watch("d").expect("valid");
    fails(&mut watch.live()).await;
    watch.changed().await.expect("a state");
    after(600).await;
    let tries = filter.calls();
    assert!((10..=22).contains(&tries), "{tries} tries in ten minutes");
    assert!(soon_or_not(watch.changed()).await.is_none(), "the same failure is no news");
    drop(watch);
    after(600).await;
    assert!(filter.calls() <= tries + 1, "{} tries", filter.calls());
}

/// None if it does not come within a second.
async fn soon_or_not<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_secs(1), future).await.ok()
}

#[tokio::test(start_paused = true)]
async fn document_whose_filter_is_slow_holds_up_no_other() {
    /// Hangs for one document.
    #[derive(Debug)]
    struct HangsFor(&'static str);

    impl ConfigFilter for HangsFor {
        fn after_query(&self, document: ConfigContent) -> FilterFuture<'_> {
            if document.key().data_id().as_str() == self.0 {
                return Box::pin(pending());
            }
            Box::pin(ready(Ok(document)))
        }
    }

    let server = server().await;
    let builder = builder(&server).with_config_filter(HangsFor("slow"));
    let client = builder.connect().await.expect("the server is there");
    for data_id in ["slow", "quick"] {
        server.publish("", "DEFAULT_GROUP", data_id, "1");
    }
    let slow = client.configs().watch("slow").expect("valid");
    let begun = Instant::now();
    let quick = client.configs().watch("quick").expect("valid").ready().await.expect("an answer");
    for n in 2..9 {
        server.publish("", "DEFAULT_GROUP", "quick", n.to_string());
        shows(&quick, &n.to_string()).await;
    }
    assert!(Instant::now() - begun < Duration::from_secs(2));
    let (last, kind, cause) = fails(&mut slow.live()).await;
    assert_eq!((last, kind), (None, ErrorKind::FilterUnavailable), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn newest_state_wins_and_none_is_older_than_the_one_before() {
    let server = server().await;
    let filter = Scripted::new("> ");
    publish(&server, "> 0");
    let client = filtering(&server, &filter).await;
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    // Faster than the filter can follow.
    filter.set(Mode::WorksLate(2));
    let mut live = watch.live();
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.last() != Some(&40) {
            let state = soon(live.changed()).await.expect("a state");
            seen.push(content(&state).expect("a content").parse::<u32>().expect("a number"));
        }
        seen
    });
    for n in 1..=40 {
        publish(&server, &format!("> {n}"));
        sleep(Duration::from_millis(500)).await;
    }
    let seen = soon(reading).await.expect("no panic");
    assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");
    assert!(seen.len() > 5, "what changes all the time is shown, too: {seen:?}");
    assert!(filter.calls() < 30, "and not each of it passes: {}", filter.calls());
}

#[tokio::test(start_paused = true)]
async fn document_that_changes_faster_than_its_filter_is_shown_whatever_else_is_in_it() {
    let server = server().await;
    let directory = tempfile::tempdir().expect("a directory");
    let key = ConfigKey::try_from("d").expect("valid");
    let old = nacos_core::Document::new("> 0", "text");
    SnapshotDir::new(directory.path(), "blue").write(&key, Some(&old)).expect("written");
    let filter = Scripted::new("> ");
    filter.set(Mode::WorksLate(2));
    let builder = builder(&server).snapshot_dir(directory.path().display().to_string());
    let builder = builder.snapshot_scope("blue").with_config_filter(filter.clone());
    let client = builder.connect().await.expect("the server is there");
    let watch = |policy| client.configs().watch("d").expect("valid").start(policy);
    let offline = watch(StartPolicy::offline());
    becomes_true(|| filter.calls() == 1).await;
    let remote = watch(StartPolicy::remote());
    let mut seen = Vec::new();
    for n in 1..=40 {
        publish(&server, &format!("> {n}"));
        sleep(Duration::from_millis(500)).await;
        seen.extend(content(&remote.state()).map(|it| it.parse::<u32>().expect("a number")));
    }
    assert!(seen.is_sorted(), "{seen:?}");
    seen.dedup();
    assert!(seen.len() > 5 && seen[0] > 0, "{seen:?}");
    assert_eq!(content(&offline.state()).as_deref(), Some("0"));
}

/// Lets time pass until it is so.
async fn becomes_true(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn document_that_is_gone_is_not_brought_back_by_its_filter() {
    let server = server().await;
    let filter = Scripted::new("> ");
    publish(&server, "> 1");
    let client = filtering(&server, &filter).await;
    let mut watch = client.configs().watch("d").expect("valid").ready().await.expect("there");
    filter.set(Mode::WorksLate(3));
    publish(&server, "> 2");
    server.until(|server| server.requests("ConfigQueryRequest") >= 2).await;
    after(1).await;
    server.remove("", "DEFAULT_GROUP", "d");
    assert_eq!(*soon(watch.changed()).await.expect("a state"), DocumentState::Absent);
    after(60).await;
    assert_eq!(*watch.state(), DocumentState::Absent);
}

#[tokio::test(start_paused = true)]
async fn snapshot_is_as_it_was_sent_and_passes_the_filters_on_its_way_back() {
    let server = server().await;
    let directory = tempfile::tempdir().expect("a directory");
    let filter = Scripted::new("> ");
    publish(&server, "> 1");
    let keeping = |builder: nacos_core::ClientBuilder| {
        let builder = builder.snapshot_dir(directory.path().display().to_string());
        builder.snapshot_scope("blue").with_config_filter(filter.clone())
    };
    let client = keeping(builder(&server)).connect().await.expect("the server is there");
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("there");
    soon(client.shutdown(Duration::from_secs(60))).await;
    drop(watch);
    let key = ConfigKey::try_from("d").expect("valid");
    let snapshot = SnapshotDir::new(directory.path(), "blue").read(&key).expect("readable");
    let document = snapshot.and_then(|snapshot| snapshot.document).expect("written");
    assert_eq!(&*document.content, "> 1");

    // No server is there any more.
    let nobody = || keeping(Client::builder().server_addr("127.0.0.1:1"));
    let client = nobody().connect_lazy().expect("valid");
    let first = StartPolicy::snapshot_first();
    let watch = client.configs().watch("d").expect("valid").start(first).ready().await;
    let watch = watch.expect("on disk");
    assert_eq!(content(&watch.state()).as_deref(), Some("1"));
    assert!(matches!(*watch.freshness().get(), Freshness::FromDisk { .. }));
    let document = client.configs().get("d").or_snapshot().await.expect("on disk");
    assert_eq!(document.map(|document| document.content.to_string()).as_deref(), Some("1"));

    filter.set(Mode::Rejects);
    let client = nobody().connect_lazy().expect("valid");
    let watch = client.configs().watch("d").expect("valid").start(StartPolicy::offline());
    let error = watch.ready().await.expect_err("not signed");
    assert_eq!(error.kind(), ErrorKind::Filter);
    // Where a server is asked, it is waited for as if there were no disk.
    let client = keeping(builder(&server)).connect().await.expect("the server is there");
    publish(&server, "> 2");
    server.delay(Duration::from_secs(1));
    let watch = client.configs().watch("d").expect("valid").start(first);
    after(1).await;
    assert_eq!(*watch.state(), DocumentState::Pending);
    filter.set(Mode::Works);
    shows(&watch, "2").await;
}

#[tokio::test(start_paused = true)]
async fn file_of_an_operator_passes_no_filter() {
    let server = server().await;
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("public/DEFAULT_GROUP");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("cipher-d"), "operator").expect("written");
    let filter = Scripted::new("> ");
    filter.set(Mode::IsUnavailable);
    server.publish_encrypted("", "DEFAULT_GROUP", "cipher-d", "> server", "key");
    let overriding = builder(&server).override_dir(directory.path().display().to_string());
    let client = overriding.with_config_filter(filter.clone()).connect().await.expect("there");
    let configs = client.configs();
    let document = configs.get("cipher-d").await.expect("a file").expect("there");
    assert_eq!((&*document.content, document.is_encrypted()), ("operator", false));
    let watch = configs.watch("cipher-d").expect("valid").ready().await.expect("a file");
    assert_eq!(content(&watch.state()).as_deref(), Some("operator"));
    filter.set(Mode::Works);
    after(60).await;
    std::fs::remove_file(folder.join("cipher-d")).expect("removed");
    shows(&watch, "server").await;
}

#[tokio::test(start_paused = true)]
async fn policies_of_one_document_are_each_shown_what_passed() {
    let server = server().await;
    let directory = tempfile::tempdir().expect("a directory");
    let snapshots = SnapshotDir::new(directory.path(), "blue");
    let key = ConfigKey::try_from("d").expect("valid");
    let old = nacos_core::Document::new("> disk", "text");
    snapshots.write(&key, Some(&old)).expect("written");
    publish(&server, "> server");
    let builder = builder(&server).snapshot_dir(directory.path().display().to_string());
    let builder = builder.snapshot_scope("blue").with_config_filter(Scripted::new("> "));
    let client = builder.connect().await.expect("the server is there");
    let watch = |policy| client.configs().watch("d").expect("valid").start(policy).ready();
    let offline = watch(StartPolicy::offline()).await.expect("on disk");
    let remote = watch(StartPolicy::remote()).await.expect("an answer");
    let late = watch(StartPolicy::remote_then_snapshot()).await.expect("an answer");
    assert_eq!(content(&offline.state()).as_deref(), Some("disk"));
    for watch in [&remote, &late] {
        assert_eq!(content(&watch.state()).as_deref(), Some("server"));
    }
}

#[tokio::test]
async fn filter_that_blocks_its_thread_stops_neither_the_session_nor_another_document() {
    /// Blocks on one document until it is told to go on, and names its thread.
    #[derive(Debug)]
    struct Blocks {
        goes_on: Mutex<Receiver<()>>,
        begins: Sender<Option<String>>,
    }

    impl ConfigFilter for Blocks {
        fn after_query(&self, document: ConfigContent) -> FilterFuture<'_> {
            if document.key().data_id().as_str() == "blocked" {
                let _ = self.begins.send(thread::current().name().map(str::to_owned));
                let told = self.goes_on.lock().expect("no panic").recv();
                assert!(told.is_ok(), "let go");
            }
            Box::pin(ready(Ok(document)))
        }
    }

    within(Duration::from_secs(60), async {
        let server = server().await;
        let ((go_on, goes_on), (begins, begun)) = (channel(), channel());
        let blocks = Blocks { goes_on: Mutex::new(goes_on), begins };
        let builder = builder(&server).dedicated_thread(true).with_config_filter(blocks);
        let client = builder.connect().await.expect("the server is there");
        for data_id in ["blocked", "free"] {
            server.publish("", "DEFAULT_GROUP", data_id, "1");
        }
        let blocked = client.configs().watch("blocked").expect("valid");
        let thread = tokio::task::spawn_blocking(move || begun.recv()).await.expect("no panic");
        assert_ne!(thread.expect("it runs").as_deref(), Some("nacos"));
        let free = client.configs().watch("free").expect("valid").ready().await;
        assert_eq!(content(&free.expect("it passes").state()).as_deref(), Some("1"));
        go_on.send(()).expect("it waits");
        shows(&blocked, "1").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn filter_may_change_the_type_and_the_data_key() {
    /// Makes JSON of each document, and leaves its type to the server on the way back.
    #[derive(Debug)]
    struct Retypes;

    impl ConfigFilter for Retypes {
        fn before_publish(&self, mut document: ConfigContent) -> FilterFuture<'_> {
            assert_eq!(
                document.key().namespace().map(ToString::to_string).as_deref(),
                Some("public")
            );
            assert_eq!(document.content_type.as_deref(), Some("yaml"));
            document.content_type = Some("json".into());
            document.encrypted_data_key = Some("key".into());
            Box::pin(ready(Ok(document)))
        }

        fn after_query(&self, mut document: ConfigContent) -> FilterFuture<'_> {
            assert_eq!(document.content_type.as_deref(), Some("json"));
            assert_eq!(document.encrypted_data_key.as_deref(), Some("key"));
            document.content_type = None;
            Box::pin(ready(Ok(document)))
        }
    }

    let server = server().await;
    let builder = builder(&server).with_config_filter(Retypes);
    let client = builder.connect().await.expect("the server is there");
    let publish = Publish::new("d.yaml", "{}").expect("valid");
    client.configs().publish(publish).await.expect("published");
    let stored = server.document("", "DEFAULT_GROUP", "d.yaml").expect("stored");
    assert_eq!((&*stored.content_type, &*stored.encrypted_data_key), ("json", "key"));
    let document = client.configs().get("d.yaml").await.expect("an answer").expect("there");
    assert_eq!(&*document.content_type, "json");
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_no_filter() {
    let server = server().await;
    let filter = Scripted::new("> ");
    filter.set(Mode::Hangs);
    publish(&server, "> 1");
    let client = filtering(&server, &filter).await;
    let watch = client.configs().watch("d").expect("valid");
    after(1).await;
    assert_eq!(filter.calls(), 1);
    let begun = Instant::now();
    soon(client.shutdown(Duration::from_secs(60))).await;
    assert!(Instant::now() - begun < Duration::from_secs(1));
    assert_eq!(*watch.state(), DocumentState::Pending);
}

#[tokio::test(start_paused = true)]
async fn client_that_ends_drops_what_its_filters_are_doing() {
    /// Counts what it is doing.
    #[derive(Debug)]
    struct Counts(Arc<()>);

    impl ConfigFilter for Counts {
        fn after_query(&self, _: ConfigContent) -> FilterFuture<'_> {
            let doing = Arc::clone(&self.0);
            Box::pin(async move {
                let outcome = pending().await;
                drop(doing);
                outcome
            })
        }
    }

    let server = server().await;
    publish(&server, "1");
    let doing = Arc::new(());
    let builder = builder(&server).with_config_filter(Counts(Arc::clone(&doing)));
    let client = builder.connect().await.expect("the server is there");
    let watch = client.configs().watch("d").expect("valid");
    let get = client.configs().get("d");
    assert!(soon_or_not(get).await.is_none(), "it hangs");
    after(1).await;
    assert_eq!(Arc::strong_count(&doing), 3, "that of the watch, and not that of the call");
    drop(watch);
    drop(client);
    after(1).await;
    assert_eq!(Arc::strong_count(&doing), 1);
}
