//! Credentials that are no user's password: tokens from elsewhere, headers, a program's own.
use std::{
    fmt, fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nacos_core::{
    ClaimState, ClientOptions, DocumentState, ErrorKind, Group, Instance, Publish, Secret,
    SessionState,
    credentials::{
        Credentials, Grant, GrantContext, GrantError, GrantFuture, RequestHeaders, Resource,
        StaticToken, UserPassword,
    },
};
use nacos_testkit::{Behaviour, Server};
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};

use crate::support::{self, BEHAVIOURS, becomes, builder, soon};

/// A server that demands credentials, and a folder for them.
async fn guarded() -> (Server, TempDir) {
    let builder = Server::builder().behaviour(Behaviour::Nacos2_5);
    let server = support::start(builder.credentials("nacos", "s3cret")).await;
    (server, TempDir::new().expect("a folder"))
}

fn write(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("secret");
    fs::write(&path, text).expect("written");
    path
}

/// The token that came with the last query.
fn token(server: &Server) -> Option<String> {
    server.last_request("ConfigQueryRequest")?.headers.get("accessToken").cloned()
}

#[tokio::test(start_paused = true)]
async fn token_from_elsewhere_is_let_in_without_a_login() {
    for behaviour in BEHAVIOURS {
        let server =
            support::start(Server::builder().behaviour(behaviour).credentials("nacos", "s3cret"))
                .await;
        let client = builder(&server).access_token(server.issue_token()).connect().await;
        let client = client.expect("connects");
        client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
        let guard =
            client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
        assert_eq!(server.logins() + server.refused_logins(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn refused_token_that_cannot_be_replaced_is_denied_and_not_repeated() {
    let (server, _) = guarded().await;
    let client = builder(&server).with_credentials(StaticToken::new("stale")).connect().await;
    let client = client.expect("connections are not guarded");
    for tries in 1..=10 {
        let error = soon(client.configs().get("d")).await.expect_err("denied");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
        assert_eq!(server.requests("ConfigQueryRequest"), tries);
    }
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut guard.claim(), |state| matches!(state, ClaimState::Refused { .. })).await;
    let before = server.requests("InstanceRequest");
    sleep_until(Instant::now() + Duration::from_secs(300)).await;
    let tries = server.requests("InstanceRequest") - before;
    assert!((1..=20).contains(&tries), "{tries} registrations in five minutes");
    assert!(client.state().get().is_connected());
}

#[tokio::test(start_paused = true)]
async fn token_that_is_replaced_on_disk_is_picked_up_when_the_old_one_is_refused() {
    let (server, folder) = guarded().await;
    let path = write(&folder, &format!("{}\n", server.issue_token()));
    let options = format!(r#"{{ "accessTokenFile": {:?} }}"#, path.display().to_string());
    let options: ClientOptions = serde_json::from_str(&options).expect("readable");
    let client = builder(&server).options(options).connect().await.expect("connects");
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    server.expire_tokens();
    write(&folder, &server.issue_token());
    let before = server.requests("ConfigQueryRequest");
    client.configs().get("d").await.expect("asked again with the new token");
    assert_eq!(server.requests("ConfigQueryRequest") - before, 2);
}

#[tokio::test(start_paused = true)]
async fn token_that_is_replaced_on_disk_is_picked_up_before_the_old_one_is_refused() {
    let (server, folder) = guarded().await;
    let path = write(&folder, &server.issue_token());
    let client = builder(&server).with_credentials(StaticToken::from_file(&path)).connect().await;
    let client = client.expect("connects");
    let new = server.issue_token();
    write(&folder, &new);
    soon(async {
        while token(&server).as_ref() != Some(&new) {
            client.configs().get("d").await.expect("both are good");
            sleep_until(Instant::now() + Duration::from_secs(1)).await;
        }
    })
    .await;
    assert!(server.requests("ConfigQueryRequest") <= 31, "within half a minute");
    // A file that is gone for a moment costs nothing: the token may still be good.
    fs::remove_file(path).expect("removed");
    sleep_until(Instant::now() + Duration::from_secs(120)).await;
    client.configs().get("d").await.expect("still let in");
}

#[tokio::test(start_paused = true)]
async fn secret_file_that_is_missing_is_named_and_waited_for() {
    let (server, folder) = guarded().await;
    let path = folder.path().join("secret");
    let credentials = UserPassword::with_password_file("nacos", &path);
    let builder = builder(&server).with_credentials(credentials);
    let error = builder.clone().connect().await.expect_err("no password");
    assert!(format!("{error:?}").contains(path.to_str().expect("UTF-8")), "{error:?}");
    let client = builder.connect_lazy().expect("valid options");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Backoff { .. })).await;
    write(&folder, "s3cret\n");
    becomes(&mut client.state(), SessionState::is_connected).await;
    assert_eq!(server.refused_logins(), 0);
}

#[tokio::test(start_paused = true)]
async fn password_is_read_again_at_each_login() {
    let (server, folder) = guarded().await;
    let path = write(&folder, "wrong");
    let client = builder(&server).username("nacos").password_file(path.display().to_string());
    let client = client.connect_lazy().expect("valid options");
    becomes(&mut client.state(), |state| matches!(state, SessionState::Denied { .. })).await;
    write(&folder, "s3cret");
    becomes(&mut client.state(), SessionState::is_connected).await;
    assert_eq!((server.logins(), server.refused_logins()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn identity_header_is_on_every_request_in_its_very_case() {
    let server = support::server().await;
    let client = builder(&server).identity_key("Server-Identity").identity_value("k3y");
    let client = client.connect().await.expect("connects");
    client.configs().get("d").await.expect("answered");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    for kind in ["ConfigQueryRequest", "InstanceRequest"] {
        let sent = server.last_request(kind).expect("sent").headers;
        assert_eq!((sent.len(), sent["Server-Identity"].as_str()), (1, "k3y"));
    }
}

/// Credentials that do what a test wants, and count how often they are asked.
#[derive(Clone)]
struct Own(Arc<Asked>);

struct Asked {
    grant: Box<dyn Fn(u64) -> GrantFuture<'static> + Send + Sync>,
    times: AtomicU64,
    /// How often because of a refusal.
    refused: AtomicU64,
}

impl Own {
    /// `grant` is given the number of times it was asked before.
    fn new(grant: impl Fn(u64) -> GrantFuture<'static> + Send + Sync + 'static) -> Self {
        let (times, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Asked { grant: Box::new(grant), times, refused }))
    }

    fn signing(
        sign: impl Fn(&Resource, &mut RequestHeaders<'_>) + Copy + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |_| {
            let grant = Grant::new().signed_by(move |resource, _, headers| sign(resource, headers));
            Box::pin(std::future::ready(Ok(grant)))
        })
    }

    fn asked(&self) -> (u64, u64) {
        (self.0.times.load(Ordering::Relaxed), self.0.refused.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

impl Credentials for Own {
    fn grant<'a>(&'a self, context: &'a GrantContext) -> GrantFuture<'a> {
        assert_eq!(context.servers().count(), 1);
        self.0.refused.fetch_add(u64::from(context.is_refused()), Ordering::Relaxed);
        (self.0.grant)(self.0.times.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn own_credentials_are_asked_at_the_beginning_before_the_end_and_when_they_are_refused() {
    let (server, _) = guarded().await;
    let token = Arc::new(Mutex::new(server.issue_token()));
    let vault = Arc::clone(&token);
    let own = Own::new(move |_| {
        let token = Secret::new(vault.lock().expect("no panic").clone());
        let grant = Grant::access_token(token).lifetime(Duration::from_secs(600));
        Box::pin(std::future::ready(Ok(grant)))
    });
    let client = builder(&server).with_credentials(own.clone()).connect().await.expect("connects");
    client.configs().get("d").await.expect("let in");
    assert_eq!(own.asked(), (1, 0));
    sleep_until(Instant::now() + Duration::from_secs(600)).await;
    assert_eq!(own.asked(), (2, 0));
    server.expire_tokens();
    *token.lock().expect("no panic") = server.issue_token();
    client.configs().get("d").await.expect("let in again");
    assert_eq!(own.asked(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn own_credentials_that_hang_or_panic_delay_and_end_nothing() {
    let (server, _) = guarded().await;
    let token = server.issue_token();
    let own = Own::new(move |asked| {
        let token = token.clone();
        Box::pin(async move {
            match asked {
                0 => std::future::pending().await,
                1 => panic!("on purpose"),
                2 => Err(GrantError::unavailable("the vault is sealed")),
                3 => Err(GrantError::denied("the vault knows us not")),
                _ => Ok(Grant::access_token(token)),
            }
        })
    });
    let client = builder(&server).with_credentials(own.clone()).connect_lazy().expect("valid");
    let mut state = client.state();
    for why in ["no answer in time", "panicked", "sealed"] {
        let is = |state: &SessionState| matches!(state, SessionState::Backoff { cause, .. } if cause.contains(why));
        becomes(&mut state, is).await;
    }
    becomes(&mut state, |state| matches!(state, SessionState::Denied { .. })).await;
    becomes(&mut state, SessionState::is_connected).await;
    client.configs().get("d").await.expect("let in");
}

#[tokio::test(start_paused = true)]
async fn own_signer_is_told_what_each_request_is_about_and_may_panic() {
    let server = support::server().await;
    let own = Own::signing(|resource, headers| match resource {
        Resource::Document(key) => headers.insert("about", key.to_string()),
        Resource::Service(key) => headers.insert("about", key.to_string()),
        Resource::Documents => headers.insert("about", "documents"),
        other => panic!("{other:?}"),
    });
    let client = builder(&server).with_credentials(own.clone()).connect().await.expect("connects");
    let about = |kind: &str| server.last_request(kind).expect("sent").headers["about"].clone();
    let watch = client.configs().watch("d").expect("valid");
    becomes(&mut watch.live(), |state| *state == DocumentState::Absent).await;
    assert_eq!(about("ConfigBatchListenRequest"), "documents");
    client.configs().get("d").await.expect("answered");
    assert_eq!(about("ConfigQueryRequest"), "public/DEFAULT_GROUP/d");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    let guard = guard.ready().await.expect("registered");
    assert_eq!(about("InstanceRequest"), "public/DEFAULT_GROUP@@orders");
    drop(guard);
    // A panic in a caller's own request is the caller's.
    let naming = client.naming();
    let listed = tokio::spawn(async move { naming.list(&Group::default(), 1, 10).await.is_ok() });
    assert!(listed.await.expect_err("a panic").is_panic());
    assert!(client.state().get().is_connected());
}

/// A signer that panics for claims: they are refused, and the session goes on.
#[tokio::test(start_paused = true)]
async fn signer_that_panics_costs_its_request_and_not_the_session() {
    let server = support::server().await;
    let own = Own::signing(|_, _| panic!("on purpose"));
    let client = builder(&server).with_credentials(own.clone()).connect().await.expect("connects");
    let guard = client.naming().register("orders", Instance::new("10.0.0.1", 80)).expect("valid");
    becomes(&mut guard.claim(), |state| matches!(state, ClaimState::Refused { .. })).await;
    sleep_until(Instant::now() + Duration::from_secs(60)).await;
    assert!(client.state().get().is_connected());
    assert_eq!((server.requests("InstanceRequest"), server.connects()), (0, 1));
    assert!(server.requests("HealthCheckRequest") > 5);
}
