//! Readers: one version at a time, whatever the writer does.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::*;

#[derive(PartialEq)]
struct Pair {
    one: u64,
    other: u64,
}

fn pair(n: u64) -> Version {
    Version {
        generation: 1,
        value: Arc::new(Pair { one: n, other: n }),
        resources: vec![Arc::new(n)],
        sources: Arc::new([]),
        layers: Arc::new([]),
    }
}

fn hot() -> (Hot<Pair>, RootWriter) {
    let (root, writer) = Root::new(pair(0));
    (Hot::whole(root, None), writer)
}

#[test]
fn nothing_is_torn_between_lenses_and_resources_under_commits() {
    let _limit = nacos_testkit::TimeLimit::start();
    let (whole, writer) = hot();
    let resource: Hot<u64> = Hot::resource(&whole, ResourcePlace { index: 0, hold: Arc::new(()) });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let one = whole.map(|pair| &pair.one);
                while !done.load(Ordering::Relaxed) {
                    let guard = whole.load();
                    assert_eq!(guard.one, guard.other);
                    let pinned = whole.pin();
                    assert_eq!(*pinned.map(|pair| &pair.one), pinned.other);
                    let before = *one.load();
                    assert!(*resource.load() >= before, "the resource is of the same version");
                    assert!(whole.generation() > before);
                }
            });
        }
        for n in 1..20_000 {
            writer.commit(pair(n));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((whole.load().one, whole.generation()), (19_999, 20_000));
}

#[test]
fn pinned_version_outlives_its_successors() {
    let (whole, writer) = hot();
    let held = Arc::new(());
    writer.commit(Version { resources: vec![Arc::clone(&held) as Erased], ..pair(1) });
    let pinned = whole.pin();
    writer.commit(pair(2));
    assert_eq!((pinned.one, pinned.generation(), whole.load().one), (1, 2, 2));
    assert_eq!(Arc::strong_count(&held), 2);
    drop(pinned);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn panic_while_a_version_is_dropped_does_not_reach_the_writer() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(thread::panicking(), "told to");
        }
    }
    let (whole, writer) = hot();
    writer.commit(Version { resources: vec![Arc::new(Bomb)], ..pair(1) });
    writer.commit(pair(2));
    assert_eq!(whole.load().one, 2);
}

#[tokio::test]
async fn changes_tell_of_the_part_only_and_skip_what_came_and_went() {
    nacos_testkit::TimeLimit::for_test();
    let (whole, writer) = hot();
    let mut changes = whole.map(|pair| &pair.one).changes();
    writer.commit(Version { value: Arc::new(Pair { one: 0, other: 9 }), ..pair(0) });
    writer.commit(pair(1));
    writer.commit(pair(2));
    let change = changes.next().await.expect("there is one");
    assert_eq!((*change.old, *change.new, change.new.generation()), (0, 2, 4));
    writer.commit(pair(3));
    writer.commit(pair(2));
    drop(writer);
    assert!(changes.next().await.is_none(), "3 came and went, and no more will come");
    assert_eq!(*whole.map(|pair| &pair.one).load(), 2, "the last value stays readable");
}

#[test]
fn debug_shows_no_value() {
    let hot = Hot::fixed("hunter2".to_owned());
    let shown = format!("{hot:?} {:?} {:?} {:?}", hot.load(), hot.pin(), hot.changes());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn handles_can_be_shared_and_sent() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let hot = Hot::fixed(1);
    shared(&hot);
    shared(&hot.pin());
}
