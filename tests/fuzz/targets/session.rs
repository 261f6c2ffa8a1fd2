//! All that may happen to a session, in any order:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz session -- -max_len=4096 -max_total_time=60`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nacos_core::fuzzed::session(data));
