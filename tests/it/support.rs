//! The beginnings that several tests share.
use std::{
    error::Error as _,
    io::{Read, stdin},
    process::{Command, Stdio},
    time::Duration,
};

use nacos_core::{Client, ClientBuilder, Live, SessionState};
use nacos_testkit::{Behaviour, Server, TimeLimit};
use tokio::time::{Instant, sleep_until};

/// Each kind of server that the test server can be.
pub(crate) const BEHAVIOURS: [Behaviour; 5] = [
    Behaviour::Nacos3_0,
    Behaviour::Nacos2_3,
    Behaviour::Nacos2_5,
    Behaviour::Nacos3_3,
    Behaviour::RNacos,
];

/// The server of a test that cannot hang for ever from here on, whatever blocks or spins in it.
pub(crate) async fn server() -> Server {
    start(Server::builder()).await
}

/// One that lets everybody in, also where the newest ones would not.
pub(crate) async fn server_like(behaviour: Behaviour) -> Server {
    start(Server::builder().behaviour(behaviour).authentication(false)).await
}

/// One at which a user can log in.
pub(crate) async fn guarded(behaviour: Behaviour) -> Server {
    start(Server::builder().behaviour(behaviour).credentials("nacos", "s3cret")).await
}

/// One with these settings.
pub(crate) async fn start(settings: nacos_testkit::Builder) -> Server {
    TimeLimit::for_test();
    settings.start().await.expect("ports on loopback")
}

pub(crate) fn builder(server: &Server) -> ClientBuilder {
    Client::builder().server_addr(server.addr().to_string())
}

pub(crate) async fn connected(server: &Server) -> Client {
    builder(server).connect().await.expect("the server is there")
}

/// So many seconds of the clock.
pub(crate) async fn after(seconds: u64) {
    sleep_until(Instant::now() + Duration::from_secs(seconds)).await;
}

/// Waits for what must come; far longer than anything may take, so that a failure has a place.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), future).await.expect("it never came")
}

/// Waits until the client has been connected anew.
pub(crate) async fn reconnected(client: &Client, before: u64) {
    let mut counts = client.stats();
    let again = soon(counts.wait_for(|stats| stats.connects > before)).await;
    assert!(again.is_some(), "the client was shut down");
    let mut state = client.state();
    soon(state.wait_for(SessionState::is_connected)).await.expect("connected");
}

/// Waits until `live` satisfies `condition`.
pub(crate) async fn becomes<T>(live: &mut Live<T>, condition: impl FnMut(&T) -> bool) {
    assert!(soon(live.wait_for(condition)).await.is_some(), "it ended before");
}

/// Runs the ignored test `name` in a process of its own, in this environment, which says nothing
/// else about Nacos or about authorities. Returns the output, as an error if the test fails. That
/// test begins with [`ends_with_its_parent`].
pub(crate) async fn child(name: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    TimeLimit::for_test();
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--exact", name, "--ignored", "--nocapture"]);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        let ours = ["NACOS", "ALIBABA_ALIWARE", "SSL_CERT"];
        if ours.iter().any(|prefix| upper.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    // Nor does it write where its user keeps things.
    command.env("NACOS_SNAPSHOT_DIR", "");
    command.envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // Out of the child, which closes it when it is waited for.
    let lifeline = child.stdin.take();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await;
    let output = output.expect("no panic").expect("it is ours");
    drop(lifeline);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(printed.contains("running 1 test"), "there is no test {name}: {printed}");
    if output.status.success() { Ok(printed) } else { Err(printed) }
}

/// Ends the process that [`child`] has started with the one that started it, also if that is
/// killed.
pub(crate) fn ends_with_its_parent() {
    std::thread::spawn(|| {
        // The end of it, or an error: either way nobody waits for this process any more.
        let _ = stdin().read_to_end(&mut Vec::new());
        std::process::exit(ORPHANED);
    });
}

/// How a child ends without its parent.
const ORPHANED: i32 = 3;

/// The text of an error and of everything below it.
pub(crate) fn chain(error: &nacos_core::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
