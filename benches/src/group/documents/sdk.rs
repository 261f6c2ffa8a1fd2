//! `documents-sdk`: the same by another client for Rust.
use super::{FIRST, Publisher, SEEN, away, compare, first, scale, steady};
use crate::{
    Failure,
    contest::{Side, contest},
    group::Group,
    row::{Metric, Row},
    run::Run,
    subject::Subject,
};

/// The group.
pub const GROUP: Group = Group {
    name: "documents-sdk",
    about: "publish to visible and the rest against nacos-sdk, which must have been built",
    on_request: true,
    measure,
};

fn measure(run: &Run) -> Result<Vec<Row>, Failure> {
    const MISSING: &str = "the rival is not built";
    let ours = Subject::ours()?;
    let shipped = Subject::rival()?.ok_or(MISSING)?;
    let repaired = Subject::repaired_rival()?.ok_or(MISSING)?;
    let publisher = Publisher::start(run.server()?)?;
    let mut rows = Vec::new();
    for rival in [&shipped, &repaired] {
        let duel = Duel { run, ours: &ours, rival };
        rows.extend(duel.fight(ROUNDS, "steady", steady::METRICS, &|who| {
            steady::round(run, &publisher, who, None)
        })?);
        for count in [1_000, 5_000] {
            let documents = run.count(count);
            publisher.publish(scale::DOCUMENTS, documents)?;
            rows.extend(duel.fight(1, &scale::case(count), scale::METRICS, &|who| {
                scale::once(&publisher, who, documents)
            })?);
        }
    }
    publisher.remove(steady::DOCUMENT, 1)?;
    publisher.remove(scale::DOCUMENTS, run.count(5_000))?;
    let duel = Duel { run, ours: &ours, rival: &shipped };
    for case in away::CASES {
        rows.extend(
            duel.fight(1, case.name, [case.goal.0], &|who| Ok([case.once(run, &publisher, who)?]))?,
        );
    }
    rows.extend(duel.fight(1, FIRST, [SEEN.0], &|who| Ok([first(run, &publisher, who)?]))?);
    Ok(rows)
}

/// Ours against a rival.
struct Duel<'a> {
    run: &'a Run,
    ours: &'a Subject,
    rival: &'a Subject,
}

impl Duel<'_> {
    fn fight<const METRICS: usize>(
        &self,
        rounds: usize,
        case: &str,
        metrics: [Metric; METRICS],
        once: &dyn Fn(&Subject) -> Result<[f64; METRICS], Failure>,
    ) -> Result<Vec<Row>, Failure> {
        let sides: Vec<Side<'_, METRICS>> =
            vec![Box::new(|| once(self.ours)), Box::new(|| once(self.rival))];
        let figures = contest(self.run.rounds().min(rounds), sides)?;
        let [ours, theirs] = &*figures else { return Ok(Vec::new()) };
        Ok(compare(GROUP.name, case, metrics, ours, (self.rival.name(), theirs)))
    }
}

/// A round of the rival takes nine seconds.
const ROUNDS: usize = 5;
