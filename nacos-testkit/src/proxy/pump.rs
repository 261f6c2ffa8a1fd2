//! One direction of one connection: from a socket, through the flight, into the other socket.

use std::io;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::line::LineEnd;

use super::{
    flight::{Flight, Parcel},
    link::{Hole, Link},
    pace::Pace,
};

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The receiver is gone, before all was delivered.
    Broken,
    /// The receiver knows that the sender has finished.
    Finished,
    /// The sender is gone, and the time has come that the receiver learns of it.
    Reset,
}

#[derive(Debug)]
pub(super) struct Pump {
    link: watch::Receiver<Link>,
    flight: Flight,
    pace: Pace,
    /// Whether the sender may send more.
    sending: bool,
    /// Whether the end of the stream is on its way, or has arrived: nothing follows it.
    ended: bool,
}

impl Pump {
    pub(super) fn new(link: watch::Receiver<Link>, jitter: Rng) -> Self {
        Self {
            link,
            flight: Flight::new(jitter),
            pace: Pace::default(),
            sending: true,
            ended: false,
        }
    }

    /// Carries bytes until there are no more to come. `delivered` is told how many went.
    pub(super) async fn carry(
        mut self,
        from: &mut LineEnd,
        to: &mut LineEnd,
        delivered: impl Fn(usize),
    ) -> Ended {
        let mut buffer = BytesMut::new();
        loop {
            let link = *self.link.borrow_and_update();
            let now = Instant::now();
            self.handle_command(&link, now);
            let next = self.next(&link, now);
            let due = next.as_ref().is_some_and(|(at, _)| *at <= now);
            let later = next.as_ref().map(|(at, _)| *at).filter(|_| !due);
            let parcel = next.map(|(_, parcel)| parcel);
            buffer.reserve(CHUNK);
            tokio::select! {
                biased;
                // First: a command rules over everything else that could happen now.
                changed = self.link.changed() => if changed.is_err() { return Ended::Broken },
                sent = send(to, parcel), if due => match sent {
                    Ok(Sent::Bytes(count)) => {
                        self.flight.arrived(count);
                        self.pace.spend(now, count);
                        delivered(count);
                    }
                    Ok(Sent::Fin) if !self.sending => return Ended::Finished,
                    Ok(Sent::Fin) => self.flight.arrived(0),
                    Ok(Sent::Rst) => return Ended::Reset,
                    Err(error) => {
                        tracing::trace!(%error, "receiver is gone");
                        return Ended::Broken;
                    }
                },
                () = sleep_until(later.unwrap_or(now)), if later.is_some() => {}
                // Last: what has arrived makes room for what is to come.
                read = from.read_buf(&mut buffer), if self.reads(&link) => {
                    let chunk = buffer.split().freeze();
                    if let Some(ended) = self.received(&link, read.map(|_| chunk)) {
                        return ended;
                    }
                }
            }
        }
    }

    fn handle_command(&mut self, link: &Link, now: Instant) {
        self.pace.set(link.bytes_per_second);
        if link.half_closed && !self.ended {
            self.ended = true;
            self.flight.send(now, link, Parcel::Fin);
        }
        if link.hole == Some(Hole::Discard) {
            self.flight.lose();
        }
    }

    /// The parcel that goes next, and when; nothing while there is a black hole.
    fn next(&self, link: &Link, now: Instant) -> Option<(Instant, Parcel)> {
        let (arrives, parcel) = self.flight.next(now, link).filter(|_| link.hole.is_none())?;
        Some(match parcel {
            Parcel::Bytes(bytes) => {
                let slice = bytes.slice(..self.pace.slice().min(bytes.len()));
                let paced = self.pace.next().map_or(arrives, |next| next.max(arrives));
                (paced, Parcel::Bytes(slice))
            }
            Parcel::Fin | Parcel::Rst => (arrives, parcel.clone()),
        })
    }

    fn reads(&self, link: &Link) -> bool {
        let swallows = self.ended || link.hole == Some(Hole::Discard);
        // Held bytes stay in the buffers of the sender's system, as they would without a network.
        self.sending && link.hole != Some(Hole::Hold) && (swallows || self.flight.has_room(link))
    }

    fn received(&mut self, link: &Link, read: io::Result<Bytes>) -> Option<Ended> {
        let parcel = match read {
            Ok(bytes) if !bytes.is_empty() => {
                if self.ended || link.hole == Some(Hole::Discard) {
                    return None;
                }
                Parcel::Bytes(bytes)
            }
            Ok(_) => {
                self.sending = false;
                if self.ended {
                    // The receiver has its FIN already, or will have it by the one that is queued.
                    let arrived = self.flight.next(Instant::now(), link).is_none();
                    return arrived.then_some(Ended::Finished);
                }
                Parcel::Fin
            }
            Err(error) => {
                tracing::trace!(%error, "sender is gone");
                self.sending = false;
                Parcel::Rst
            }
        };
        self.ended |= parcel == Parcel::Fin;
        self.flight.send(Instant::now(), link, parcel);
        None
    }
}

enum Sent {
    Bytes(usize),
    Fin,
    Rst,
}

/// Hands over what is due. Cancel safe: what was not handed over is due again.
async fn send(to: &mut LineEnd, parcel: Option<Parcel>) -> io::Result<Sent> {
    match parcel {
        Some(Parcel::Bytes(bytes)) => match to.write(&bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => Ok(Sent::Bytes(count)),
        },
        Some(Parcel::Fin) => to.shutdown().await.map(|()| Sent::Fin),
        Some(Parcel::Rst) => Ok(Sent::Rst),
        None => std::future::pending().await, // nothing is due
    }
}

/// The most bytes that are read at once.
const CHUNK: usize = 16 << 10;
