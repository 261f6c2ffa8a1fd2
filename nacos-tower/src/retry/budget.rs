//! How many retries may be made.
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Hundredths of retries: each request adds a few, each retry takes a hundred. Never locks.
#[derive(Debug)]
pub(super) struct Budget {
    hundredths: AtomicU32,
    percent: u32,
    most: u32,
}

impl Budget {
    pub(super) fn new(percent: u8, reserve: u16) -> Self {
        let reserve = u32::from(reserve) * RETRY;
        // Enough room for the share of a few hundred requests, whatever the reserve is.
        let most = reserve.max(u32::from(percent) * 256);
        Self { hundredths: AtomicU32::new(reserve), percent: u32::from(percent), most }
    }

    /// Adds the share of one request.
    pub(super) fn deposit(&self) {
        let add = |held: u32| Some((held + self.percent).min(self.most)).filter(|sum| *sum != held);
        let _full = self.hundredths.fetch_update(Relaxed, Relaxed, add);
    }

    /// Takes one retry, if there is one.
    pub(super) fn withdraw(&self) -> bool {
        self.hundredths.fetch_update(Relaxed, Relaxed, |held| held.checked_sub(RETRY)).is_ok()
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(20, 10)
    }
}

const RETRY: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_is_used_up_and_requests_earn_their_share() {
        let budget = Budget::new(20, 2);
        assert!(budget.withdraw() && budget.withdraw());
        assert!(!budget.withdraw());
        (0..4).for_each(|_| budget.deposit());
        assert!(!budget.withdraw(), "four fifths");
        budget.deposit();
        assert!(budget.withdraw());
    }

    #[test]
    fn what_is_saved_is_limited() {
        let budget = Budget::new(50, 1);
        (0..1_000_000).for_each(|_| budget.deposit());
        assert_eq!((0..1_000).filter(|_| budget.withdraw()).count(), 128);
    }
}
