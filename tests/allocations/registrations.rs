//! A registration must not allocate more where there are many of them.
use nacos_core::{ClaimState, Client, Instance, SessionStats};
use nacos_testkit::TimeLimit;

use super::{allocations, with_a_server};

/// The whole way of a registration: its guard, the session, the request, the answer, and its end.
#[test]
fn registrations_allocate_the_same_however_many_there_are() {
    let _limit = TimeLimit::start();
    with_a_server(|runtime, client| {
        let each = |count: u16| {
            let all = allocations(|| runtime.block_on(register_and_withdraw(client, count)));
            all / u64::from(count)
        };
        let (few, many) = (each(100), each(2000));
        assert!(many <= few + few / 4, "{few} each of 100, {many} each of 2000");
    });
}

async fn register_and_withdraw(client: &Client, count: u16) {
    let naming = client.naming();
    let register = |port| naming.register("orders", Instance::new("127.0.0.1", port));
    let guards: Vec<_> = (1..=count).map(|port| register(port).expect("valid")).collect();
    for guard in &guards {
        let held = guard.claim().wait_for(|state| *state == ClaimState::Held).await;
        assert!(held.is_some());
    }
    drop(guards);
    let nothing = client.stats().wait_for(|stats: &SessionStats| stats.claims == 0).await;
    assert!(nothing.is_some());
}
