//! Documents on disk: written as they are received.
use std::{net::Ipv4Addr, path::Path, time::Duration};

use nacos_core::{Client, ConfigKey, DocumentState, Publish, Snapshot, SnapshotDir};
use nacos_testkit::Server;
use tempfile::TempDir;

use crate::support::{becomes, builder, server, soon};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

async fn keeping(server: &Server, directory: &Path) -> Client {
    let builder = builder(server).snapshot_dir(directory.display().to_string());
    builder.snapshot_scope("blue").connect().await.expect("the server is there")
}

fn on_disk(directory: &Path, data_id: &str) -> Option<Snapshot> {
    let key = ConfigKey::try_from(data_id).expect("valid");
    SnapshotDir::new(directory, "blue").read(&key).expect("readable")
}

fn content(snapshot: Option<&Snapshot>) -> Option<&str> {
    Some(&*snapshot?.document.as_ref()?.content)
}

/// The client is shut down, which waits for its disk.
async fn ended(client: Client) {
    soon(client.shutdown(Duration::from_secs(60))).await;
}

#[tokio::test(start_paused = true)]
async fn watched_documents_are_on_disk_as_they_were_last_received() {
    let (server, directory) = (server().await, directory());
    server.publish("", "DEFAULT_GROUP", "changed", "1");
    server.publish("", "DEFAULT_GROUP", "removed", "1");
    let client = keeping(&server, directory.path()).await;
    let configs = client.configs();
    let mut changed = configs.watch("changed").expect("valid").ready().await.expect("an answer");
    let mut removed = configs.watch("removed").expect("valid").ready().await.expect("an answer");
    server.publish("", "DEFAULT_GROUP", "changed", "2");
    server.remove("", "DEFAULT_GROUP", "removed");
    soon(changed.changed()).await.expect("a state");
    soon(removed.changed()).await.expect("a state");
    let _ = configs.watch("absent").expect("valid").ready().await.expect("an answer");
    ended(client).await;

    assert_eq!(content(on_disk(directory.path(), "changed").as_ref()), Some("2"));
    for gone in ["removed", "absent"] {
        let snapshot = on_disk(directory.path(), gone).expect("a tombstone");
        assert_eq!(snapshot.document, None, "{gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn encrypted_document_is_cipher_text_on_disk() {
    let (server, directory) = (server().await, directory());
    server.publish_encrypted("", "DEFAULT_GROUP", "cipher-aes-db", "4a76b0b5", "the key");
    let client = keeping(&server, directory.path()).await;
    let watch = client.configs().watch("cipher-aes-db").expect("valid");
    let _watch = watch.ready().await.expect("an answer");
    ended(client).await;
    let document = on_disk(directory.path(), "cipher-aes-db").and_then(|found| found.document);
    let document = document.expect("there");
    assert_eq!(&*document.content, "4a76b0b5");
    assert_eq!(document.encrypted_data_key.as_deref(), Some("the key"));
    assert!(document.is_encrypted());
}

#[tokio::test(start_paused = true)]
async fn gray_version_takes_the_place_of_no_snapshot() {
    let (server, directory) = (server().await, directory());
    server.publish("", "DEFAULT_GROUP", "d", "formal");
    let client = keeping(&server, directory.path()).await;
    let configs = client.configs();
    let mut watch = configs.watch("d").expect("valid").ready().await.expect("an answer");
    let beta = Publish::new("d", "beta").expect("valid").beta([Ipv4Addr::LOCALHOST.into()]);
    configs.publish(beta).await.expect("published");
    soon(watch.changed()).await.expect("a state");
    assert_eq!(watch.state().document().map(|document| &*document.content), Some("beta"));
    ended(client).await;
    assert_eq!(content(on_disk(directory.path(), "d").as_ref()), Some("formal"));
    let key = ConfigKey::try_from("d").expect("valid");
    let gray = SnapshotDir::new(directory.path(), "blue").read_gray(&key).expect("readable");
    assert_eq!(content(gray.as_ref()), Some("beta"));

    // It is promoted: everybody gets the same content now, and so does the next start.
    let client = keeping(&server, directory.path()).await;
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    assert!(watch.state().document().is_some_and(|document| document.gray().is_some()));
    server.publish("", "DEFAULT_GROUP", "d", "beta");
    let elsewhere = Publish::new("d", "beta").expect("valid").beta([Ipv4Addr::BROADCAST.into()]);
    client.configs().publish(elsewhere).await.expect("published");
    let is_formal = |state: &DocumentState| state.document().is_some_and(|it| it.gray().is_none());
    becomes(&mut watch.live(), is_formal).await;
    ended(client).await;
    assert_eq!(content(on_disk(directory.path(), "d").as_ref()), Some("beta"));
}

#[tokio::test(start_paused = true)]
async fn disk_that_cannot_be_written_to_hurts_nobody() {
    let (server, directory) = (server().await, directory());
    let file = directory.path().join("nacos");
    std::fs::write(&file, "a file").expect("written");
    server.publish("", "DEFAULT_GROUP", "d", "1");
    let client = keeping(&server, &file).await;
    let watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    assert!(watch.state().document().is_some());
    ended(client).await;
    assert_eq!(std::fs::read(&file).expect("there"), b"a file");
}
