//! Where the servers are, if that may change: the list is read beside everything else.
use tracing::{info, warn};

use super::{super::locate::locate, Driver, Report, now};
use crate::locator::{Listing, Locator};

/// Where the list is read, and how that went last.
pub(super) struct Located {
    locator: Option<Locator>,
    /// What was warned about last.
    unreadable: Vec<String>,
    failing: bool,
}

impl Located {
    pub(super) fn new(locator: Option<Locator>) -> Self {
        Self { locator, unreadable: Vec::new(), failing: false }
    }

    /// What is unreadable now and was not the last time.
    fn news(&mut self, unreadable: Vec<String>) -> Vec<String> {
        let before = std::mem::replace(&mut self.unreadable, unreadable);
        self.unreadable.iter().filter(|why| !before.contains(why)).cloned().collect()
    }
}

impl Driver {
    pub(super) fn locate(&mut self) {
        let Some(locator) = self.located.locator.clone() else { return };
        let dialer = self.dialer.clone();
        self.jobs.push(Box::pin(async move { Report::Located(locate(&dialer, &locator).await) }));
    }

    pub(super) fn located(&mut self, outcome: Result<Listing, String>) {
        let outcome = match outcome {
            Ok(Listing { servers, unreadable }) => {
                for why in self.located.news(unreadable) {
                    warn!(why, "skipped a line of the list of servers");
                }
                if self.views.servers.publish_if_changed(servers.clone()) {
                    info!(count = servers.len(), "the list of servers is another one");
                }
                Ok(servers)
            }
            Err(why) => Err(why),
        };
        if let Err(why) = &outcome
            && !self.located.failing
        {
            warn!(why, "the list of servers cannot be read; what is known of it stays");
        }
        self.located.failing = outcome.is_err();
        self.session.handle_servers(now(), outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_line_is_warned_about_once() {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        let mut located = Located::new(None);
        assert_eq!(located.news(lines(&["a"])), ["a"]);
        assert_eq!(located.news(lines(&["b", "a"])), ["b"]);
        assert_eq!(located.news(lines(&["b", "a"])), [""; 0]);
        assert_eq!(located.news(Vec::new()), [""; 0]);
        assert_eq!(located.news(lines(&["a"])), ["a"], "it was mended meanwhile");
    }
}
