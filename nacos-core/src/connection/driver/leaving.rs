//! The callers that wait until the server has agreed to a withdrawal.
use tokio::sync::oneshot;

use super::super::inbox::push_awaited;
use crate::{
    room::Map,
    session::{ClaimKey, Revision},
};

/// By key, in the order of their withdrawals. Dropping a sender tells its caller.
#[derive(Debug, Default)]
pub(super) struct Leaving(Map<ClaimKey, Vec<(Revision, oneshot::Sender<()>)>>);

impl Leaving {
    /// One waits until this revision of `key` is settled.
    pub(super) fn wait(&mut self, key: ClaimKey, revision: Revision, done: oneshot::Sender<()>) {
        let waiting = self.0.entry(key).or_default();
        drop(push_awaited(waiting, (revision, done), |(_, done)| done.is_closed()));
    }

    /// The server has agreed to everything under `key` up to this revision.
    pub(super) fn settled(&mut self, key: &ClaimKey, revision: Revision) {
        let Some(waiting) = self.0.get_mut(key) else { return };
        waiting.retain(|(withdrawn, _)| *withdrawn > revision);
        if waiting.is_empty() {
            self.0.remove(key);
        }
    }

    /// Nothing is held anywhere any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::ServiceKey;

    #[test]
    fn caller_waits_for_its_own_withdrawal_and_for_no_later_one() {
        let orders = ServiceKey::try_from("orders").expect("valid");
        let key = ClaimKey::Instances(orders);
        let mut leaving = Leaving::default();
        let waits = |leaving: &mut Leaving, revision| {
            let (done, waits) = oneshot::channel();
            leaving.wait(key.clone(), Revision::new(revision), done);
            waits
        };
        let is_told = |waits: &mut oneshot::Receiver<()>| {
            waits.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        let (mut first, mut second) = (waits(&mut leaving, 3), waits(&mut leaving, 5));
        leaving.settled(&key, Revision::new(2));
        assert!(!is_told(&mut first));
        leaving.settled(&key, Revision::new(4));
        assert!(is_told(&mut first) && !is_told(&mut second));
        leaving.settled(&key, Revision::LAST);
        assert!(is_told(&mut second) && leaving.0.is_empty());
        for revision in 0..1000 {
            drop(waits(&mut leaving, revision));
        }
        assert!(leaving.0[&key].len() < 16, "nobody waits any more");
    }
}
