//! Tests of the ledger.
use std::time::Duration;

use super::*;

type Names = Ledger<&'static str>;

#[test]
fn reconnect_makes_every_held_claim_due() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    confirm_all(&mut ledger);
    assert_eq!(due(&mut ledger), []);

    ledger.reconnected();
    assert_eq!(due(&mut ledger), [("orders", true)]);
}

#[test]
fn claim_that_is_repeated_while_it_is_under_way_is_sent_once_more_after_its_answer() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    let first = take(&mut ledger).remove(0);
    ledger.repeat(&"orders");
    ledger.repeat_all(|_| true);
    assert_eq!(due(&mut ledger), [], "its answer comes first");
    assert!(ledger.confirm(&"orders", first.revision), "the server holds it");
    let second = take(&mut ledger).remove(0);
    assert!(ledger.confirm(&"orders", second.revision));
    assert_eq!(due(&mut ledger), [], "once is enough");
    ledger.repeat(&"orders");
    assert_eq!(due(&mut ledger), [("orders", true)]);
    ledger.repeat(&"nobody's");
}

#[test]
fn what_was_claimed_first_is_sent_first_again() {
    let mut ledger = Ledger::<i32>::new();
    let expected: Vec<_> = (0..100).collect();
    let sent = |ledger: &mut Ledger<i32>| {
        let due = ledger.take_due(usize::MAX);
        assert!(due.iter().all(|due| ledger.confirm(&due.key, due.revision) || !due.claimed));
        due.into_iter().map(|due| due.key).collect::<Vec<_>>()
    };
    for n in &expected {
        ledger.assert(*n);
    }
    assert_eq!(sent(&mut ledger), expected);
    ledger.reconnected();
    assert_eq!(sent(&mut ledger), expected, "after a reconnect");
    ledger.reassert_all(|_| true);
    assert_eq!(sent(&mut ledger), expected, "after an audit");
    ledger.withdraw_all();
    assert_eq!(sent(&mut ledger), expected, "at the end");
}

#[test]
fn favoured_claims_come_first_where_many_are_due_and_in_their_turn_otherwise() {
    let mut ledger = Names::new().favouring(|key| *key == "b");
    for key in ["a", "b", "c"] {
        ledger.assert(key);
    }
    assert_eq!(due(&mut ledger), [("a", true), ("b", true), ("c", true)]);
    ledger.reconnected();
    assert_eq!(due(&mut ledger), [("b", true), ("a", true), ("c", true)]);
}

#[test]
fn change_waits_for_the_request_under_way() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    let first = take(&mut ledger).remove(0);

    ledger.assert("orders");
    assert_eq!(due(&mut ledger), []);
    assert!(!ledger.confirm(&first.key, first.revision));
    assert_eq!(due(&mut ledger), [("orders", true)]);
}

#[test]
fn answer_from_the_last_connection_confirms_nothing() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    let stale = take(&mut ledger).remove(0);
    ledger.reconnected();
    let fresh = take(&mut ledger).remove(0);

    assert!(!ledger.confirm(&stale.key, stale.revision));
    ledger.release(&fresh.key, fresh.revision);
    assert_eq!(due(&mut ledger), [("orders", true)]);
}

#[test]
fn withdrawn_while_disconnected_is_never_sent() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    ledger.withdraw(&"orders");
    ledger.reconnected();
    assert_eq!(due(&mut ledger), []);
}

#[test]
fn what_comes_and_goes_unsent_leaves_nothing_behind() {
    let mut ledger = Ledger::<u32>::new();
    ledger.assert(0);
    for key in 1..1000 {
        ledger.assert(key);
        ledger.assert(key);
        ledger.withdraw(&key);
    }
    assert_eq!((ledger.len(), ledger.unsettled(), ledger.queue.len()), (1, 1, 1));
    let sent = ledger.take_due(9);
    assert_eq!(sent.iter().map(|due| due.key).collect::<Vec<_>>(), [0]);
}

#[test]
fn changes_of_one_claim_are_one_place_in_the_queue_and_one_time() {
    let start = Instant::now();
    let mut ledger = Names::new();
    for _ in 0..1000 {
        ledger.assert("orders");
        let sent = ledger.take_due(9).remove(0);
        ledger.refuse(&sent.key, sent.revision, 503, |_| Some(start + Duration::from_secs(1)));
    }
    assert_eq!((ledger.queue.len(), ledger.retries.len()), (0, 1));
    ledger.assert("orders");
    assert_eq!((ledger.queue.len(), ledger.retries.len()), (1, 0));
}

#[test]
fn confirmed_withdrawal_leaves_nothing_behind() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    confirm_all(&mut ledger);
    ledger.withdraw(&"orders");
    ledger.withdraw(&"orders");
    let withdrawal = take(&mut ledger).remove(0);
    assert!(!withdrawal.claimed);
    ledger.confirm(&withdrawal.key, withdrawal.revision);
    assert_eq!(ledger.len(), 0);
}

#[test]
fn refused_claim_is_never_retried_before_its_time() {
    let start = Instant::now();
    let mut ledger = Names::new();
    ledger.assert("orders");
    let sent = take(&mut ledger).remove(0);
    let retry = start + Duration::from_secs(5);
    ledger.refuse(&sent.key, sent.revision, 503, |_| Some(retry));

    ledger.wake(start);
    assert!(ledger.take_due(9).is_empty());
    assert_eq!(ledger.next_retry(), Some(retry));
    ledger.wake(retry);
    assert_eq!(ledger.take_due(9).len(), 1);
}

#[test]
fn permanent_refusal_waits_for_a_change() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    let sent = take(&mut ledger).remove(0);
    ledger.refuse(&sent.key, sent.revision, 400, |_| None);
    assert_eq!(due(&mut ledger), []);
    assert_eq!(ledger.next_retry(), None);

    ledger.assert("orders");
    assert_eq!(due(&mut ledger), [("orders", true)]);
}

#[test]
fn refusal_of_a_replaced_claim_does_not_hit_its_successor() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    let sent = take(&mut ledger).remove(0);
    ledger.assert("orders");
    ledger.refuse(&sent.key, sent.revision, 400, |_| None);
    assert_eq!(due(&mut ledger), [("orders", true)]);
}

#[test]
fn refusals_in_a_row_are_counted_until_one_is_confirmed() {
    let now = Instant::now();
    let mut ledger = Names::new();
    ledger.assert("orders");
    for expected in [0, 1, 2] {
        let sent = take(&mut ledger).remove(0);
        ledger.refuse(&sent.key, sent.revision, 503, |refusals| {
            assert_eq!(refusals, expected);
            Some(now)
        });
    }
}

#[test]
fn refused_claim_is_withdrawn_like_any_other() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    confirm_all(&mut ledger);
    ledger.assert("orders");
    let sent = take(&mut ledger).remove(0);
    ledger.refuse(&sent.key, sent.revision, 400, |_| None);
    ledger.withdraw(&"orders");
    assert_eq!(due(&mut ledger), [("orders", false)]);
}

#[test]
fn refused_withdrawal_is_given_up() {
    let mut ledger = Names::new();
    ledger.assert("orders");
    confirm_all(&mut ledger);
    ledger.withdraw(&"orders");
    let sent = take(&mut ledger).remove(0);
    ledger.refuse(&sent.key, sent.revision, 400, |_| None);
    assert_eq!(ledger.len(), 0);
}

#[test]
fn what_is_not_taken_keeps_its_place() {
    let mut ledger = Names::new();
    ledger.assert("a");
    ledger.assert("b");
    assert_eq!(ledger.take_due(1).len(), 1);
    assert!(ledger.unsettled() > 0);
    assert_eq!(due(&mut ledger), [("b", true)]);
}

#[test]
fn settled_means_nothing_due_and_nothing_under_way() {
    let mut ledger = Names::new();
    assert!(ledger.unsettled() == 0);
    ledger.assert("orders");
    ledger.assert("orders");
    assert!(ledger.unsettled() > 0);
    let sent = take(&mut ledger).remove(0);
    assert!(ledger.unsettled() > 0);
    assert!(ledger.confirm(&sent.key, sent.revision));
    assert!(ledger.unsettled() == 0);
}

fn take(ledger: &mut Names) -> Vec<Due<&'static str>> {
    ledger.wake(Instant::now() + Duration::from_secs(3600));
    ledger.take_due(usize::MAX)
}

/// The keys that are due, and whether something is claimed there.
fn due(ledger: &mut Names) -> Vec<(&'static str, bool)> {
    take(ledger).into_iter().map(|due| (due.key, due.claimed)).collect()
}

fn confirm_all(ledger: &mut Names) {
    for due in take(ledger) {
        ledger.confirm(&due.key, due.revision);
    }
}
