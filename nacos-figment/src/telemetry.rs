//! The metrics of configurations, through the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Each has the label `name`: the configuration's, as in logs; those of one name are counted
//! together. A recorder is told a description and the unit of each. One that is installed late,
//! when configurations run already, learns of each of them within five seconds, or when a build of
//! its resources that is under way is over.
//!
//! | name | kind | more labels | what |
//! | --- | --- | --- | --- |
//! | [`COMMITS`] | counter | | changes that were applied after the start |
//! | [`REJECTIONS`] | counter | `stage` | changes that were rejected, each try of one: see [`Stage`] |
//! | [`REJECTED`] | gauge | | configurations whose newest documents stand rejected: 1 or 0, unless several have this name; one that has ended counts no more |
use std::{sync::Arc, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge, with_recorder};

use crate::report::Stage;

/// Changes that were applied.
pub const COMMITS: &str = "nacos_config_commits_total";
/// Changes that were rejected, by stage.
pub const REJECTIONS: &str = "nacos_config_rejections_total";
/// Configurations whose newest documents stand rejected.
pub const REJECTED: &str = "nacos_config_rejected";

/// The metrics of one configuration.
pub(crate) struct Meter {
    name: Arc<str>,
    /// Whether the newest documents stand rejected.
    stands_rejected: bool,
    /// That, as each recorder knows it. A process has one; a thread may have another for a while.
    told: Vec<(usize, bool)>,
}

impl Meter {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { name, stands_rejected: false, told: Vec::new() }
    }

    /// A change was applied.
    pub(crate) fn committed(&mut self) {
        self.tell();
        counter!(COMMITS, "name" => self.name.to_string()).increment(1);
    }

    /// A change was rejected.
    pub(crate) fn rejected(&mut self, stage: Stage) {
        self.tell();
        counter!(REJECTIONS, "name" => self.name.to_string(), "stage" => stage.name()).increment(1);
    }

    /// Whether the newest documents stand rejected.
    pub(crate) fn stands(&mut self, rejected: bool) {
        self.stands_rejected = rejected;
        self.tell();
    }

    /// Tells a recorder that has come since the last time how the configuration stands.
    ///
    /// Others may have the same name: the gauge is a sum, to which this one adds what a recorder
    /// does not know of it yet. So none ever learns of an end without the beginning.
    pub(crate) fn tell(&mut self) {
        // By its address: there is nothing else to tell recorders apart.
        let recorder = with_recorder(|recorder| std::ptr::from_ref(recorder).cast::<()>().addr());
        let now = self.stands_rejected;
        let known = self.told.iter_mut().find(|(known, _)| *known == recorder);
        let told = if let Some((_, told)) = known {
            if *told == now {
                return;
            }
            std::mem::replace(told, now)
        } else {
            describe();
            self.told.truncate(RECORDERS - 1);
            self.told.insert(0, (recorder, now));
            false
        };
        // Nothing is added for one that is not rejected, but it shows that there is one.
        let [told, now] = [told, now].map(|rejected| f64::from(u8::from(rejected)));
        gauge!(REJECTED, "name" => self.name.to_string()).increment(now - told);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stands(false);
    }
}

/// Tells the recorder what there is, and in which units.
fn describe() {
    describe_counter!(COMMITS, Unit::Count, "Changes of a configuration that were applied");
    describe_counter!(
        REJECTIONS,
        Unit::Count,
        "Changes of a configuration that were rejected, by stage"
    );
    describe_gauge!(REJECTED, Unit::Count, "Configurations whose newest documents stand rejected");
}

/// How often a configuration looks for another recorder, whatever happens: as often as a session
/// checks the health of its server.
pub(crate) const TELL_EVERY: Duration = Duration::from_secs(5);
/// Recorders that a configuration remembers.
const RECORDERS: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use metrics::{set_default_local_recorder, with_local_recorder};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
    use tokio::time::{Instant, sleep_until};

    use super::*;
    use crate::{
        engine::Spec,
        testing::{start, status},
    };

    /// The value of the gauge; nothing if it is not there.
    #[derive(Default)]
    struct Shown(Option<f64>);

    impl Shown {
        fn now(&mut self, snapshotter: &Snapshotter) -> Option<f64> {
            let all = snapshotter.snapshot().into_vec();
            let gauge = all.into_iter().find(|(key, ..)| key.key().name() == REJECTED);
            // A snapshot takes what it shows out of the gauge.
            if let Some((.., DebugValue::Gauge(value))) = gauge {
                self.0 = Some(self.0.unwrap_or_default() + value.into_inner());
            }
            self.0
        }
    }

    #[test]
    fn configuration_that_is_well_hides_no_other_of_its_name() {
        let recorder = DebuggingRecorder::new();
        let (snapshotter, mut shown) = (recorder.snapshotter(), Shown::default());
        with_local_recorder(&recorder, || {
            let [mut one, mut other] = ["orders", "orders"].map(|name| Meter::new(name.into()));
            one.stands(false);
            assert_eq!(shown.now(&snapshotter), Some(0.0), "it shows that there is one");
            one.stands(true);
            other.stands(false);
            assert_eq!(shown.now(&snapshotter), Some(1.0));
            other.stands(true);
            other.stands(true);
            assert_eq!(shown.now(&snapshotter), Some(2.0));
            drop(one);
            assert_eq!(shown.now(&snapshotter), Some(1.0), "one that has ended counts no more");
            drop(other);
            assert_eq!(shown.now(&snapshotter), Some(0.0));
        });
    }

    /// So long on the paused clock, and a little more: it tells at the end of it.
    async fn pass(time: Duration) {
        sleep_until(Instant::now() + time + Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn recorder_that_comes_late_learns_how_a_configuration_stands_though_nothing_happens() {
        let documents = &[("a.json", Some(r#"{"n": 1}"#))];
        let spec = Spec::<HashMap<String, u32>>::default();
        let (documents, config) = start(spec, documents).await.expect("valid");
        documents.publish(0, "{");
        status(&config, |status| status.rejection.is_some()).await;

        let recorder = DebuggingRecorder::new();
        let _recording = set_default_local_recorder(&recorder);
        let (snapshotter, mut shown) = (recorder.snapshotter(), Shown::default());
        assert_eq!(shown.now(&snapshotter), None);
        pass(TELL_EVERY).await;
        assert_eq!(shown.now(&snapshotter), Some(1.0));
        pass(10 * TELL_EVERY).await;
        assert_eq!(shown.now(&snapshotter), Some(1.0), "it was told once");
        documents.publish(0, r#"{"n": 2}"#);
        status(&config, |status| status.rejection.is_none()).await;
        assert_eq!(shown.now(&snapshotter), Some(0.0));
    }

    #[test]
    fn recorder_that_comes_late_never_shows_less_than_none() {
        let mut meter = Meter::new("orders".into());
        meter.stands(true);
        let recorder = DebuggingRecorder::new();
        let (snapshotter, mut shown) = (recorder.snapshotter(), Shown::default());
        with_local_recorder(&recorder, || {
            meter.rejected(Stage::Collect);
            assert_eq!(shown.now(&snapshotter), Some(1.0), "with the next that happens");
            meter.stands(false);
            assert_eq!(shown.now(&snapshotter), Some(0.0));
        });
        meter.stands(true);
        let late = DebuggingRecorder::new();
        let (snapshotter, mut shown) = (late.snapshotter(), Shown::default());
        with_local_recorder(&late, || drop(meter));
        assert_eq!(shown.now(&snapshotter), Some(0.0), "it knows of no rejection");
    }
}
