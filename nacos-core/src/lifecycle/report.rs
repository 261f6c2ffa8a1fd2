//! The report of a server's life, step by step.
use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::{instance::Instance, key::ServiceKey};

/// How a server began, served and ended: each step, its outcome and how long it took.
///
/// `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LifecycleReport {
    /// The service that the server was registered as.
    pub service: ServiceKey,
    /// The instance that was registered; none if the end came before.
    pub instance: Option<Instance>,
    /// The steps, in the order in which they were taken.
    pub steps: Vec<StepReport>,
    /// Connections that were cut because they had not ended in time.
    pub cut: usize,
}

/// One step, and its outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The step.
    pub step: Step,
    /// Its outcome.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// One step in the life of a server, in order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Step {
    /// Waits until the program is ready; connections are served already.
    WarmUp,
    /// Registers, and waits until Nacos has acknowledged that.
    Register,
    /// Serves, known to consumers, until it is asked to end.
    Serve,
    /// Deregisters, and waits until Nacos has acknowledged that. Serves on.
    Withdraw,
    /// Waits until Nacos tells subscribers that it is gone; it subscribes itself. Serves on.
    Observe,
    /// Leaves consumers the time to take up the change. Serves on.
    Grace,
    /// Accepts no more connections, and waits for the open ones to end.
    Drain,
    /// Ends the client's session, if no other server needs it.
    Close,
}

/// The outcome of a [`Step`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done.
    Completed,
    /// Given up, because the end had to be at once.
    Hurried,
    /// There was no reason to do it, or to wait for it.
    Skipped,
    /// Given up after its limit, or when all the time was used up.
    TimedOut,
}

impl LifecycleReport {
    /// The report of `step`, if it was reached.
    #[must_use]
    pub fn step(&self, step: Step) -> Option<StepReport> {
        self.steps.iter().find(|report| report.step == step).copied()
    }
}

/// Writes a report while it happens.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) report: LifecycleReport,
    began: Instant,
}

impl Recorder {
    pub(super) fn new(service: ServiceKey) -> Self {
        let report = LifecycleReport { service, instance: None, steps: Vec::new(), cut: 0 };
        Self { report, began: Instant::now() }
    }

    /// Begins `step`.
    pub(super) fn enter(&mut self, step: Step) {
        self.began = Instant::now();
        self.report.steps.push(StepReport {
            step,
            outcome: Outcome::Completed,
            took: Duration::ZERO,
        });
    }

    /// Ends the step that was begun last.
    pub(super) fn leave(&mut self, outcome: Outcome) {
        let took = Instant::now() - self.began;
        if let Some(last) = self.report.steps.last_mut() {
            (last.outcome, last.took) = (outcome, took);
        }
    }

    /// Notes steps that are not taken.
    pub(super) fn skip(&mut self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            self.enter(step);
            self.leave(Outcome::Skipped);
        }
    }
}

impl fmt::Display for LifecycleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(instance) => write!(f, "{} at {}", self.service, instance.address())?,
            None => write!(f, "{}, not registered", self.service)?,
        }
        for (at, StepReport { step, outcome, took }) in self.steps.iter().enumerate() {
            let separator = if at == 0 { ": " } else { ", " };
            let ms = took.as_millis();
            match outcome {
                Outcome::Completed => write!(f, "{separator}{step} {ms} ms")?,
                Outcome::Skipped => write!(f, "{separator}{step} skipped")?,
                Outcome::TimedOut => write!(f, "{separator}{step} given up after {ms} ms")?,
                Outcome::Hurried => write!(f, "{separator}{step} hurried after {ms} ms")?,
            }
        }
        match self.cut {
            0 => Ok(()),
            1 => f.write_str("; 1 connection was cut"),
            cut => write!(f, "; {cut} connections were cut"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WarmUp => "warm-up",
            Self::Register => "register",
            Self::Serve => "serve",
            Self::Withdraw => "withdraw",
            Self::Observe => "observe",
            Self::Grace => "grace",
            Self::Drain => "drain",
            Self::Close => "close",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_line_for_a_log() {
        let mut recorder = Recorder::new(ServiceKey::try_from("orders").expect("valid"));
        recorder.enter(Step::Register);
        recorder.leave(Outcome::TimedOut);
        recorder.skip([Step::Observe]);
        let mut report = recorder.report;
        report.instance = Some(Instance::new("10.0.0.7", 80));
        report.cut = 2;
        for step in &mut report.steps {
            step.took = Duration::from_millis(3);
        }
        assert_eq!(
            report.to_string(),
            "DEFAULT_GROUP@@orders at 10.0.0.7:80: register given up after 3 ms, observe skipped; \
             2 connections were cut"
        );
    }
}
