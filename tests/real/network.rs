//! A network that fails between the client and a server that does not.
use std::time::Duration;

use nacos_core::{Client, DocumentState, Instance, Live, Publish, Registration, Watch};
use nacos_testkit::proxy::{Command, Direction, FaultProxy, Script};
use servers::Product;

use crate::{
    common::{Server, connect, document_becomes, eventually, on_each_shared, shared, soon, within},
    visit::writes,
};

/// A client behind a proxy, with an instance and a document of one name; and one that goes to the
/// server directly.
struct Behind {
    product: Product,
    name: &'static str,
    proxy: FaultProxy,
    nacos: Client,
    registration: Registration,
    watch: Watch,
    witness: Client,
}

impl Behind {
    async fn new(product: Product, name: &'static str) -> Self {
        let server = shared(product);
        writes(name);
        let proxy = FaultProxy::nacos(server.addr).await.expect("ports on loopback");
        let nacos = connect(&Server { addr: proxy.addr() }.builder()).await;
        let registration = nacos.naming().register(name, Instance::new("127.0.0.1", 1));
        let registration = registration.expect("valid").ready().await.expect("registered");
        let watch = nacos.configs().watch(name).expect("valid").ready().await.expect("an answer");
        let witness = connect(&server.builder()).await;
        Self { product, name, proxy, nacos, registration, watch, witness }
    }

    fn apply(&self, command: Command) {
        println!("{} on {}: {command}", self.name, self.product);
        self.proxy.apply(command).expect("the ports are reserved");
    }

    /// Waits until that many connections were made, and the last one holds every claim.
    async fn arrives(&self, connects: u64) {
        let mut stats = self.nacos.stats();
        let there = stats.wait_for(|stats| stats.connects >= connects && stats.unsettled == 0);
        soon("every claim held anew", there).await.expect("the client lives");
    }

    /// Waits until the server lists the instance once, and the client has what another client
    /// publishes.
    async fn converges(&self, content: &str) {
        soon("the instance, once", listed(&self.witness, self.name, 1)).await;
        let publish = Publish::new(self.name, content).expect("valid");
        self.witness.configs().publish(publish).await.expect("published");
        soon("the document", document_becomes(&self.watch, Some(content))).await;
    }

    /// Nothing of it is left: no ghost of a former connection.
    async fn leaves(self) {
        self.registration.deregister().await.expect("agreed");
        soon("the end of the instance", listed(&self.witness, self.name, 0)).await;
        self.witness.configs().remove(self.name).await.expect("removed");
    }
}

/// Waits until a server lists that many instances of a service.
async fn listed(witness: &Client, name: &str, count: usize) {
    eventually(async || {
        let seen = witness.naming().query(name).await.expect("an answer");
        seen.instances.len() == count
    })
    .await;
}

#[test]
fn black_hole_is_left_in_whichever_direction_and_leaves_no_ghost() {
    on_each_shared(|product| {
        within(LIMIT, async {
            let behind = Behind::new(product, "black-hole").await;
            for (round, hole) in [
                Command::black_hole(),
                Command::black_hole().to_client(),
                Command::black_hole().to_server(),
            ]
            .into_iter()
            .enumerate()
            {
                behind.apply(hole.existing());
                behind.arrives(round as u64 + 2).await;
                behind.converges(&round.to_string()).await;
                // The held bytes arrive at last, the end of the former connection included.
                behind.apply(Command::pass());
            }
            behind.leaves().await;
        });
    });
}

#[test]
fn connection_that_ends_is_replaced_with_its_claims_in_whichever_way_it_ends() {
    on_each_shared(|product| {
        within(LIMIT, async {
            let behind = Behind::new(product, "ended").await;
            let ends = [
                Command::reset(),
                Command::reset().to_client(),
                Command::reset().to_server(),
                Command::half_close().to_client(),
                Command::half_close().to_server(),
            ];
            for (round, end) in ends.into_iter().enumerate() {
                behind.apply(end);
                behind.arrives(round as u64 + 2).await;
                behind.converges(&round.to_string()).await;
            }
            behind.leaves().await;
        });
    });
}

#[test]
fn server_that_refuses_for_a_while_is_found_again() {
    on_each_shared(|product| {
        within(LIMIT, async {
            let behind = Behind::new(product, "refused").await;
            behind.apply(Command::refuse());
            behind.apply(Command::reset());
            let gone = |state: &nacos_core::SessionState| !state.is_connected();
            let gone = soon("the outage", behind.nacos.state().wait_for(gone)).await;
            gone.expect("the client lives");
            // The server cannot tell the client of this one.
            let publish = Publish::new("refused", "meanwhile").expect("valid");
            behind.witness.configs().publish(publish).await.expect("published");
            behind.apply(Command::accept());
            behind.arrives(2).await;
            soon("the document", document_becomes(&behind.watch, Some("meanwhile"))).await;
            behind.converges("after").await;
            behind.leaves().await;
        });
    });
}

#[test]
fn large_document_over_a_slow_link_costs_no_connection() {
    on_each_shared(|product| {
        within(LIMIT, async {
            let behind = Behind::new(product, "slow").await;
            let large = "x".repeat(LARGE);
            // Four seconds in each direction: longer than one try of a request, and than a health
            // check may stay unanswered. Both together are shorter than a request may take: the
            // answer to the publish may come behind the document on its way back.
            behind.apply(Command::throttle(LARGE_IN_FOUR_SECONDS));
            let publish = Publish::new("slow", large.as_str()).expect("valid");
            behind.nacos.configs().publish(publish).await.expect("published");
            soon("the document", document_becomes(&behind.watch, Some(&large))).await;
            assert_eq!(behind.nacos.stats().get().connects, 1);
            let there = behind.proxy.delivered(Direction::ToServer);
            let back = behind.proxy.delivered(Direction::ToClient);
            assert!(there > LARGE as u64 && back > LARGE as u64, "{there} there, {back} back");
            behind.apply(Command::pass());
            behind.leaves().await;
        });
    });
}

#[test]
fn client_converges_after_any_faults_of_the_network() {
    on_each_shared(|product| {
        within(LIMIT, async {
            let behind = Behind::new(product, "any-faults").await;
            for seed in 0..SEEDS {
                let script = Script::random(seed, Duration::from_secs(8));
                println!("{product}:\n{script}");
                behind.proxy.play(&script).await.expect("the ports are reserved");
                behind.apply(Command::pass());
                behind.apply(Command::accept());
                let mut stats = behind.nacos.stats();
                let held = async {
                    behind.nacos.state().wait_for(nacos_core::SessionState::is_connected).await;
                    stats.wait_for(|stats| stats.unsettled == 0).await
                };
                soon("every claim held", held).await.expect("the client lives");
                behind.converges(&seed.to_string()).await;
            }
            behind.leaves().await;
        });
    });
}

/// The contract of a watch, over histories of a real server: see `tests/it/watch_contract.rs`.
#[test]
fn readers_see_no_older_state_and_the_last_one_whatever_the_network_does() {
    on_each_shared(|product| {
        within(LIMIT, async {
            let behind = Behind::new(product, "histories").await;
            let second = behind.nacos.configs().watch(behind.name).expect("valid");
            let readers = [behind.watch.live(), second.live()].map(|live| tokio::spawn(all(live)));
            let mut last = 0_u32;
            for seed in 100..100 + SEEDS {
                let script = Script::random(seed, Duration::from_secs(8));
                println!("{product}:\n{script}");
                let publishing = async {
                    let mut pace = tokio::time::interval(Duration::from_millis(100));
                    loop {
                        pace.tick().await;
                        last += 1;
                        let configs = behind.witness.configs();
                        if last.is_multiple_of(7) {
                            configs.remove(behind.name).await.expect("removed");
                            continue;
                        }
                        let publish = Publish::new(behind.name, last.to_string()).expect("valid");
                        configs.publish(publish).await.expect("published");
                    }
                };
                tokio::select! {
                    played = behind.proxy.play(&script) => played.expect("the ports are reserved"),
                    () = publishing => {}
                }
                behind.apply(Command::pass());
                behind.apply(Command::accept());
                behind.nacos.state().wait_for(nacos_core::SessionState::is_connected).await;
                last += 1;
                behind.converges(&last.to_string()).await;
            }
            soon("the second watch", document_becomes(&second, Some(&last.to_string()))).await;
            drop(second);
            behind.leaves().await;
            for reader in readers {
                let seen = soon("the end of a reader", reader).await.expect("no panic");
                // The first one may have seen the removal at the very end.
                let seen = seen.strip_suffix(&[None]).unwrap_or(&seen);
                let removals = seen.iter().filter(|state| state.is_none()).count();
                println!("{product}: {} states of {last}, {removals} removals", seen.len());
                assert!(is_in_order(seen), "{seen:?}");
                assert_eq!(seen.last(), Some(&Some(last)));
            }
        });
    });
}

/// The numbers that a document shows, and that there is none, until its watch ends.
async fn all(mut live: Live<DocumentState>) -> Vec<Option<u32>> {
    let mut seen = Vec::new();
    while let Some(state) = live.changed().await {
        match (state.document(), &*state) {
            (Some(document), _) => seen.push(Some(document.content.parse().expect("a number"))),
            (None, DocumentState::Absent) => seen.push(None),
            (None, _) => {}
        }
    }
    seen
}

/// Whether no state is older than the one before, of numbers that only grow: one that was removed
/// does not come back.
fn is_in_order(seen: &[Option<u32>]) -> bool {
    let (mut last, mut is_gone) = (0, false);
    seen.iter().all(|state| {
        let Some(number) = *state else {
            is_gone = true;
            return true;
        };
        let is_newer = number > last || number == last && !is_gone;
        (last, is_gone) = (number, false);
        is_newer
    })
}

const LARGE: usize = 3_000_000;
const LARGE_IN_FOUR_SECONDS: u32 = 750_000;
const SEEDS: u64 = 3;

/// For what hangs; it judges no server.
const LIMIT: Duration = Duration::from_secs(400);
