//! The log of whether a client pulls, for operators.
use std::time::Instant;

use tracing::{debug, error, info, warn};

use super::throttle::{Throttle, line};
use crate::storm::PullMode;

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct PullLog {
    /// A server that answers listens and no queries leads in and out.
    read_only: Throttle,
    /// An operator has to be told that it is over.
    is_frozen: bool,
    is_told: bool,
}

impl PullLog {
    /// Logs what is new about `mode`.
    pub(super) fn observe(&mut self, now: Instant, mode: PullMode, is_alarming: bool) {
        let was_frozen = std::mem::replace(&mut self.is_frozen, false);
        match mode {
            PullMode::Frozen { since } | PullMode::ReadOnly { since } if is_alarming => {
                let seconds = now.saturating_duration_since(since).as_secs();
                self.is_told = true;
                error!(
                    mode = mode.name(),
                    seconds, "documents are not asked for: values may be old"
                );
            }
            PullMode::Frozen { .. } => {
                warn!(
                    "pulls of documents are frozen: values stay as they are until they are thawed"
                );
            }
            PullMode::ReadOnly { .. } => {
                let is_told = self.read_only.allows(now);
                self.is_told |= is_told;
                line!(
                    is_told,
                    warn,
                    "queries for documents are not answered: read-only, values stay"
                );
            }
            PullMode::Recovering { .. } => debug!("the server answers again: no longer read-only"),
            PullMode::Normal if was_frozen || std::mem::take(&mut self.is_told) => {
                info!("documents are asked for again");
            }
            PullMode::Normal => {}
        }
        self.is_frozen = matches!(mode, PullMode::Frozen { .. });
    }
}
