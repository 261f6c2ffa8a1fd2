//! A check: one thing done to a server, and the words for what was observed.
use std::{pin::Pin, rc::Rc, time::Duration};

use crate::{capture::Capture, subject::Subject};

/// An observation, in words that are the same in every run.
pub(crate) type Observation = String;

pub(crate) type Observing = Pin<Box<dyn Future<Output = Observation>>>;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    /// Names the row; no two are alike.
    pub(crate) what: &'static str,
    pub(crate) run: fn(Rc<Subject>) -> Observing,
    /// Says the same of a capture, where it has the step.
    pub(crate) captured: Option<fn(&Capture) -> Observation>,
    /// Whether other checks must not be under way meanwhile: it breaks what they stand on.
    pub(crate) alone: bool,
    /// Its demands on a [given](servers::Given) server.
    pub(crate) needs: Needs,
}

/// A check's demands on a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Needs {
    Nothing,
    /// That it demands a login.
    Login,
    /// That it is the suite's own: it is restarted, set up for this, or changed as by an operator.
    Own,
}

impl Check {
    pub(crate) const fn captured(mut self, by: fn(&Capture) -> Observation) -> Self {
        self.captured = Some(by);
        self
    }

    pub(crate) const fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    pub(crate) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

/// A [`Check`] of this name and this async function.
macro_rules! check {
    ($what:literal, $run:path) => {
        $crate::check::Check {
            what: $what,
            run: |subject| Box::pin($run(subject)),
            captured: None,
            alone: false,
            needs: $crate::check::Needs::Nothing,
        }
    };
}
pub(crate) use check;

/// Checks that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    pub(crate) title: &'static str,
    pub(crate) checks: &'static [Check],
}

/// How long something took, as coarsely as it takes for two runs to say the same.
pub(crate) fn about(taken: Duration) -> &'static str {
    match taken.as_millis() {
        0..=2_000 => "within 2 s",
        2_001..=8_000 => "after 2 to 8 s",
        8_001..=14_000 => "after 8 to 14 s",
        14_001..=24_000 => "after 14 to 24 s",
        24_001..=40_000 => "after 24 to 40 s",
        _ => "after more than 40 s",
    }
}
