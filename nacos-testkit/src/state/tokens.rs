//! Tokens, each of which is good until it expires.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::timing::later;

/// The tokens handed out, and until when they are good.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    until: HashMap<String, Instant>,
}

impl Tokens {
    pub(crate) fn issue(&mut self, now: Instant, ttl: Duration) -> String {
        // Those that have expired are remembered for a while: they are refused with other words.
        self.until.retain(|_, until| *until + REMEMBERED > now);
        // Opaque to clients; three parts because some of them look for the dots of a JWT.
        let token = format!("testkit.{:016x}.{:016x}", fastrand::u64(..), fastrand::u64(..));
        self.until.insert(token.clone(), later(ttl));
        token
    }

    pub(crate) fn is_good(&self, token: &str, now: Instant) -> bool {
        self.until.get(token).is_some_and(|until| *until > now)
    }

    /// Whether it was good once, until its time was over.
    pub(crate) fn has_expired(&self, token: &str, now: Instant) -> bool {
        self.until.get(token).is_some_and(|until| *until <= now)
    }

    pub(crate) fn expire(&mut self) {
        self.until.clear();
    }
}

const REMEMBERED: Duration = Duration::from_secs(600);
