//! The weight of a server that has just begun, which rises to its full one.
//!
//! A process whose caches, pools and branch predictors are cold is slower than its siblings, and
//! its full share of the traffic would be late. Each step is a push to every consumer, so there are
//! few.
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A rise from a tenth of the weight to all of it, in at most five steps.
#[derive(Debug)]
pub(super) struct WeightRamp {
    step: Duration,
    steps: u32,
    taken: u32,
    /// None before it has begun.
    since: Option<Instant>,
}

impl WeightRamp {
    /// A ramp that takes `over`: none if that is zero.
    pub(super) fn new(over: Duration) -> Self {
        let seconds = u32::try_from(over.as_secs()).unwrap_or(u32::MAX);
        let steps = if over.is_zero() { 0 } else { seconds.clamp(1, MOST_STEPS) };
        let step = (over / steps.max(1)).clamp(SHORTEST_STEP, LONGEST_STEP);
        Self { step, steps, taken: 0, since: None }
    }

    /// Begins, unless it has: later registrations of the same server are none of a cold one.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether it has begun, and steps are left.
    pub(super) fn rises(&self) -> bool {
        self.since.is_some() && self.taken < self.steps
    }

    /// The share of the weight that it has reached.
    pub(super) fn share(&self) -> f64 {
        if self.taken >= self.steps {
            return 1.0;
        }
        FIRST_SHARE + (1.0 - FIRST_SHARE) * f64::from(self.taken) / f64::from(self.steps)
    }

    /// Waits for the next step. Never ends before it has begun, or once its last step is taken.
    ///
    /// Cancel safe: a step that nobody waited for is taken by the next call.
    pub(super) async fn stepped(&mut self) {
        let Some(since) = self.since.filter(|_| self.rises()) else {
            return std::future::pending().await;
        };
        sleep_until(since + self.step * (self.taken + 1)).await;
        self.taken += 1;
    }
}

/// As Envoy's slow start begins, whose `min_weight_percent` is 10 % by default.
const FIRST_SHARE: f64 = 0.1;
const MOST_STEPS: u32 = 5;
/// Servers merge the pushes of half a second.
const SHORTEST_STEP: Duration = Duration::from_secs(1);
/// So that no clock overflows.
const LONGEST_STEP: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use nacos_testkit::TimeLimit;

    use super::*;

    /// The seconds at which each share is reached, once it has begun.
    async fn course(over: Duration) -> Vec<(u64, String)> {
        TimeLimit::for_test();
        let mut ramp = WeightRamp::new(over);
        let began = Instant::now();
        ramp.begin(began);
        let mut course = Vec::new();
        while ramp.share() < 1.0 {
            ramp.stepped().await;
            course.push(((Instant::now() - began).as_secs(), format!("{:.2}", ramp.share())));
        }
        course
    }

    #[tokio::test(start_paused = true)]
    async fn weight_rises_in_at_most_five_steps_of_a_second_at_least() {
        let seconds = Duration::from_secs;
        let is = |seconds: u64, share: &str| (seconds, share.to_owned());
        assert_eq!(
            course(seconds(30)).await,
            [is(6, "0.28"), is(12, "0.46"), is(18, "0.64"), is(24, "0.82"), is(30, "1.00")],
            "five steps"
        );
        assert_eq!(course(seconds(2)).await, [is(1, "0.55"), is(2, "1.00")], "a second each");
        assert_eq!(course(Duration::from_millis(1)).await, [is(1, "1.00")], "not below a second");
        assert_eq!(course(Duration::ZERO).await, [], "none");
        assert_eq!(course(Duration::MAX).await.len(), 5, "no clock overflows");
    }

    #[tokio::test(start_paused = true)]
    async fn ramp_begins_once_and_neither_before_nor_again() {
        TimeLimit::for_test();
        let mut ramp = WeightRamp::new(Duration::from_secs(5));
        let early = tokio::time::timeout(Duration::from_secs(60), ramp.stepped()).await;
        assert!(early.is_err(), "not before it has begun");
        assert!((ramp.share() - 0.1).abs() < 1e-9);
        let began = Instant::now();
        ramp.begin(began);
        ramp.begin(began + Duration::from_secs(60));
        ramp.stepped().await;
        assert_eq!((Instant::now() - began), Duration::from_secs(1));
    }
}
