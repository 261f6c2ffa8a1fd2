//! The first address of a host that can be connected to.
use std::{collections::VecDeque, fmt, io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

use super::Within;
use crate::time::sleep_until;

/// The time of one attempt at an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    until: Instant,
    /// How much it is; nothing if all addresses together have less.
    within: Option<Duration>,
}

impl Time {
    /// The outcome of `step`.
    ///
    /// # Errors
    ///
    /// The time was over before: says so after `what` has happened until then.
    pub(super) async fn give<T>(self, step: impl Future<Output = T>, what: &str) -> io::Result<T> {
        let in_time = timeout_at(self.until, step).await;
        in_time.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{what} {self}")))
    }

    /// No more than `within` of it, beginning now.
    pub(super) fn at_most(self, within: Duration) -> Self {
        let until = Instant::now() + within;
        if until < self.until { Self { until, within: Some(within) } } else { self }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.within {
            Some(within) => write!(f, "within {within:?}"),
            None => f.write_str("in time"),
        }
    }
}

/// Connects to the first of the addresses that can be connected to. `connect` has to keep to the
/// time that it is given: it alone knows how far it has come when that is over.
///
/// All of them are tried, in their order: the next one when one has failed, or `beside` one that is
/// slow, so that dead addresses in front do not hide the living behind them (RFC 8305).
///
/// # Errors
///
/// Names every address that was tried, and why it failed; or says that the name was not found.
///
/// # Cancel safety
///
/// Dropping the future closes every socket.
pub(super) async fn dial<S, C: Future<Output = io::Result<S>>>(
    addresses: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    within: Within,
    beside: Duration,
    connect: impl Fn(SocketAddr, Time) -> C,
) -> io::Result<S> {
    let end = Instant::now() + within.all;
    let Ok(addresses) = timeout_at(end, addresses).await else {
        let why = format!("the name was not resolved within {:?}", within.all);
        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
    };
    let mut waiting = VecDeque::from(addresses?);
    let mut trying = FuturesUnordered::new();
    let mut causes = Vec::new();
    loop {
        if Instant::now() < end
            && let Some(address) = waiting.pop_front()
        {
            let time = Time { until: end, within: None }.at_most(within.each);
            let attempt = connect(address, time);
            trying.push(async move { (address, attempt.await) });
        }
        let beside = sleep_until((!waiting.is_empty()).then(|| Instant::now() + beside));
        let (address, outcome) = tokio::select! {
            // An attempt that has ended counts first.
            biased;
            ended = trying.next() => match ended {
                Some(ended) => ended,
                // None is under way, and there is none left, or no time.
                None => break,
            },
            () = beside => continue,
        };
        match outcome {
            Ok(stream) => return Ok(stream),
            Err(error) => causes.push(format!("{address}: {error}")),
        }
    }
    causes.extend(waiting.iter().map(|address| format!("{address}: not tried in time")));
    if causes.is_empty() {
        causes.push("the name has no address".to_owned());
    }
    Err(io::Error::new(io::ErrorKind::NotConnected, causes.join(", ")))
}

/// One of each family in turn, beginning with that of the first: where one family leads nowhere,
/// that costs one address, however many there are.
pub(super) fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(one.len() + other.len());
    while one.len() + other.len() > 0 {
        turns.extend(one.next());
        turns.extend(other.next());
    }
    turns
}

/// If an address has not answered by then, the next one is dialled beside it.
pub(super) const BESIDE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use nacos_testkit::TimeLimit;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn addresses(text: &[&str]) -> Vec<SocketAddr> {
        text.iter().map(|text| text.parse().expect("an address")).collect()
    }

    /// Connects to what accepts at once; `:1` refuses, everything else is silent.
    async fn connect(address: SocketAddr, time: Time) -> io::Result<SocketAddr> {
        match address.port() {
            80 => Ok(address),
            1 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            _ => time.give(pending(), "no connection").await,
        }
    }

    async fn dialled(to: &[&str]) -> io::Result<SocketAddr> {
        dial(async { Ok(in_turn(addresses(to))) }, Within::DEFAULT, BESIDE, connect).await
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_time_however_many_are_silent() {
        TimeLimit::for_test();
        let began = Instant::now();
        let silent = ["10.0.0.1:9", "10.0.0.2:9", "10.0.0.3:9", "10.0.0.4:9", "10.0.0.5:9"];
        let to = [&silent[..], &["10.0.0.6:80"]].concat();
        let found = dialled(&to).await.expect("the last one accepts");
        assert_eq!(found.to_string(), "10.0.0.6:80");
        assert_eq!(Instant::now() - began, 5 * BESIDE);
    }

    #[tokio::test(start_paused = true)]
    async fn dead_family_costs_one_address() {
        TimeLimit::for_test();
        let began = Instant::now();
        let to = ["[::1]:9", "[::2]:9", "[::3]:9", "[::4]:9", "10.0.0.1:80"];
        let found = dialled(&to).await.expect("the other family works");
        assert_eq!(found.to_string(), "10.0.0.1:80");
        assert_eq!(Instant::now() - began, BESIDE);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_address_is_followed_at_once() {
        TimeLimit::for_test();
        let began = Instant::now();
        dialled(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:80"]).await.expect("the last one accepts");
        assert_eq!(Instant::now(), began);
    }

    #[tokio::test(start_paused = true)]
    async fn refusal_beside_a_silence_is_told() {
        TimeLimit::for_test();
        let error = dialled(&["[::1]:1", "127.0.0.1:9"]).await.expect_err("nobody accepts");
        assert_eq!(
            error.to_string(),
            "[::1]:1: connection refused, 127.0.0.1:9: no connection within 1s"
        );
        let within = Within { each: 5 * SECOND, all: SECOND };
        let to = async { Ok(addresses(&["[::1]:1", "127.0.0.1:9"])) };
        let error = dial(to, within, BESIDE, connect).await.expect_err("nobody accepts");
        assert_eq!(
            error.to_string(),
            "[::1]:1: connection refused, 127.0.0.1:9: no connection in time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_says_how_far_it_came_when_its_time_is_over() {
        TimeLimit::for_test();
        // As it is where connecting takes its time, however little.
        let accepts = |address, time: Time| async move {
            time.give(sleep(SECOND / 10), "no connection").await?;
            time.give(pending(), "accepted, and said nothing").await?;
            Ok(address)
        };
        let to = || async { Ok(addresses(&["10.0.0.1:9", "10.0.0.2:9"])) };
        let error = dial(to(), Within::DEFAULT, BESIDE, accepts).await.expect_err("both silent");
        assert_eq!(
            error.to_string(),
            "10.0.0.1:9: accepted, and said nothing within 1s, \
             10.0.0.2:9: accepted, and said nothing within 1s"
        );
        let within = Within { each: SECOND, all: SECOND / 2 };
        let error = dial(to(), within, SECOND, accepts).await.expect_err("one of them silent");
        assert_eq!(
            error.to_string(),
            "10.0.0.1:9: accepted, and said nothing in time, 10.0.0.2:9: not tried in time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn name_that_is_not_resolved_is_told_from_a_silent_server() {
        TimeLimit::for_test();
        let error =
            dial(pending(), Within::DEFAULT, BESIDE, connect).await.expect_err("no address");
        assert_eq!(error.to_string(), "the name was not resolved within 5s");
        let error = dialled(&[]).await.expect_err("no address");
        assert_eq!(error.to_string(), "the name has no address");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_resolver_takes_no_time_from_the_addresses() {
        TimeLimit::for_test();
        let slow = async {
            sleep(4 * SECOND).await;
            Ok(addresses(&["10.0.0.1:9", "10.0.0.2:80"]))
        };
        dial(slow, Within::DEFAULT, BESIDE, connect).await.expect("the second one accepts");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_connection_is_waited_for_if_there_is_time() {
        TimeLimit::for_test();
        let slow = |address, time: Time| async move {
            time.give(sleep(SECOND * 3 / 2), "no connection").await?;
            Ok(address)
        };
        let to = || async { Ok(addresses(&["10.0.0.1:80"])) };
        assert!(dial(to(), Within::DEFAULT, BESIDE, slow).await.is_err());
        let within = Within { each: 2 * SECOND, ..Within::DEFAULT };
        dial(to(), within, BESIDE, slow).await.expect("it has the time");
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_is_tried_once() {
        TimeLimit::for_test();
        let tried = RefCell::new(Vec::new());
        let to = addresses(&["[::1]:9", "[::1]:1", "10.0.0.1:1", "10.0.0.2:9", "10.0.0.3:1"]);
        let resolved = async { Ok(to.clone()) };
        let outcome = dial(resolved, Within::DEFAULT, BESIDE, |address, time| {
            tried.borrow_mut().push(address);
            connect(address, time)
        });
        outcome.await.expect_err("nobody accepts");
        let mut tried = tried.into_inner();
        tried.sort();
        let mut all = to;
        all.sort();
        assert_eq!(tried, all);
    }
}
