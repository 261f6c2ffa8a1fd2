//! What a pick sees: one consistent set of connected endpoints, never changed once it is made.
use std::sync::Arc;

use super::{
    alias::{Alias, scaled},
    policy::{Policy, prefers_second},
};
use crate::{
    endpoint::{Backend, Passage, Signals, Tick},
    error::Cause,
};

/// The endpoints that are connected, ready to be drawn from, and those that are not, to be shown.
#[derive(Debug)]
pub(crate) struct Snapshot<C> {
    pub(crate) ready: Box<[Member<C>]>,
    table: Alias,
    pub(crate) others: Box<[Other<C>]>,
    pub(crate) standing: Standing,
}

/// An endpoint that is connected.
#[derive(Debug)]
pub(crate) struct Member<C> {
    pub(crate) backend: Arc<Backend<C>>,
    pub(crate) weight: f64,
    /// The same, as comparisons want it.
    brief: f32,
}

/// An endpoint that is not.
#[derive(Debug)]
pub(crate) struct Other<C> {
    pub(crate) backend: Arc<Backend<C>>,
    pub(crate) weight: f64,
    pub(crate) state: &'static str,
}

/// How the service stands, and so what a request that finds nobody has to wait for.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// Somebody is connected.
    Ready,
    /// Nobody is, but to somebody the next attempt to connect has good prospects: it is the first,
    /// or the first after a connection that ended.
    Connecting,
    /// Every last attempt failed; one of the causes.
    Failing(Cause),
    /// Nobody may be called, and why.
    Empty(Cause),
    /// No server has answered yet.
    Undiscovered,
}

impl Standing {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Connecting => "connecting",
            Self::Failing(_) => "failing",
            Self::Empty(_) => "empty",
            Self::Undiscovered => "undiscovered",
        }
    }
}

/// What a pick needs to know of the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Tick,
    /// The mean latency of all endpoints.
    pub(crate) fleet: f32,
}

impl<C> Member<C> {
    pub(crate) fn new(backend: Arc<Backend<C>>, weight: f64) -> Self {
        Self { backend, weight, brief: brief(weight) }
    }
}

impl<C> Snapshot<C> {
    pub(crate) fn new(ready: Vec<Member<C>>, others: Vec<Other<C>>, standing: Standing) -> Self {
        let weights: Vec<f64> = ready.iter().map(|member| member.weight).collect();
        let table = Alias::new(&weights);
        Self { ready: ready.into(), table, others: others.into(), standing }
    }

    /// An endpoint, or `None` if there is none besides those in `avoid`.
    ///
    /// Constant time: an endpoint that is found unusable after the table was built is drawn again,
    /// up to four times. Only if all that fails the rest is looked through.
    #[inline]
    pub(crate) fn pick(
        &self,
        policy: Policy,
        moment: Moment,
        avoid: &[Passage],
        mut random: impl FnMut() -> u64,
    ) -> Option<(&Arc<Backend<C>>, Passage)> {
        for _ in 0..DRAWS {
            let first = self.draw(random())?;
            let latency_ratio = match policy {
                Policy::WeightedP2c { latency_ratio } => latency_ratio,
                Policy::WeightedRandom => match first.usable(avoid) {
                    Some(found) => return Some(found),
                    None => continue,
                },
            };
            let second = self.draw(random())?;
            match (first.usable(avoid), second.usable(avoid)) {
                (Some(one), Some(other)) => {
                    let leaves = !std::ptr::eq(first, second)
                        && prefers_second(
                            first.signals(moment),
                            second.signals(moment),
                            latency_ratio,
                        );
                    return Some(if leaves { other } else { one });
                }
                (Some(found), None) | (None, Some(found)) => return Some(found),
                (None, None) => {}
            }
        }
        let (before, after) = self.ready.split_at(scaled(random() >> 32, self.ready.len()));
        after.iter().chain(before).find_map(|member| member.usable(avoid))
    }

    #[inline]
    fn draw(&self, random: u64) -> Option<&Member<C>> {
        self.ready.get(self.table.draw(random)?)
    }
}

impl<C> Member<C> {
    #[inline]
    fn usable(&self, avoid: &[Passage]) -> Option<(&Arc<Backend<C>>, Passage)> {
        self.backend.passage(avoid).map(|passage| (&self.backend, passage))
    }

    #[inline]
    fn signals(&self, moment: Moment) -> Signals {
        self.backend.signals(self.brief, moment.fleet, moment.now)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits of a weight are enough")]
fn brief(weight: f64) -> f32 {
    weight as f32
}

const DRAWS: usize = 4;

#[cfg(test)]
mod tests;
