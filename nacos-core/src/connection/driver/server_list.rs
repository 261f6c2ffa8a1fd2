//! Where the servers are, if that may change: the list is read beside everything else.
use std::{sync::Arc, time::Instant};

use tracing::warn;

use super::{
    Driver, Report,
    log::{Throttle, line},
    now,
};
use crate::server_list::{Listing, ServerList, read};

/// Where the list is read, and what the log has said of it: a list that flaps is worth one line a
/// minute.
pub(super) struct ListLog {
    list: Option<ServerList>,
    changes: Throttle,
    /// The reasons why parts of the list are unreadable that were logged and still hold.
    unreadable: Vec<String>,
    lines: Throttle,
    failing: bool,
    failures: Throttle,
}

impl ListLog {
    pub(super) fn new(list: Option<ServerList>) -> Self {
        Self {
            list,
            changes: Throttle::default(),
            unreadable: Vec::new(),
            lines: Throttle::default(),
            failing: false,
            failures: Throttle::default(),
        }
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

impl Driver {
    pub(super) fn fetch_server_list(&mut self) {
        let Some(list) = self.list_log.list.clone() else { return };
        let dialer = self.transport.dialer.clone();
        let context_path = Arc::clone(&self.access.context_path);
        self.jobs.push(Box::pin(async move {
            Report::ServerList(read(&dialer, &list, &context_path).await)
        }));
    }

    pub(super) fn server_list_read(&mut self, outcome: Result<Listing, String>) {
        let now = now();
        let warns = self.list_log.fails(now, outcome.is_err());
        let outcome = match outcome {
            Ok(Listing { servers, unreadable }) => {
                for why in self.list_log.news(now, &unreadable) {
                    warn!(why, "skipped a line of the list of servers");
                }
                if self.readers.servers.publish_if_changed(servers.clone()) {
                    let count = servers.len();
                    let is_news = self.list_log.changes.allows(now);
                    line!(is_news, info, count, "the list of servers is another one");
                }
                Ok(servers)
            }
            Err(why) => {
                if warns {
                    warn!(why, "the list of servers cannot be read; what is known of it stays");
                }
                Err(why)
            }
        };
        self.session.handle_servers(now, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::WARNING_EVERY;
    use std::time::Duration;

    use super::*;

    const HALF_A_MINUTE: Duration = Duration::from_secs(30);

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|&line| line.to_owned()).collect()
    }

    #[test]
    fn unreadable_line_is_warned_about_once() {
        let (mut list_log, now) = (ListLog::new(None), Instant::now());
        assert_eq!(list_log.news(now, &lines(&["a"])), ["a"]);
        assert_eq!(list_log.news(now, &lines(&["b", "a"])), [""; 0], "not so soon");
        let later = now + WARNING_EVERY;
        assert_eq!(list_log.news(later, &lines(&["b", "a"])), ["b"]);
        let later = later + WARNING_EVERY;
        assert_eq!(list_log.news(later, &lines(&["b", "a"])), [""; 0]);
        assert_eq!(list_log.news(later, &[]), [""; 0]);
        assert_eq!(list_log.news(later, &lines(&["a"])), ["a"], "it was mended meanwhile");
    }

    #[test]
    fn list_that_flaps_is_one_warning_of_each_kind_a_minute() {
        let (mut list_log, start) = (ListLog::new(None), Instant::now());
        let (mut failures, mut unreadable) = (0, 0);
        for answer in 0..120 {
            let now = start + answer * HALF_A_MINUTE / 10;
            failures += u32::from(list_log.fails(now, answer % 2 == 0));
            let odd = if answer % 2 == 0 { lines(&["a"]) } else { Vec::new() };
            unreadable += list_log.news(now, &odd).len();
        }
        assert_eq!((failures, unreadable), (6, 6), "in six minutes");
    }

    #[test]
    fn list_that_stays_unreadable_after_it_flapped_is_said_to_be() {
        let (mut list_log, start) = (ListLog::new(None), Instant::now());
        assert!(list_log.fails(start, true));
        assert!(!list_log.fails(start, false));
        assert!(!list_log.fails(start + HALF_A_MINUTE, true), "not so soon");
        assert!(list_log.fails(start + WARNING_EVERY, true));
        assert!(!list_log.fails(start + 3 * WARNING_EVERY, true), "once");
    }
}
