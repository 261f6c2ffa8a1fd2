//! How long connecting to a server may take.
use std::time::Duration;

/// How long connecting to a server may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Within {
    /// For one address.
    pub(crate) each: Duration,
    /// For looking the name up, and for all of its addresses.
    pub(crate) all: Duration,
}

#[cfg(test)]
impl Within {
    pub(crate) const DEFAULT: Self =
        Self { each: Duration::from_secs(1), all: Duration::from_secs(5) };
}
