//! Estimates of an endpoint's latency and failures, in atomic words that requests write.
//!
//! Absent on purpose: a lock, and averages that weigh samples by elapsed time. With those the
//! "average" of an endpoint that is asked once a second is its last sample.
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::tick::Tick;

/// The mean latency of an endpoint, by count: every sample counts as much as any other, the newest
/// 32 or so remain, and evidence fades within some ten seconds of silence.
#[derive(Debug, Default)]
pub(crate) struct Latency(AtomicU64);

/// A mean, and how many samples stand behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Mean {
    /// In seconds.
    pub(crate) mean: f32,
    pub(crate) samples: f32,
}

impl Latency {
    /// Takes in a latency, in seconds.
    ///
    /// Under contention a sample may be lost: better than that a request waits.
    #[inline]
    pub(crate) fn observe(&self, sample: f32, now: Tick) {
        let before = self.0.load(Relaxed);
        let Mean { mean, samples } = faded(before, now);
        let samples = samples.min(KEPT - 1.0) + 1.0;
        let after = pack(Mean { mean: mean + (sample - mean) / samples, samples }, now);
        let _lost = self.0.compare_exchange(before, after, Relaxed, Relaxed);
    }

    #[inline]
    pub(crate) fn read(&self, now: Tick) -> Mean {
        faded(self.0.load(Relaxed), now)
    }
}

/// The mean latency of all endpoints of a set: the assumption about one that is not known yet.
#[derive(Debug, Default)]
pub(crate) struct SetLatency(AtomicU64);

impl SetLatency {
    /// Takes in a latency, in seconds. `dice` decides which samples are skipped once there are
    /// enough: all requests share this word, and the mean needs few of them.
    #[inline]
    pub(crate) fn observe(&self, sample: f32, dice: impl FnOnce() -> u8) {
        let before = self.0.load(Relaxed);
        let count = before & u64::from(u32::MAX);
        if count >= SET_EAGER && !dice().is_multiple_of(SET_EVERY) {
            return;
        }
        let count = count.min(SET_KEPT - 1) + 1;
        let mean = high_half(before);
        let mean = mean + (sample - mean) / f32::from(u16::try_from(count).unwrap_or(u16::MAX));
        let after = u64::from(mean.to_bits()) << 32 | count;
        let _lost = self.0.compare_exchange(before, after, Relaxed, Relaxed);
    }

    /// The mean in seconds; 0 before anything was observed.
    #[inline]
    pub(crate) fn read(&self) -> f32 {
        high_half(self.0.load(Relaxed))
    }
}

/// Seconds that an endpoint's failures add to its latency in comparisons; gone after some ten
/// seconds. Without it an endpoint that fails fast looks like the fastest one.
#[derive(Debug, Default)]
pub(crate) struct Penalty(AtomicU64);

impl Penalty {
    /// Takes in a failure of an endpoint that answers within `usual` seconds.
    #[inline]
    pub(crate) fn add(&self, usual: f32, now: Tick) {
        let usual = usual.max(PENALTY_FLOOR);
        let before = self.0.load(Relaxed);
        let seconds = (decayed(before, now) + 4.0 * usual).min(64.0 * usual);
        let after = u64::from(seconds.to_bits()) << 32 | u64::from(now.bits());
        let _lost = self.0.compare_exchange(before, after, Relaxed, Relaxed);
    }

    #[inline]
    pub(crate) fn read(&self, now: Tick) -> f32 {
        let word = self.0.load(Relaxed);
        // Most endpoints never failed: no exponential for them.
        if word == 0 { 0.0 } else { decayed(word, now) }
    }
}

/// The latency to expect of an endpoint: its own mean, drawn towards the set's while evidence is
/// thin.
#[inline]
pub(crate) fn blend(own: Mean, set: f32) -> f32 {
    (own.samples * own.mean + PRIOR * set) / (own.samples + PRIOR)
}

fn decayed(word: u64, now: Tick) -> f32 {
    let at = Tick::from_bits(low_bits(word));
    high_half(word) * (-now.since(at) / PENALTY_FADES).exp()
}

fn faded(word: u64, now: Tick) -> Mean {
    let at = Tick::from_bits(low_bits(word));
    let eighths = f32::from(word.to_be_bytes()[4]);
    // About e⁻ˣ, and much cheaper: every pick does this twice.
    let x = now.since(at) * EVIDENCE_FADES;
    let kept = 1.0 / (1.0 + x * (1.0 + x / 2.0));
    Mean { mean: high_half(word), samples: eighths / 8.0 * kept }
}

fn pack(mean: Mean, now: Tick) -> u64 {
    u64::from(mean.mean.to_bits()) << 32
        | u64::from(eighths(mean.samples)) << 24
        | u64::from(now.bits())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and samples are between 0 and 31"
)]
fn eighths(samples: f32) -> u8 {
    (samples * 8.0).round() as u8
}

fn high_half(word: u64) -> f32 {
    f32::from_bits(u32::try_from(word >> 32).unwrap_or(0))
}

fn low_bits(word: u64) -> u32 {
    u32::try_from(word & u64::from(Tick::MASK)).unwrap_or(0)
}

/// Per second: after ten seconds about a third of the evidence is left.
const EVIDENCE_FADES: f32 = 0.1;
const SET_EAGER: u64 = 64;
const SET_EVERY: u8 = 8;
const SET_KEPT: u64 = 256;
/// One byte of eighths holds 31.875.
const KEPT: f32 = 31.0;
const PENALTY_FADES: f32 = 5.0;
/// A set that has never answered anything is given a millisecond.
const PENALTY_FLOOR: f32 = 0.001;
/// As many samples of the set's mean as every endpoint starts with.
const PRIOR: f32 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_is_by_count_and_not_by_time() {
        let latency = Latency::default();
        for _ in 0..20 {
            latency.observe(0.010, tick(0));
        }
        latency.observe(0.110, tick(10));
        let Mean { mean, samples } = latency.read(tick(10));
        assert!((mean - 0.0148).abs() < 1e-3, "{mean}");
        assert!((20.0..22.0).contains(&samples), "{samples}");
    }

    #[test]
    fn evidence_fades_and_the_mean_stays() {
        let latency = Latency::default();
        for _ in 0..100 {
            latency.observe(0.5, tick(0));
        }
        assert!((latency.read(tick(0)).samples - KEPT).abs() < 0.2);
        let later = latency.read(tick(10_000));
        assert!(later.samples < 1.0);
        assert!((later.mean - 0.5).abs() < 1e-6);
        assert!((blend(later, 0.1) - 0.1).abs() < 0.03, "the set speaks for it again");
    }

    #[test]
    fn penalty_grows_is_capped_and_passes() {
        let penalty = Penalty::default();
        assert!(penalty.read(tick(50)).abs() < f32::EPSILON);
        penalty.add(0.01, tick(0));
        assert!((penalty.read(tick(0)) - 0.04).abs() < 1e-6);
        for _ in 0..100 {
            penalty.add(0.01, tick(0));
        }
        assert!((penalty.read(tick(0)) - 0.64).abs() < 1e-6);
        assert!(penalty.read(tick(3_000)) < 0.01);
    }

    #[test]
    fn mean_of_the_set_follows_what_is_observed() {
        let set = SetLatency::default();
        assert!(set.read().abs() < f32::EPSILON);
        for _ in 0..2_000 {
            set.observe(0.25, || 0);
        }
        assert!((set.read() - 0.25).abs() < 1e-3);
        set.observe(99.0, || 1);
        assert!(set.read() < 1.0, "skipped");
    }

    fn tick(hundredths: u32) -> Tick {
        Tick::from_bits(hundredths)
    }
}
