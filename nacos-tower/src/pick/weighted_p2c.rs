//! The default policy: the power of two choices, by weight.
use super::{
    args::PickArgs,
    candidates::{Candidate, Candidates},
    policy::Policy,
};

/// Two draws by weight; the first is kept unless there is evidence against it.
///
/// Evidence is a latency that is several times the other's, or more requests under way than the
/// weights explain. Without any, the shares are the weights. [`Policy`] compares the settings.
///
/// ```
/// use nacos_tower::WeightedP2c;
///
/// assert_eq!(WeightedP2c::default(), WeightedP2c::balanced());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightedP2c {
    latency_ratio: f32,
}

impl WeightedP2c {
    /// Latency does not matter, requests under way do.
    #[must_use]
    pub const fn strict() -> Self {
        Self::with_latency_ratio(f32::INFINITY)
    }

    /// An endpoint that is three times as slow loses. Failures count as slowness.
    #[must_use]
    pub const fn balanced() -> Self {
        Self::with_latency_ratio(3.0)
    }

    /// The first endpoint loses when it is more than `latency_ratio` times as slow as the second,
    /// and wins when the second is.
    ///
    /// A ratio of 1 or less compares latencies outright, which gives up the weights; infinity
    /// ignores latencies.
    #[must_use]
    pub const fn with_latency_ratio(latency_ratio: f32) -> Self {
        Self { latency_ratio }
    }
}

impl Default for WeightedP2c {
    fn default() -> Self {
        Self::balanced()
    }
}

impl Policy for WeightedP2c {
    #[inline]
    fn pick<'a>(
        &self,
        candidates: &Candidates<'a>,
        args: &mut PickArgs<'_>,
    ) -> Option<Candidate<'a>> {
        let first = candidates.draw(args.random())?;
        let Some(second) = candidates.draw(args.random()) else { return Some(first) };
        let leaves = first.position() != second.position()
            && prefers_second(Signals::of(&first), Signals::of(&second), self.latency_ratio);
        Some(if leaves { second } else { first })
    }
}

/// The part of a candidate that the choice depends on.
#[derive(Clone, Copy, Debug)]
struct Signals {
    in_flight: f32,
    weight: f32,
    /// In seconds, failures included.
    latency: f32,
}

impl Signals {
    #[inline]
    fn of(candidate: &Candidate<'_>) -> Self {
        Self {
            in_flight: small(candidate.in_flight()),
            weight: brief(candidate.weight()),
            latency: candidate.latency_seconds(),
        }
    }
}

/// Whether the second draw is to be taken instead of the first, which stands for the weights.
#[inline]
fn prefers_second(first: Signals, second: Signals, latency_ratio: f32) -> bool {
    if first.latency > latency_ratio * second.latency {
        return true;
    }
    if second.latency > latency_ratio * first.latency {
        return false;
    }
    busier_than_its_weight(first, second)
}

/// Whether the first has more requests under way than its weight explains.
///
/// For equal weights that is plain comparison. For others a ratio of counts would punish small
/// weights for a single request, so the pair is put to a binomial test: is the first one's part of
/// all requests of the two more than one standard deviation above its part of their weight?
fn busier_than_its_weight(first: Signals, second: Signals) -> bool {
    let (one, other) = (first.in_flight, second.in_flight);
    let (weight, other_weight) = (first.weight, second.weight);
    if (weight / other_weight - 1.0).abs() < ALIKE {
        return one > other;
    }
    let excess = (one - 1.0).max(0.0) * other_weight - other * weight;
    excess > 0.0 && excess * excess > (one + other) * weight * other_weight
}

/// A count of requests as a number to calculate with: above 65 535 it makes no difference.
#[inline]
fn small(count: u32) -> f32 {
    f32::from(u16::try_from(count).unwrap_or(u16::MAX))
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits of a weight are enough")]
#[inline]
fn brief(weight: f64) -> f32 {
    weight as f32
}

/// Weights that differ by less than a tenth are compared as if they were equal.
const ALIKE: f32 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    const RATIO: f32 = 3.0;

    #[test]
    fn first_draw_stays_without_evidence() {
        let one = Signals { in_flight: 0.0, weight: 1.0, latency: 0.0 };
        assert!(!prefers_second(one, one, RATIO));
        let slower = Signals { latency: 0.029, ..one };
        let faster = Signals { latency: 0.010, ..one };
        assert!(!prefers_second(slower, faster, RATIO), "less than three times as slow");
    }

    #[test]
    fn slow_endpoint_loses_and_a_fast_one_is_not_left_for_it() {
        let slow = Signals { in_flight: 0.0, weight: 1.0, latency: 0.040 };
        let fast = Signals { in_flight: 9.0, weight: 1.0, latency: 0.010 };
        assert!(prefers_second(slow, fast, RATIO));
        assert!(!prefers_second(fast, slow, RATIO), "though it has more requests");
        assert!(prefers_second(fast, slow, f32::INFINITY), "unless latency does not matter");
    }

    #[test]
    fn small_weight_is_not_punished_for_one_request() {
        let canary = Signals { in_flight: 1.0, weight: 0.05, latency: 0.0 };
        let other = Signals { in_flight: 2.0, weight: 1.0, latency: 0.0 };
        assert!(!prefers_second(canary, other, RATIO));
        let flooded = Signals { in_flight: 9.0, ..canary };
        assert!(prefers_second(flooded, other, RATIO));
    }

    #[test]
    fn equal_weights_compare_requests() {
        let busy = Signals { in_flight: 2.0, weight: 1.0, latency: 0.0 };
        let idle = Signals { in_flight: 1.0, weight: 1.05, latency: 0.0 };
        assert!(prefers_second(busy, idle, RATIO));
        assert!(!prefers_second(idle, busy, RATIO));
    }
}
