//! Random input: for tests with seeded bytes, and for `tests/fuzz` with bytes that a fuzzer
//! chooses.
//!
//! All input here is made of bytes alone, so that one function is both a property test and a fuzz
//! target. `FUZZ_SECONDS=n` lets each test run for that long, `FUZZ_SEED=n` one case alone.
pub(crate) mod captures;
#[cfg(test)]
pub(crate) mod cases;
pub(crate) mod input;

/// Bytes from a peer, through every decoder there is.
#[cfg(fuzzing)]
pub fn payload(data: &[u8]) {
    crate::transport::fuzzed::decode_anything(data);
}

/// A session that anything may happen to.
#[cfg(fuzzing)]
pub fn session(data: &[u8]) {
    crate::session::fuzzed::live_through(data);
}

/// A file of snapshots, as anything may have left it.
#[cfg(fuzzing)]
pub fn snapshot_decode(data: &[u8]) {
    crate::snapshot::decode_anything(data);
}
