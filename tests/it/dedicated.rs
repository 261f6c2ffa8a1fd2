//! A session on a thread of its own. In real time: a thread knows no paused clock.
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use nacos_core::{
    Client, ErrorKind, Instance,
    credentials::{Credentials, Grant, GrantContext, GrantFuture},
};
use nacos_testkit::{Server, TimeLimit};
use tokio::runtime;

/// The server, on a runtime and a thread of its own, until the sender returned is dropped.
fn server_elsewhere() -> (String, mpsc::Receiver<&'static str>, tokio::sync::mpsc::Sender<()>) {
    let (tell, told) = mpsc::channel();
    let (address, addressed) = mpsc::channel();
    let (go_on, mut asked) = tokio::sync::mpsc::channel::<()>(1);
    std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let server = Server::start().await.expect("ports on loopback");
            address.send(server.addr().to_string()).expect("awaited");
            while asked.recv().await.is_some() {
                let acks = server.acks("ClientDetectionResponse");
                server.probe_connections();
                server.until(|server| server.acks("ClientDetectionResponse") > acks).await;
                let connects = server.connects();
                server.drop_connections();
                server.until(|server| server.connects() > connects).await;
                let held = |server: &Server| !server.instances("", "DEFAULT_GROUP", "o").is_empty();
                server.until(held).await;
                tell.send("probed, dropped, and registered again").expect("awaited");
            }
        });
    });
    (addressed.recv().expect("it starts"), told, go_on)
}

#[test]
fn session_outlives_a_blocked_runtime() {
    let _limit = TimeLimit::start();
    let (address, told, go_on) = server_elsewhere();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let builder = Client::builder().server_addr(address).dedicated_thread(true);
        let client = builder.connect().await.expect("the server is there");
        let guard = client.naming().register("o", Instance::new("10.0.0.1", 80)).expect("valid");
        let _guard = guard.ready().await.expect("registered");
        go_on.send(()).await.expect("it listens");
        // The only worker of this runtime is blocked until the server has seen all that.
        told.recv_timeout(Duration::from_secs(60)).expect("it went on without us");
        client.configs().get("d").await.expect("and users go on");
    });
}

#[test]
fn calls_end_at_once_when_the_runtime_of_their_session_has_ended() {
    let _limit = TimeLimit::start();
    let (address, _told, _go_on) = server_elsewhere();
    let runtime =
        || runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let its_own = runtime();
    let client = its_own.block_on(Client::builder().server_addr(address).connect());
    let client = client.expect("the server is there");
    drop(its_own);
    runtime().block_on(async {
        // The clock advances only where no task has work: it stands still while a task spins.
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        let error = client.configs().get("d").await.expect_err("nobody is there to do it");
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
        assert_eq!(tokio::time::Instant::now(), began);
        let watch = client.configs().watch("d").expect("valid");
        assert_eq!(watch.ready().await.expect_err("ended").kind(), ErrorKind::Closed);
    });
}

#[test]
fn lazy_client_needs_no_runtime() {
    let _limit = TimeLimit::start();
    let (address, told, go_on) = server_elsewhere();
    let builder = Client::builder().server_addr(address).dedicated_thread(true);
    let client = builder.connect_lazy().expect("valid");
    let _guard = client.naming().register("o", Instance::new("10.0.0.1", 80)).expect("valid");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !client.state().get().is_connected() {
        assert!(Instant::now() < deadline, "{:?}", client.state().get());
        std::thread::yield_now();
    }
    go_on.blocking_send(()).expect("it listens");
    told.recv_timeout(Duration::from_secs(60)).expect("registered without any runtime");
}

/// Asks something that blocks its thread, from the second time on.
#[derive(Debug)]
struct Blocks {
    asked: std::sync::atomic::AtomicUsize,
    entered: mpsc::Sender<()>,
    gate: std::sync::Mutex<mpsc::Receiver<()>>,
}

impl Credentials for Blocks {
    fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
        Box::pin(async move {
            if self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0 {
                self.entered.send(()).ok();
                self.gate.lock().expect("not poisoned").recv().ok();
            }
            Ok(Grant::access_token("t").lifetime(Duration::from_secs(5)))
        })
    }
}

#[test]
fn credentials_that_block_do_not_delay_the_session() {
    let _limit = TimeLimit::start();
    for dedicated in [false, true] {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_all()
            .build()
            .expect("a runtime");
        let (entered, enters) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        runtime.block_on(async {
            let server = Server::start().await.expect("ports on loopback");
            let credentials =
                Blocks { asked: std::sync::atomic::AtomicUsize::default(), entered, gate };
            let client = Client::builder()
                .server_addr(server.addr().to_string())
                .dedicated_thread(dedicated)
                .with_credentials(credentials);
            let _client = client.connect().await.expect("the server is there");
            tokio::task::spawn_blocking(move || enters.recv()).await.expect("ends").expect("asked");
            let before = server.connects();
            server.drop_connections();
            let again = server.until(|server| server.connects() > before);
            let again = tokio::time::timeout(Duration::from_secs(10), again).await;
            drop(open);
            again.unwrap_or_else(|_| panic!("the session stands still; dedicated: {dedicated}"));
        });
    }
}

/// Goes to sleep when it is asked; says how that ended.
#[derive(Debug)]
struct Sleeps {
    entered: mpsc::Sender<()>,
    left: mpsc::Sender<bool>,
}

/// Says whether it is dropped by a panic.
struct Leaves(mpsc::Sender<bool>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.send(std::thread::panicking()).ok();
    }
}

impl Credentials for Sleeps {
    fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
        Box::pin(async move {
            let _leaves = Leaves(self.left.clone());
            self.entered.send(()).ok();
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Ok(Grant::access_token("t"))
        })
    }
}

#[test]
fn dropping_the_client_ends_a_grant_that_waits_and_quietly() {
    let _limit = TimeLimit::start();
    for round in 0..20 {
        let ((entered, enters), (left, leaves)) = (mpsc::channel(), mpsc::channel());
        let credentials = Sleeps { entered, left };
        let builder = Client::builder().server_addr("127.0.0.1:1").dedicated_thread(true);
        let client = builder.with_credentials(credentials).connect_lazy().expect("valid");
        enters.recv_timeout(Duration::from_secs(60)).expect("it is asked");
        drop(client);
        let panicked = leaves.recv_timeout(Duration::from_secs(60)).expect("it ends");
        assert!(!panicked, "in round {round}");
    }
}

#[test]
fn dropping_the_last_handle_withdraws() {
    let _limit = TimeLimit::start();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let server = Server::start().await.expect("ports on loopback");
        let builder = Client::builder().server_addr(server.addr().to_string());
        let client = builder.dedicated_thread(true).connect().await.expect("the server is there");
        let guard = client.naming().register("o", Instance::new("10.0.0.1", 80)).expect("valid");
        let guard = guard.ready().await.expect("registered");
        let held = |server: &Server| !server.instances("", "DEFAULT_GROUP", "o").is_empty();
        assert!(held(&server));
        drop((client, guard));
        let gone = server.until(|server| !held(server) && server.connections() == 0);
        tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it goes");
    });
}
