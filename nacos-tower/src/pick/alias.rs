//! A weighted draw in constant time: Walker's alias method, built in Vose's way.

/// A table from which index `i` is drawn with probability `weight[i] / sum`.
///
/// Each slot holds an equal share of the whole: the part of it up to `keep` is its own index, the
/// rest is lent to `other`. Building takes linear time, drawing two array reads.
#[derive(Debug)]
pub(crate) struct Alias {
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    keep: u32,
    other: u32,
}

impl Alias {
    /// A table over `weights`, all of which are finite and above 0.
    pub(crate) fn new(weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let scale = count(weights.len()) / sum;
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
        let mut slots: Vec<Slot> =
            (0..weights.len()).map(|at| Slot { keep: u32::MAX, other: index(at) }).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&at| shares[at] < 1.0);
        while let (Some(&lender), Some(borrower)) = (rich.last(), poor.pop()) {
            slots[borrower] = Slot { keep: threshold(shares[borrower]), other: index(lender) };
            shares[lender] -= 1.0 - shares[borrower];
            if shares[lender] < 1.0 {
                rich.pop();
                poor.push(lender);
            }
        }
        // The slots that are left over on either side are full but for rounding: they keep all.
        Self { slots: slots.into() }
    }

    /// An index, decided by 64 random bits: the upper half chooses the slot, the lower the part.
    #[inline]
    pub(crate) fn draw(&self, random: u64) -> Option<usize> {
        let at = scaled(random >> 32, self.slots.len());
        let slot = self.slots.get(at)?;
        let keeps = random & u64::from(u32::MAX) <= u64::from(slot.keep);
        Some(if keeps { at } else { slot.other as usize })
    }
}

/// Maps 32 random bits onto `0..len`, for lengths of up to 32 bits.
#[inline]
pub(crate) fn scaled(bits: u64, len: usize) -> usize {
    usize::try_from(bits.wrapping_mul(len as u64) >> 32).unwrap_or(0)
}

fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn count(len: usize) -> f64 {
    f64::from(index(len))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, as it should at both ends"
)]
fn threshold(share: f64) -> u32 {
    (share * (f64::from(u32::MAX) + 1.0)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn nothing_is_drawn_from_nothing() {
        assert_eq!(Alias::new(&[]).draw(u64::MAX), None);
    }

    #[test]
    fn shares_follow_the_weights() {
        let weights = [1.0, 2.0, 3.0, 0.05, 10_000.0];
        let table = Alias::new(&weights);
        let mut random = fastrand::Rng::with_seed(7);
        let draws = 4_000_000_u32;
        let mut counts = [0_u32; 5];
        for _ in 0..draws {
            counts[table.draw(random.u64(..)).expect("not empty")] += 1;
        }
        let sum: f64 = weights.iter().sum();
        for (weight, count) in weights.iter().zip(counts) {
            let expected = f64::from(draws) * weight / sum;
            // Five standard deviations of a binomial count.
            let bound = 5.0 * expected.sqrt() + 1.0;
            assert!((f64::from(count) - expected).abs() < bound, "{count}, expected {expected}");
        }
    }

    proptest! {
        /// The table itself, without drawing: no weight gains or loses a share.
        #[test]
        fn table_holds_exactly_the_weights(weights in vec(1e-3_f64..10_000.0, 1..200)) {
            let table = Alias::new(&weights);
            let full = f64::from(u32::MAX) + 1.0;
            let mut mass = vec![0.0; weights.len()];
            for (at, slot) in table.slots.iter().enumerate() {
                let kept = (f64::from(slot.keep) + 1.0) / full;
                mass[at] += kept;
                mass[slot.other as usize] += 1.0 - kept;
            }
            let sum: f64 = weights.iter().sum();
            for (mass, weight) in mass.iter().zip(&weights) {
                let share = weight / sum * count(weights.len());
                prop_assert!((mass - share).abs() < 1e-6 * (1.0 + share), "{mass} for {share}");
            }
        }
    }
}
