//! Whether something before the server ends streams by a limit of its own: on their silence, or on
//! their age.
//!
//! Proxies do both, and do not say so. A stream on which nothing is pushed grows old in silence, so
//! that the two differ only where something is: what the last ends have in common is the limit.
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use crate::disconnect::Reason;

/// How the last connections that served have ended.
#[derive(Debug, Default)]
pub(super) struct Endings(VecDeque<Ending>);

/// The end of a stream, on a connection that goes on as far as is known. A server that dies or is
/// restarted ends more than that.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) server: Arc<str>,
    /// For how long it had served.
    pub(super) age: Duration,
    /// How long before its end the last message had come on it.
    pub(super) silence: Duration,
}

/// The limit that the last streams had in common when they ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StreamLimit {
    /// Their silence, whatever their age.
    Silence(Duration),
    /// Their age, however silent they were.
    Age(Duration),
    /// Both: nothing was ever pushed.
    Either(Duration),
}

impl Endings {
    /// A stream has ended alone. Returns the limit that it has in common with the two before it to
    /// the same server: after each end the client goes on to another one, if there is one.
    pub(super) fn stream(&mut self, ending: Ending) -> Option<StreamLimit> {
        self.0.truncate(KEPT - 1);
        self.0.push_front(ending);
        let Ending { server, .. } = self.0.front()?;
        let of_it = self.0.iter().filter(|ending| ending.server == *server).take(ALIKE);
        if of_it.clone().count() < ALIKE {
            return None;
        }
        let silence = common(of_it.clone().map(|ending| ending.silence));
        let age = common(of_it.map(|ending| ending.age));
        match (silence, age) {
            (Some(_), Some(age)) => Some(StreamLimit::Either(age)),
            (Some(silence), None) => Some(StreamLimit::Silence(silence)),
            (None, Some(age)) => Some(StreamLimit::Age(age)),
            (None, None) => None,
        }
    }

    /// A connection has ended for this `reason`. Returns the limit that ended its stream and those
    /// before it, if there is one.
    pub(super) fn ended(&mut self, reason: Reason, ending: Ending) -> Option<StreamLimit> {
        if reason == Reason::Stream {
            return self.stream(ending);
        }
        self.other();
        None
    }

    /// A connection has ended in another way: what comes after it begins a new row.
    pub(super) fn other(&mut self) {
        self.0.clear();
    }
}

/// The longest of `times`, if they are the same but for the noise of a network.
fn common(times: impl Iterator<Item = Duration> + Clone) -> Option<Duration> {
    let (least, most) = (times.clone().min()?, times.max()?);
    (least >= LEAST && most <= least.mul_f64(NOISE)).then_some(most)
}

impl fmt::Display for StreamLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SILENT: &str = "nginx `grpc_read_timeout`, Envoy `stream_idle_timeout`";
        const OLD: &str = "Envoy `max_connection_duration`, HAProxy `timeout tunnel`";
        f.write_str("the last three streams ended ")?;
        match self {
            Self::Silence(silence) => write!(f, "{silence:.0?} after the last message on them")?,
            Self::Age(age) => write!(f, "{age:.0?} after they began, silent or not")?,
            Self::Either(age) => write!(f, "{age:.0?} after they began, silent all the time")?,
        }
        f.write_str(". If the server was not restarted each time, that is a proxy's limit (")?;
        match self {
            Self::Silence(_) => f.write_str(SILENT)?,
            Self::Age(_) => f.write_str(OLD)?,
            Self::Either(_) => write!(f, "{SILENT}, {OLD}")?,
        }
        f.write_str("): raise it, or let the proxy forward the gRPC port as plain TCP")
    }
}

/// Ends in a row that are no chance any more.
const ALIKE: usize = 3;
/// Three rounds of eight servers.
const KEPT: usize = 8 * ALIKE;
/// How much longer the longest of them may be than the shortest.
const NOISE: f64 = 1.05;
/// No proxy has a shorter limit; a server that fails again and again does.
const LEAST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// The finding after each stream, for streams with these ages and silences in seconds.
    fn said(ended: &[(u64, u64)]) -> Vec<Option<StreamLimit>> {
        let mut endings = Endings::default();
        ended.iter().map(|(age, silence)| endings.stream(ending("a", *age, *silence))).collect()
    }

    fn ending(server: &str, age: u64, silence: u64) -> Ending {
        let [age, silence] = [age, silence].map(Duration::from_secs);
        Ending { server: server.into(), age, silence }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_three_ends_have_in_common_is_the_limit() {
        let silent = [(60, 60), (60, 60), (60, 60)];
        assert_eq!(said(&silent), [None, None, Some(StreamLimit::Either(MINUTE))]);
        let pushed = [(61, 60), (300, 60), (75, 58)];
        assert_eq!(said(&pushed), [None, None, Some(StreamLimit::Silence(MINUTE))]);
        let old = [(59, 3), (60, 59), (60, 0)];
        assert_eq!(said(&old), [None, None, Some(StreamLimit::Age(MINUTE))]);
    }

    #[test]
    fn streams_that_end_by_chance_have_no_limit() {
        assert_eq!(said(&[(60, 60), (300, 200), (75, 20), (61, 61), (59, 59)]), [None; 5]);
        assert_eq!(said(&[(1, 1), (1, 1), (1, 1)]), [None; 3], "a server that fails");
    }

    #[test]
    fn limit_is_of_one_server_and_of_streams_in_a_row() {
        let mut endings = Endings::default();
        for server in ["a", "b", "a", "b"] {
            assert_eq!(endings.stream(ending(server, 60, 60)), None);
        }
        for _ in 0..2 {
            endings.other();
            assert_eq!(endings.stream(ending("a", 60, 60)), None);
            assert_eq!(endings.stream(ending("a", 60, 60)), None);
        }
        assert_eq!(endings.stream(ending("a", 60, 60)), Some(StreamLimit::Either(MINUTE)));
    }

    #[test]
    fn limit_is_found_behind_whichever_servers_take_turns() {
        let mut endings = Endings::default();
        let servers = ["a", "b", "c"].into_iter().cycle();
        let said: Vec<_> =
            servers.take(7).map(|server| endings.stream(ending(server, 60, 60))).collect();
        assert_eq!(said[..6], [None; 6]);
        assert_eq!(said[6], Some(StreamLimit::Either(MINUTE)));
        for server in 0..1000 {
            endings.stream(ending(&server.to_string(), 60, 60));
        }
        assert_eq!(endings.0.len(), KEPT);
    }

    #[test]
    fn words_say_what_to_raise() {
        for (limit, names, other) in [
            (StreamLimit::Silence(MINUTE), "grpc_read_timeout", "max_connection_duration"),
            (StreamLimit::Age(MINUTE), "max_connection_duration", "grpc_read_timeout"),
        ] {
            let words = limit.to_string();
            assert!(words.contains("60s") && words.contains(names), "{words}");
            assert!(!words.contains(other), "{words}");
        }
        let words = StreamLimit::Either(MINUTE).to_string();
        assert!(words.contains("grpc_read_timeout") && words.contains("max_conn"), "{words}");
    }
}
