//! The lines of the log about the list of servers: a list that flaps is worth one a minute.
use std::time::Instant;

use tracing::warn;

use super::throttle::{Throttle, line};
use crate::{server::Server, server_list::Listing};

/// The lines that were logged about it, as far as the next one depends on them.
#[derive(Debug, Default)]
pub(super) struct ServerListLog {
    changes: Throttle,
    /// The reasons why parts of the list are unreadable that were logged and still hold.
    unreadable: Vec<String>,
    lines: Throttle,
    failing: bool,
    failures: Throttle,
}

impl ServerListLog {
    /// The list was read, or could not be.
    pub(super) fn read(&mut self, now: Instant, outcome: &Result<Listing, String>) {
        let warns = self.fails(now, outcome.is_err());
        match outcome {
            Ok(Listing { unreadable, .. }) => {
                for why in self.news(now, unreadable) {
                    warn!(why, "skipped a line of the list of servers");
                }
            }
            Err(why) if warns => {
                warn!(why, "the list of servers cannot be read; what is known of it stays");
            }
            Err(_) => {}
        }
    }

    /// The list is another one.
    pub(super) fn changed(&mut self, now: Instant, servers: &[Server]) {
        let count = servers.len();
        line!(self.changes.allows(now), info, count, "the list of servers is another one");
    }

    /// The reasons why parts of the list are unreadable that were not logged yet.
    fn news(&mut self, now: Instant, unreadable: &[String]) -> Vec<String> {
        self.unreadable.retain(|why| unreadable.contains(why));
        let news: Vec<String> =
            unreadable.iter().filter(|why| !self.unreadable.contains(why)).cloned().collect();
        if news.is_empty() || !self.lines.allows(now) {
            return Vec::new();
        }
        self.unreadable.extend_from_slice(&news);
        news
    }

    /// Whether to warn that the list cannot be read, if that is so.
    fn fails(&mut self, now: Instant, is_failure: bool) -> bool {
        let warns = is_failure && !self.failing && self.failures.allows(now);
        self.failing = is_failure && (self.failing || warns);
        warns
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::throttle::WARNING_EVERY, *};

    const HALF_A_MINUTE: Duration = Duration::from_secs(30);

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn unreadable_line_is_warned_about_once() {
        let (mut log, now) = (ServerListLog::default(), Instant::now());
        assert_eq!(log.news(now, &lines(&["a"])), ["a"]);
        assert_eq!(log.news(now, &lines(&["b", "a"])), [""; 0], "not so soon");
        let later = now + WARNING_EVERY;
        assert_eq!(log.news(later, &lines(&["b", "a"])), ["b"]);
        let later = later + WARNING_EVERY;
        assert_eq!(log.news(later, &lines(&["b", "a"])), [""; 0]);
        assert_eq!(log.news(later, &[]), [""; 0]);
        assert_eq!(log.news(later, &lines(&["a"])), ["a"], "it was mended meanwhile");
    }

    #[test]
    fn list_that_flaps_is_one_warning_of_each_kind_a_minute() {
        let (mut log, start) = (ServerListLog::default(), Instant::now());
        let (mut failures, mut unreadable) = (0, 0);
        for answer in 0..120 {
            let now = start + answer * HALF_A_MINUTE / 10;
            failures += u32::from(log.fails(now, answer % 2 == 0));
            let odd = if answer % 2 == 0 { lines(&["a"]) } else { Vec::new() };
            unreadable += log.news(now, &odd).len();
        }
        assert_eq!((failures, unreadable), (6, 6), "in six minutes");
    }

    #[test]
    fn list_that_stays_unreadable_after_it_flapped_is_said_to_be() {
        let (mut log, start) = (ServerListLog::default(), Instant::now());
        assert!(log.fails(start, true));
        assert!(!log.fails(start, false));
        assert!(!log.fails(start + HALF_A_MINUTE, true), "not so soon");
        assert!(log.fails(start + WARNING_EVERY, true));
        assert!(!log.fails(start + 3 * WARNING_EVERY, true), "once");
    }
}
