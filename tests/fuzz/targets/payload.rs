//! Bytes from a peer, through every decoder there is:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz payload -- -max_total_time=60`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nacos_core::fuzzed::payload(data));
