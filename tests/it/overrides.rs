//! An operator's files stand in place of the server's documents.
use std::{fs, path::PathBuf, time::Duration};

use nacos_core::{
    Client, Document, DocumentState, Freshness, Publish, SnapshotDir, StartPolicy, Watch,
};
use nacos_testkit::{Server, TimeLimit};
use tempfile::TempDir;

use crate::support::{after, becomes, builder, server, soon};

/// A directory of files that override documents.
struct Overriding(TempDir);

impl Overriding {
    fn new() -> Self {
        TimeLimit::for_test();
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self, data_id: &str) -> PathBuf {
        self.0.path().join("public/DEFAULT_GROUP").join(data_id)
    }

    fn write(&self, data_id: &str, content: impl AsRef<[u8]>) {
        let file = self.file(data_id);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, content).expect("written");
    }

    fn directory(&self) -> String {
        self.0.path().display().to_string()
    }

    async fn client(&self, server: &Server) -> Client {
        let builder = builder(server).override_dir(self.directory());
        builder.connect().await.expect("the server is there")
    }
}

fn content(watch: &Watch) -> Option<String> {
    watch.state().document().map(|document| document.content.to_string())
}

async fn shows(watch: &Watch, expected: &str) {
    let is_shown = |state: &DocumentState| {
        state.document().is_some_and(|document| &*document.content == expected)
    };
    becomes(&mut watch.live(), is_shown).await;
}

#[tokio::test(start_paused = true)]
async fn file_of_an_operator_wins_over_the_server_until_it_is_gone() {
    let (server, overriding) = (server().await, Overriding::new());
    server.publish("", "DEFAULT_GROUP", "d", "server");
    let client = overriding.client(&server).await;
    let configs = client.configs();
    let watch = configs.watch("d").expect("valid").ready().await.expect("an answer");
    assert_eq!(content(&watch).as_deref(), Some("server"));

    overriding.write("d", "operator");
    shows(&watch, "operator").await;
    let freshness = watch.freshness().get();
    let Freshness::Overridden { path } = &*freshness else { panic!("{freshness:?}") };
    assert_eq!(**path, *overriding.file("d"));
    let document = configs.get("d").await.expect("a file").expect("a file");
    assert_eq!(&*document.content, "operator");

    // The server goes on beside it.
    let published = Publish::new("d", "newer").expect("valid");
    soon(configs.publish(published).await.expect("published").visible()).await.expect("visible");
    after(10).await;
    assert_eq!(content(&watch).as_deref(), Some("operator"));
    overriding.write("d", "operator, again");
    shows(&watch, "operator, again").await;

    fs::remove_file(overriding.file("d")).expect("removed");
    shows(&watch, "newer").await;
    assert!(watch.freshness().get().is_confirmed());
}

#[tokio::test(start_paused = true)]
async fn file_of_an_operator_is_there_from_the_beginning_and_needs_no_server() {
    let overriding = Overriding::new();
    overriding.write("d", "operator");
    let builder = Client::builder().server_addr("127.0.0.1:1").override_dir(overriding.directory());
    let client = builder.connect_lazy().expect("valid");
    for policy in [StartPolicy::remote(), StartPolicy::default(), StartPolicy::offline()] {
        let watch = client.configs().watch("d").expect("valid").start(policy);
        let watch = soon(watch.ready()).await.expect("a file");
        assert_eq!(content(&watch).as_deref(), Some("operator"), "{policy:?}");
    }
    let document = client.configs().get("d").await.expect("a file").expect("a file");
    assert_eq!(&*document.content, "operator");
}

#[tokio::test(start_paused = true)]
async fn file_that_is_no_text_leaves_what_was_shown() {
    let (server, overriding) = (server().await, Overriding::new());
    server.publish("", "DEFAULT_GROUP", "d", "server");
    overriding.write("d", b"\xff\xfe");
    let client = overriding.client(&server).await;
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    after(10).await;
    assert_eq!(content(&watch).as_deref(), Some("server"));
    assert!(client.configs().get("d").await.expect("an answer").is_some());
    overriding.write("d", "operator");
    shows(&watch, "operator").await;
    overriding.write("d", b"\xff\xfe, longer");
    after(10).await;
    assert_eq!(content(&watch).as_deref(), Some("operator"));
}

#[tokio::test(start_paused = true)]
async fn directory_that_comes_later_is_found() {
    let (server, overriding) = (server().await, Overriding::new());
    let elsewhere = overriding.0.path().join("later");
    let builder = builder(&server).override_dir(elsewhere.display().to_string());
    let client = builder.connect().await.expect("the server is there");
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    assert_eq!(*watch.state(), DocumentState::Absent);
    overriding.write("d", "operator");
    fs::create_dir(&elsewhere).expect("made");
    fs::rename(overriding.0.path().join("public"), elsewhere.join("public")).expect("moved");
    shows(&watch, "operator").await;
    soon(client.shutdown(Duration::from_secs(60))).await;
}

#[tokio::test(start_paused = true)]
async fn remote_watch_beside_a_directory_of_overrides_reads_no_snapshot() {
    let (server, overriding, kept) = (server().await, Overriding::new(), Overriding::new());
    server.publish("", "DEFAULT_GROUP", "d", "server");
    let snapshots = SnapshotDir::new(kept.0.path(), "blue");
    let (key, document) = ("d".try_into().expect("valid"), Document::new("server", "text"));
    snapshots.write(&key, Some(&document)).expect("written");
    let builder = builder(&server).override_dir(overriding.directory());
    let builder = builder.snapshot_dir(kept.directory()).snapshot_scope("blue");
    let client = builder.connect().await.expect("the server is there");
    let watch = client.configs().watch("d").expect("valid").start(StartPolicy::remote());
    let _watch = watch.ready().await.expect("an answer");
    assert_eq!(server.requests("ConfigQueryRequest"), 1, "it is the server's content");
}
