//! Keys by the time at which they are to be looked at again.
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::Instant,
};

/// A queue of keys by time.
///
/// An entry is never taken back: whoever pops a key checks whether it still matters. That keeps
/// every operation logarithmic, however many keys there are.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    times: BinaryHeap<Reverse<(Instant, u64)>>,
    keys: HashMap<u64, K>,
    pushed: u64,
}

impl<K> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { times: BinaryHeap::new(), keys: HashMap::new(), pushed: 0 }
    }

    /// `key` is to be looked at at `at`.
    pub(crate) fn push(&mut self, at: Instant, key: K) {
        self.pushed += 1;
        self.times.push(Reverse((at, self.pushed)));
        self.keys.insert(self.pushed, key);
    }

    /// The next key whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let Reverse((at, id)) = self.times.peek().copied()?;
        if at > now {
            return None;
        }
        self.times.pop();
        self.keys.remove(&id)
    }

    /// When to pop.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.times.peek().map(|Reverse((at, _))| *at)
    }

    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.keys.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn keys_come_out_by_time_and_none_too_early() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut timers = Timers::new();
        timers.push(later, "b");
        timers.push(now, "a");
        assert_eq!(timers.next(), Some(now));
        assert_eq!((timers.pop(now), timers.pop(now)), (Some("a"), None));
        assert_eq!(timers.pop(later), Some("b"));
        assert_eq!(timers.next(), None);
    }
}
