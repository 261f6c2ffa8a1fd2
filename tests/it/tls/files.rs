//! Files of certificates: damaged at the start, and changed while the client lives.
use std::{
    error::Error as _, fs, future::poll_fn, path::Path, pin::pin, sync::mpsc, task::Poll,
    time::Duration,
};

use nacos_core::{Client, ErrorKind};
use nacos_testkit::{Server, TimeLimit};
use tokio::runtime;

use super::{
    authority::{Authority, Keys, Paths},
    terminator::{Terminator, Terms},
    text, trusted,
};
use crate::support::{reconnected, server};

/// The option that is refused, and why.
fn invalid(ca: &Path, client: Option<&Paths>) -> String {
    let mut builder = Client::builder().server_addr("localhost").tls(true).tls_ca_file(text(ca));
    if let Some(paths) = client {
        builder = builder.tls_cert_file(text(&paths.cert)).tls_key_file(text(&paths.key));
    }
    let error = builder.connect_lazy().expect_err("cannot be used");
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    format!("{error}: {}", error.source().expect("has a cause"))
}

#[tokio::test(start_paused = true)]
async fn damaged_file_is_named_and_never_quoted() {
    let trusted = trusted(Keys::Ecdsa);
    let folder = trusted.folder.path();
    let ca = Path::new(&trusted.ca_file);
    let damaged = folder.join("damaged.pem");
    let broken = "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n";
    for content in ["hunter2", "", "-----BEGIN hunter2", broken] {
        fs::write(&damaged, content).expect("writable");
        let error = invalid(&damaged, None);
        assert!(error.contains("`tls_ca_file`") && error.contains("damaged.pem"), "{error}");
        let good = trusted.loopback().write(folder, "good");
        let error = invalid(ca, Some(&Paths { cert: damaged.clone(), ..good.clone() }));
        assert!(error.contains("`tls_cert_file`") && error.contains("damaged.pem"), "{error}");
        let error = invalid(ca, Some(&Paths { key: damaged.clone(), ..good }));
        assert!(error.contains("`tls_key_file`") && error.contains("damaged.pem"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// On a runtime that has a single thread for what blocks, which is busy until the gate opens: until
/// then nobody hears of what was read.
#[test]
fn connect_reads_files_beside_the_runtime_and_within_its_timeout() {
    let _limit = TimeLimit::start();
    let trusted = trusted(Keys::Ecdsa);
    let builder = Client::builder().server_addr("127.0.0.1:1").tls(true);
    let builder = builder.tls_ca_file(trusted.ca_file.clone());
    let runtime = runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (open, gate) = mpsc::channel::<()>();
        let _busy = tokio::task::spawn_blocking(move || gate.recv());
        let mut patient = pin!(builder.clone().connect_timeout(HOUR).connect());
        let mut hasty = pin!(builder.connect());
        let waiting = poll_fn(|cx| {
            let [patient, hasty] = [patient.as_mut().poll(cx), hasty.as_mut().poll(cx)];
            Poll::Ready(patient.is_pending() && hasty.is_pending())
        });
        assert!(waiting.await, "the disk was waited for");
        tokio::time::advance(Duration::from_secs(6)).await;
        let hasty = hasty.await.expect_err("it had five seconds");
        assert_eq!(hasty.kind(), ErrorKind::Disconnected);
        let why = hasty.source().expect("has a cause").to_string();
        assert!(why.contains("could not be read in time"), "{why}");
        drop(open);
        let patient = patient.await.expect_err("nobody is there");
        assert_eq!(patient.kind(), ErrorKind::Disconnected, "read before: {patient:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn missing_file_and_foreign_key_are_told_apart() {
    let trusted = trusted(Keys::Ecdsa);
    let folder = trusted.folder.path();
    let ca = Path::new(&trusted.ca_file);
    let error = invalid(&folder.join("nowhere.pem"), None);
    assert!(error.contains("`tls_ca_file`") && error.contains("nowhere.pem"), "{error}");
    let error = invalid(folder, None);
    assert!(error.contains("`tls_ca_file`"), "a folder is no file: {error}");
    let (one, other) =
        (trusted.loopback().write(folder, "one"), trusted.loopback().write(folder, "other"));
    let error = invalid(ca, Some(&Paths { cert: one.cert, key: other.key.clone() }));
    assert!(error.contains("it is not the key of the certificate"), "{error}");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    fs::write(&other.key, encrypted).expect("writable");
    let error = invalid(ca, Some(&other));
    assert!(error.contains("encrypted"), "{error}");
}

/// The certificate that the last connection showed.
fn shown(terminator: &Terminator) -> Vec<u8> {
    let seen = terminator.seen();
    seen.last().and_then(|seen| seen.certificate.clone()).expect("a certificate")
}

async fn reconnect(client: &Client, server: &Server) {
    let before = client.stats().get().connects;
    server.drop_connections();
    reconnected(client, before).await;
}

#[tokio::test(start_paused = true)]
async fn next_connection_shows_the_certificate_that_is_in_the_file_then() {
    let trusted = trusted(Keys::Ecdsa);
    let folder = trusted.folder.path();
    let server = server().await;
    let identity = trusted.loopback();
    let clients = [Some(&trusted.authority); 2];
    let terminator = Terminator::before(&server, &Terms { clients, ..Terms::new(&identity) }).await;
    let first = trusted.authority.issue(&["client"]);
    let paths = first.write(folder, "client");
    let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
    let builder = builder.tls_cert_file(text(&paths.cert)).tls_key_file(text(&paths.key));
    let client = builder.connect().await.expect("connects");
    assert_eq!(shown(&terminator), first.chain()[0].to_vec());

    let second = trusted.authority.issue(&["client"]);
    second.write(folder, "client");
    assert!(client.configs().get("d").await.is_ok(), "the connection that is there stays");
    reconnect(&client, &server).await;
    assert_eq!(shown(&terminator), second.chain()[0].to_vec());

    // In the middle of a rotation, and after one that went wrong, the last that was whole is shown.
    let third = trusted.authority.issue(&["client"]);
    let half = third.write(folder, "half");
    fs::copy(&half.cert, &paths.cert).expect("writable");
    reconnect(&client, &server).await;
    assert_eq!(shown(&terminator), second.chain()[0].to_vec());
    fs::remove_file(&paths.key).expect("there");
    reconnect(&client, &server).await;
    assert_eq!(shown(&terminator), second.chain()[0].to_vec());
    fs::copy(&half.key, &paths.key).expect("writable");
    reconnect(&client, &server).await;
    assert_eq!(shown(&terminator), third.chain()[0].to_vec());
}

#[tokio::test(start_paused = true)]
async fn authorities_that_change_decide_about_the_next_connection() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let stranger = Authority::new(Keys::Ecdsa);
    let identity = stranger.issue(&["127.0.0.1"]);
    let terminator = Terminator::before(&server, &Terms::new(&identity)).await;
    let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
    let client = builder.connect_lazy().expect("valid options");
    client.configs().get("d").await.expect_err("that authority is not trusted");
    stranger.write(trusted.folder.path(), "ca");
    client.configs().get("d").await.expect("it is now");
}

const HOUR: Duration = Duration::from_secs(3600);
