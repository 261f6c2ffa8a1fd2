//! The connected endpoints as a policy sees them.
use std::{fmt, sync::Arc};

use super::{alias::Alias, args::Random};
use crate::endpoint::{ConnectionId, Endpoint, Moment, Stats};

/// The endpoints of one snapshot that are connected. Never changed once it is made.
#[derive(Debug)]
pub(crate) struct ReadyEndpoints {
    members: Box<[Member]>,
    /// Apart, because most policies never look at them.
    endpoints: Box<[Endpoint]>,
    table: Alias,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) stats: Arc<Stats>,
    pub(crate) weight: f64,
}

impl ReadyEndpoints {
    /// The weights must be finite and above 0.
    pub(crate) fn new(members: Vec<Member>, endpoints: Vec<Endpoint>) -> Self {
        let weights: Vec<f64> = members.iter().map(|member| member.weight).collect();
        let table = Alias::new(&weights);
        Self { members: members.into(), endpoints: endpoints.into(), table }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }
}

/// The endpoints that a request can go to: a [`Policy`](super::Policy) picks one of them.
///
/// All of them are connected, healthy, enabled and of a weight above 0. Every endpoint has a
/// position, in the order of addresses; positions change with the set, but not from pick to pick
/// while the set stays the same. Endpoints that this request has tried already, and those whose
/// connection has ended a moment ago, keep their positions and are not handed out.
///
/// Nothing here allocates.
#[derive(Clone, Copy)]
pub struct Candidates<'a> {
    ready: &'a ReadyEndpoints,
    avoid: &'a [ConnectionId],
    moment: Moment,
}

impl<'a> Candidates<'a> {
    #[inline]
    pub(crate) fn new(
        ready: &'a ReadyEndpoints,
        avoid: &'a [ConnectionId],
        moment: Moment,
    ) -> Self {
        Self { ready, avoid, moment }
    }

    /// How many positions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ready.members.len()
    }

    /// Whether there is no position at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.members.is_empty()
    }

    /// The candidate at a position. `None` if it is not available now, or beyond the last one.
    #[inline]
    #[must_use]
    pub fn get(&self, position: usize) -> Option<Candidate<'a>> {
        let member = self.ready.members.get(position)?;
        let connection = member.stats.available(self.avoid)?;
        Some(Candidate { ready: self.ready, member, position, connection, moment: self.moment })
    }

    /// Draws a candidate with a probability in proportion to its weight. `None` if none is
    /// available.
    ///
    /// Constant time: the table is made with the set. Where the draw hits an endpoint that is not
    /// available it is repeated, up to eight times; only then the others are looked through.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> Option<Candidate<'a>> {
        for _ in 0..DRAWS {
            let drawn = self.get(self.ready.table.draw(random.bits())?);
            if drawn.is_some() {
                return drawn;
            }
        }
        self.iter_from(random.below(self.len())).next()
    }

    /// All candidates, in the order of their positions. Takes linear time.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        self.iter_from(0)
    }

    /// All candidates, from a position on and around the end. Any number is a position: it is taken
    /// modulo their number.
    pub fn iter_from(&self, position: usize) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        let (candidates, len) = (*self, self.len());
        let first = position.checked_rem(len).unwrap_or(0);
        (first..len).chain(0..first).filter_map(move |position| candidates.get(position))
    }
}

impl fmt::Debug for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One endpoint that a request can go to, and its statistics at this moment.
///
/// Statistics are those of this balancer alone: the load by other clients shows in the latency
/// only.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    ready: &'a ReadyEndpoints,
    member: &'a Member,
    position: usize,
    /// The connection that was open when the candidate was handed out.
    connection: ConnectionId,
    moment: Moment,
}

impl<'a> Candidate<'a> {
    /// Its position among the [`Candidates`]. Two candidates of one pick are the same endpoint if
    /// their positions are equal.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// The endpoint: its address, and the instance with its metadata as the registry has it now.
    #[must_use]
    pub fn endpoint(&self) -> &'a Endpoint {
        // As long as the members: both are made together.
        &self.ready.endpoints[self.position]
    }

    /// Its weight, above 0 and at most 10 000.
    #[inline]
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.member.weight
    }

    /// The requests under way at it, those included whose response is still being read.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.member.stats.in_flight()
    }

    /// The latency to expect of it, in seconds until a response begins.
    ///
    /// It is the mean of the newest 32 or so requests. While there are few, or when they are old,
    /// the mean of all endpoints stands in for those that are missing. Failures add to it for some
    /// ten seconds, because an endpoint that fails at once would look like the fastest one. 0
    /// before anything was observed.
    #[inline]
    #[must_use]
    pub fn latency_seconds(&self) -> f32 {
        self.member.stats.expected_latency(self.moment)
    }

    #[inline]
    pub(crate) fn connection(&self) -> ConnectionId {
        self.connection
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("position", &self.position)
            .field("address", &self.endpoint().address())
            .field("weight", &self.weight())
            .field("in_flight", &self.in_flight())
            .field("latency_seconds", &self.latency_seconds())
            .finish()
    }
}

const DRAWS: usize = 8;
