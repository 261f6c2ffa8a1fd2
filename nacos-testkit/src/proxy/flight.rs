//! Parcels on their way in one direction: a queue with a bound, in which nothing overtakes.

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf, Bytes};
use fastrand::Rng;
use tokio::time::Instant;

use super::link::{Delay, Link};

/// Bytes, or the end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parcel {
    Bytes(Bytes),
    /// The sender has finished.
    Fin,
    /// The sender is gone.
    Rst,
}

#[derive(Debug)]
pub(super) struct Flight {
    parcels: VecDeque<(Instant, Parcel)>,
    bytes: usize,
    latest: Option<Instant>,
    jitter: Rng,
}

impl Flight {
    pub(super) fn new(jitter: Rng) -> Self {
        Self { parcels: VecDeque::new(), bytes: 0, latest: None, jitter }
    }

    /// Sends something on its way. It arrives no earlier than what was sent before.
    pub(super) fn send(&mut self, now: Instant, link: &Link, parcel: Parcel) {
        let travels = link.delay.map_or(Duration::ZERO, |delay| self.travel_time(delay));
        let arrives = now.checked_add(travels).unwrap_or(now + FAR);
        let arrives = self.latest.map_or(arrives, |latest| latest.max(arrives));
        self.latest = Some(arrives);
        if let Parcel::Bytes(bytes) = &parcel {
            self.bytes += bytes.len();
        }
        self.parcels.push_back((arrives, parcel));
    }

    /// The next to arrive, and when. Without a delay all of it has arrived, also what was sent when
    /// there was one.
    pub(super) fn next(&self, now: Instant, link: &Link) -> Option<(Instant, &Parcel)> {
        let (arrives, parcel) = self.parcels.front()?;
        Some((if link.delay.is_some() { *arrives } else { now }, parcel))
    }

    /// Takes out the next to arrive; of bytes, this many.
    pub(super) fn arrived(&mut self, count: usize) {
        if let Some((_, Parcel::Bytes(bytes))) = self.parcels.front_mut() {
            bytes.advance(count);
            self.bytes -= count;
            if bytes.has_remaining() {
                return;
            }
        }
        self.parcels.pop_front();
        if self.parcels.is_empty() {
            self.latest = None; // a jitter that is over holds up nobody
        }
    }

    /// Loses all bytes, but not the end of the stream.
    pub(super) fn lose(&mut self) {
        self.parcels.retain(|(_, parcel)| !matches!(parcel, Parcel::Bytes(_)));
        self.bytes = 0;
    }

    pub(super) fn has_room(&self, link: &Link) -> bool {
        let limit = if link.delay.is_some() { DELAYED } else { PROMPT };
        self.bytes < limit && self.parcels.len() < PARCELS
    }

    fn travel_time(&mut self, Delay { latency, jitter }: Delay) -> Duration {
        // From -1 to 1: the deviation is even on both sides.
        let deviation = self.jitter.f64() * 2.0 - 1.0;
        let off = jitter.mul_f64(deviation.abs());
        if deviation < 0.0 { latency.saturating_sub(off) } else { latency.saturating_add(off) }
    }
}

/// The bytes that a link with a delay carries at once: the bound of its memory.
const DELAYED: usize = 1 << 20;
/// Without a delay, more would only hide from the sender how slow the receiver is.
const PROMPT: usize = 64 << 10;
/// Each costs some bytes of its own, however short it is.
const PARCELS: usize = 4096;
/// Later than any test; a sum that overflows must not panic.
const FAR: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn link(latency: u64, jitter: u64) -> Link {
        let [latency, jitter] = [latency, jitter].map(Duration::from_millis);
        Link { delay: Some(Delay { latency, jitter }), ..Link::default() }
    }

    fn bytes(count: usize) -> Parcel {
        Parcel::Bytes(vec![0; count].into())
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_stays_in_its_bounds_and_lets_nothing_overtake() {
        let began = Instant::now();
        let link = link(100, 40);
        let mut flight = Flight::new(Rng::with_seed(1));
        let mut last = began;
        let mut spread = [u128::MAX, 0];
        for n in 0..1000 {
            let sent = began + Duration::from_millis(n);
            flight.send(sent, &link, bytes(1));
            let arrives = flight.parcels.back().expect("just sent").0;
            assert!(arrives >= last, "parcel {n} overtook");
            last = arrives;
            let travelled = (arrives - sent).as_millis();
            spread = [spread[0].min(travelled), spread[1].max(travelled)];
        }
        assert!(spread[0] >= 60 && spread[1] <= 140, "{spread:?}");
        assert!(spread[1] - spread[0] > 20, "{spread:?} is no jitter");
    }

    #[tokio::test(start_paused = true)]
    async fn full_flight_has_no_room_until_something_has_arrived() {
        let now = Instant::now();
        let (slow, prompt) = (link(100, 0), Link::default());
        let mut flight = Flight::new(Rng::with_seed(1));
        flight.send(now, &slow, bytes(PROMPT));
        assert!(flight.has_room(&slow) && !flight.has_room(&prompt));
        flight.send(now, &slow, bytes(DELAYED - PROMPT));
        assert!(!flight.has_room(&slow));
        flight.arrived(1);
        assert!(flight.has_room(&slow));
    }

    #[tokio::test(start_paused = true)]
    async fn many_small_parcels_are_bounded_too() {
        let mut flight = Flight::new(Rng::with_seed(1));
        let link = link(100, 0);
        for _ in 0..PARCELS {
            assert!(flight.has_room(&link));
            flight.send(Instant::now(), &link, bytes(1));
        }
        assert!(!flight.has_room(&link));
    }

    #[tokio::test(start_paused = true)]
    async fn lost_bytes_leave_the_end_of_the_stream() {
        let now = Instant::now();
        let mut flight = Flight::new(Rng::with_seed(1));
        flight.send(now, &link(100, 0), bytes(10));
        flight.send(now, &link(100, 0), Parcel::Fin);
        flight.lose();
        assert_eq!(flight.next(now, &Link::default()), Some((now, &Parcel::Fin)));
        assert_eq!(flight.bytes, 0);
    }
}
