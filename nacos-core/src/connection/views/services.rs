//! Services under subscription, as their readers are shown them: as the server lists them, or with
//! a [grace](super::grace) for lists of which nothing may be called.
use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::grace::{Hold, Steadiness};
use crate::{
    key::ServiceKey,
    live::{Live, LiveWriter, live},
    room::Map,
    service::Service,
};

/// For each service that a guard subscribes to: what the server lists, and one view for each grace
/// that guards have chosen.
///
/// As in the [views of documents](super::DocumentViews), a guard [enters](Self::enter) before it
/// claims and [leaves](Self::leave) after it has withdrawn, and nobody is woken under the lock.
/// Lists are compared and dropped there, and nothing else that takes time: they are plain data,
/// whose instances are shared between views, so that no user's code runs and most of a comparison
/// is one of addresses. One task alone calls that.
#[derive(Debug, Default)]
pub(crate) struct ServiceViews {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    live: Map<ServiceKey, Entry>,
    steadiness: Steadiness,
    /// When to look at which view that is held.
    timers: BTreeSet<(Instant, ServiceKey, Duration)>,
    /// Those that are held while nobody serves.
    paused: BTreeSet<(ServiceKey, Duration)>,
    /// The session's state, as far as it matters here.
    connected: bool,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    raw: View,
    /// With a grace; those without read the raw view. Mostly there is one: boxed, because a map
    /// begins with room for eleven.
    graced: BTreeMap<Duration, Box<Graced>>,
}

#[derive(Debug)]
struct Graced {
    view: View,
    hold: Hold,
}

#[derive(Debug)]
struct View {
    writer: Arc<LiveWriter<Service>>,
    guards: usize,
    /// The view from now on; the writer shows it as soon as the lock is gone.
    shown: Service,
}

/// The outcome for a view that a grace concerns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum GraceOutcome {
    /// It stays, though the server lists nothing that may be called.
    Held { instances: usize },
    /// The server lists instances again that may be called.
    Back,
    /// It stays no longer.
    Gone,
}

/// The work on views whose time has come.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    /// Services to ask for.
    pub(crate) ask: BTreeSet<ServiceKey>,
    /// Services whose last instances are not shown any more.
    pub(crate) gone: Vec<ServiceKey>,
}

type Publications = Vec<(Arc<LiveWriter<Service>>, Service)>;

impl ServiceViews {
    /// A guard comes. It reads what the server lists, and that with its grace.
    ///
    /// After [`close`](Self::close) both readers have ended already.
    pub(crate) fn enter(
        &self,
        key: &ServiceKey,
        grace: Duration,
    ) -> (Live<Service>, Live<Service>) {
        let mut entries = self.lock();
        if entries.closed {
            let (_, ended) = live(Service::unknown(key.clone()));
            return (ended.clone(), ended);
        }
        let first =
            || Entry { raw: View::new(Service::unknown(key.clone())), graced: BTreeMap::new() };
        let entry = entries.live.entry(key.clone()).or_insert_with(first);
        entry.raw.guards += 1;
        let raw = entry.raw.writer.reader();
        (raw, entries.join(key, grace))
    }

    /// A guard that has entered with the grace `from` goes on with `to`.
    pub(crate) fn regrace(&self, key: &ServiceKey, from: Duration, to: Duration) -> Live<Service> {
        let mut entries = self.lock();
        if !entries.live.contains_key(key) {
            return live(Service::unknown(key.clone())).1;
        }
        let view = entries.join(key, to);
        let gone = entries.part(key, from);
        drop(entries);
        drop(gone);
        view
    }

    /// A guard goes. With the last one the views go too, and their readers end.
    pub(crate) fn leave(&self, key: &ServiceKey, grace: Duration) {
        let mut entries = self.lock();
        let part = entries.part(key, grace);
        let Some(entry) = entries.live.get_mut(key) else { return };
        entry.raw.guards -= 1;
        let gone = if entry.raw.guards == 0 { entries.live.remove(key) } else { None };
        drop(entries);
        // Their readers learn of it here.
        drop((part, gone));
    }

    /// The server lists the service so. Says what that turns.
    pub(crate) fn listed(
        &self,
        now: Instant,
        key: &ServiceKey,
        list: &Service,
    ) -> Vec<GraceOutcome> {
        let (mut turns, mut publications) = (Vec::new(), Vec::new());
        let mut entries = self.lock();
        let Entries { live, steadiness, timers, paused, .. } = &mut *entries;
        let Some(entry) = live.get_mut(key) else { return turns };
        entry.raw.show(list.clone(), &mut publications);
        let is_callable = may_be_called(list);
        for (grace, graced) in &mut entry.graced {
            let Graced { view, hold } = &mut **graced;
            let former = *hold;
            let turn = (may_be_called(&view.shown), is_callable);
            let is_held = hold.listed(now, *grace, *steadiness, turn);
            if *hold != former {
                reschedule(timers, key, *grace, former, *hold);
                paused.remove(&(key.clone(), *grace));
            }
            let was_held = former != Hold::No;
            match (was_held, is_held) {
                (false, true) => {
                    turns.push(GraceOutcome::Held { instances: view.shown.instances.len() });
                }
                (true, false) if is_callable => turns.push(GraceOutcome::Back),
                (true, false) => turns.push(GraceOutcome::Gone),
                _ => {}
            }
            let next = if is_held { view.shown.clone().into_held() } else { list.clone() };
            view.show(next, &mut publications);
        }
        drop(entries);
        publish(publications);
        turns
    }

    /// The connection that served has ended.
    pub(crate) fn lost(&self, now: Instant) {
        let mut entries = self.lock();
        entries.steadiness = Steadiness::Lost;
        entries.pause(now);
    }

    /// The session's state is another one.
    pub(crate) fn handle_session(&self, now: Instant, connected: bool) {
        let mut entries = self.lock();
        entries.connected = connected;
        // A connection that comes up with a token that its server does not know any more.
        if !connected && entries.steadiness.interrupted(now) {
            entries.pause(now);
        }
        drop(entries);
        if connected {
            self.serves(now);
        }
    }

    /// A connection serves. Where it does so at the very moment at which the one before it began
    /// to, the state does not change, and nothing else tells that it can be asked.
    pub(crate) fn succeeds(&self, now: Instant) {
        let connected = self.lock().connected;
        if connected {
            self.serves(now);
        }
    }

    /// A connection serves, and can be asked.
    fn serves(&self, now: Instant) {
        let mut entries = self.lock();
        let Entries { live, steadiness, timers, paused, .. } = &mut *entries;
        if !steadiness.serves(now) {
            return;
        }
        for (key, grace) in std::mem::take(paused) {
            if let Some(graced) = live.get_mut(&key).and_then(|it| it.graced.get_mut(&grace)) {
                graced.hold.resume(now, grace);
                reschedule(timers, &key, grace, Hold::No, graced.hold);
            }
        }
    }

    /// Looks at the views whose time has come.
    pub(crate) fn handle_timeout(&self, now: Instant) -> Expired {
        let (mut expired, mut publications) = (Expired::default(), Vec::new());
        let mut entries = self.lock();
        let Entries { live, timers, .. } = &mut *entries;
        while timers.first().is_some_and(|(at, ..)| *at <= now)
            && let Some((_, key, grace)) = timers.pop_first()
        {
            let Some(entry) = live.get_mut(&key) else { continue };
            let list = entry.raw.shown.clone();
            let Some(graced) = entry.graced.get_mut(&grace) else { continue };
            let Graced { view, hold } = &mut **graced;
            if hold.expire(now) {
                reschedule(timers, &key, grace, Hold::No, *hold);
                expired.ask.insert(key);
            } else {
                view.show(list, &mut publications);
                expired.gone.push(key);
            }
        }
        drop(entries);
        publish(publications);
        expired
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.lock().timers.first().map(|(at, ..)| *at)
    }

    /// How many views are held.
    pub(crate) fn held(&self) -> usize {
        let entries = self.lock();
        entries.timers.len() + entries.paused.len()
    }

    /// The services of which a view is held.
    pub(crate) fn names_held(&self) -> BTreeSet<ServiceKey> {
        let entries = self.lock();
        let timed = entries.timers.iter().map(|(_, key, _)| key.clone());
        timed.chain(entries.paused.iter().map(|(key, _)| key.clone())).collect()
    }

    /// Ends every reader, and every reader to come.
    pub(crate) fn close(&self) {
        let mut entries = self.lock();
        let ended =
            std::mem::replace(&mut *entries, Entries { closed: true, ..Entries::default() });
        drop(entries);
        drop(ended);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // A panic under the lock leaves no view worse than out of date.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Nobody can be asked: what is held stays until somebody can.
    fn pause(&mut self, now: Instant) {
        for (_, key, grace) in std::mem::take(&mut self.timers) {
            if let Some(graced) = self.live.get_mut(&key).and_then(|it| it.graced.get_mut(&grace)) {
                graced.hold.pause(now);
                self.paused.insert((key, grace));
            }
        }
    }

    /// One more guard reads the service, which is there, with this grace.
    fn join(&mut self, key: &ServiceKey, grace: Duration) -> Live<Service> {
        let Some(entry) = self.live.get_mut(key) else {
            return live(Service::unknown(key.clone())).1;
        };
        if grace.is_zero() {
            return entry.raw.writer.reader();
        }
        // A view that is held already is held for newcomers, too: for as long as theirs would be.
        let mut others = entry.graced.iter();
        let other = others.find(|(_, graced)| graced.hold != Hold::No);
        let other = other.map(|(other, graced)| {
            (graced.hold.for_newcomer(*other, grace), graced.view.shown.clone())
        });
        match entry.graced.entry(grace) {
            btree_map::Entry::Occupied(graced) => {
                let graced = graced.into_mut();
                graced.view.guards += 1;
                graced.view.writer.reader()
            }
            btree_map::Entry::Vacant(place) => {
                let (hold, shown) = other.unwrap_or((Hold::No, entry.raw.shown.clone()));
                let view = View { guards: 1, ..View::new(shown) };
                let graced = place.insert(Box::new(Graced { view, hold }));
                if matches!(hold, Hold::Paused { .. }) {
                    self.paused.insert((key.clone(), grace));
                }
                reschedule(&mut self.timers, key, grace, Hold::No, hold);
                graced.view.writer.reader()
            }
        }
    }

    /// One guard less reads the service with this grace. Dropping the result wakes readers.
    fn part(&mut self, key: &ServiceKey, grace: Duration) -> Option<Box<Graced>> {
        let entry = self.live.get_mut(key)?;
        let graced = entry.graced.get_mut(&grace)?;
        graced.view.guards -= 1;
        if graced.view.guards > 0 {
            return None;
        }
        let gone = entry.graced.remove(&grace)?;
        reschedule(&mut self.timers, key, grace, gone.hold, Hold::No);
        self.paused.remove(&(key.clone(), grace));
        Some(gone)
    }
}

impl View {
    fn new(shown: Service) -> Self {
        Self { writer: Arc::new(live(shown.clone()).0), guards: 0, shown }
    }

    fn show(&mut self, next: Service, publications: &mut Publications) {
        let is_news = next != self.shown;
        // Also if it is equal: what the session says next is compared with it by address.
        self.shown = next.clone();
        if is_news {
            publications.push((Arc::clone(&self.writer), next));
        }
    }
}

fn reschedule(
    timers: &mut BTreeSet<(Instant, ServiceKey, Duration)>,
    key: &ServiceKey,
    grace: Duration,
    former: Hold,
    hold: Hold,
) {
    if let Some(at) = former.next_timeout() {
        timers.remove(&(at, key.clone(), grace));
    }
    if let Some(at) = hold.next_timeout() {
        timers.insert((at, key.clone(), grace));
    }
}

/// Whether anything of it may be called.
fn may_be_called(service: &Service) -> bool {
    service.callable().next().is_some()
}

fn publish(publications: Publications) {
    for (writer, service) in publications {
        writer.publish(service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        instance::Instance,
        service::looks,
        wire::{
            list::{List, Texts},
            naming::ServiceInfo,
        },
    };

    /// A service of which the first of so many instances has that weight, as the session reads it.
    fn read(instances: usize, weight: usize, last: &mut Option<List>) -> Service {
        let host = |at: usize| {
            let weight = if at == 0 { weight } else { 1 };
            format!(r#"{{"ip":"a","port":{},"weight":{weight},"healthy":true}}"#, at + 1)
        };
        let hosts: Vec<_> = (0..instances).map(host).collect();
        let json = format!(r#"{{"hosts":[{}]}}"#, hosts.join(","));
        let info: ServiceInfo<Texts> = serde_json::from_str(&json).expect("JSON");
        let key = ServiceKey::try_from("orders").expect("valid");
        let next = info.read(key, last.as_ref()).expect("readable").expect("a list");
        let service = next.service.clone();
        match last {
            Some(last) => last.replace(next),
            None => *last = Some(next),
        }
        service
    }

    #[test]
    fn push_is_walked_once_on_its_way_to_all_readers_and_has_its_difference_with_it() {
        let (services, now, mut last) = (ServiceViews::default(), Instant::now(), None);
        let orders: ServiceKey = "orders".try_into().expect("valid");
        let readers: Vec<_> =
            (0..4).map(|grace| services.enter(&orders, Duration::from_secs(grace)).1).collect();
        services.listed(now, &orders, &read(1000, 1, &mut last));
        let mut seen: Vec<_> = readers.iter().map(Live::get).collect();
        for weight in 2..5 {
            looks();
            services.listed(now, &orders, &read(1000, weight, &mut last));
            for (reader, seen) in readers.iter().zip(&mut seen) {
                let service = reader.get();
                assert!(!service.lists_the_same(seen));
                let change = service.since(seen);
                assert_eq!((change.modified.len(), change.added.len()), (1, 0));
                *seen = service;
            }
            // The instance that changed is read, and is one of the difference.
            assert_eq!(looks(), 1000 + 2);
            services.listed(now, &orders, &read(1000, weight, &mut last));
            assert_eq!(looks(), 0, "nothing has changed");
        }
        // A reader that has skipped some still learns what has changed.
        services.listed(now, &orders, &read(999, 9, &mut last));
        services.listed(now, &orders, &read(1000, 9, &mut last));
        let change = readers[0].get().since(&seen[0]);
        assert_eq!((change.modified.len(), change.added.len()), (1, 0));
    }

    #[test]
    fn view_that_was_held_differs_from_the_list_that_ends_it_by_what_its_reader_saw() {
        let (services, start, mut last) = (ServiceViews::default(), Instant::now(), None);
        let orders: ServiceKey = "orders".try_into().expect("valid");
        let (raw, graced) = services.enter(&orders, Duration::from_secs(30));
        services.listed(start, &orders, &read(3, 1, &mut last));
        services.lost(start);
        services.serves(start);
        services.listed(start, &orders, &read(0, 1, &mut last));
        let (none, held) = (raw.get(), graced.get());
        assert!(none.instances.is_empty() && held.held);
        services.listed(start, &orders, &read(2, 7, &mut last));
        let change = graced.get().since(&held);
        assert_eq!((change.added.len(), change.modified.len(), change.removed.len()), (0, 1, 1));
        assert!(Arc::ptr_eq(&graced.get().instances[1], &held.instances[1]));
        assert_eq!(raw.get().since(&none).added.len(), 2);
    }

    #[test]
    fn view_of_a_newcomer_is_held_for_as_long_as_its_own_grace_says() {
        let seconds = Duration::from_secs;
        let orders: ServiceKey = "orders".try_into().expect("valid");
        let (services, start) = (ServiceViews::default(), Instant::now());
        let (_raw, _first) = services.enter(&orders, seconds(30));
        let one = Service::new(orders.clone(), vec![Instance::new("10.0.0.1", 80)], false);
        services.listed(start, &orders, &one);
        services.lost(start);
        services.serves(start);
        services.listed(start, &orders, &Service::new(orders.clone(), Vec::new(), false));
        for (grace, ends) in [(5, 5), (60, 60)] {
            let (_raw, newcomer) = services.enter(&orders, seconds(grace));
            assert!(newcomer.get().held && newcomer.get().instances.len() == 1);
            // One query, which nobody answers, and five seconds for that.
            services.handle_timeout(start + seconds(ends));
            assert!(newcomer.get().held, "{grace}");
            services.handle_timeout(start + seconds(ends + 5));
            assert!(newcomer.get().instances.is_empty(), "{grace}");
        }
        assert_eq!(services.held(), 0);
    }
}
