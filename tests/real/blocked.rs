//! A runtime whose every worker is blocked, for longer than any server bears silence.
use std::{
    sync::{Arc, Barrier, mpsc},
    time::{Duration, Instant},
};

use nacos_core::Instance;
use nacos_testkit::TimeLimit;
use servers::{Given, Request};
use tokio::runtime;

use crate::common::{on_each_shared, shared};

#[test]
fn registration_outlives_a_runtime_that_is_blocked_for_30_seconds() {
    on_each_shared(|product| {
        let _limit = TimeLimit::start();
        let server = shared(product);
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (client, _guard) = runtime.block_on(async {
            let client = server.builder().dedicated_thread(true).connect().await;
            let client = client.expect("the server is up");
            let instance = Instance::new("127.0.0.1", 25);
            let guard = client.naming().register("blocked", instance).expect("valid");
            let guard = guard.ready().await.expect("registered");
            (client, guard)
        });
        let blocked = Arc::new(Barrier::new(WORKERS + 1));
        for _ in 0..WORKERS {
            let blocked = Arc::clone(&blocked);
            runtime.spawn(async move {
                blocked.wait();
                blocked.wait();
            });
        }
        blocked.wait();
        // From here on nothing else runs on this runtime. A server sees an instance a moment after
        // it has acknowledged it; from then on all the time.
        let request = list();
        let began = Instant::now();
        let (mut seen, mut missing) = (0, 0);
        while began.elapsed() < BLOCKED {
            // Leaves the server some room.
            let (_nobody, nothing) = mpsc::channel::<()>();
            let _ = nothing.recv_timeout(Duration::from_millis(50));
            let there = is_there(&server, &request);
            seen += usize::from(there);
            missing += usize::from(!there && seen > 0);
        }
        blocked.wait();
        assert!(seen > 0 && missing == 0, "{product:?}: seen {seen}, gone {missing}");
        let stats = client.stats().get();
        assert_eq!((stats.connects, stats.losses), (1, 0), "{product:?}");
    });
}

fn is_there(server: &crate::common::Server, list: &Request) -> bool {
    let answer = list.send(server.addr, Duration::from_secs(5));
    answer.is_ok_and(|answer| answer.body().contains("127.0.0.1"))
}

/// The request for the list of instances, as the server understands it.
fn list() -> Request {
    let given = Given::from_env();
    let path = if given.is_some_and(|given| given.kind().has_v3()) {
        "/nacos/v3/client/ns/instance/list"
    } else {
        "/nacos/v1/ns/instance/list"
    };
    let mut request = Request::get(path).query("serviceName", "blocked");
    if let Some(given) = given {
        request = request.query("namespaceId", given.prefix());
        if let Some(token) = given.log_in().expect("its user may log in") {
            request = request.query("accessToken", &token);
        }
    }
    request
}

const WORKERS: usize = 2;

/// Java Nacos closes a silent client after 27 s at the latest, r-nacos after 21 s: both ask it
/// before, after 22 s and 17 s, and these answers are what a blocked runtime would owe.
const BLOCKED: Duration = Duration::from_secs(30);
