//! Claims that are gone must leave no memory, however many there were at once.
use allocation_counter::AllocationInfo;
use nacos_core::{Client, Instance, Registration, SessionStats, Subscription, Watch};
use nacos_testkit::TimeLimit;
use tokio::runtime::Runtime;

use super::{runtime, with_a_server};

#[test]
fn claims_that_come_and_go_unsent_leave_no_memory() {
    let _limit = TimeLimit::start();
    let runtime = runtime();
    // Nobody serves there.
    let client = Client::builder().server_addr("127.0.0.1:1");
    let client = runtime.block_on(async { client.connect_lazy().expect("valid") });
    let heard = |stats: &SessionStats, keys| stats.claims == keys;
    let unsent = Surroundings { runtime: &runtime, client: &client, heard, parts: 100 };
    unsent.each_kind_leaves_little(20_000);
}

#[test]
fn claims_that_a_server_held_leave_no_memory() {
    let _limit = TimeLimit::start();
    with_a_server(|runtime, client| {
        let heard = |stats: &SessionStats, keys| stats.claims == keys && stats.unsettled == 0;
        // HTTP/2 keeps room for as many frames as ever waited at once.
        Surroundings { runtime, client, heard, parts: 5 }.each_kind_leaves_little(2000);
    });
}

struct Surroundings<'a> {
    runtime: &'a Runtime,
    client: &'a Client,
    /// Whether the guards of so many keys have come as far as they can.
    heard: fn(&SessionStats, usize) -> bool,
    /// Less than one part in so many is left.
    parts: u64,
}

impl Surroundings<'_> {
    fn each_kind_leaves_little(&self, many: usize) {
        let watch = |n| -> Watch {
            let name = format!("d{n}");
            self.client.configs().watch(name.as_str()).expect("valid")
        };
        let subscribe = |n| -> Subscription {
            let name = format!("s{n}");
            self.client.naming().subscribe(name.as_str()).expect("valid")
        };
        let register = |n| -> Registration {
            let (name, instance) = (format!("s{n}"), Instance::new("127.0.0.1", 1));
            self.client.naming().register(name.as_str(), instance).expect("valid")
        };
        // Of one service: the instances of all its guards are put together.
        let join = |n| -> Registration {
            let instance = Instance::new("127.0.0.1", u16::try_from(n + 1).expect("a port"));
            self.client.naming().register("orders", instance).expect("valid")
        };
        let counted = [
            ("watches", self.count(many, many, watch)),
            ("subscriptions", self.count(many, many, subscribe)),
            ("registrations", self.count(many, many, register)),
            ("registrations of one service", self.count(many, 1, join)),
        ];
        for (what, AllocationInfo { bytes_current: left, bytes_max: most, .. }) in counted {
            let left = u64::try_from(left).unwrap_or_default();
            assert!(left < most / self.parts, "{left} bytes of {most} are left by {what}");
        }
    }

    /// Counts while so many guards of so many keys are made, and dropped.
    fn count<G>(&self, guards: usize, keys: usize, make: impl Fn(usize) -> G) -> AllocationInfo {
        let round = |guards, keys| self.runtime.block_on(self.come_and_go(guards, keys, &make));
        // Once everything lazy about it has been made.
        round(guards / 8, keys.div_ceil(8));
        allocation_counter::measure(|| round(guards, keys))
    }

    async fn come_and_go<G>(&self, guards: usize, keys: usize, make: impl Fn(usize) -> G) {
        let mut stats = self.client.stats();
        let guards: Vec<G> = (0..guards).map(make).collect();
        // The session hears of the last one last, both as it comes and as it goes.
        let last = self.client.configs().watch("last").expect("valid");
        assert!(stats.wait_for(|stats| (self.heard)(stats, keys + 1)).await.is_some());
        drop(guards);
        drop(last);
        assert!(stats.wait_for(|stats| stats.claims == 0).await.is_some());
    }
}
