//! A coarse clock that fits into an atomic word beside what it dates.
use std::time::Duration;

use tokio::time::Instant;

/// Where the ticks of one balancer begin. Follows the runtime's clock, paused or not.
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
        let steps = now.saturating_duration_since(self.start).as_millis() / STEP_MS;
        Tick::from_bits(u32::try_from(steps & u128::from(Tick::MASK)).unwrap_or(0))
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
    /// What seems to lie in the future counts as now: another thread read its clock first.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> f32 {
        let steps = self.0.wrapping_sub(earlier.0) & Self::MASK;
        if steps > Self::MASK / 2 {
            return 0.0;
        }
        // At most 2²³ - 1: exact in a `f32`.
        let (high, low) = (steps >> 16, steps & 0xFFFF);
        let steps = f32::from(u16::try_from(high).unwrap_or(0)) * 65_536.0
            + f32::from(u16::try_from(low).unwrap_or(0));
        steps * STEP.as_secs_f32()
    }
}

const STEP: Duration = Duration::from_millis(10);
const STEP_MS: u128 = STEP.as_millis();

#[cfg(test)]
mod tests {
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
