//! A file of snapshots, as anything may have left it:
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz snapshot_decode -- -max_total_time=60`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nacos_core::fuzzed::snapshot_decode(data));
