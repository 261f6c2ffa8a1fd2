//! The input of a pick besides the endpoints: the request, and random numbers.
use http::{Extensions, HeaderMap, Method, Request, Uri};

use super::alias::scaled;

/// The request that an endpoint is picked for, without its body, and a source of random numbers.
///
/// A request can be picked for several times: when the picked endpoint turns out to be closed, or
/// gives the request back unsent.
#[derive(Debug)]
pub struct PickArgs<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    random: Random,
}

impl<'a> PickArgs<'a> {
    #[inline]
    pub(crate) fn of<B>(request: &'a Request<B>, random: Random) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            random,
        }
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The request's URI. Often it is only a path: the endpoint adds the authority.
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The request's extensions, in which callers hand values to a policy of their own.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Random numbers of this pick's own.
    #[inline]
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}

/// A source of random numbers: fast, and not for cryptography. Every pick has one of its own, which
/// no other thread shares.
#[derive(Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// A source for one pick, from the generator of the current thread.
    #[inline]
    pub(crate) fn of_thread() -> Self {
        Self::seeded(fastrand::u64(..))
    }

    #[inline]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        scaled(self.bits() >> 32, bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut random = Random::seeded(1);
        assert_eq!(random.below(0), 0);
        let drawn: Vec<usize> = (0..1_000).map(|_| random.below(3)).collect();
        assert!(drawn.iter().all(|&number| number < 3));
        assert!((0..3).all(|number| drawn.contains(&number)));
    }
}
