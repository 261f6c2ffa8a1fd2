//! What configurations count and measure, through the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Each has the label `name`: the configuration's, as in logs. A recorder is told a description and
//! the unit of each.
//!
//! | name | kind | more labels | what |
//! | --- | --- | --- | --- |
//! | [`COMMITS`] | counter | | changes that were applied after the start |
//! | [`REJECTIONS`] | counter | `stage` | changes that were rejected, each try of one: see [`Stage`] |
//! | [`REJECTED`] | gauge | | 1 while the newest documents stand rejected, 0 otherwise, and when the configuration has ended |
use std::sync::Arc;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge, with_recorder};

use crate::report::Stage;

/// Changes that were applied.
pub const COMMITS: &str = "nacos_config_commits_total";
/// Changes that were rejected, by stage.
pub const REJECTIONS: &str = "nacos_config_rejections_total";
/// Whether the newest documents stand rejected.
pub const REJECTED: &str = "nacos_config_rejected";

/// What one configuration reports.
pub(crate) struct Meter {
    name: Arc<str>,
    /// The recorder that knows what the names mean, by its address: there is nothing else.
    described: Option<usize>,
}

impl Meter {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { name, described: None }
    }

    /// A change was applied.
    pub(crate) fn committed(&mut self) {
        self.describe();
        counter!(COMMITS, "name" => self.name.to_string()).increment(1);
    }

    /// A change was rejected.
    pub(crate) fn rejected(&mut self, stage: Stage) {
        self.describe();
        counter!(REJECTIONS, "name" => self.name.to_string(), "stage" => stage.name()).increment(1);
    }

    /// Whether the newest documents stand rejected.
    pub(crate) fn stands(&mut self, rejected: bool) {
        self.describe();
        gauge!(REJECTED, "name" => self.name.to_string()).set(if rejected { 1.0 } else { 0.0 });
    }

    fn describe(&mut self) {
        let recorder = with_recorder(|recorder| std::ptr::from_ref(recorder).cast::<()>().addr());
        if self.described.replace(recorder) == Some(recorder) {
            return;
        }
        describe_counter!(COMMITS, Unit::Count, "Changes of a configuration that were applied");
        describe_counter!(
            REJECTIONS,
            Unit::Count,
            "Changes of a configuration that were rejected, by stage"
        );
        describe_gauge!(REJECTED, Unit::Count, "Whether the newest documents stand rejected");
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stands(false);
    }
}
