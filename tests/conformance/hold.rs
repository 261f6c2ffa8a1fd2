//! Differences that are accepted, each for a reason that the document prints.
use crate::document::Column;

/// A cell that may differ from the one it is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    pub(crate) what: &'static str,
    pub(crate) column: Column,
    pub(crate) because: &'static str,
}

/// Where the test server (the column) is not what the real one is.
pub(crate) const TESTKIT: &[Accepted] = &[];

/// Where a server (the column) was not what the capture of it is.
pub(crate) const CAPTURES: &[Accepted] = &[Accepted {
    what: "the same content again",
    column: Column::RNacos,
    because: "the recorded session had published another content just before, with a wrong digest, \
              which r-nacos does not refuse: what it published again was not the same there",
}];
