//! Does the server answer anything but health checks?
//!
//! One whose workers hang, or a proxy that stands in for it, does nothing that it is asked for. It
//! is *unresponsive* when nothing was answered for as long as three tries of one request take, one
//! after the other.
use std::time::{Duration, Instant};

/// The requests that went unanswered in a row on the connection that serves, health checks apart.
#[derive(Debug, Default)]
pub(super) struct Responsiveness {
    row: Option<UnansweredInARow>,
}

#[derive(Debug)]
struct UnansweredInARow {
    began: Instant,
    unanswered: u32,
    /// Whether the server is to be left for that, once it is told.
    told: Option<bool>,
}

impl Responsiveness {
    /// A request was answered; the answer itself does not matter.
    pub(super) fn answered(&mut self) {
        self.row = None;
    }

    /// `count` requests were not answered in time. Says whether the server is unresponsive.
    pub(super) fn unanswered(&mut self, now: Instant, count: u32) -> bool {
        let row =
            self.row.get_or_insert(UnansweredInARow { began: now, unanswered: 0, told: None });
        row.unanswered = row.unanswered.saturating_add(count);
        // Many may end at the same moment, after a pause that all of them met.
        row.unanswered >= IN_A_ROW && now >= row.began + AT_LEAST
    }

    /// The server is unresponsive, and is left for that, or is not. Says whether that is to be
    /// told: once, and once more if it is left after all.
    pub(super) fn tell(&mut self, leaves: bool) -> bool {
        let Some(row) = &mut self.row else { return false };
        let news = row.told.is_none_or(|left| leaves && !left);
        if news {
            row.told = Some(leaves);
        }
        news
    }
}

/// Requests without an answer between them.
const IN_A_ROW: u32 = 3;
/// From the end of the first to that of the last: two more tries.
const AT_LEAST: Duration = Duration::from_secs(6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_in_a_row_without_any_answer_are_told_once_and_when_the_server_is_left() {
        let (mut responsiveness, now) = (Responsiveness::default(), Instant::now());
        let mut told = Vec::new();
        for second in (0..60).step_by(3) {
            let at = now + Duration::from_secs(second);
            if responsiveness.unanswered(at, 1) && responsiveness.tell(second >= 30) {
                told.push(second);
            }
        }
        assert_eq!(told, [6, 30]);
        responsiveness.answered();
        assert!(!responsiveness.unanswered(now + 100 * AT_LEAST, 1), "from the beginning");
    }

    #[test]
    fn many_that_end_together_are_one_pause() {
        let (mut responsiveness, now) = (Responsiveness::default(), Instant::now());
        assert!(!responsiveness.unanswered(now, 256));
        assert!(!responsiveness.unanswered(now + AT_LEAST / 2, 256));
        assert!(responsiveness.unanswered(now + AT_LEAST, 1));
    }
}
