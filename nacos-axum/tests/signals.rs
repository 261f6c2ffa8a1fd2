//! Real signals, sent to a process of its own: this binary, running the ignored test below.
#![cfg(unix)]

use std::{
    io::Read,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    time::Duration,
};

use nacos_testkit::{Server, TimeLimit, within};
use tokio::net::TcpListener;

#[tokio::test]
async fn first_signal_withdraws_and_second_ends_at_once() {
    TimeLimit::for_test();
    let server = Server::start().await.expect("ports");
    let mut service = Service::start(&server).await;
    service.signal("-TERM");
    within(LIMIT, server.until(|server| instances(server) == 0)).await;
    assert!(service.child.try_wait().expect("is ours").is_none(), "it serves on");
    // Its grace is an hour: only a second signal ends it.
    service.signal("-INT");
    let status = service.ended(&server).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn service_ends_with_a_process_of_tests_that_is_killed() {
    TimeLimit::for_test();
    let server = Server::start().await.expect("ports");
    let mut service = Service::start(&server).await;
    // The system closes this pipe, too, when this process dies.
    drop(service.lifeline.take());
    assert_eq!(service.ended(&server).await.code(), Some(ORPHANED));
}

#[tokio::test]
#[ignore = "the service of the test above, which runs it in a process of its own"]
async fn service() {
    TimeLimit::for_test();
    std::thread::spawn(|| {
        // End of input or an error: either way the test that started this process is gone.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(ORPHANED);
    });
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

/// The process. It is killed when the test fails, and ends by itself with the test's process.
struct Service {
    child: Child,
    lifeline: Option<ChildStdin>,
}

impl Service {
    async fn start(server: &Server) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("runs"))
            .args(["--exact", "service", "--ignored"])
            .env("SERVICE_NACOS_ADDR", server.addr().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        // Out of the child, which closes it when it is waited for.
        let lifeline = child.stdin.take();
        let service = Self { child, lifeline };
        within(LIMIT, server.until(|server| instances(server) == 1)).await;
        service
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        let status = kill.args([signal, &self.child.id().to_string()]).status().expect("runs");
        assert!(status.success(), "{status}");
    }

    /// How it ended: at once after its connection did, so that this blocks for a moment only.
    async fn ended(&mut self, server: &Server) -> ExitStatus {
        within(LIMIT, server.until(|server| server.connections() == 0)).await;
        self.child.wait().expect("is ours")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Either fails if it has ended and been waited for, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn instances(server: &Server) -> usize {
    server.instances("", "DEFAULT_GROUP", "orders").len()
}

/// How the service ends without its test.
const ORPHANED: i32 = 3;
/// Far beyond what it takes.
const LIMIT: Duration = Duration::from_secs(30);
