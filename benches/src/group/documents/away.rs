//! Documents that change while the client is cut off from the server.
use std::{
    thread,
    time::{Duration, Instant},
};

use nacos_testkit::proxy::{Command, FaultProxy};

use super::Publisher;
use crate::{
    Failure,
    meter::millis,
    row::{Better, Metric},
    run::Run,
    subject::Subject,
};

/// So many documents change while the client is away.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) goal: (Metric, f64),
    count: usize,
}

impl Case {
    /// From the moment in which the server's port answers again until all changes are visible.
    pub(super) fn once(
        &self,
        run: &Run,
        publisher: &Publisher<'_>,
        who: &Subject,
    ) -> Result<f64, Failure> {
        let count = run.count(self.count);
        publisher.publish(DOCUMENTS, count)?;
        let network = FaultProxy::nacos(publisher.socket_addr()?);
        let network = publisher.runtime().block_on(network)?;
        let watching = who.watch(&network.addr().to_string(), DOCUMENTS, count, None)?;
        network.apply(Command::refuse())?;
        network.apply(Command::reset())?;
        let gone = Instant::now();
        let (value, _) = publisher.publish(DOCUMENTS, count)?;
        wait(run.outage(1).saturating_sub(gone.elapsed()));
        // The ports are opened on the runtime, as they were at first.
        let _inside = publisher.runtime().enter();
        network.apply(Command::accept())?;
        let back = Instant::now();
        let last = watching.last(count, value, PATIENCE)?;
        publisher.remove(DOCUMENTS, count)?;
        Ok(millis(last.saturating_duration_since(back)))
    }
}

/// An outage lasts as long as it lasts. There is no worker of a runtime here that this could block.
#[expect(clippy::disallowed_methods, reason = "what is measured is a stretch of real time")]
fn wait(time: Duration) {
    thread::sleep(time);
}

pub(super) const CASES: [Case; 2] = [
    Case { name: "1 changed while cut off for 1 s", goal: (METRIC, 200.0), count: 1 },
    Case { name: "500 changed while cut off for 1 s", goal: (METRIC, 1000.0), count: 500 },
];
const METRIC: Metric =
    Metric { name: "port answers to last visible", unit: "ms", better: Better::Less };
const DOCUMENTS: &str = "nacos-rs-benches-away";
const PATIENCE: Duration = Duration::from_secs(120);
