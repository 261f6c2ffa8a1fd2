//! The client against real servers that fail: r-nacos, stopped, killed, frozen, and back again.
//!
//! Runs where `NACOS_REAL=1` asks for it (`bash .ci/run real`); says what it skips, and why. Time is
//! real here, so everything is waited for, nothing is measured. What servers do that are well is
//! checked in `tests/conformance`.
mod common;
mod faults;
