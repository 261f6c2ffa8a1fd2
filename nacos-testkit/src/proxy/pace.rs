//! How many bytes may go when: the arithmetic of a throttle.

use std::time::Duration;

use tokio::time::Instant;

/// Spreads bytes over time. Each slice is paid for after it went.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bytes_per_second: Option<u32>,
    paid_at: Option<Instant>,
}

impl Pace {
    /// Goes at this pace from now on; the next slice waits for none that went at another.
    pub(super) fn set(&mut self, bytes_per_second: Option<u32>) {
        if self.bytes_per_second != bytes_per_second {
            *self = Self { bytes_per_second, paid_at: None };
        }
    }

    /// When the next slice may go; `None` is at once.
    pub(super) fn next(&self) -> Option<Instant> {
        self.paid_at
    }

    /// How many bytes may go together.
    pub(super) fn slice(&self) -> usize {
        let Some(rate) = self.bytes_per_second else { return usize::MAX };
        usize::try_from(rate).unwrap_or(usize::MAX).saturating_div(SLICES).clamp(1, LARGEST)
    }

    pub(super) fn spend(&mut self, now: Instant, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        // A timer is late by up to a millisecond; it may catch up on that, but saves up no more.
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let from = self.paid_at.map_or(now, |paid_at| paid_at.max(earliest));
        let nanos = (bytes as u128).saturating_mul(1_000_000_000) / u128::from(rate.max(1));
        let costs = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.paid_at = from.checked_add(costs);
    }
}

/// Slices per second: fine enough to look like a slow link, coarse enough for timers.
const SLICES: usize = 100;
const LARGEST: usize = 16 << 10;
const CATCH_UP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn late_timers_do_not_lower_the_rate_and_idling_saves_nothing() {
        let mut pace = Pace::default();
        pace.set(Some(100_000));
        let began = Instant::now();
        let mut now = began;
        for _ in 0..100 {
            now = now.max(pace.next().unwrap_or(now)) + Duration::from_millis(1);
            pace.spend(now, pace.slice());
        }
        let took = pace.next().expect("throttled") - began;
        assert!((1000..=1002).contains(&took.as_millis()), "{took:?}");

        now += Duration::from_secs(60);
        pace.spend(now, 1000);
        assert_eq!(pace.next(), Some(now), "no more than one slice was saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn slowest_pace_moves_single_bytes() {
        let mut pace = Pace::default();
        pace.set(Some(1));
        assert_eq!(pace.slice(), 1);
        let now = Instant::now();
        pace.spend(now, 1);
        assert_eq!(pace.next(), Some(now + Duration::from_secs(1)));
    }
}
