//! Servers that demand credentials.
use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use nacos_core::{
    ClaimState, ErrorKind, Instance, Publish,
    credentials::{IdentityHeader, StaticToken},
};
use servers::{JavaNacos, Product, RNacos, Request, Running, covers};
use tokio::task::block_in_place;

use crate::{
    common::{
        Server, connect, covered, document_becomes, eventually, soon, within, within_a_minute,
    },
    fleet::{Fleet, on_guarded_fleet, publish},
    relay::Relay,
};

/// The server of this kind that all tests of this file share. Its tokens live for `TTL_SECS`.
pub(crate) fn guarded(product: Product) -> MutexGuard<'static, Running> {
    static RUNNING: [OnceLock<Mutex<Running>>; 2] = [OnceLock::new(), OnceLock::new()];
    let place = match product {
        Product::RNacos => &RUNNING[0],
        Product::JavaNacos => &RUNNING[1],
    };
    let running = place.get_or_init(|| {
        let running = match product {
            Product::RNacos => {
                RNacos::builder().credentials("nacos", "nacos").token_ttl_secs(TTL_SECS).start()
            }
            Product::JavaNacos => {
                JavaNacos::builder().authentication().token_ttl_secs(TTL_SECS).start()
            }
        };
        Mutex::new(running.expect("the server starts"))
    });
    // Only asked, never broken: a test that failed leaves it as good as it was.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds something to what the Java server that all tests share knows of its users.
pub(crate) fn administer(what: &str, form: &[(&str, &str)]) {
    let running = guarded(Product::JavaNacos);
    let token = running.log_in().expect("a login").expect("a token");
    let request = Request::post(&format!("/nacos/v1/auth/{what}")).query("accessToken", &token);
    let request = form.iter().fold(request, |request, (name, value)| request.form(name, value));
    let answer = running.ask(&request).expect("an answer");
    assert!(answer.is_ok(), "{what}: {}", answer.body());
}

#[test]
fn token_from_elsewhere_is_let_in_and_the_header_of_servers_alone_is_not() {
    for product in covered() {
        let (addr, token) = {
            let running = guarded(product);
            (running.addr(), running.log_in().expect("a login").expect("a token"))
        };
        let server = Server { addr };
        within_a_minute(async {
            let nacos = server.builder().with_credentials(StaticToken::new(token));
            let nacos = connect(&nacos).await;
            nacos
                .configs()
                .publish(Publish::new("d", "1").expect("valid"))
                .await
                .expect("published");
            let guard =
                nacos.naming().register("token", Instance::new("127.0.0.1", 1)).expect("valid");
            let _guard = guard.ready().await.expect("registered");

            let other = server.builder().with_credentials(StaticToken::new("no token"));
            let error = connect(&other).await.configs().get("d").await.expect_err("denied");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));

            let rig = server.builder().with_credentials(IdentityHeader::new("rig", "rig"));
            // Java 2.3.2 looks at it on its main port only.
            let error = connect(&rig).await.configs().get("d").await.expect_err("denied");
            assert_eq!(error.kind(), ErrorKind::Denied);
        });
    }
}

#[test]
fn no_call_fails_while_three_tokens_of_r_nacos_expire() {
    if covers(Product::RNacos) {
        no_call_fails_while_three_tokens_expire(Product::RNacos);
    }
}

#[test]
fn no_call_fails_while_three_tokens_of_java_nacos_expire() {
    if covers(Product::JavaNacos) {
        no_call_fails_while_three_tokens_expire(Product::JavaNacos);
    }
}

fn no_call_fails_while_three_tokens_expire(product: Product) {
    // Started before the minute begins.
    let (main, grpc) = {
        let running = guarded(product);
        (running.addr(), running.grpc_addr())
    };
    within_a_minute(async {
        let relay = Relay::before(main, grpc).await;
        let server = Server { addr: relay.addr() };
        let nacos = connect(&server.builder().credentials("nacos", "nacos")).await;
        let watch = nacos.configs().watch("renewed").expect("valid");
        let watch = watch.ready().await.expect("an answer");
        let guard = nacos.naming().register("renewed", Instance::new("127.0.0.1", 1));
        let guard = guard.expect("valid").ready().await.expect("registered");
        let (began, mut calls) = (Instant::now(), 0_u32);
        let work = async {
            loop {
                nacos.configs().get("absent").await.expect("an answer");
                nacos.naming().query("absent").await.expect("an answer");
                let publish = Publish::new("renewed", calls.to_string()).expect("valid");
                nacos.configs().publish(publish).await.expect("published");
                calls += 3;
            }
        };
        let tokens = tokio::select! {
            () = work => Vec::new(),
            tokens = relay.tokens(4) => tokens,
        };
        println!("{product}: {calls} calls, {} tokens in {:?}", tokens.len(), began.elapsed());
        assert_eq!(nacos.stats().get().connects, 1, "a new token needs no new connection");
        nacos.configs().publish(Publish::new("renewed", "last").expect("valid")).await.expect("ok");
        document_becomes(&watch, Some("last")).await;
        guard.deregister().await.expect("agreed");
        // That they were short-lived, and not just renewed.
        let old = Request::get("/nacos/v1/cs/configs?dataId=absent&group=DEFAULT_GROUP")
            .query("accessToken", &tokens[0]);
        let answer = block_in_place(|| guarded(product).ask(&old)).expect("an answer");
        assert_eq!(answer.status(), 403, "{}", answer.body());
    });
}

/// Users are read some time after the ports have opened. How soon is the client let in after that?
#[test]
fn server_that_is_restarted_twice_within_a_minute_costs_its_clients_seconds() {
    for product in covered() {
        let running = match product {
            Product::RNacos => RNacos::builder().credentials("nacos", "nacos").start(),
            Product::JavaNacos => JavaNacos::builder().authentication().start(),
        };
        let mut running = running.expect("the server starts");
        within(Duration::from_secs(300), async {
            let server = Server { addr: running.addr() };
            let nacos = connect(&server.builder().credentials("nacos", "nacos")).await;
            let guard = nacos.naming().register("restarted", Instance::new("127.0.0.1", 1));
            let guard = guard.expect("valid").ready().await.expect("registered");
            let began = Instant::now();
            let mut restarted = 0;
            for _ in 0..2 {
                block_in_place(|| running.kill().and_then(|()| running.restart())).expect("up");
                restarted += 1;
                // Its user can log in by now.
                println!("{product}: start {restarted} is usable after {:?}", began.elapsed());
            }
            let usable = Instant::now();
            let mut claim = guard.claim();
            soon("held", claim.wait_for(|claim| *claim == ClaimState::Held)).await;
            soon("answered", eventually(async || nacos.configs().get("absent").await.is_ok()))
                .await;
            let took = usable.elapsed();
            println!("{product}: the client is back after {took:?}");
            // Six seconds between two tries at most, and a slow machine.
            assert!(took < Duration::from_secs(15), "{took:?}");
        });
    }
}

#[test]
fn client_whose_node_dies_is_let_in_by_the_others() {
    for product in covered() {
        on_guarded_fleet(product, TTL_SECS, &async |fleet: &mut Fleet| {
            let nacos = connect(&fleet.builder().credentials("nacos", "nacos")).await;
            let guard = nacos.naming().register("moved", Instance::new("127.0.0.1", 1));
            let guard = guard.expect("valid").ready().await.expect("registered");
            let watch = nacos.configs().watch("moved").expect("valid");
            let watch = watch.ready().await.expect("an answer");
            let home = fleet.home_of(&nacos);
            let began = Instant::now();
            fleet.disturb(home, Running::kill);
            let mut stats = nacos.stats();
            let back = stats.wait_for(|stats| stats.connects >= 2 && stats.unsettled == 0);
            soon("every claim held elsewhere", back).await.expect("the client lives");
            println!("{product}: every claim held elsewhere after {:?}", began.elapsed());
            assert_eq!(guard.claim().get().as_ref(), &ClaimState::Held);
            // Past the end of every token that was granted before the node died.
            let calls = eventually(async || {
                nacos.configs().get("absent").await.expect("an answer");
                nacos.naming().query("moved").await.expect("an answer");
                began.elapsed() > Duration::from_secs(u64::from(TTL_SECS) + 2)
            });
            soon("the end of the first token", calls).await;
            soon("a publish", publish(&nacos, "moved", "1")).await;
            soon("the document", document_becomes(&watch, Some("1"))).await;
        });
    }
}

#[test]
fn user_without_a_right_is_denied_and_stays_connected() {
    if !covers(Product::JavaNacos) {
        return;
    }
    administer("users", &[("username", "guest"), ("password", "guest")]);
    let addr = guarded(Product::JavaNacos).addr();
    within_a_minute(async {
        let server = Server { addr };
        // Java Nacos reads its users every 15 s: the login works some time later.
        let nacos = server.builder().credentials("guest", "guest").connect_lazy().expect("valid");
        let mut state = nacos.state();
        state.wait_for(nacos_core::SessionState::is_connected).await.expect("the client lives");
        let error = nacos.configs().get("secret").await.expect_err("denied");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
        let publish = Publish::new("secret", "1").expect("valid");
        let error = nacos.configs().publish(publish).await.expect_err("denied");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
        assert!(nacos.state().get().is_connected());
        assert_eq!(nacos.stats().get().connects, 1);
    });
}

/// A login on a busy machine must fit into the tenth of it that is left for renewal.
const TTL_SECS: u32 = 15;
