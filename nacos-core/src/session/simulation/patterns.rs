//! Histories of fuzzy watches: documents come and go all the time, in quick succession, while
//! connections end in the middle of lists and pushes overtake each other.
use std::time::Duration;

use super::{faults::Faults, world::World, *};

#[test]
fn any_history_of_patterns_ends_with_what_there_is() {
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| history(seed));
        assert!(outcome.is_ok(), "seed {seed} failed");
    }
}

fn history(seed: u64) {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut world = World::new(seed, Faults::some(&mut dice));
    world.budget.is_bounded = true;
    let mut guards = 0;
    let mut live = Vec::new();
    for _ in 0..dice.u32(20..80) {
        let name = format!("n{}", dice.u32(0..6));
        match dice.u32(0..20) {
            0..=2 => {
                guards += 1;
                let data_id = *dice.choice(&PATTERNS).expect("not empty");
                world.fuzzy_watch(data_id, GuardId(guards));
                live.push((pattern(data_id), GuardId(guards)));
            }
            3 if live.len() > 1 => {
                let (key, guard) = live.swap_remove(dice.usize(0..live.len()));
                world.withdraw(&key, guard);
            }
            // Removed and published again, or the other way round, before anybody is told.
            4..=6 => flip(&mut world, &name, 2),
            7..=14 => flip(&mut world, &name, 1),
            15 => world.lose_links(),
            16 => world.server.restart_next_id(),
            17 => world.reset(""),
            18 => world.server.is_full = !world.server.is_full,
            19 => {
                world.server.has_patterns = !world.server.has_patterns;
                world.server.restart_next_id();
            }
            _ => {}
        }
        let pause = if dice.bool() { dice.u64(0..2_000_000) } else { dice.u64(0..5000) };
        world.run(Duration::from_micros(pause));
    }
    world.server.heal();
    world.faults = Faults::none();
    // Longer than it takes to the next comparison, which finds what was overtaken last.
    world.run(Duration::from_secs(250));
    world.assert_consistent();
    world.assert_closes();
}

/// The document comes or goes, so many times.
fn flip(world: &mut World, name: &str, times: usize) {
    for _ in 0..times {
        let exists = world.server.documents.contains_key(name);
        world.change_document(name, (!exists).then(|| "1".to_owned()));
    }
}

const PATTERNS: [&str; 4] = ["*", "n*", "*1", "n2"];
const SEEDS: u64 = 300;
