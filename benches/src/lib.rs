//! Side-by-side measurements: the product and a baseline in the same run, in alternating rounds.
//!
//! Nothing here judges a number. A run fails only if something could not be measured.
//!
//! - [`contest`] lets sides compete in rounds, [`row`] compares what came of it;
//! - [`run`] is one run: how much of it, on which [`server`], printed by [`report`];
//! - [`floor`] is the least that a call costs: tonic's client without any SDK;
//! - [`subject`] is a client in a process of its own, that takes the orders of [`client`];
//! - [`group`] has the groups of rows, one file each.
pub mod args;
pub mod client;
pub mod contest;
pub mod floor;
pub mod group;
pub mod machine;
pub mod meter;
pub mod report;
pub mod row;
pub mod run;
pub mod serve;
pub mod server;
pub mod subject;

/// Why something could not be measured.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
