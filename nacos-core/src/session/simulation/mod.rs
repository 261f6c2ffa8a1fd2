//! The session against a scripted server on a simulated clock: no socket, no task, no waiting.
//!
//! Each seed is one history of faults: refused and silent connections, packets that are lost,
//! setups that are never acknowledged, lost and late answers, answers that cannot be read,
//! refusals, servers that pause, answer health checks only, leave, restart, go down or lose a
//! publication without a word, resets, lists out of order, clocks that step, logins that nobody
//! answers or that are refused for a while, authentication that is switched on and off with and
//! without a user, changes from outside. One in four ends in the middle of that; in the others the
//! faults end, and once the session has had time to heal, the server must hold exactly what is
//! claimed, and the client must know exactly what the server has. In every history, no minute may
//! cost more than its [`budget`]. A failing seed is named; `SIMULATED_SEED=n` runs it alone, and
//! `SIMULATED_SEEDS=n` runs the first n. `SIMULATED_DIGESTS=file` writes the [digests](digests) of
//! each, so that two commits can be compared.
//!
//! [`history`] makes a history out of a seed, [`patterns`] one of fuzzy watches alone,
//! [`scenarios`] and [`storms`] tell one each, [`pulls`] those of queries for documents. [`world`]
//! is the clock and the network between the session and its [`server`], [`faults`] are the faults
//! of both, and [`checks`] are the conditions that hold all the same.
mod budget;
mod checks;
mod digests;
mod faults;
mod history;
mod patterns;
mod pulls;
mod scenarios;
mod server;
mod storms;
mod world;

use std::sync::Arc;

use super::*;
use crate::{
    call_error::CallError,
    document::DocumentState,
    instance::Instance,
    key::{ConfigKey, ConfigPattern, ServiceKey},
    matched_keys::{Completeness, MatchedKeys},
    service::Service,
    state::ClaimState,
    storm::PullMode,
};

fn service(name: &str, instances: bool) -> ClaimKey {
    let key = ServiceKey::try_from(name).expect("valid").resolve(&"".parse().expect("valid"));
    if instances { ClaimKey::Instances(key) } else { ClaimKey::Subscription(key) }
}

fn pattern(data_id: &str) -> ClaimKey {
    let pattern = ConfigPattern::try_from(data_id).expect("valid");
    ClaimKey::FuzzyWatch(pattern.resolve(&"".parse().expect("valid")))
}

fn document(name: &str) -> ClaimKey {
    ClaimKey::Listen(ConfigKey::try_from(name).expect("valid").resolve(&"".parse().expect("valid")))
}
