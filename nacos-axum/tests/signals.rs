//! Real signals, sent to a process of its own: this binary, running the ignored test below.
#![cfg(unix)]

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use nacos_testkit::Server;
use tokio::{net::TcpListener, time::timeout};

#[tokio::test]
async fn first_signal_withdraws_and_second_ends_at_once() {
    let server = Server::start().await.expect("ports");
    let mut service = Service::start(&server);
    timeout(LIMIT, server.until(|server| instances(server) == 1)).await.expect("registers");
    service.signal("-TERM");
    timeout(LIMIT, server.until(|server| instances(server) == 0)).await.expect("withdraws");
    assert!(service.child.try_wait().expect("is ours").is_none(), "it serves on");
    // Its grace is an hour: only a second signal ends it.
    service.signal("-INT");
    let ended = tokio::task::spawn_blocking(move || service.child.wait());
    let status = timeout(LIMIT, ended).await.expect("ends").expect("no panic").expect("is ours");
    assert!(status.success(), "{status}");
}

#[tokio::test]
#[ignore = "the service of the test above, which runs it in a process of its own"]
async fn service() {
    let address = std::env::var("SERVICE_NACOS_ADDR").expect("set by the other test");
    let builder = nacos_core::Client::builder().server_addr(address);
    let nacos = builder.connect().await.expect("connects");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let hour = Duration::from_secs(3600);
    let report = nacos_axum::serve(listener, axum::Router::new())
        .with_nacos(&nacos, "orders")
        .with_grace(hour)
        .with_deadline(2 * hour)
        .await
        .expect("ends well");
    let hurried = |step: &nacos_axum::StepReport| step.outcome == nacos_axum::Outcome::Hurried;
    assert!(report.steps.iter().any(hurried), "{report}");
}

/// The process, killed when the test fails.
struct Service {
    child: Child,
}

impl Service {
    fn start(server: &Server) -> Self {
        let child = Command::new(std::env::current_exe().expect("runs"))
            .args(["--exact", "service", "--ignored"])
            .env("SERVICE_NACOS_ADDR", server.addr().to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        Self { child }
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        let status = kill.args([signal, &self.child.id().to_string()]).status().expect("runs");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Fails if it has ended, as it should have.
        let _ = self.child.kill();
    }
}

fn instances(server: &Server) -> usize {
    server.instances("", "DEFAULT_GROUP", "orders").len()
}

/// Far beyond what it takes.
const LIMIT: Duration = Duration::from_secs(30);
