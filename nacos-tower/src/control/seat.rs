//! One endpoint's place in the roster.
use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    endpoint::{Backend, Endpoint, Passage},
    error::Cause,
};

/// An endpoint, from the set that first names it until it has been left.
#[derive(Debug)]
pub(crate) struct Seat<C> {
    pub(crate) number: u64,
    pub(crate) endpoint: Endpoint,
    pub(crate) weight: f64,
    pub(crate) backend: Arc<Backend<C>>,
    pub(crate) link: Link<C>,
    /// Attempts that failed, and connections that did not hold, in a row.
    pub(crate) failures: u32,
    /// Why the last attempt failed, if it did.
    pub(crate) cause: Option<Cause>,
}

/// How it is connected, and since when: since it was left, if it lingers.
#[derive(Debug)]
pub(crate) enum Link<C> {
    Dialing,
    Lingering { connection: Arc<C>, since: Instant },
    Queued,
    Up { connection: Arc<C>, since: Instant },
    Waiting,
}

impl<C> Seat<C> {
    pub(crate) fn new(number: u64, endpoint: Endpoint, backend: Arc<Backend<C>>) -> Self {
        let weight = weight(&endpoint);
        Self { number, endpoint, weight, backend, link: Link::Queued, failures: 0, cause: None }
    }

    /// Takes over what a newer set says about it.
    pub(crate) fn describe(&mut self, endpoint: Endpoint) {
        self.weight = weight(&endpoint);
        self.endpoint = endpoint;
    }

    /// Lets requests through a connection.
    pub(crate) fn open(&mut self, connection: Arc<C>, passage: Passage, since: Instant) {
        self.backend.open(Arc::clone(&connection), passage);
        self.link = Link::Up { connection, since };
    }
}

/// Above 0, or it would not be here, and at most what servers accept: others may make sets, too.
fn weight(endpoint: &Endpoint) -> f64 {
    endpoint.instance().weight.min(10_000.0)
}
