//! The simplest policy: one draw by weight.
use super::{
    args::PickArgs,
    candidates::{Candidate, Candidates},
    policy::Policy,
};

/// One draw by weight, as Nacos' own clients choose. Nothing else counts: not the requests under
/// way, not the latency.
///
/// [`Policy`] compares it with the others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WeightedRandom;

impl Policy for WeightedRandom {
    #[inline]
    fn pick<'a>(
        &self,
        candidates: &Candidates<'a>,
        args: &mut PickArgs<'_>,
    ) -> Option<Candidate<'a>> {
        candidates.draw(args.random())
    }
}
