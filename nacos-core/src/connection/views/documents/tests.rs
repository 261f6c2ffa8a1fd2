//! Guards that come and go, and what their readers are shown.
use std::{
    path::Path,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Context,
};

use futures_util::FutureExt;
use nacos_testkit::TimeLimit;

use super::*;
use crate::{gray::Gray, testing::inline_waker};

fn key(data_id: &str) -> ConfigKey {
    ConfigKey::try_from(data_id).expect("valid")
}

fn present(content: &str) -> DocumentState {
    DocumentState::Present(Document::new(content, "text"))
}

fn content(state: &DocumentState) -> Option<&str> {
    state.document().map(|document| &*document.content)
}

fn enter(views: &DocumentViews, data_id: &str) -> Live<DocumentState> {
    views.enter(Instant::now(), &key(data_id), StartPolicy::remote()).0
}

fn leave(views: &DocumentViews, data_id: &str) {
    views.leave(&key(data_id), StartPolicy::remote());
}

fn snapshot(content: &str) -> Snapshot {
    let document = Some(Document::new(content, "text"));
    Snapshot { document, seq: 1, saved_at: SystemTime::now() }
}

#[tokio::test]
async fn state_is_kept_while_a_guard_claims_it() {
    TimeLimit::for_test();
    let (views, now) = (DocumentViews::new(None, None), Instant::now());
    let mut first = enter(&views, "orders");
    views.show(now, &key("orders"), present("1"));
    let second = enter(&views, "orders");
    leave(&views, "orders");
    views.show(now, &key("orders"), present("2"));
    let changed = first.changed().await.expect("a state");
    assert_eq!((content(&changed), content(&second.get())), (Some("2"), Some("2")));

    leave(&views, "orders");
    assert_eq!(first.changed().await, None);
    assert_eq!(*enter(&views, "orders").get(), DocumentState::Pending);
}

#[tokio::test]
async fn closing_ends_readers_old_and_new() {
    TimeLimit::for_test();
    let views = DocumentViews::new(None, None);
    let mut old = enter(&views, "orders");
    views.close();
    assert_eq!(old.changed().await, None);
    assert_eq!(enter(&views, "orders").changed().await, None);
    leave(&views, "orders");
}

#[test]
fn whoever_is_woken_may_use_the_views_at_once() {
    let _limit = TimeLimit::start();
    let views = Arc::new(DocumentViews::new(None, None));
    let woken = Arc::new(AtomicUsize::new(0));
    let waker = inline_waker({
        let (views, woken) = (Arc::clone(&views), Arc::clone(&woken));
        move || {
            woken.fetch_add(1, Ordering::Relaxed);
            enter(&views, "other");
            leave(&views, "other");
        }
    });
    let ends: [fn(&DocumentViews); 4] = [
        |views| views.show(Instant::now(), &key("orders"), present("1")),
        |views| {
            let found = Part::Found(snapshot("2"));
            views.read(Instant::now(), &key("orders"), found, Part::Unread);
        },
        |views| leave(views, "orders"),
        DocumentViews::close,
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let mut reader = enter(&views, "orders");
        let first = StartPolicy::snapshot_first();
        let mut seeing = views.enter(Instant::now(), &key("orders"), first).0;
        let reader = if n == 1 { &mut seeing } else { &mut reader };
        let mut changed = pin!(reader.changed());
        assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        end(&views);
        assert_eq!(woken.load(Ordering::Relaxed), n + 1);
        leave(&views, "orders");
        views.leave(&key("orders"), first);
    }
}

#[test]
fn each_policy_that_waits_has_its_own_time() {
    let (views, start) = (DocumentViews::new(None, None), Instant::now());
    let seconds = Duration::from_secs;
    let enter = |within| {
        let policy = StartPolicy::remote_then_snapshot().timeout(seconds(within));
        views.enter(start, &key("orders"), policy).0
    };
    let (short, long) = (enter(1), enter(5));
    views.read(start, &key("orders"), Part::Found(snapshot("disk")), Part::Unread);
    let shown = || [&short, &long].map(|reader| content(&reader.get()).is_some());
    assert_eq!((shown(), views.poll_timeout()), ([false, false], Some(start + seconds(1))));
    views.handle_timeout(start + seconds(1));
    assert_eq!((shown(), views.poll_timeout()), ([true, false], Some(start + seconds(5))));
    views.handle_timeout(start + seconds(5));
    assert_eq!((shown(), views.poll_timeout()), ([true, true], None));
}

#[test]
fn gray_snapshot_is_never_shown_as_the_formal_one() {
    let (views, now) = (DocumentViews::new(None, None), Instant::now());
    let policy = StartPolicy::snapshot_first();
    let reader = views.enter(now, &key("orders"), policy).0;
    let mut gray = snapshot("beta");
    gray.document.as_mut().expect("there").gray = Some(Gray::Beta);
    assert_eq!(views.read(now, &key("orders"), Part::Found(gray), Part::Unread), None);
    assert_eq!(*reader.get(), DocumentState::Pending);
}

#[test]
fn file_of_an_operator_is_shown_to_all_until_it_is_gone() {
    let (views, now) = (DocumentViews::new(None, None), Instant::now());
    let by = |content| (Document::new(content, "text"), Path::new("/d/orders").into());
    let reader = enter(&views, "orders");
    views.read(now, &key("orders"), Part::Unread, Part::Found(by("operator")));
    views.show(now, &key("orders"), present("server"));
    let shown = |content: Option<&str>| {
        assert_eq!(self::content(&reader.get()), content);
        views.count_overridden()
    };
    assert_eq!(shown(Some("operator")), 1);
    views.overridden(&key("orders"), Some(by("again")));
    assert_eq!(shown(Some("again")), 1);
    views.overridden(&key("orders"), None);
    assert_eq!(shown(Some("server")), 0);
    // Found by a guard before it was gone.
    views.read(now, &key("orders"), Part::Unread, Part::Found(by("again")));
    assert_eq!(shown(Some("server")), 0);
    views.overridden(&key("orders"), Some(by("again")));
    leave(&views, "orders");
    assert_eq!(views.count_overridden(), 0);
}

#[test]
fn documents_that_come_and_go_leave_nothing_behind() {
    let (views, now) = (DocumentViews::new(None, None), Instant::now());
    let policy = StartPolicy::remote_then_snapshot();
    for n in 0..1000 {
        let key = key(&format!("d{n}"));
        drop(views.enter(now, &key, policy));
        views.read(now, &key, Part::Found(snapshot("1")), Part::Unread);
        views.leave(&key, policy);
    }
    let watched = views.watched();
    assert_eq!((watched.entries.len(), watched.late.len()), (0, 0));
}

#[test]
fn reader_that_is_woken_finds_the_state_and_how_sure_it_is() {
    let (views, now) = (DocumentViews::new(None, None), Instant::now());
    let policy = StartPolicy::snapshot_first();
    let (mut state, mut freshness) = views.enter(now, &key("orders"), policy);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = || {
        let (state, freshness) = (state.clone(), freshness.clone());
        let seen = Arc::clone(&seen);
        inline_waker(move || {
            let shown = (content(&state.get()).map(str::to_owned), freshness.get().is_confirmed());
            seen.lock().expect("whole").push(shown);
        })
    };
    let (by_state, by_freshness) = (look(), look());
    let steps: [(&dyn Fn(), _); 3] = [
        (
            &|| {
                let found = Part::Found(snapshot("disk"));
                views.read(now, &key("orders"), found, Part::Unread);
            },
            ("disk", false),
        ),
        (&|| views.show(now, &key("orders"), present("server")), ("server", true)),
        (&|| views.lost(now), ("server", false)),
    ];
    for (step, (content, is_confirmed)) in steps {
        let mut states = Box::pin(state.changed());
        assert!(states.as_mut().poll(&mut Context::from_waker(&by_state)).is_pending());
        let mut sureness = Box::pin(freshness.changed());
        assert!(sureness.as_mut().poll(&mut Context::from_waker(&by_freshness)).is_pending());
        step();
        let found = std::mem::take(&mut *seen.lock().expect("whole"));
        assert!(!found.is_empty());
        drop((states, sureness));
        let _ = (state.changed().now_or_never(), freshness.changed().now_or_never());
        for shown in found {
            assert_eq!(shown, (Some(content.to_owned()), is_confirmed));
        }
    }
}

#[test]
fn watch_that_begins_between_two_searches_waits_for_none() {
    let (views, now) = (DocumentViews::new(None, None), Instant::now());
    let policy = StartPolicy::default();
    let early = views.enter(now, &key("early"), policy).0;
    views.read(now, &key("early"), Part::Found(snapshot("disk")), Part::Unread);
    assert_eq!(*early.get(), DocumentState::Pending);
    views.reach(true);
    let late = views.enter(now, &key("late"), policy).0;
    views.read(now, &key("late"), Part::Found(snapshot("disk")), Part::Unread);
    views.reach(false);
    for reader in [early, late] {
        assert_eq!(content(&reader.get()), Some("disk"));
    }
    assert_eq!(views.poll_timeout(), None);
}

#[test]
fn offline_watch_that_has_begun_hears_of_no_later_snapshot() {
    let (views, now) = (DocumentViews::new(None, None), Instant::now());
    let read = |content| {
        views.read(now, &key("orders"), Part::Found(snapshot(content)), Part::Unread);
    };
    let first = views.enter(now, &key("orders"), StartPolicy::snapshot_first()).0;
    read("old");
    // It begins with what the other one has found, and its own look comes later.
    let offline = views.enter(now, &key("orders"), StartPolicy::offline()).0;
    views.show(now, &key("orders"), present("new"));
    read("new");
    assert_eq!((content(&first.get()), content(&offline.get())), (Some("new"), Some("old")));
}
