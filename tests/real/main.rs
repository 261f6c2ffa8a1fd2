//! The client against real servers that fail, stop, freeze and guard themselves: what a story tells
//! and a table does not.
//!
//! Runs where `NACOS_REAL=1` asks for it (`bash .ci/run real`); says what it skips, and why. Time
//! is real here, so everything is waited for, nothing is measured. Servers that are well are
//! checked in `tests/conformance`.
mod being_written;
mod blocked;
mod cancelled;
mod cluster;
mod common;
mod console;
mod documents;
mod encrypted;
mod faults;
mod fleet;
mod guarded;
mod network;
mod relay;
mod rights;
mod tls;
mod traveller;
mod visit;
