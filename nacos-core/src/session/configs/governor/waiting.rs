//! The documents that wait for a query, by class, each in the order in which they came; and which
//! of them have waited for long.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Class;
use crate::{key::ConfigKey, session::queue::Queue};

/// See the [module documentation](self).
#[derive(Debug)]
pub(in crate::session::configs) struct PullQueues {
    lines: [Line; 3],
}

/// The documents of one class.
#[derive(Debug)]
struct Line {
    keys: Queue<ConfigKey>,
    /// Moments of the last second, and who was the last to have come by then.
    marks: VecDeque<(Instant, u64)>,
    /// Up to this place it has been told that they wait.
    told: u64,
}

impl PullQueues {
    pub(in crate::session::configs) fn new() -> Self {
        let line = |_| Line { keys: Queue::new(), marks: VecDeque::new(), told: 0 };
        Self { lines: Class::ALL.map(line) }
    }

    /// `key` waits from now on, unless it does already.
    pub(in crate::session::configs) fn push(&mut self, class: Class, key: ConfigKey) {
        self.line(class).keys.push(key);
    }

    /// The document that has waited longest.
    pub(in crate::session::configs) fn first(&self, class: Class) -> Option<&ConfigKey> {
        self.lines[class as usize].keys.first()
    }

    /// The same, which waits no more.
    pub(in crate::session::configs) fn pop(&mut self, class: Class) -> Option<ConfigKey> {
        self.line(class).keys.pop()
    }

    /// `key` waits no more.
    pub(in crate::session::configs) fn remove(&mut self, key: &ConfigKey) {
        for line in &mut self.lines {
            line.keys.remove(key);
        }
    }

    /// None waits any more.
    pub(in crate::session::configs) fn clear(&mut self) {
        for line in &mut self.lines {
            line.keys.clear();
            line.marks.clear();
        }
    }

    /// How many wait.
    pub(in crate::session::configs) fn len(&self) -> usize {
        self.lines.iter().map(|line| line.keys.len()).sum()
    }

    /// Those that have waited for a second, each once. To be asked for whenever it `is_held`, and
    /// when [`next_told`](Self::next_told) says.
    #[must_use = "they count as told"]
    pub(in crate::session::configs) fn held(
        &mut self,
        now: Instant,
        class: Class,
        is_held: bool,
    ) -> Vec<ConfigKey> {
        let line = self.line(class);
        if !is_held || line.keys.is_empty() {
            line.marks.clear();
            return Vec::new();
        }
        let last = line.keys.last_place();
        match line.marks.back_mut() {
            // Those who come a moment later are told with the ones before them.
            Some((at, place)) if now < *at + TOGETHER => *place = last,
            Some((_, place)) if *place == last => {}
            _ => line.marks.push_back((now, last)),
        }
        let mut upto = line.told;
        while let Some((_, place)) = line.marks.front().filter(|(at, _)| *at + LONG <= now) {
            upto = *place;
            line.marks.pop_front();
        }
        let told = line.keys.between(line.told, upto).cloned().collect();
        line.told = upto;
        told
    }

    /// None of `class` waits, or is held.
    pub(in crate::session::configs) fn rests(&mut self, class: Class) {
        self.line(class).marks.clear();
    }

    /// When the next of them will have waited for a second.
    pub(in crate::session::configs) fn next_told(&self) -> Option<Instant> {
        self.lines.iter().filter_map(|line| line.marks.front()).map(|(at, _)| *at + LONG).min()
    }

    fn line(&mut self, class: Class) -> &mut Line {
        &mut self.lines[class as usize]
    }
}

/// So long a wait is to be seen.
const LONG: Duration = Duration::from_secs(1);
/// Waits are not told apart more finely.
const TOGETHER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> ConfigKey {
        ConfigKey::try_from(format!("d{n}").as_str()).expect("valid")
    }

    #[test]
    fn each_that_waits_for_a_second_is_told_once() {
        let (mut waiting, start) = (PullQueues::new(), Instant::now());
        let ms = |ms| start + Duration::from_millis(ms);
        let class = Class::Push;
        waiting.push(class, key(1));
        assert!(waiting.held(start, class, true).is_empty());
        waiting.push(class, key(2));
        assert!(waiting.held(ms(500), class, true).is_empty());
        assert_eq!(waiting.next_told(), Some(ms(1000)));
        assert_eq!(waiting.held(ms(1000), class, true), [key(1)]);
        assert_eq!(waiting.held(ms(1001), class, true), []);
        assert_eq!(waiting.held(ms(1500), class, true), [key(2)]);
        assert_eq!(waiting.held(ms(9000), class, true), []);
        // It was asked for, and waits again.
        assert_eq!(waiting.pop(class), Some(key(1)));
        waiting.push(class, key(1));
        assert_eq!(waiting.held(ms(9000), class, true), []);
        assert_eq!(waiting.held(ms(10_000), class, true), [key(1)]);
    }

    #[test]
    fn who_only_waits_for_its_turn_is_not_told() {
        let (mut waiting, start) = (PullQueues::new(), Instant::now());
        waiting.push(Class::Start, key(1));
        for second in 0..9 {
            let now = start + Duration::from_secs(second);
            assert_eq!(waiting.held(now, Class::Start, false), []);
        }
        assert_eq!(waiting.next_told(), None);
        assert_eq!(waiting.held(start + Duration::from_secs(9), Class::Start, true), []);
    }

    #[test]
    fn many_that_come_all_the_time_leave_few_marks() {
        let (mut waiting, start) = (PullQueues::new(), Instant::now());
        let mut told = 0;
        for ms in 0..10_000 {
            waiting.push(Class::Audit, key(ms));
            let now = start + Duration::from_millis(u64::try_from(ms).expect("few"));
            told += waiting.held(now, Class::Audit, true).len();
            assert!(waiting.lines[Class::Audit as usize].marks.len() <= 11);
        }
        assert!((8_900..=9_100).contains(&told), "{told}");
        assert_eq!(waiting.len(), 10_000);
    }
}
