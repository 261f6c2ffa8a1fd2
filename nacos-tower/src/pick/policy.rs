//! Which of two endpoints a request goes to. Pure: what is known comes in, a decision goes out.
use crate::endpoint::Signals;

/// How endpoints are chosen. Both ways take constant time, however many endpoints there are.
///
/// Weights decide in either case. What differs is how much is given up of them when an endpoint
/// turns out to be slow, failing or busy:
///
/// | policy | shares | a slow or failing endpoint |
/// | --- | --- | --- |
/// | [`weighted_random`](Self::weighted_random) | exactly the weights | keeps its share |
/// | [`strict`](Self::strict) | the weights, as long as requests keep up | is relieved when requests pile up |
/// | [`balanced`](Self::balanced), the default | the weights, as long as latencies are alike | is avoided |
///
/// `strict` is for gray releases, where 1 % has to mean 1 %. `balanced` is for everything else.
///
/// ```
/// use nacos_tower::Policy;
///
/// assert_eq!(Policy::default(), Policy::balanced());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Policy {
    /// One draw by weight.
    WeightedRandom,
    /// Two draws by weight; the first is kept unless there is evidence against it.
    WeightedP2c {
        /// How many times slower than the second the first one must be to lose to it. At most 1
        /// compares latencies outright, which gives up the weights; infinity ignores them.
        latency_ratio: f32,
    },
}

impl Policy {
    /// One draw by weight, as Nacos' own clients choose.
    #[must_use]
    pub const fn weighted_random() -> Self {
        Self::WeightedRandom
    }

    /// Two draws by weight; latency does not matter, requests under way do.
    #[must_use]
    pub const fn strict() -> Self {
        Self::WeightedP2c { latency_ratio: f32::INFINITY }
    }

    /// Two draws by weight; one that is three times as slow loses. Failures count as slowness.
    #[must_use]
    pub const fn balanced() -> Self {
        Self::WeightedP2c { latency_ratio: 3.0 }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::balanced()
    }
}

/// Whether the second draw is to be taken instead of the first, which stands for the weights.
#[inline]
pub(crate) fn prefers_second(first: Signals, second: Signals, latency_ratio: f32) -> bool {
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
    let (one, other) = (first.pending, second.pending);
    let (weight, other_weight) = (first.weight, second.weight);
    if (weight / other_weight - 1.0).abs() < ALIKE {
        return one > other;
    }
    let excess = (one - 1.0).max(0.0) * other_weight - other * weight;
    excess > 0.0 && excess * excess > (one + other) * weight * other_weight
}

/// Weights that differ by less than a tenth are compared as if they were equal.
const ALIKE: f32 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    const RATIO: f32 = 3.0;

    #[test]
    fn first_draw_stays_without_evidence() {
        let one = Signals { pending: 0.0, weight: 1.0, latency: 0.0 };
        assert!(!prefers_second(one, one, RATIO));
        let slower = Signals { latency: 0.029, ..one };
        let faster = Signals { latency: 0.010, ..one };
        assert!(!prefers_second(slower, faster, RATIO), "less than three times as slow");
    }

    #[test]
    fn slow_endpoint_loses_and_a_fast_one_is_not_left_for_it() {
        let slow = Signals { pending: 0.0, weight: 1.0, latency: 0.040 };
        let fast = Signals { pending: 9.0, weight: 1.0, latency: 0.010 };
        assert!(prefers_second(slow, fast, RATIO));
        assert!(!prefers_second(fast, slow, RATIO), "though it has more requests");
        assert!(prefers_second(fast, slow, f32::INFINITY), "unless latency does not matter");
    }

    #[test]
    fn small_weight_is_not_punished_for_one_request() {
        let canary = Signals { pending: 1.0, weight: 0.05, latency: 0.0 };
        let other = Signals { pending: 2.0, weight: 1.0, latency: 0.0 };
        assert!(!prefers_second(canary, other, RATIO));
        let flooded = Signals { pending: 9.0, ..canary };
        assert!(prefers_second(flooded, other, RATIO));
    }

    #[test]
    fn equal_weights_compare_requests() {
        let busy = Signals { pending: 2.0, weight: 1.0, latency: 0.0 };
        let idle = Signals { pending: 1.0, weight: 1.05, latency: 0.0 };
        assert!(prefers_second(busy, idle, RATIO));
        assert!(!prefers_second(idle, busy, RATIO));
    }
}
