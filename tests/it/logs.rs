//! A session's lines in the log: enough to see an outage, never enough to fill a disk.
use std::{
    error::Error,
    fmt,
    future::{Future, IntoFuture},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nacos_core::{Client, Instance, lifecycle};
use nacos_testkit::Server;
use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

use crate::support::{self, connected, reconnected, server, soon};

/// Every line that was logged on this thread, with its fields.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(Level, String)>>>, Arc<Mutex<Vec<String>>>);

impl Log {
    /// Keeps what is logged from now on, until the guard is dropped.
    ///
    /// There are two dispatchers: while there is only one, whichever thread comes to a line first
    /// decides for all of them whether it is wanted, and the threads of other tests want none.
    pub(crate) fn keep() -> (Self, (DefaultGuard, Dispatch)) {
        let log = Self::default();
        let second = Dispatch::new(log.clone());
        let guard = tracing::subscriber::set_default(log.clone());
        (log, (guard, second))
    }

    pub(crate) fn at(&self, level: Level) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|(at, _)| *at == level).map(|(_, line)| line.clone()).collect()
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["nacos_core", "nacos_figment"].iter().any(|of| metadata.target().starts_with(of))
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut text = Text(format!("{} ", span.metadata().name()));
        span.record(&mut text);
        self.1.lock().unwrap_or_else(PoisonError::into_inner).push(text.0);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let line = (*event.metadata().level(), text.0);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The fields of an event or a span.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write;
        write!(self.0, "{}={value:?} ", field.name()).expect("a string grows");
    }
}

#[tokio::test(start_paused = true)]
async fn session_and_each_try_of_a_request_have_a_span_with_their_fields() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = support::builder(&server).app("shop").connect().await.expect("there");
    server.answer_next_raw("ConfigQueryRequest", nacos_testkit::RawAnswer::Silent);
    client.configs().get("d").await.expect("the second try");
    let spans = log.1.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let session: Vec<_> = spans.iter().filter(|span| span.starts_with("nacos ")).collect();
    assert_eq!(session, ["nacos app=shop "]);
    let tries: Vec<_> = spans.iter().filter(|span| span.starts_with("request ")).collect();
    let expected = format!("request kind=\"ConfigQueryRequest\" server={} ", server.addr());
    assert_eq!(tries, [&expected, &expected]);
}

#[tokio::test(start_paused = true)]
async fn server_that_is_left_for_another_is_a_line_with_its_reason() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = connected(&server).await;
    log.clear();
    server.reset_connections(None);
    reconnected(&client, 1).await;
    let infos = log.at(Level::INFO);
    assert!(infos.iter().any(|line| line.contains("reason=\"reset\"")), "{infos:?}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_is_two_lines_and_its_details_are_bounded() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = connected(&server).await;
    let naming = client.naming();
    let mut registrations = Vec::new();
    for port in 1..=50 {
        let guard = naming.register(format!("s{port}").as_str(), Instance::new("10.0.0.1", port));
        registrations.push(guard.expect("valid").ready().await.expect("registered"));
    }
    let _watch = client.configs().watch("d").expect("valid").ready().await.expect("an answer");
    assert_eq!(log.at(Level::INFO).len(), 1, "{:?}", log.at(Level::INFO));
    log.clear();

    server.stop().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    server.resume().await.expect("the same ports");
    reconnected(&client, 1).await;

    let (warnings, infos) = (log.at(Level::WARN), log.at(Level::INFO));
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.contains(&server.addr().to_string()), "no cause: {warning}");
    let [info] = infos.as_slice() else { panic!("{infos:?}") };
    assert!(info.contains("outage=36"), "no length: {info}");
    assert!(log.at(Level::ERROR).is_empty());
    let details = log.at(Level::DEBUG).len();
    assert!((10..=80).contains(&details), "{details} lines of detail");
    assert!(log.at(Level::TRACE).len() <= details);
}

#[tokio::test(start_paused = true)]
async fn wrong_password_is_one_warning_however_long_it_is_wrong() {
    let (log, _guard) = Log::keep();
    let server = support::start(Server::builder().credentials("nacos", "right")).await;
    let client = Client::builder()
        .server_addr(server.addr().to_string())
        .credentials("nacos", "wrong-password")
        .connect_lazy()
        .expect("valid");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let warnings = log.at(Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(log.at(Level::DEBUG).len() <= 80, "{:?}", log.at(Level::DEBUG));
    let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    let secret = |line: &String| line.contains("wrong-password");
    assert!(!all.iter().any(|level| log.at(*level).iter().any(secret)));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_refusals_and_unreadable_pushes_are_a_line_a_minute() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = Client::builder()
        .server_addr(server.addr().to_string())
        .receive_limit(10_000)
        .connect()
        .await
        .expect("there");
    server.answer_always("InstanceRequest", Some(400));
    let naming = client.naming();
    let guards: Vec<_> = (1..=200)
        .map(|n| naming.register(format!("s{n}").as_str(), Instance::new("a", n)).expect("valid"))
        .collect();
    soon(server.until(|server| server.requests("InstanceRequest") == 200)).await;
    for _ in 0..200 {
        let body = serde_json::json!({"x": "x".repeat(20_000)});
        server.push_raw("NoveltyRequest", body);
    }
    let mut stats = client.stats();
    support::becomes(&mut stats, |stats| stats.unreadable == 200).await;
    let warnings = log.at(Level::WARN);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().any(|line| line.contains("public")), "no name: {warnings:?}");
    drop(guards);
}

/// A server that accepts no connection.
struct Silent;

impl lifecycle::Serve for Silent {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 80)))
    }

    async fn serve(
        self,
        _: lifecycle::Connections,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        stop.await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn registration_is_a_line_that_names_the_namespace() {
    let (log, _guard) = Log::keep();
    let server = server().await;
    let client = support::builder(&server).namespace("staging").connect().await;
    let client = client.expect("there");
    let bound = lifecycle::Bound::new(Silent)
        // Kubernetes sets this for a service of that name.
        .with_environment_ip(Some("tcp://10.0.0.1:80".to_owned()))
        .with_nacos(&client, "orders");
    let serving = tokio::spawn(bound.into_future());
    soon(async {
        while !log.at(Level::INFO).iter().any(|line| line.contains("message=registered")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let infos = log.at(Level::INFO);
    let line = infos.iter().find(|line| line.contains("message=registered")).expect("just seen");
    assert!(line.contains("staging/DEFAULT_GROUP@@orders"), "{line}");
    let warnings = log.at(Level::WARN);
    assert!(warnings.iter().any(|line| line.contains("NACOS_REGISTER_IP")), "{warnings:?}");
    assert_eq!(server.instances("staging", "DEFAULT_GROUP", "orders")[0].ip, "127.0.0.1");
    serving.abort();
}
