//! Keeps the claims of which a server must be told again after a reconnect.
//!
//! A server forgets a client the moment its connection ends: the instances it registered, the
//! services it subscribed to, the documents it listens to. The ledger remembers what is claimed and
//! how much of it the server knows. It does not keep the content of a claim, which is read from its
//! owner when it is sent. It does no I/O: it says what to send ([`Ledger::take_due`]) and is told
//! how that went.
//!
//! ```text
//!              take_due            confirm
//!       Due ─────────────▶ Sent ─────────────▶ Held
//!        ▲                  │  │                │
//!        │ release, change  │  │ refuse         │ change, reassert, reconnected
//!        └──────────────────┘  ▼                │
//!        ◀────────────────  Refused ────────────┘
//!            change, reconnected, the retry time has come
//! ```
//!
//! At most one request per key is under way, so the server sees a key's changes in their order;
//! a change while a request is under way waits for its answer. An answer counts only for the
//! revision that it answers, and revisions are never used twice.
//!
//! A claim that is withdrawn before anything of it was sent on this connection is forgotten at
//! once: claims that come and go while there is no connection leave nothing behind.
use std::{hash::Hash, time::Instant};

use super::{entries::Entries, queue::Queue, timers::Timers};

/// Which keys are claimed, and how much of each the server knows.
///
/// The work of a claim, of its request and of its answer does not depend on how many claims there
/// are. A reconnect, and anything else that concerns every claim, looks at each once.
#[derive(Debug)]
pub(crate) struct Ledger<K> {
    entries: Entries<K, Entry>,
    revisions: u64,
    /// Exactly the keys that are due, in the order in which they became so.
    queue: Queue<K>,
    favours: fn(&K) -> bool,
    retries: Timers<K>,
    sent: usize,
}

/// One state of one claim. Never used twice, so an answer to an older one is recognised.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Revision(u64);

impl Revision {
    /// Not before any other.
    pub(crate) const LAST: Self = Self(u64::MAX);

    #[cfg(test)]
    pub(crate) fn new(number: u64) -> Self {
        Self(number)
    }
}

/// A claim that is to be sent, or the withdrawal of one that is not `claimed` any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Due<K> {
    pub(crate) key: K,
    pub(crate) claimed: bool,
    /// To hand back with the answer.
    pub(crate) revision: Revision,
}

/// The claim that a request is about.
#[derive(Clone, Debug)]
pub(super) struct SentClaim<K> {
    pub(super) key: K,
    pub(super) revision: Revision,
}

/// How much of a claim the server knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// To be sent.
    Due,
    /// Under way.
    Sent(Revision),
    /// The server agreed.
    Held,
    /// The server said no. Due again at that time, or not before something changes.
    Refused { code: i32, retry_at: Option<Instant> },
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts, none of which follows from another")]
struct Entry {
    /// Whether the server should hold something; not once it is withdrawn.
    claimed: bool,
    revision: Revision,
    standing: Standing,
    /// Whether the server of this connection may have heard of it.
    told: bool,
    /// Whether it has agreed to something under this key, be it older than what is claimed now.
    agreed: bool,
    /// The request under way is followed by one more; or, of a claim that stands held, the last
    /// one was not answered.
    again: bool,
    /// Refusals in a row.
    refusals: u32,
}

impl<K: Clone + Eq + Hash> Ledger<K> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Entries::new(),
            revisions: 0,
            queue: Queue::new(),
            favours: |_| false,
            retries: Timers::new(),
            sent: 0,
        }
    }

    /// Where many claims become due together, those that `favours` chooses are the first.
    pub(crate) fn favouring(self, favours: fn(&K) -> bool) -> Self {
        Self { favours, ..self }
    }

    /// Claims something under `key`, in place of what was claimed there.
    pub(crate) fn assert(&mut self, key: K) {
        let revision = self.next_revision();
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.claimed = true;
            entry.revision = revision;
            entry.refusals = 0;
            let standing = entry.changed();
            self.stand(&key, standing);
        } else {
            let standing = Standing::Due;
            let entry = Entry {
                claimed: true,
                revision,
                standing,
                told: false,
                agreed: false,
                again: false,
                refusals: 0,
            };
            self.entries.insert(key.clone(), entry);
            self.queue.push(key);
        }
    }

    /// Claims nothing under `key` any more.
    pub(crate) fn withdraw(&mut self, key: &K) {
        let revision = self.next_revision();
        let Some(entry) = self.entries.get_mut(key) else { return };
        if !entry.told {
            self.forget(key);
        } else if std::mem::take(&mut entry.claimed) {
            entry.revision = revision;
            // A refused claim is withdrawn like any other: the server may hold what came before.
            let standing = entry.changed();
            self.stand(key, standing);
        }
    }

    /// Claims nothing any more.
    pub(crate) fn withdraw_all(&mut self) {
        for key in self.in_order(|_, entry| entry.claimed) {
            self.withdraw(&key);
        }
    }

    /// A new connection: the server holds nothing of ours, and no answer is under way.
    ///
    /// Claims are sent again in the order in which they were made. Returns the keys whose
    /// withdrawal is thereby done.
    pub(crate) fn reconnected(&mut self) -> Vec<K> {
        let withdrawn = self.in_order(|_, entry| !entry.claimed);
        self.entries.retain(|entry| entry.claimed);
        self.retries.clear();
        self.queue.clear();
        for key in self.in_order(|_, _| true) {
            let revision = self.next_revision();
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.revision = revision;
            entry.standing = Standing::Due;
            entry.told = false;
            entry.agreed = false;
            entry.refusals = 0;
            self.queue.push(key);
        }
        self.sent = 0;
        withdrawn
    }

    /// Makes a held claim due again, to be confirmed anew.
    pub(crate) fn reassert(&mut self, key: &K) {
        if self.standing(key) == Some(Standing::Held) {
            self.stand(key, Standing::Due);
        }
    }

    /// Makes a claim due again whose last answer, or the one that is under way, may be out of date:
    /// a request that is sent from now on decides.
    pub(crate) fn repeat(&mut self, key: &K) {
        match self.entries.get_mut(key) {
            Some(entry) if matches!(entry.standing, Standing::Sent(_)) => entry.again = true,
            _ => self.reassert(key),
        }
    }

    /// The same for all claims that `which` chooses.
    pub(crate) fn repeat_all(&mut self, which: impl Fn(&K) -> bool) {
        for key in self.in_order(|key, _| which(key)) {
            self.repeat(&key);
        }
    }

    /// Makes held claims due again, to be confirmed anew.
    pub(crate) fn reassert_all(&mut self, which: impl Fn(&K) -> bool) {
        self.make_due(|key, standing| standing == Standing::Held && which(key));
    }

    /// Makes claims due that were refused with `code`: what they lacked may be there now.
    pub(crate) fn retry_refused(&mut self, code: i32) {
        self.make_due(|_, standing| {
            matches!(standing, Standing::Refused { code: refused, .. } if refused == code)
        });
    }

    /// Makes every refused claim due, whatever it was refused for.
    pub(crate) fn retry_all_refused(&mut self) {
        self.make_due(|_, standing| matches!(standing, Standing::Refused { .. }));
    }

    /// Makes refused claims due whose time to be tried again has come.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(key) = self.retries.pop(now) {
            let standing = self.entries.get(&key).map(|entry| entry.standing);
            if matches!(standing, Some(Standing::Refused { retry_at: Some(at), .. }) if at <= now) {
                self.stand(&key, Standing::Due);
            }
        }
    }

    /// At most `room` claims to send now, in the order in which they became due.
    #[must_use = "what is taken counts as sent"]
    pub(crate) fn take_due(&mut self, room: usize) -> Vec<Due<K>> {
        let mut taken = Vec::new();
        while taken.len() < room
            && let Some(key) = self.queue.pop()
        {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            entry.told = true;
            entry.again = false;
            let (claimed, revision) = (entry.claimed, entry.revision);
            self.stand(&key, Standing::Sent(revision));
            taken.push(Due { key, claimed, revision });
        }
        taken
    }

    /// Whether `revision` of `key` is under way, so that its answer counts.
    pub(crate) fn awaits(&self, key: &K, revision: Revision) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.awaits(revision))
    }

    /// The revision of the last change, of whichever key.
    pub(crate) fn newest(&self) -> Revision {
        Revision(self.revisions)
    }

    /// The server agreed to `revision` of `key`. Says whether it now holds the newest claim.
    pub(crate) fn confirm(&mut self, key: &K, revision: Revision) -> bool {
        let Some(entry) = self.sent(key, revision) else { return false };
        entry.refusals = 0;
        entry.agreed = true;
        if entry.revision != revision {
            self.stand(key, Standing::Due);
            false
        } else if entry.claimed {
            let standing = if entry.again { Standing::Due } else { Standing::Held };
            self.stand(key, standing);
            true
        } else {
            self.forget(key);
            false
        }
    }

    /// The server said no to `revision` of `key`; `retry_at` is given how many times in a row.
    /// Says whether that is the newest claim, and stands refused.
    ///
    /// A withdrawal that is refused is given up, unless there is a time to try it again.
    pub(crate) fn refuse(
        &mut self,
        key: &K,
        revision: Revision,
        code: i32,
        retry_at: impl FnOnce(u32) -> Option<Instant>,
    ) -> bool {
        let Some(entry) = self.sent(key, revision) else { return false };
        if entry.revision != revision {
            // The refused claim has been replaced meanwhile: the new one deserves its own answer.
            self.stand(key, Standing::Due);
            return false;
        }
        let retry_at = retry_at(entry.refusals);
        entry.refusals = entry.refusals.saturating_add(1);
        if !entry.claimed && retry_at.is_none() {
            self.forget(key);
            return false;
        }
        self.stand(key, Standing::Refused { code, retry_at });
        true
    }

    /// `revision` of `key` was never answered: it is due again.
    pub(crate) fn release(&mut self, key: &K, revision: Revision) {
        if self.sent(key, revision).is_some() {
            self.stand(key, Standing::Due);
        }
    }

    /// The same, but a claim that the server had agreed to before stands held as it did, until it
    /// is [resumed](Self::resume) or made due otherwise. Says whether it does.
    pub(crate) fn keep(&mut self, key: &K, revision: Revision) -> bool {
        let Some(entry) = self.sent(key, revision) else { return false };
        let keeps = entry.claimed && entry.agreed && entry.revision == revision && !entry.again;
        entry.again = keeps;
        self.stand(key, if keeps { Standing::Held } else { Standing::Due });
        keeps
    }

    /// Makes those claims due that were kept, and that no answer has confirmed since then.
    pub(crate) fn resume(&mut self) {
        for key in self.in_order(|_, entry| entry.standing == Standing::Held && entry.again) {
            self.stand(&key, Standing::Due);
        }
    }

    /// When to look for refused claims that are due again.
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.retries.next()
    }

    /// How many keys are due or under way.
    pub(crate) fn unsettled(&self) -> usize {
        self.queue.len() + self.sent
    }

    /// Whether `key` is claimed, or still has to be withdrawn.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.entries.contains(key)
    }

    /// How much the server knows of `key`; nothing if nothing is claimed there.
    pub(crate) fn standing(&self, key: &K) -> Option<Standing> {
        self.entries.get(key).filter(|entry| entry.claimed).map(|entry| entry.standing)
    }

    /// Every key with a claim, and how much of it the server knows.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (&K, Standing)> {
        let claimed = self.entries.iter().filter(|(_, entry)| entry.claimed);
        claimed.map(|(key, entry)| (key, entry.standing))
    }

    /// Whether the server holds something of what is claimed, be it not the newest.
    pub(crate) fn holds_any(&self) -> bool {
        self.entries.iter().any(|(_, entry)| entry.claimed && entry.agreed)
    }

    /// How many keys there are, withdrawals under way included.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn make_due(&mut self, which: impl Fn(&K, Standing) -> bool) {
        for key in self.in_order(|key, entry| which(key, entry.standing)) {
            self.stand(&key, Standing::Due);
        }
    }

    /// The chosen keys, favoured ones first, and of those the ones whose claims changed longest
    /// ago: nobody is overtaken again and again, and the same inputs always lead to the same
    /// requests.
    fn in_order(&self, which: impl Fn(&K, &Entry) -> bool) -> Vec<K> {
        let chosen = self.entries.iter().filter(|(key, entry)| which(key, entry));
        let place = |(key, entry): (_, &Entry)| (!(self.favours)(key), entry.revision, key);
        let mut chosen: Vec<_> = chosen.map(place).collect();
        chosen.sort_unstable_by_key(|(rest, revision, _)| (*rest, *revision));
        chosen.into_iter().map(|(.., key)| key.clone()).collect()
    }

    /// The only place where an entry that stays changes its standing.
    fn stand(&mut self, key: &K, standing: Standing) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let former = std::mem::replace(&mut entry.standing, standing);
        self.leave(key, former, standing);
        match standing {
            // If it is queued already, at its older place.
            Standing::Due => self.queue.push(key.clone()),
            Standing::Sent(_) => self.sent += 1,
            Standing::Refused { retry_at: Some(at), .. } => self.retries.push(at, key.clone()),
            Standing::Held | Standing::Refused { retry_at: None, .. } => {}
        }
    }

    fn forget(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.leave(key, entry.standing, Standing::Held);
        }
    }

    /// `key` stands no more as it did.
    fn leave(&mut self, key: &K, former: Standing, next: Standing) {
        match former {
            Standing::Due if next != Standing::Due => self.queue.remove(key),
            Standing::Sent(_) => self.sent -= 1,
            Standing::Refused { .. } => self.retries.remove(key),
            Standing::Due | Standing::Held => {}
        }
    }

    fn next_revision(&mut self) -> Revision {
        self.revisions += 1;
        Revision(self.revisions)
    }

    fn sent(&mut self, key: &K, revision: Revision) -> Option<&mut Entry> {
        self.entries.get_mut(key).filter(|entry| entry.awaits(revision))
    }
}

impl Entry {
    /// Whether this revision is under way.
    fn awaits(&self, revision: Revision) -> bool {
        self.standing == Standing::Sent(revision)
    }

    /// The standing after a change of the claim: a request under way must be answered first.
    fn changed(&self) -> Standing {
        match self.standing {
            Standing::Sent(revision) => Standing::Sent(revision),
            Standing::Due | Standing::Held | Standing::Refused { .. } => Standing::Due,
        }
    }
}

#[cfg(test)]
mod tests;
