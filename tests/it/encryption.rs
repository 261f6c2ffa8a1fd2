//! Encrypted documents, as the plugin of the server project and other clients know them.
use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nacos_core::{
    Client, ConfigKey, Document, DocumentState, ErrorKind, Publish, SnapshotDir, StartPolicy,
    Visibility, Watch,
    filter::{
        AesEncryption, ClearDataKeys, DataKey, DataKeyFuture, DataKeys, FilterError, NewDataKey,
        NewDataKeyFuture,
    },
};
use nacos_testkit::{Behaviour, Server};

use crate::support::{BEHAVIOURS, after, becomes, builder, chain, server, server_like, soon};

const DATA_ID: &str = "cipher-aes-db";
/// Made with openssl, as `filter/encryption/format.rs` in core says.
const KEY: &str = "MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmY=";
const CONTENT: &str = "4a76b0b59058a126e66aebbbcffcf5fe";
/// No text at all, under the same key.
const EMPTY: &str = "6d8022fe3a60411d05dbaa6e671a2695";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMDBmMWUyZDNjNGI1YTY5Nzg=";

async fn encrypting(server: &Server) -> Client {
    let encryption = AesEncryption::new(ClearDataKeys::new());
    builder(server).with_config_filter(encryption).connect().await.expect("the server is there")
}

fn publish_encrypted(server: &Server, content: &str, key: &str) {
    server.publish_encrypted("", "DEFAULT_GROUP", DATA_ID, content, key);
}

fn stored(server: &Server) -> (String, String) {
    let document = server.document("", "DEFAULT_GROUP", DATA_ID).expect("stored");
    (document.content, document.encrypted_data_key)
}

async fn watched(client: &Client) -> Watch {
    client.configs().watch(DATA_ID).expect("valid").ready().await.expect("an answer")
}

fn content(state: &DocumentState) -> Option<&str> {
    state.document().map(|document| &*document.content)
}

async fn shows(watch: &Watch, wanted: &str) {
    let is_shown = |state: &DocumentState| {
        matches!(state, DocumentState::Present(_)) && content(state) == Some(wanted)
    };
    becomes(&mut watch.live(), is_shown).await;
}

#[tokio::test(start_paused = true)]
async fn document_of_the_plugin_is_clear_text_for_the_program_and_cipher_text_for_the_server() {
    for behaviour in BEHAVIOURS.into_iter().filter(|it| *it != Behaviour::RNacos) {
        let server = server_like(behaviour).await;
        publish_encrypted(&server, CONTENT, KEY);
        let client = encrypting(&server).await;
        let (configs, watch) = (client.configs(), watched(&client).await);
        let document = configs.get(DATA_ID).await.expect("an answer").expect("there");
        assert_eq!((&*document.content, document.is_encrypted()), ("k=v", false));
        assert_eq!(*watch.state(), DocumentState::Present(document.clone()));
        assert_eq!(&*document.md5, nacos_core::digest(CONTENT));

        // Over that, by the digest of the cipher text; with a new key.
        let next = Publish::new(DATA_ID, "库存 🔑").expect("valid").if_unchanged(&document);
        let published = configs.publish(next).await.expect("unchanged");
        assert_eq!(published.visible().await.expect("an answer"), Visibility::Visible);
        shows(&watch, "库存 🔑").await;
        let (cipher_text, key) = stored(&server);
        assert!(cipher_text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{behaviour:?}");
        assert_eq!((cipher_text.len(), key.len()), (32, 44));
        assert_ne!(key, KEY);
        assert_eq!(published.md5(), nacos_core::digest(&cipher_text));

        let appended = |old: Option<&Document>| Some(format!("{}!", old?.content));
        configs.update(DATA_ID, appended).await.expect("updated");
        shows(&watch, "库存 🔑!").await;
        assert_ne!(stored(&server).1, key, "and no new content under the key of another");
    }
}

#[tokio::test(start_paused = true)]
async fn document_that_cannot_be_decrypted_never_replaces_one_that_could() {
    let server = server().await;
    publish_encrypted(&server, CONTENT, KEY);
    let client = encrypting(&server).await;
    let watch = watched(&client).await;
    for (cipher_text, key, why) in [
        // As consoles have done it: the new content in clear text, with the key of the former one.
        ("password: hunter2", KEY, "no cipher text"),
        (EMPTY, OTHER_KEY, "cannot be decrypted"),
        (&CONTENT[..30], KEY, "no cipher text"),
        (&CONTENT[..31], KEY, "no cipher text"),
        (EMPTY, "", "no encrypted data key"),
        (EMPTY, "hunter2", "not Base64"),
        (EMPTY, "MDAxMQ==", "16, 24 or 32 bytes"),
        ("", KEY, "no cipher text"),
    ] {
        publish_encrypted(&server, cipher_text, key);
        let failed = |state: &DocumentState| matches!(state, DocumentState::Unreachable { .. });
        becomes(&mut watch.live(), failed).await;
        assert_eq!(content(&watch.state()), Some("k=v"));
        let error = client.configs().get(DATA_ID).await.expect_err("it cannot be read");
        let state = watch.state();
        for error in [error, state.error().expect("a cause")] {
            let text = chain(&error);
            assert_eq!(error.kind(), ErrorKind::Filter, "{text}");
            assert!(text.contains(why), "{text}");
            assert!(!text.contains("hunter2") && !text.contains(CONTENT), "{text}");
        }
        publish_encrypted(&server, CONTENT, KEY);
        shows(&watch, "k=v").await;
    }
}

#[tokio::test(start_paused = true)]
async fn clear_text_with_the_key_of_a_former_content_is_not_published() {
    let server = server().await;
    publish_encrypted(&server, CONTENT, KEY);
    let client = encrypting(&server).await;
    let configs = client.configs();
    let publish = |content| Publish::new(DATA_ID, content).expect("valid").encrypted_data_key(KEY);
    let error = configs.publish(publish("password: hunter2")).await.expect_err("a mistake");
    assert_eq!(error.kind(), ErrorKind::Filter);
    assert_eq!(stored(&server), (CONTENT.to_owned(), KEY.to_owned()));
    // A program that has encrypted by itself.
    configs.publish(publish(EMPTY)).await.expect("published as it is");
    assert_eq!(stored(&server), (EMPTY.to_owned(), KEY.to_owned()));
}

#[tokio::test(start_paused = true)]
async fn documents_with_other_names_are_left_as_they_are() {
    let server = server().await;
    let client = encrypting(&server).await;
    let configs = client.configs();
    for data_id in ["db.yaml", "cipher-kms-aes-128-db", "cipher-AES-db"] {
        configs.publish(Publish::new(data_id, "1").expect("valid")).await.expect("published");
        let document = server.document("", "DEFAULT_GROUP", data_id).expect("stored");
        assert_eq!((&*document.content, &*document.encrypted_data_key), ("1", ""), "{data_id}");
        let document = configs.get(data_id).await.expect("an answer").expect("there");
        assert_eq!(&*document.content, "1");
        assert_eq!(document.is_encrypted(), data_id != "db.yaml", "{data_id}");
    }
    server.publish_encrypted("", "DEFAULT_GROUP", "db.yaml", "4a76b0b5", "of another plugin");
    let document = configs.get("db.yaml").await.expect("an answer").expect("there");
    assert!(document.is_encrypted());
}

#[tokio::test(start_paused = true)]
async fn server_that_loses_keys_is_sent_no_encrypted_document() {
    let server = server_like(Behaviour::RNacos).await;
    publish_encrypted(&server, CONTENT, KEY);
    let client = encrypting(&server).await;
    let configs = client.configs();
    let publish = Publish::new(DATA_ID, "k=w").expect("valid");
    let error = configs.publish(publish).await.expect_err("it would lose the key");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(stored(&server).0, CONTENT);
    let error = configs.get(DATA_ID).await.expect_err("it has lost the key");
    assert!(chain(&error).contains("the server has lost it, as r-nacos does"), "{}", chain(&error));
}

#[tokio::test(start_paused = true)]
async fn same_text_under_a_new_key_has_a_new_digest_for_who_watches() {
    let server = server().await;
    let client = encrypting(&server).await;
    let configs = client.configs();
    let publish = || Publish::new(DATA_ID, "k=v").expect("valid");
    configs.publish(publish()).await.expect("published");
    let mut watch = watched(&client).await;
    configs.publish(publish()).await.expect("published");
    let state = soon(watch.changed()).await.expect("a state");
    assert_eq!(content(&state), Some("k=v"));
    let next = publish().if_unchanged(state.document().expect("there"));
    configs.publish(next).await.expect("it is the newest");
}

#[tokio::test(start_paused = true)]
async fn size_that_counts_is_that_of_the_cipher_text() {
    let server = server().await;
    let client = encrypting(&server).await;
    let configs = client.configs();
    let publish = |bytes| Publish::new(DATA_ID, "7".repeat(bytes)).expect("valid");
    let error = configs.publish(publish(6 << 20)).await.expect_err("12 MiB");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(server.requests("ConfigPublishRequest"), 0);
    configs.publish(publish(4 << 20)).await.expect("8 MiB");
    let document = configs.get(DATA_ID).await.expect("an answer").expect("there");
    assert_eq!(document.content.len(), 4 << 20);
}

/// A service that may be out of order. The master key is a word that it puts before its own.
#[derive(Clone, Debug)]
struct Kms {
    is_down: Arc<AtomicBool>,
}

impl Kms {
    fn answer<T>(&self, answer: Option<T>) -> Result<T, FilterError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(FilterError::unavailable("kms: connection refused"));
        }
        answer.ok_or_else(|| FilterError::rejected("kms: InvalidCiphertext"))
    }
}

impl DataKeys for Kms {
    fn generate(&self, bytes: usize) -> NewDataKeyFuture<'_> {
        let new = NewDataKey { key: DataKey::new(vec![7; bytes]), encrypted: "blob/7".into() };
        Box::pin(ready(self.answer(Some(new))))
    }

    fn decrypt<'a>(&'a self, encrypted: &'a str) -> DataKeyFuture<'a> {
        let number = encrypted.strip_prefix("blob/").and_then(|number| number.parse::<u8>().ok());
        let key = number.map(|number| DataKey::new(vec![number; 16]));
        Box::pin(ready(self.answer(key)))
    }
}

#[tokio::test(start_paused = true)]
async fn key_service_that_is_back_needs_no_new_publish() {
    let server = server().await;
    let kms = Kms { is_down: Arc::default() };
    let encryption = AesEncryption::new(kms.clone());
    let builder = builder(&server).with_config_filter(encryption);
    let client = builder.connect().await.expect("the server is there");
    let configs = client.configs();
    let publish = |content| Publish::new(DATA_ID, content).expect("valid");
    configs.publish(publish("1")).await.expect("published");
    assert_eq!(stored(&server).1, "blob/7");
    let watch = watched(&client).await;

    kms.is_down.store(true, Ordering::Relaxed);
    let error = configs.publish(publish("2")).await.expect_err("no keys");
    assert_eq!(error.kind(), ErrorKind::FilterUnavailable);
    assert!(error.is_retryable());
    // Somebody else has keys.
    let other = AesEncryption::new(Kms { is_down: Arc::default() });
    let other = crate::support::builder(&server).with_config_filter(other).connect().await;
    let other = other.expect("the server is there");
    other.configs().publish(publish("2")).await.expect("published");
    let failed = |state: &DocumentState| matches!(state, DocumentState::Unreachable { .. });
    becomes(&mut watch.live(), failed).await;
    assert_eq!(content(&watch.state()), Some("1"));
    assert!(watch.state().error().is_some_and(|error| error.is_retryable()));
    after(300).await;
    kms.is_down.store(false, Ordering::Relaxed);
    shows(&watch, "2").await;
}

#[tokio::test(start_paused = true)]
async fn documents_of_mse_are_in_its_own_format() {
    let server = server().await;
    let kms = Kms { is_down: Arc::default() };
    let plugin = AesEncryption::new(ClearDataKeys::new());
    let builder = builder(&server).with_config_filter(plugin);
    let builder = builder.with_config_filter(AesEncryption::mse(kms));
    let client = builder.connect().await.expect("the server is there");
    let configs = client.configs();
    let publish = Publish::new("cipher-kms-aes-128-db", "k=v").expect("valid");
    configs.publish(publish).await.expect("published");
    let stored = server.document("", "DEFAULT_GROUP", "cipher-kms-aes-128-db").expect("stored");
    // By openssl, with a key of sixteen sevens.
    assert_eq!(&*stored.content, "cKBGd7gTJ9edZvOZ4QxGAQ==");
    assert_eq!(&*stored.encrypted_data_key, "blob/7");
    for data_id in ["cipher-kms-aes-128-db", DATA_ID] {
        configs.publish(Publish::new(data_id, "k=w").expect("valid")).await.expect("published");
        let document = configs.get(data_id).await.expect("an answer").expect("there");
        assert_eq!(&*document.content, "k=w");
    }
}

#[tokio::test(start_paused = true)]
async fn document_stays_cipher_text_on_disk_and_is_clear_text_after_a_start_without_a_server() {
    let server = server().await;
    let directory = tempfile::tempdir().expect("a directory");
    publish_encrypted(&server, CONTENT, KEY);
    let keeping = |builder: nacos_core::ClientBuilder| {
        let builder = builder.snapshot_dir(directory.path().display().to_string());
        let encryption = AesEncryption::new(ClearDataKeys::new());
        builder.snapshot_scope("blue").with_config_filter(encryption)
    };
    let client = keeping(builder(&server)).connect().await.expect("the server is there");
    let watch = watched(&client).await;
    assert_eq!(content(&watch.state()), Some("k=v"));
    soon(client.shutdown(Duration::from_secs(60))).await;
    drop(watch);
    let key = ConfigKey::try_from(DATA_ID).expect("valid");
    let snapshot = SnapshotDir::new(directory.path(), "blue").read(&key).expect("readable");
    let document = snapshot.and_then(|snapshot| snapshot.document).expect("written");
    assert_eq!((&*document.content, document.encrypted_data_key.as_deref()), (CONTENT, Some(KEY)));

    let nobody = keeping(Client::builder().server_addr("127.0.0.1:1")).connect_lazy();
    let client = nobody.expect("valid");
    let watch = client.configs().watch(DATA_ID).expect("valid");
    let watch = watch.start(StartPolicy::snapshot_first()).ready().await.expect("on disk");
    assert_eq!(content(&watch.state()), Some("k=v"));
}
