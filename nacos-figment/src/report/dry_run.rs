//! The outcome of a publish that has not been made.
use std::{fmt, sync::Arc};

/// The outcome that a publish would have: see [`HotConfig::dry_run`](crate::HotConfig::dry_run).
#[non_exhaustive]
pub struct DryRun<T> {
    /// The generation that would come into force: the one that is, if nothing would change.
    pub generation: u64,
    /// The value that would.
    pub value: Arc<T>,
    /// The resources that would be built anew, by name. Whether they can be is not tried.
    pub rebuilt: Vec<Arc<str>>,
}

/// Shows what would happen, never the value.
impl<T> fmt::Debug for DryRun<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DryRun")
            .field("generation", &self.generation)
            .field("rebuilt", &self.rebuilt)
            .finish_non_exhaustive()
    }
}
