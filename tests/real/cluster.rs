//! One client, three nodes: what holds while they die, freeze, restart, or send it away.
//!
//! How long things took is printed, never judged: `-- --nocapture` shows it.
use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use nacos_core::Client;
use servers::{Product, Running, covers};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    common::{connect, eventually},
    fleet::{ALL, Fleet, beside, on_each_fleet, on_fleet, publish},
    traveller::Traveller,
};

#[test]
fn killed_node_is_left_and_another_serves_everything() {
    on_each_fleet(&async |fleet: &mut Fleet| {
        let traveller = Traveller::board(fleet, "killed").await;
        let home = fleet.home_of(&traveller.nacos);
        let left = beside(home);
        let witness = connect(&fleet.builder_at(left[0])).await;
        let began = traveller.begin(if fleet.leads(home) { "the leader dies" } else { "one dies" });
        fleet.disturb(home, Running::kill);
        // A change meanwhile must not be missed either.
        tokio::join!(traveller.arrive(2, began), traveller.follow(&witness, "2", began));
        fleet.list(&left, traveller.name, 1).await;
        traveller.say("instance on both other nodes", began);
        assert!(traveller.nacos.configs().get(traveller.name).await.expect("an answer").is_some());
        fleet.disturb(home, Running::restart);
        fleet.settle();
        fleet.quiet(traveller.name).await;
        fleet.list(&ALL, traveller.name, 1).await;
        // Java Nacos keeps what the dead node held for a while: one instance, not two, until then.
        drop(traveller.registration);
        fleet.list(&ALL, traveller.name, 0).await;
    });
}

#[test]
fn frozen_node_is_left_and_brings_no_ghost_when_it_thaws() {
    on_each_fleet(&async |fleet: &mut Fleet| {
        let traveller = Traveller::board(fleet, "frozen").await;
        let home = fleet.home_of(&traveller.nacos);
        let left = beside(home);
        let witness = connect(&fleet.builder_at(left[0])).await;
        let leads = fleet.leads(home);
        let began = traveller.begin(if leads { "the leader freezes" } else { "one freezes" });
        fleet.disturb(home, Running::pause);
        tokio::join!(traveller.arrive(2, began), traveller.follow(&witness, "2", began));
        assert_ne!(fleet.home_of(&traveller.nacos), home);
        fleet.list(&left, traveller.name, 1).await;
        traveller.say("instance on both other nodes", began);
        fleet.disturb(home, Running::resume);
        fleet.settle();
        fleet.quiet(traveller.name).await;
        fleet.list(&ALL, traveller.name, 1).await;
        drop(traveller.registration);
        fleet.list(&ALL, traveller.name, 0).await;
    });
}

#[test]
fn rolling_restart_leaves_every_claim_held_once() {
    on_each_fleet(&async |fleet: &mut Fleet| {
        let traveller = Traveller::board(fleet, "rolled").await;
        for node in ALL {
            let began = traveller.begin("the next one leaves");
            fleet.disturb(node, Running::stop);
            eventually(async || traveller.is_held()).await;
            traveller.say("every claim held without it", began);
            fleet.disturb(node, Running::restart);
            fleet.settle();
            eventually(async || traveller.is_held()).await;
            fleet.list(&ALL, traveller.name, 1).await;
            traveller.say("instance once on each node", began);
        }
        fleet.quiet(traveller.name).await;
        fleet.list(&ALL, traveller.name, 1).await;
        let witness = connect(&fleet.builder_at(0)).await;
        traveller.follow(&witness, "2", traveller.begin("all are back")).await;
    });
}

#[test]
fn one_good_address_among_three_is_always_found() {
    on_each_fleet(&async |fleet: &mut Fleet| {
        // Bound and not listening: refused, and no other process can take it.
        let refusing = TcpSocket::new_v4().expect("a socket");
        refusing.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let refusing_at = refusing.local_addr().expect("bound");
        // Never accepted: the system completes the connection, and nothing is ever said.
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let silent_at = silent.local_addr().expect("bound");
        let [refused, black_hole] = [refusing_at, silent_at].map(|grpc| grpc.port() - 1000);
        let good = fleet.addr(0);
        let all = format!("127.0.0.1:{refused},127.0.0.1:{black_hole},{good}");
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let began = Instant::now();
            let nacos = connect(&Client::builder().server_addr(all.as_str())).await;
            times.push(began.elapsed());
            assert_eq!(fleet.home_of(&nacos), 0);
            nacos.configs().get("any").await.expect("an answer");
        }
        times.sort();
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{}: {STARTS} starts, median {median:?}, longest {longest:?}", fleet.product());
    });
}

#[test]
fn client_that_an_operator_sends_away_loses_no_call() {
    if !covers(Product::JavaNacos) {
        return;
    }
    on_fleet(Product::JavaNacos, &async |fleet: &mut Fleet| {
        let traveller = Traveller::board(fleet, "sent-away").await;
        publish(&traveller.nacos, traveller.name, "1").await;
        let calls = AtomicU32::new(0);
        let moves = async {
            // Wherever it likes, then to a node that it is told.
            for (connects, redirected) in [(2, false), (3, true)] {
                let home = fleet.home_of(&traveller.nacos);
                let told = redirected.then(|| beside(home)[1]);
                let connection = fleet.connection_of(home, traveller.name).expect("listed");
                let began = traveller.begin("an operator sends it away");
                fleet.send_away(home, &connection, told);
                traveller.arrive(connects, began).await;
                let at = fleet.home_of(&traveller.nacos);
                assert!(at != home && told.is_none_or(|told| told == at), "{home}, {told:?}, {at}");
                // The former one stays for the requests on it, which must end well, too.
                eventually(async || fleet.connection_of(home, traveller.name).is_none()).await;
                traveller.say("former connection closed", began);
            }
        };
        tokio::select! {
            never = traveller.call_without_end(&calls) => match never {},
            () = moves => {}
        }
        println!("{}: {} calls, none failed", fleet.product(), calls.load(Ordering::Relaxed));
        assert_eq!(traveller.nacos.stats().get().losses, 0);
        fleet.quiet(traveller.name).await;
        fleet.list(&ALL, traveller.name, 1).await;
    });
}

const STARTS: usize = 20;
