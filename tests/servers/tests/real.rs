//! The rig against the servers themselves. Runs where `NACOS_REAL=1` asks for it.

use std::time::{Duration, Instant};

use servers::{
    Cluster, Error, ErrorKind, JavaNacos, Product, RNacos, Request, Running, covers, until,
};

#[test]
fn r_nacos_starts_well_every_time() {
    if !covers(Product::RNacos) {
        return;
    }
    // Half of such runs hold a start that lost the race.
    let mut starts = 0;
    let began = Instant::now();
    for _ in 0..SERIES {
        let server = RNacos::builder().start().expect("r-nacos");
        publish(&server, "kept").expect("published");
        assert_eq!(read(&server).as_deref(), Some("kept"));
        starts += server.starts();
    }
    let took = began.elapsed().as_millis();
    println!("{SERIES} servers usable in {took} ms, {starts} starts");
}

#[test]
fn r_nacos_keeps_ports_and_data_when_it_is_killed_or_stopped() {
    if !covers(Product::RNacos) {
        return;
    }
    let mut server = RNacos::builder().start().expect("r-nacos");
    let (http, grpc) = (server.addr(), server.grpc_addr());
    publish(&server, "kept").expect("published");
    server.kill().expect("killed");
    server.restart().expect("it comes back");
    assert_eq!((server.addr(), server.grpc_addr()), (http, grpc));
    // Only now, see `Running::kill`: what it had just acknowledged may be back one start later.
    for end in [Running::stop, |_: &mut Running| Ok(())] {
        end(&mut server).expect("ended");
        server.restart().expect("it comes back");
        assert_eq!((server.addr(), server.grpc_addr()), (http, grpc));
        assert_eq!(read(&server).as_deref(), Some("kept"));
    }
}

#[test]
fn frozen_r_nacos_is_silent_until_it_is_resumed() {
    if !covers(Product::RNacos) {
        return;
    }
    let mut server = RNacos::builder().start().expect("r-nacos");
    server.pause().expect("frozen");
    let health = Request::get("/metrics");
    let silence = health.send(server.addr(), Duration::from_millis(300));
    assert_eq!(silence.expect_err("silence").kind(), ErrorKind::Unanswered);
    server.resume().expect("resumed");
    assert!(server.ask(&health).expect("an answer").is_ok());
    server.pause().expect("frozen again");
    server.stop().expect("a frozen server can be stopped");
}

#[test]
fn r_nacos_that_was_killed_can_only_be_restarted() {
    if !covers(Product::RNacos) {
        return;
    }
    let mut server = RNacos::builder().start().expect("r-nacos");
    server.kill().expect("killed");
    for outcome in [server.pause(), server.resume(), server.kill(), server.stop()] {
        assert_eq!(outcome.expect_err("nobody there").kind(), ErrorKind::NotRunning);
    }
    assert!(server.ask(&Request::get("/metrics")).is_err());
    assert!(server.log().contains("rnacos started"), "{}", server.log());
}

#[test]
fn r_nacos_with_credentials_demands_them() {
    if !covers(Product::RNacos) {
        return;
    }
    let options = RNacos::builder().credentials("ann", "secret").token_ttl_secs(20);
    let server = options.start().expect("r-nacos");
    assert!(server.log().contains(&format!("version:{}", server.version())), "{}", server.log());
    demands_login(&server);
}

#[test]
fn cluster_of_three_outlives_its_leader() {
    if !covers(Product::RNacos) {
        return;
    }
    outlives_its_leader(RNacos::builder().start_cluster(3).expect("a cluster"));
}

#[test]
fn cluster_is_whole_again_after_whichever_node_was_killed() {
    if !covers(Product::RNacos) {
        return;
    }
    let mut cluster = RNacos::builder().start_cluster(3).expect("a cluster");
    for kill in 0..KILLS {
        let node = &mut cluster.nodes_mut()[kill % 3];
        node.kill().expect("killed");
        node.restart().expect("it comes back");
        cluster.settle().expect("all three agree again");
    }
}

#[test]
fn java_cluster_of_three_outlives_its_leader() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let began = Instant::now();
    let cluster = JavaNacos::builder().start_cluster(3).expect("a cluster");
    println!("three nodes usable in {} ms", began.elapsed().as_millis());
    outlives_its_leader(cluster);
}

fn outlives_its_leader(mut cluster: Cluster) {
    let old = leader(&cluster, None);
    cluster.nodes_mut()[old].kill().expect("killed");
    let new = leader(&cluster, Some(old));
    let survivor = &cluster.nodes()[new];
    until(soon(), || publish(survivor, "kept").ok()).expect("two of three can write");
    cluster.nodes_mut()[old].restart().expect("it comes back");
    let back = &cluster.nodes()[old];
    until(soon(), || read(back).filter(|content| content == "kept")).expect("it catches up");
    cluster.settle().expect("all three agree again");
}

#[test]
fn cluster_with_credentials_demands_them_at_every_node() {
    if !covers(Product::RNacos) {
        return;
    }
    let options = RNacos::builder().credentials("ann", "secret");
    let cluster = options.start_cluster(3).expect("a cluster");
    cluster.nodes().iter().for_each(demands_login);
}

#[test]
fn java_nacos_demands_its_login_and_keeps_its_data() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let options = JavaNacos::builder().authentication().token_ttl_secs(20);
    let mut server = options.start().expect("Java Nacos");
    demands_login(&server);
    let state = server.ask(&Request::get("/nacos/v1/console/server/state")).expect("an answer");
    assert_eq!(state.text_field("version"), Some(server.version()), "{}", state.body());
    publish(&server, "kept").expect("published");
    server.kill().expect("killed");
    server.restart().expect("it comes back");
    until(soon(), || read(&server).filter(|content| content == "kept")).expect("what it stored");
}

fn demands_login(server: &Running) {
    let bare = server.ask(&Request::get(CONFIGURATION)).expect("an answer");
    assert_eq!(bare.status(), 403, "{}", bare.body());
    let token = server.log_in().expect("logged in").expect("a token");
    let with = server.ask(&Request::get(CONFIGURATION).query("accessToken", &token));
    assert_eq!(with.expect("an answer").status(), 404, "it holds no such configuration");
    let forged = server.ask(&Request::get(CONFIGURATION).query("accessToken", "forged"));
    assert_eq!(forged.expect("an answer").status(), 403);
}

/// The leader, once the nodes agree on one that is not `gone`.
fn leader(cluster: &Cluster, gone: Option<usize>) -> usize {
    let other = || cluster.leader().filter(|leader| Some(*leader) != gone);
    until(soon(), other).expect("a leader")
}

fn publish(server: &Running, content: &str) -> Result<(), Error> {
    let request = with_token(server, Request::post(CONFIGURATION))?.form("content", content);
    let answer = server.ask(&request)?;
    assert_eq!((answer.status(), answer.body()), (200, "true"));
    Ok(())
}

fn read(server: &Running) -> Option<String> {
    let answer = server.ask(&with_token(server, Request::get(CONFIGURATION)).ok()?).ok()?;
    answer.is_ok().then(|| answer.body().to_owned())
}

fn with_token(server: &Running, request: Request) -> Result<Request, Error> {
    Ok(match server.log_in()? {
        Some(token) => request.query("accessToken", &token),
        None => request,
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

const CONFIGURATION: &str = "/nacos/v1/cs/configs?dataId=rig&group=DEFAULT_GROUP";
const SERIES: u32 = 10;
const KILLS: usize = 6;
