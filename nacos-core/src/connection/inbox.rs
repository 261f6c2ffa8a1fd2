//! The wishes of all handles, kept until the driver takes them.
//!
//! Each guard has one wish at most, its newest. A guard that updates in a loop replaces one value,
//! and a guard that claims and withdraws before the driver has heard of it leaves nothing. So there
//! are never more wishes than guards that live or that the driver knows. Everything that belongs to
//! no guard is a few counters and lists, each bounded by what is under way. Putting something in
//! neither waits nor fails.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::ShutdownReport;
use crate::{
    credentials::Grant,
    filter::Passed,
    instance::Instance,
    key::ConfigKey,
    live::LiveWriter,
    room::Map,
    session::{ClaimKey, GuardId, LinkId, Queue},
    snapshot::{Override, Snapshot},
    state::ClaimState,
};

/// One guard's newest wish.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) key: ClaimKey,
    pub(super) wanted: Wanted,
    /// The document is to be asked for again.
    pub(super) refetch: bool,
    /// It is to be asked for regularly while nobody may listen to it.
    pub(super) polls: bool,
    /// How long it may wait after a push.
    pub(super) pull_jitter: Option<Duration>,
    /// The disk was read for the guard.
    pub(super) disk: Option<Box<FromDisk>>,
    /// Dropped once that is known to those who read the document.
    pub(super) unread: Option<LiveWriter<()>>,
    /// The driver has never heard of this guard.
    is_new: bool,
}

/// A document as the disk has it.
#[derive(Debug, Default)]
pub(super) struct FromDisk {
    pub(super) snapshot: Part<Snapshot>,
    /// The file of an operator that stands in its place.
    pub(super) overridden: Part<Override>,
}

/// Something that may be on a disk.
#[derive(Debug, Default)]
pub(crate) enum Part<T> {
    /// Nobody has looked, or the disk has not answered.
    #[default]
    Unread,
    Nothing,
    Found(T),
}

impl FromDisk {
    /// Takes over what was found since.
    pub(super) fn add(&mut self, later: Self) {
        self.snapshot.add(later.snapshot);
        self.overridden.add(later.overridden);
    }
}

impl<T> Part<T> {
    fn add(&mut self, later: Self) {
        if !matches!(later, Self::Unread) {
            *self = later;
        }
    }
}

#[derive(Debug)]
pub(super) enum Wanted {
    /// No change of its claim.
    Nothing,
    Assert {
        instance: Option<Arc<Instance>>,
        /// Where the guard reads.
        state: LiveWriter<ClaimState>,
    },
    Withdraw {
        /// Told once the server has agreed.
        done: Option<oneshot::Sender<()>>,
    },
}

/// Everything that belongs to no guard.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Connections that users' requests found to be of no use any more.
    pub(super) losses: BTreeMap<LinkId, Loss>,
    /// How many of users' requests were not answered, by connection.
    pub(super) unanswered: BTreeMap<LinkId, u32>,
    /// The grants of requests that were refused; `None` for a request that carried none.
    pub(super) refused: Vec<Option<Arc<Grant>>>,
    /// Until when `connect` waits to learn whether a login is needed.
    pub(super) knock: Option<Instant>,
    /// Answers to users' requests that could not be read.
    pub(super) unreadable: u64,
    /// Callers who ask why the client is not connected right now.
    pub(super) questions: Vec<oneshot::Sender<Option<String>>>,
    /// Watched documents that an operator overrides, or no longer does.
    pub(super) overrides: BTreeMap<ConfigKey, Option<Override>>,
    /// Results of filters, by document: of each content the newest.
    pub(super) passed: BTreeMap<ConfigKey, Vec<Passed>>,
    pub(super) close: Option<Close>,
    /// An operator stops all pulls of documents, or lets them go on.
    pub(super) freeze: Option<bool>,
}

/// Why a connection is of no use.
#[derive(Debug)]
pub(super) enum Loss {
    /// The server does not know it any more.
    Unusable,
    /// It has ended, or its server is leaving.
    Ended(String),
}

/// The session is to end.
#[derive(Debug)]
pub(super) struct Close {
    pub(super) deadline: Instant,
    pub(super) waiting: Vec<oneshot::Sender<ShutdownReport>>,
}

/// The handles' end, into which they put what they want.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
}

/// The driver's end. Dropping it drops everything in it, and everything that is put there later.
#[derive(Debug)]
pub(super) struct Inbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Contents>,
    filled: Notify,
}

#[derive(Debug)]
struct Contents {
    is_closed: bool,
    /// The guards that want something, in the order in which they came to.
    order: Queue<GuardId>,
    wishes: Map<GuardId, Wish>,
    notices: Notices,
}

/// An empty box, as its two ends.
pub(super) fn inbox() -> (Outbox, Inbox) {
    let waiting = Contents {
        is_closed: false,
        order: Queue::new(),
        wishes: Map::new(),
        notices: Notices::default(),
    };
    let shared = Arc::new(Shared { waiting: Mutex::new(waiting), filled: Notify::new() });
    (Outbox { shared: Arc::clone(&shared) }, Inbox { shared })
}

impl Outbox {
    /// A new guard claims `key`.
    pub(super) fn claim(
        &self,
        guard: GuardId,
        key: ClaimKey,
        instance: Option<Arc<Instance>>,
        state: LiveWriter<ClaimState>,
    ) {
        let wanted = Wanted::Assert { instance, state };
        self.wish(guard, Wish { is_new: true, ..Wish::new(key, wanted) });
    }

    /// A new guard claims `key`, once the disk [was read](Self::read) for it. Readers of `unread`
    /// end once its readers know what is there.
    pub(super) fn claim_later(
        &self,
        guard: GuardId,
        key: ClaimKey,
        state: LiveWriter<ClaimState>,
        unread: LiveWriter<()>,
    ) {
        let wanted = Wanted::Assert { instance: None, state };
        let wish = Wish { is_new: true, unread: Some(unread), ..Wish::new(key, wanted) };
        drop(self.put(wish, |waiting, wish| waiting.wishes.insert(guard, wish)));
    }

    /// The disk was read for `guard`: what it claims is asked for from now on. It may be
    /// read bit by bit.
    pub(super) fn read(&self, guard: GuardId, key: ClaimKey, found: FromDisk) {
        drop(self.put(found, |waiting, found| {
            waiting.order.push(guard);
            if let Some(last) = waiting.wishes.get_mut(&guard) {
                last.disk.get_or_insert_default().add(found);
                return None;
            }
            let disk = Some(Box::new(found));
            let wish = Wish { disk, ..Wish::new(key, Wanted::Nothing) };
            waiting.wishes.insert(guard, wish)
        }));
    }

    /// A watched document is overridden by this, or no longer is.
    pub(super) fn overridden(&self, key: ConfigKey, by: Option<Override>) {
        drop(self.put(by, |waiting, by| waiting.notices.overrides.insert(key, by)));
    }

    /// Filters have made this of a watched document.
    pub(super) fn passed(&self, key: ConfigKey, passed: Passed) {
        let displaced = self.put(passed, |waiting, passed| {
            let of_key = waiting.notices.passed.entry(key).or_default();
            let at = of_key.iter().position(|known| known.stored == passed.stored);
            if passed.outcome.is_err() && at.is_some_and(|at| of_key[at].outcome.is_ok()) {
                // The content that has passed is still good.
                return Some(passed);
            }
            let displaced = at.map(|at| of_key.remove(at));
            of_key.push(passed);
            displaced
        });
        drop(displaced);
    }

    /// The guard claims this instance instead.
    pub(super) fn restate(
        &self,
        guard: GuardId,
        key: ClaimKey,
        instance: Arc<Instance>,
        state: LiveWriter<ClaimState>,
    ) {
        let wanted = Wanted::Assert { instance: Some(instance), state };
        self.wish(guard, Wish::new(key, wanted));
    }

    /// The guard wants its document to be asked for again.
    pub(super) fn refetch(&self, guard: GuardId, key: ClaimKey) {
        self.wish(guard, Wish { refetch: true, ..Wish::new(key, Wanted::Nothing) });
    }

    /// The guard wants its document to be asked for regularly while nobody may listen to it.
    pub(super) fn poll_when_refused(
        &self,
        guard: GuardId,
        key: ClaimKey,
        state: LiveWriter<ClaimState>,
    ) {
        let wanted = Wanted::Assert { instance: None, state };
        self.wish(guard, Wish { polls: true, ..Wish::new(key, wanted) });
    }

    /// After a push, the guard lets its document wait for any part of `most`.
    pub(super) fn pull_jitter(&self, guard: GuardId, key: ClaimKey, most: Duration) {
        let wish = Wish::new(key, Wanted::Nothing);
        self.wish(guard, Wish { pull_jitter: Some(most), ..wish });
    }

    /// An operator stops all pulls of documents, or lets them go on.
    pub(super) fn freeze(&self, is_frozen: bool) {
        // Once the driver has ended nobody pulls.
        let _ = self.put((), |waiting, ()| waiting.notices.freeze = Some(is_frozen));
    }

    /// The guard goes; `done` is told once the server has agreed, or dropped if it need not.
    pub(super) fn withdraw(
        &self,
        guard: GuardId,
        key: ClaimKey,
        done: Option<oneshot::Sender<()>>,
    ) {
        self.wish(guard, Wish::new(key, Wanted::Withdraw { done }));
    }

    fn wish(&self, guard: GuardId, wish: Wish) {
        // A displaced wish is dropped after the lock is released, because dropping it wakes its
        // readers.
        drop(self.put(wish, |waiting, wish| waiting.wish(guard, wish)));
    }

    /// A user's request found that `link` is of no use any more.
    pub(super) fn lost(&self, link: LinkId, why: Loss) {
        drop(self.put(why, |waiting, why| {
            waiting.notices.losses.entry(link).or_insert(why);
        }));
    }

    /// A user's request was not answered on `link`.
    pub(super) fn unanswered(&self, link: LinkId) {
        // Once the driver has ended nobody counts.
        let _ = self.put((), |waiting, ()| {
            let count = waiting.notices.unanswered.entry(link).or_default();
            *count = count.saturating_add(1);
        });
    }

    /// `connect` wants to know whether a login is needed, and waits for that until `until`.
    pub(super) fn knock(&self, until: Instant) {
        // Once the driver has ended nobody connects.
        let _ = self.put((), |waiting, ()| waiting.notices.knock = Some(until));
    }

    /// The server refused a request that carried `grant`, or nothing.
    pub(super) fn refused(&self, grant: Option<Arc<Grant>>) {
        drop(self.put(grant, |waiting, grant| {
            let refused = &mut waiting.notices.refused;
            if refused.iter().any(|other| is_same(other.as_ref(), grant.as_ref())) {
                return Some(grant);
            }
            refused.push(grant);
            None
        }));
    }

    /// An answer to a user's request could not be read.
    pub(super) fn unreadable(&self) {
        // Once the driver has ended nobody counts.
        let _ = self.put((), |waiting, ()| waiting.notices.unreadable += 1);
    }

    /// Something that the driver looks at beside this may be due sooner than it thinks.
    pub(super) fn wake(&self) {
        // Once the driver has ended nothing is due.
        let _ = self.put((), |_, ()| ());
    }

    /// Asks why the client is not connected right now.
    pub(super) fn ask(&self, told: oneshot::Sender<Option<String>>) {
        drop(self.put(told, |waiting, told| {
            push_awaited(&mut waiting.notices.questions, told, oneshot::Sender::is_closed)
        }));
    }

    /// The session is to end. The first deadline counts.
    pub(super) fn close(&self, deadline: Instant, done: oneshot::Sender<ShutdownReport>) {
        drop(self.put(done, |waiting, done| {
            let close = &mut waiting.notices.close;
            let close = close.get_or_insert(Close { deadline, waiting: Vec::new() });
            push_awaited(&mut close.waiting, done, oneshot::Sender::is_closed)
        }));
    }

    /// Puts `what` where `put` puts it. Returns what was displaced by that, to be dropped by the
    /// caller; or `what` itself, once the driver has ended, and with it every claim.
    fn put<T, D>(&self, what: T, put: impl FnOnce(&mut Contents, T) -> D) -> Result<D, T> {
        let mut waiting = self.shared.waiting();
        if waiting.is_closed {
            drop(waiting);
            return Err(what);
        }
        let displaced = put(&mut waiting, what);
        drop(waiting);
        self.shared.filled.notify_one();
        Ok(displaced)
    }
}

impl Wish {
    fn new(key: ClaimKey, wanted: Wanted) -> Self {
        let (refetch, polls, is_new) = (false, false, false);
        Self { key, wanted, refetch, polls, pull_jitter: None, disk: None, unread: None, is_new }
    }
}

impl Contents {
    /// Puts `guard`'s wish in place of its last. Returns what is of no use any more.
    fn wish(&mut self, guard: GuardId, wish: Wish) -> [Option<Wish>; 2] {
        let Some(last) = self.wishes.get_mut(&guard) else {
            self.order.push(guard);
            return [self.wishes.insert(guard, wish), None];
        };
        match &wish.wanted {
            Wanted::Nothing => {
                last.refetch |= wish.refetch;
                last.pull_jitter = wish.pull_jitter.or(last.pull_jitter);
                [Some(wish), None]
            }
            // At its older place: of two that claim, the one that came first is first.
            Wanted::Assert { .. } => {
                let (refetch, polls) = (last.refetch, last.polls || wish.polls);
                let (is_new, disk, unread) = (last.is_new, last.disk.take(), last.unread.take());
                let pull_jitter = last.pull_jitter;
                let wish = Wish { refetch, polls, pull_jitter, disk, unread, is_new, ..wish };
                [Some(std::mem::replace(last, wish)), None]
            }
            // The driver has never heard of this guard, so there is nothing to withdraw: dropping
            // the wish and its sender says so.
            Wanted::Withdraw { .. } if last.is_new => {
                self.order.remove(&guard);
                [self.wishes.remove(&guard), Some(wish)]
            }
            // At the end: claims that others made before it are sent before it, so that there is no
            // gap.
            Wanted::Withdraw { .. } => {
                self.order.remove(&guard);
                self.order.push(guard);
                [self.wishes.insert(guard, wish), None]
            }
        }
    }
}

impl Inbox {
    /// Waits until there may be something to take.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn filled(&self) {
        self.shared.filled.notified().await;
    }

    /// Takes everything that is of no guard, and at most `room` wishes, in their order.
    pub(super) fn take(&self, room: usize) -> (Notices, Vec<(GuardId, Wish)>) {
        let mut waiting = self.shared.waiting();
        let notices = std::mem::take(&mut waiting.notices);
        let mut wishes = Vec::with_capacity(room.min(waiting.wishes.len()));
        while wishes.len() < room
            && let Some(guard) = waiting.order.pop()
        {
            wishes.extend(waiting.wishes.remove(&guard).map(|wish| (guard, wish)));
        }
        let has_more = !waiting.order.is_empty();
        drop(waiting);
        if has_more {
            self.shared.filled.notify_one();
        }
        (notices, wishes)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.waiting().is_closed = true;
        drop(self.take(usize::MAX));
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Contents> {
        // A panic under the lock cannot leave it half-changed: only maps are changed there.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two requests carried the same grant, or none.
pub(super) fn is_same(one: Option<&Arc<Grant>>, other: Option<&Arc<Grant>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Adds one who waits for an answer. Those who have stopped waiting are forgotten before the list
/// grows, and returned: a waker may go with each of them, which is a user's code, and the caller
/// may hold a lock.
#[must_use = "to be dropped under no lock"]
pub(super) fn push_awaited<W>(
    waiting: &mut Vec<W>,
    one: W,
    has_gone: impl Fn(&W) -> bool,
) -> Vec<W> {
    let gone = if waiting.len() == waiting.capacity() {
        waiting.extract_if(.., |one| has_gone(one)).collect()
    } else {
        Vec::new()
    };
    waiting.push(one);
    gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::{ConfigKey, ServiceKey},
        live::{Live, live},
    };

    #[test]
    fn updates_in_a_loop_are_one_wish_with_the_newest_value() {
        let (outbox, inbox) = inbox();
        outbox.claim(GuardId(1), orders(), Some(Arc::new(Instance::new("a", 1))), writer().0);
        outbox.claim(GuardId(2), orders(), Some(Arc::new(Instance::new("b", 1))), writer().0);
        let mut states = Vec::new();
        for port in 0..1000 {
            let (writer, state) = writer();
            outbox.restate(GuardId(1), orders(), Arc::new(Instance::new("a", port)), writer);
            states.push(state);
        }
        assert_eq!(ended(&states), 999, "the readers of what was replaced have ended");
        let (_, wishes) = inbox.take(9);
        assert_eq!(asserted(&wishes), [(1, 999), (2, 1)], "in the order in which they claimed");
        assert_eq!(held(&inbox), 0);
    }

    #[test]
    fn guard_that_goes_before_the_driver_has_heard_of_it_leaves_nothing() {
        let (outbox, inbox) = inbox();
        for guard in (0..1000).map(GuardId) {
            outbox.claim(guard, orders(), Some(Arc::new(Instance::new("a", 1))), writer().0);
            outbox.restate(guard, orders(), Arc::new(Instance::new("a", 2)), writer().0);
            outbox.refetch(guard, orders());
            let (done, mut agreed) = oneshot::channel();
            outbox.withdraw(guard, orders(), Some(done));
            assert!(agreed.try_recv().is_err_and(|error| error == closed()));
        }
        assert_eq!(held(&inbox), 0);
    }

    #[test]
    fn withdrawal_is_never_lost_and_overtakes_nobody() {
        let (outbox, inbox) = inbox();
        outbox.claim(GuardId(1), orders(), Some(Arc::new(Instance::new("a", 1))), writer().0);
        assert_eq!(inbox.take(9).1.len(), 1);
        outbox.restate(GuardId(1), orders(), Arc::new(Instance::new("a", 2)), writer().0);
        outbox.claim(GuardId(2), orders(), Some(Arc::new(Instance::new("b", 1))), writer().0);
        outbox.withdraw(GuardId(1), orders(), None);
        let (_, wishes) = inbox.take(9);
        assert_eq!(asserted(&wishes), [(2, 1)], "first, so that there is no gap");
        assert!(matches!(wishes[1], (GuardId(1), Wish { wanted: Wanted::Withdraw { .. }, .. })));
    }

    #[test]
    fn what_is_wanted_of_a_document_is_one_wish() {
        let key = ConfigKey::try_from("d").expect("valid");
        let key = || ClaimKey::Listen(key.clone());
        let (outbox, inbox) = inbox();
        for _ in 0..9 {
            outbox.refetch(GuardId(1), key());
        }
        let (_, wishes) = inbox.take(9);
        assert!(wishes.len() == 1 && wishes[0].1.refetch);
        outbox.claim(GuardId(2), key(), None, writer().0);
        outbox.refetch(GuardId(2), key());
        outbox.poll_when_refused(GuardId(2), key(), writer().0);
        let (_, wishes) = inbox.take(9);
        assert!(wishes.len() == 1 && wishes[0].1.refetch && wishes[0].1.polls);
    }

    #[test]
    fn what_is_of_no_guard_is_bounded_by_what_is_under_way() {
        let (outbox, inbox) = inbox();
        for n in 0..1000 {
            outbox.lost(LinkId(n % 3), Loss::Ended("gone".to_owned()));
            outbox.unreadable();
            outbox.ask(oneshot::channel().0);
            outbox.close(Instant::now(), oneshot::channel().0);
        }
        let (told, answer) = oneshot::channel();
        outbox.ask(told);
        let (notices, _) = inbox.take(0);
        assert_eq!((notices.losses.len(), notices.unreadable), (3, 1000));
        let close = notices.close.expect("asked for");
        assert!(close.waiting.len() <= 4 && notices.questions.len() <= 4, "they wait no more");
        assert!(notices.questions.iter().any(|told| !told.is_closed()));
        drop(answer);
    }

    #[tokio::test(start_paused = true)]
    async fn driver_is_woken_for_what_is_left() {
        let (outbox, inbox) = inbox();
        for guard in (0..3).map(GuardId) {
            outbox.claim(guard, orders(), None, writer().0);
        }
        let mut taken = 0;
        nacos_testkit::within(Duration::from_secs(60), async {
            while taken < 3 {
                inbox.filled().await;
                taken += inbox.take(1).1.len();
            }
        })
        .await;
        let more = futures_util::FutureExt::now_or_never(inbox.filled());
        assert_eq!(more, None, "and for nothing else");
    }

    #[test]
    fn nothing_is_kept_once_the_driver_has_ended() {
        let (outbox, inbox) = inbox();
        let (first, before) = writer();
        let (second, after) = writer();
        outbox.claim(GuardId(1), orders(), None, first);
        drop(inbox);
        outbox.claim(GuardId(2), orders(), None, second);
        let (done, mut agreed) = oneshot::channel();
        outbox.withdraw(GuardId(1), orders(), Some(done));
        assert_eq!(ended(&[before, after]), 2);
        assert!(agreed.try_recv().is_err_and(|error| error == closed()));
    }

    fn held(inbox: &Inbox) -> usize {
        let waiting = inbox.shared.waiting();
        waiting.wishes.len() + waiting.order.len()
    }

    fn asserted(wishes: &[(GuardId, Wish)]) -> Vec<(u64, u16)> {
        let port = |(guard, wish): &(GuardId, Wish)| match &wish.wanted {
            Wanted::Assert { instance: Some(instance), .. } => Some((guard.0, instance.port)),
            _ => None,
        };
        wishes.iter().filter_map(port).collect()
    }

    fn ended(states: &[Live<ClaimState>]) -> usize {
        let ended = |state: &&Live<ClaimState>| {
            let mut state = (*state).clone();
            futures_util::FutureExt::now_or_never(state.changed()) == Some(None)
        };
        states.iter().filter(ended).count()
    }

    fn writer() -> (LiveWriter<ClaimState>, Live<ClaimState>) {
        live(ClaimState::Pending)
    }

    fn closed() -> oneshot::error::TryRecvError {
        oneshot::error::TryRecvError::Closed
    }

    fn orders() -> ClaimKey {
        ClaimKey::Instances(ServiceKey::try_from("orders").expect("valid"))
    }
}
