//! No secret in any log line, error or `Debug`, whatever goes wrong.
use std::{
    fmt::{self, Write},
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nacos_core::{
    Client, ClientBuilder, Instance, Publish,
    credentials::{
        AccessKey, IdentityHeader, OidcAuthMethod, OidcClient, OidcProvider, StaticToken,
        UserPassword,
    },
};
use nacos_testkit::{Behaviour, Server};
use tokio::time::{Instant, sleep_until};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{
    address_server::AddressServer,
    support::{self, builder},
};

/// Everything that anybody but the test server logs, at every level, as text.
#[derive(Clone, Default)]
struct Log {
    text: Arc<Mutex<String>>,
    spans: Arc<AtomicU64>,
}

impl Log {
    fn text(&self) -> String {
        self.text.lock().expect("no panic").clone()
    }

    fn write(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Fields<'_>)) {
        if metadata.target().starts_with("nacos_testkit") {
            return;
        }
        let mut text = self.text.lock().expect("no panic");
        write!(text, "\n{} {}", metadata.target(), metadata.name()).expect("a string grows");
        record(&mut Fields(&mut text));
    }
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string grows");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.write(span.metadata(), |fields| span.record(fields));
        Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.text.lock().expect("no panic")));
    }

    fn event(&self, event: &Event<'_>) {
        self.write(event.metadata(), |fields| event.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Lets a client of this builder live through good and bad times; returns whatever it shows.
async fn live(builder: ClientBuilder, server: &Server) -> String {
    let mut shown = format!("{builder:?}");
    let client: Client = builder.connect_lazy().expect("valid options");
    let mut note = |what: &dyn fmt::Debug| write!(shown, "\n{what:?}").expect("a string grows");
    for _ in 0..3 {
        note(&client.configs().publish(Publish::new("d", "1").expect("valid")).await.map(drop));
        note(&client.configs().get("d").await.map(drop));
        let guard = client.naming().register("s", Instance::new("10.0.0.1", 80)).expect("valid");
        note(&guard.ready().await.map(drop));
        note(&client.state().get());
        note(&client);
        server.expire_tokens();
        server.drop_connections();
        sleep_until(Instant::now() + Duration::from_secs(90)).await;
    }
    shown
}

#[tokio::test(start_paused = true)]
async fn secrets_are_in_no_log_line_error_or_debug() {
    let log = Log::default();
    // With one subscriber only, the threads of other tests would decide for all what is logged.
    let _second = tracing::Dispatch::new(Log::default());
    let _guard = tracing::subscriber::set_default(log.clone());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, "hunter2-in-a-file").expect("written");
        path
    };
    let mut shown = String::new();
    for behaviour in [Behaviour::Nacos3_0, Behaviour::Nacos2_3, Behaviour::Nacos3_3] {
        let server = Server::builder().behaviour(behaviour).credentials("nacos", "hunter2");
        let server = support::start(server.oidc("orders", "hunter2")).await;
        let provider = || OidcProvider::Issuer(server.oidc_issuer());
        let oidc = OidcClient::new(provider(), "orders", "hunter2");
        let token = server.issue_token();
        let key = AccessKey::new("ak", "hunter2").security_token("hunter2");
        let lists = AddressServer::start(&server.addr().to_string()).await;
        let sorry = AddressServer::start("<html>").await;
        let with_query = |lists: &AddressServer| lists.client().endpoint_query("token=hunter2");
        for builder in vec![
            builder(&server).credentials("nacos", "hunter2"),
            builder(&server).credentials("nacos", "hunter2-is-wrong"),
            builder(&server).with_credentials(UserPassword::with_password_file("a", file("p"))),
            builder(&server).access_token(token.clone()),
            builder(&server).access_token("hunter2-is-no-token"),
            builder(&server).with_credentials(StaticToken::from_file(file("t"))),
            builder(&server).with_credentials(IdentityHeader::new("Rig", "hunter2")),
            builder(&server).with_credentials(key.clone()),
            builder(&server).with_credentials(key.signature_region("r")),
            builder(&server).with_credentials(AccessKey::from_files(file("a"), file("s"))),
            builder(&server).with_credentials(OidcClient::new(provider(), "orders", "hunter2-no")),
            builder(&server).with_credentials(oidc.clone()),
            builder(&server).with_credentials(oidc.auth_method(OidcAuthMethod::ClientSecretBasic)),
            builder(&server)
                .oidc_issuer(server.oidc_issuer())
                .oidc_client_id("orders")
                .oidc_client_secret_file(file("o").display().to_string()),
            builder(&server).access_key("ak").secret_key("hunter2").security_token("hunter2"),
            with_query(&lists),
            with_query(&sorry),
            with_query(&lists).endpoint("127.0.0.1:1"),
            lists.client().endpoint(format!("http://{}/list?token=hunter2", lists.address)),
        ] {
            shown.push_str(&live(builder, &server).await);
        }
        assert!(lists.last_request().contains("token=hunter2"), "it was sent");
        assert!(!shown.contains(&token));
        assert!(!log.text().contains(&token));
    }
    let log = log.text();
    // All that goes wrong has been seen, or this would prove nothing.
    for expected in ["connected", "access denied", "the list of servers", "nacos_core", "h2::"] {
        assert!(log.contains(expected), "nothing logged {expected:?}");
    }
    assert!(shown.contains("Denied") && shown.contains("Ok("));
    for secret in ["hunter2", "testkit.", "accessToken:"] {
        let line = log.lines().chain(shown.lines()).find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
}
