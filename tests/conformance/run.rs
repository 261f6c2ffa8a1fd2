//! Running every check against a server, or against what was recorded of one.
use std::{collections::BTreeMap, rc::Rc, time::Duration};

use futures_util::{FutureExt, StreamExt};
use nacos_testkit::{Behaviour, TimeLimit};
use servers::{Given, Product};
use tokio::{
    task::{LocalSet, spawn_local},
    time::timeout,
};

use crate::{
    capture::Capture,
    check::{Check, Needs},
    document::{Column, Document, write_asked_for},
    hold::Accepted,
    subject::Subject,
    themes::checks,
    trace,
    witness::{self, Payload},
};

/// The observations of one server, by the names of the checks.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    seen: BTreeMap<&'static str, String>,
    heard: BTreeMap<&'static str, Vec<Payload>>,
    failed: Vec<&'static str>,
}

/// One check after the other: on a paused clock, time is free.
pub(crate) async fn on_test_server(behaviour: Behaviour) -> Observed {
    TimeLimit::for_test();
    let subject = Rc::new(Subject::testkit(behaviour).await);
    let mut observed = Observed::default();
    let tasks = LocalSet::new();
    for check in chosen() {
        observed.note(check, tasks.run_until(observe(check, Rc::clone(&subject))).await);
    }
    observed
}

/// All checks at the same time, but for those that must be alone: most of them wait.
///
/// A machine that is busy, its disk above all, makes a server so slow that some words are others.
/// Where few differ from the `column`, they are observed once more, on a server that does nothing
/// else, and that counts.
pub(crate) fn on_real_server(product: Product, column: Column) -> Observed {
    let mut observed = on_real(&Rc::new(Subject::real(product)), &chosen().collect::<Vec<_>>());
    let doubtful = observed.doubtful(column);
    if !write_asked_for() && (1..=OBSERVED_AGAIN).contains(&doubtful.len()) {
        let named: Vec<_> = doubtful.iter().map(|check| check.what).collect();
        println!("observed once more, alone on a server of their own: {named:?}");
        observed.replace(on_real(&Rc::new(Subject::real(product)), &doubtful));
    }
    witness::keep(&format!("{}-{}", product.name(), product.version()), &observed.heard);
    observed
}

/// The same on a given server, but for what only an operator may do; says what is skipped, and
/// removes what was written.
pub(crate) fn on_given_server(given: &'static Given) -> Observed {
    println!("covered: {} on {}, under {}", given.kind(), given.addr(), given.prefix());
    let subject = Rc::new(Subject::given(given));
    let mut checks = Vec::new();
    for check in chosen() {
        match check.needs {
            Needs::Own => println!("skipped {}: it needs a server of its own", check.what),
            Needs::Login if given.credentials().is_none() => {
                println!("skipped {}: no NACOS_REAL_USERNAME is given", check.what);
            }
            Needs::Login | Needs::Nothing => checks.push(check),
        }
    }
    on_real(&subject, &checks)
}

fn on_real(subject: &Rc<Subject>, checks: &[Check]) -> Observed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let all = async {
        let mut observed = Observed::default();
        if subject.is_given() {
            let removed = timeout(PATIENCE, trace::remove_leftovers(subject)).await;
            match removed {
                Ok(count) => println!("removed {count} documents of earlier runs"),
                Err(_) => println!("not all of earlier runs was removed in time"),
            }
        }
        // The last themes wait longest: they begin first.
        let together = checks.iter().copied().rev().filter(|check| !check.alone);
        let together =
            together.map(|check| observe(check, Rc::clone(subject)).map(move |seen| (check, seen)));
        let mut together = futures_util::stream::iter(together).buffer_unordered(AT_ONCE);
        while let Some((check, seen)) = together.next().await {
            observed.note(check, seen);
        }
        for check in checks.iter().copied().filter(|check| check.alone) {
            observed.note(check, observe(check, Rc::clone(subject)).await);
        }
        if subject.is_given() {
            let removed = timeout(PATIENCE, trace::remove_written(subject)).await;
            println!("removed {} documents", removed.expect("a server removes what it is told to"));
        }
        observed
    };
    LocalSet::new().block_on(&runtime.expect("a runtime"), all)
}

/// Runs one check as a task of its own: when it panics, the others go on.
async fn observe(check: Check, subject: Rc<Subject>) -> Result<(String, Vec<Payload>), String> {
    let seen = spawn_local(timeout(PATIENCE, witness::listening((check.run)(subject)))).await;
    let seen = seen.map_err(|panic| panic.to_string())?;
    seen.map_err(|_| "nothing to be observed in time".to_owned())
}

/// The observations that the checks would have made in a recorded session.
pub(crate) fn on_capture(capture: &Capture) -> Observed {
    let captured = |check: Check| Some((check.what, check.captured?(capture)));
    Observed { seen: checks().filter_map(captured).collect(), ..Observed::default() }
}

impl Observed {
    fn note(&mut self, check: Check, seen: Result<(String, Vec<Payload>), String>) {
        match seen {
            Ok((seen, heard)) => {
                self.seen.insert(check.what, trace::usual(&seen));
                self.heard.insert(check.what, heard);
            }
            Err(why) => {
                println!("{}: {why}", check.what);
                self.failed.push(check.what);
            }
        }
    }

    /// The checks that came to nothing, or to other words than this column's; each is to be alone.
    fn doubtful(&self, column: Column) -> Vec<Check> {
        let document = Document::read();
        let differs =
            |what| self.seen.get(what).is_some_and(|seen| !document.says(what, column, seen));
        let doubtful = chosen().filter(|it| self.failed.contains(&it.what) || differs(it.what));
        doubtful.map(Check::alone).collect()
    }

    /// Takes these observations in the place of the former ones.
    fn replace(&mut self, again: Self) {
        self.failed = again.failed;
        self.seen.extend(again.seen);
        self.heard.extend(again.heard);
    }

    /// Compares with this column of the document, or writes it where that was asked for.
    pub(crate) fn settle(&self, column: Column) {
        if write_asked_for() {
            Document::change(|document| document.put(column, &self.seen));
        } else {
            Document::read().assert_column(column, &self.seen);
        }
        assert!(
            self.failed.is_empty(),
            "checks of {column:?} that came to nothing: {:?}",
            self.failed
        );
    }

    /// Compares with this column of the document, and never writes; nothing may have failed.
    pub(crate) fn is_as_written(&self, column: Column) {
        Document::read().assert_column(column, &self.seen);
        assert!(self.failed.is_empty(), "checks that came to nothing: {:?}", self.failed);
    }

    /// Compares with this column of the document, and never writes.
    pub(crate) fn agree_with(&self, column: Column, accepted: &[Accepted]) {
        if !write_asked_for() {
            let known =
                |what: &&str| accepted.iter().any(|it| it.what == *what && it.column == column);
            let seen = self.seen.iter().filter(|(what, _)| !known(what));
            let seen = seen.map(|(what, seen)| (*what, seen.clone())).collect();
            Document::read().assert_column(column, &seen);
        }
    }
}

/// All checks, or those whose names hold what `NACOS_CONFORMANCE_ONLY` says.
fn chosen() -> impl Iterator<Item = Check> {
    let only = std::env::var("NACOS_CONFORMANCE_ONLY").unwrap_or_default();
    checks().filter(move |check| check.what.contains(&only))
}

/// As many as do not get into each other's way.
const AT_ONCE: usize = 24;

/// So many words that differ may be those of a busy machine; more are another server.
const OBSERVED_AGAIN: usize = 8;

/// For one check.
const PATIENCE: Duration = Duration::from_secs(90);
