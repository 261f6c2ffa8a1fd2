//! Which servers there are.

use std::fmt::{self, Display};

/// A server that the rig can install and start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Product {
    /// Nacos itself, as far as it can be had without its release archives.
    JavaNacos,
    /// The implementation in Rust, from the crate `rnacos`.
    RNacos,
}

impl Product {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 2] = [Self::RNacos, Self::JavaNacos];

    /// The name by which the command line knows it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JavaNacos => "java",
            Self::RNacos => "r-nacos",
        }
    }

    /// The version that the rig installs.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::JavaNacos => "2.3.2",
            Self::RNacos => "0.8.8",
        }
    }
}

impl Display for Product {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = match self {
            Self::JavaNacos => "Java Nacos",
            Self::RNacos => "r-nacos",
        };
        write!(out, "{title} {}", self.version())
    }
}
