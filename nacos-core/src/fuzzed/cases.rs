//! Which inputs a test runs.

/// Runs `case` on one input after another; a failing one is named by its seed.
pub(crate) fn for_any_input(longest: usize, mut case: impl FnMut(&[u8])) {
    let given = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let mut run = |seed: u64| {
        let mut dice = fastrand::Rng::with_seed(seed);
        let length = dice.usize(0..=longest);
        let bytes: Vec<u8> = std::iter::repeat_with(|| dice.u8(..)).take(length).collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&bytes)));
        assert!(outcome.is_ok(), "seed {seed} failed; run it alone with FUZZ_SEED={seed}");
    };
    if let Some(alone) = given("FUZZ_SEED") {
        return run(alone);
    }
    // Without a time to fill, the same cases each time.
    (0..CASES).for_each(&mut run);
    if let Some(seconds) = given("FUZZ_SECONDS") {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        while std::time::Instant::now() < end {
            run(fastrand::u64(..));
        }
    }
}

const CASES: u64 = 300;
