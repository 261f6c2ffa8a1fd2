//! A coarse clock that fits into an atomic word beside the value that it dates.
use tokio::time::Instant;

/// The beginning of one balancer's ticks. Follows the runtime's clock, paused or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

/// A moment, in steps of 10 ms modulo 2²⁴ (46 hours).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tick(u32);

impl Clock {
    pub(crate) fn starting(start: Instant) -> Self {
        Self { start }
    }

    #[inline]
    pub(crate) fn tick(&self, now: Instant) -> Tick {
        let elapsed = now.saturating_duration_since(self.start);
        // Seconds modulo the mask first: the sum fits into 32 bits then.
        let seconds = u32::try_from(elapsed.as_secs() & u64::from(Tick::MASK)).unwrap_or(0);
        Tick::from_bits(seconds * STEPS_PER_SECOND + elapsed.subsec_millis() / STEP_MS)
    }
}

impl Tick {
    /// The bits that a tick takes.
    pub(crate) const MASK: u32 = (1 << 24) - 1;

    #[inline]
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits & Self::MASK)
    }

    #[inline]
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The seconds from `earlier` to this moment.
    ///
    /// A moment that seems to lie in the future counts as now: another thread read its clock first.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> f32 {
        let steps = self.0.wrapping_sub(earlier.0) & Self::MASK;
        if steps > Self::MASK / 2 {
            return 0.0;
        }
        let (high, low) = (steps >> 16, steps & 0xFFFF);
        let [high, low] = [high, low].map(|half| f32::from(u16::try_from(half).unwrap_or(0)));
        // At most 2²³ - 1 steps: exact in a `f32`.
        (high * 65_536.0 + low) * 0.01
    }
}

const STEPS_PER_SECOND: u32 = 100;
const STEP_MS: u32 = 1_000 / STEPS_PER_SECOND;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn differences_survive_the_wrap() {
        let before = Tick::from_bits(Tick::MASK - 4);
        let after = Tick::from_bits(5);
        assert!((after.since(before) - 0.1).abs() < 1e-6);
        assert!(before.since(after).abs() < f32::EPSILON, "the future counts as now");
    }

    #[test]
    fn clock_counts_steps_of_ten_milliseconds() {
        let start = Instant::now();
        let clock = Clock::starting(start);
        let at = |millis| clock.tick(start + Duration::from_millis(millis));
        assert_eq!(at(9), at(0));
        assert!((at(100_000).since(at(0)) - 100.0).abs() < 1e-3);
    }
}
