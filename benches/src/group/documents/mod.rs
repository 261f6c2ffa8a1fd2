//! `documents`: from a publish until a reader sees it, and what thousands of watches cost.
//!
//! The readers are clients in processes of their own, which say what they see on their standard
//! output; documents are published by bare tonic. So a rival can be watched in the same way.
mod away;
mod publisher;
mod restore;
mod scale;
pub mod sdk;
mod steady;

use std::time::Duration;

use self::publisher::Publisher;
use super::{BARE_TONIC, Group, compare};
use crate::{
    Failure,
    contest::{Side, contest},
    meter::amount,
    row::{Better, Metric, Row},
    run::Run,
    subject::Subject,
};

/// The group.
pub const GROUP: Group = Group {
    name: "documents",
    about: "publish to visible, thousands of watches, outages, starts from disk, against the goals",
    on_request: false,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    let (ours, publisher) = (Subject::ours()?, Publisher::start(run.server()?)?);
    let mut rows = steady::rows(run, &publisher, &ours)?;
    for (count, goals) in [(1_000, [Some(50.0), None]), (5_000, [Some(200.0), Some(1500.0)])] {
        rows.extend(scale::rows(run, &publisher, &ours, (count, goals))?);
    }
    for case in away::CASES {
        rows.extend(beside_goal(run, case.name, case.goal, || case.once(run, &publisher, &ours))?);
    }
    rows.extend(beside_goal(run, FIRST, SEEN, || first(run, &publisher, &ours))?);
    rows.extend(restore::rows(run, &ours)?);
    Ok(rows)
}

/// A row: the name of its case, its metric and goal, and the figures of its rounds beside that.
fn beside_goal(
    run: &Run,
    case: &str,
    (metric, goal): (Metric, f64),
    mut once: impl FnMut() -> Result<f64, Failure>,
) -> Result<Vec<Row>, Failure> {
    let rounds = run.rounds().min(ROUNDS);
    let sides: Vec<Side<'_, 1>> = vec![Box::new(|| Ok([once()?]))];
    let goals = [vec![goal; rounds]];
    let figures = contest(rounds, sides)?;
    let rows = |ours| compare(GROUP.name, case, [metric], ours, (GOAL, &goals));
    Ok(figures.first().map(rows).unwrap_or_default())
}

/// The share of watched documents that do not exist yet whose first publish is seen.
fn first(run: &Run, publisher: &Publisher, who: &Subject) -> Result<f64, Failure> {
    let count = run.count(30).max(3);
    publisher.remove(FIRST_ONES, count)?;
    let watching = who.watch(publisher.addr(), FIRST_ONES, count, None)?;
    let (value, _) = publisher.publish(FIRST_ONES, count)?;
    let seen = watching.seen(count, value, NEVER).len();
    publisher.remove(FIRST_ONES, count)?;
    Ok(amount(seen) / amount(count))
}

/// The data id of one of many documents.
pub(crate) fn name(documents: &str, number: usize) -> String {
    format!("{documents}-{number}")
}

/// Nobody listens there, and none needs rights to find that out.
pub(crate) const NO_SERVER: &str = "127.0.0.1:1";
/// The cluster's name below a directory of snapshots.
pub(crate) const SCOPE: &str = "benches";

const FIRST: &str = "watched before it exists";
const FIRST_ONES: &str = "nacos-rs-benches-first";
const SEEN: (Metric, f64) =
    (Metric { name: "first publishes seen", unit: "of 1", better: Better::More }, 1.0);
const GOAL: &str = "the goal";
/// A round of these cases takes seconds.
const ROUNDS: usize = 3;
/// The time after which a change that was not seen never will be.
const NEVER: Duration = Duration::from_secs(10);
