//! The promises of a login, one step after the other.
use super::*;

fn lease(seconds: u64) -> TokenLease {
    TokenLease { lifetime: Some(Duration::from_secs(seconds)), changed: true }
}

fn not_ready() -> LoginFailure {
    LoginFailure::Refused { likely: Denial::NotReady, why: "403".to_owned() }
}

/// The delays in ms, and what each refusal is likely to mean, of `count` refusals in a row.
fn refusals(
    login: &mut Login,
    mut now: Instant,
    with: Tried,
    (why, count): (&LoginFailure, usize),
) -> Vec<(u128, Denial)> {
    let refuse = |_| {
        login.failed(now, with, why.clone(), 0.5);
        let next = login.next_timeout().expect("a time");
        let delay = (next - now).as_millis();
        now = next;
        (delay, login.denial().expect("denied").0)
    };
    (0..count).map(refuse).collect()
}

#[test]
fn token_without_an_end_is_replaced_only_when_it_is_refused() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    assert!(login.begin(now));
    let endless = TokenLease { lifetime: None, changed: true };
    assert!(login.granted(now, Tried::default(), endless, 0.5));
    assert_eq!(login.next_timeout(), None);
    assert!(!login.begin(now + LONGEST));
    login.token_refused(now);
    assert!(login.begin(now) && login.is_refused());
}

#[test]
fn same_token_again_is_no_reason_to_try_anew_unless_somebody_was_refused() {
    let now = Instant::now();
    let same = TokenLease { lifetime: None, changed: false };
    let mut login = Login::new(true, now);
    assert!(login.begin(now));
    login.granted(now, Tried::default(), lease(20), 0.0);
    let later = now + Duration::from_secs(18);
    assert!(login.begin(later) && !login.is_refused());
    assert!(!login.granted(later, Tried::default(), same, 0.0), "looked at, and as it was");
    login.token_refused(later);
    assert!(login.begin(later));
    let told = login.granted(later, Tried::default(), same, 0.0);
    assert!(told, "whoever was refused has to be told");
    assert_eq!(login.grants(), 1);
    login.token_refused(later);
    assert!(!login.is_renewing() && !login.is_refused(), "once a minute");
}

#[test]
fn token_is_renewed_in_the_last_tenth_of_its_life() {
    let now = Instant::now();
    for (jitter, seconds) in [(0.0, 18.0), (1.0, 19.6)] {
        let mut login = Login::new(true, now);
        assert!(login.begin(now));
        login.granted(now, Tried::default(), lease(20), jitter);
        let refresh = login.next_timeout().expect("a time") - now;
        assert!((refresh.as_secs_f64() - seconds).abs() < 1e-6, "{refresh:?}");
    }
}

#[test]
fn credential_that_never_worked_is_tried_again_three_times_and_then_by_the_minute() {
    let now = Instant::now();
    let minute = 66_000;
    for (why, at_first) in [
        (not_ready(), Denial::NotReady),
        (LoginFailure::Refused { likely: Denial::Wrong, why: "500".into() }, Denial::Wrong),
        (LoginFailure::Denied("status 0".into()), Denial::Wrong),
    ] {
        let mut login = Login::new(true, now);
        let first = [(1000, at_first), (2000, at_first), (4000, at_first)];
        let then = [(minute, Denial::Wrong); 5];
        let seen = refusals(&mut login, now, Tried::named(1), (&why, 8));
        assert_eq!(seen, [&first[..], &then[..]].concat(), "{why:?}");
    }
}

#[test]
fn credential_that_has_worked_is_tried_again_for_a_minute_soon_and_then_by_the_minute() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    login.granted(now, Tried::named(1), lease(20), 0.0);
    login.token_refused(now);
    let seen = refusals(&mut login, now, Tried::named(1), (&not_ready(), 20));
    let delays: Vec<_> = seen.iter().map(|(delay, _)| *delay).collect();
    let after_60_s = seen.iter().position(|(_, likely)| *likely == Denial::Wrong);
    assert_eq!(after_60_s, Some(14));
    assert_eq!(delays[..5], [1000, 2000, 4000, 5000, 5000]);
    assert!(delays[3..14].iter().all(|delay| *delay == 5000), "{delays:?}");
    assert!(delays[14..].iter().all(|delay| *delay == 66_000), "{delays:?}");
}

#[test]
fn password_that_was_replaced_and_never_worked_counts_as_new() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    login.granted(now, Tried::named(1), lease(20), 0.0);
    login.token_refused(now);
    refusals(&mut login, now, Tried::named(1), (&not_ready(), 20));
    let seen = refusals(&mut login, now, Tried::named(2), (&not_ready(), 4));
    let delays: Vec<_> = seen.iter().map(|(delay, _)| *delay).collect();
    assert_eq!(delays, [1000, 2000, 4000, 66_000]);
}

#[test]
fn refusals_spread_and_never_come_in_a_hot_loop() {
    let now = Instant::now();
    for (jitter, millis) in [(0.0, 800), (1.0, 1200)] {
        let mut login = Login::new(true, now);
        login.failed(now, Tried::default(), not_ready(), jitter);
        let delay = login.next_timeout().expect("a time") - now;
        assert_eq!(delay.as_millis(), millis);
    }
}

#[test]
fn server_that_is_back_is_given_its_minute_again_by_a_credential_that_it_knew() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    login.granted(now, Tried::named(1), lease(20), 0.0);
    login.token_refused(now);
    refusals(&mut login, now, Tried::named(1), (&not_ready(), 20));
    let later = now + Duration::from_secs(430);
    login.server_is_back(later);
    assert_eq!(login.next_timeout(), Some(later + FIRST_AGAIN));
    let seen = refusals(&mut login, later, Tried::named(1), (&not_ready(), 2));
    assert_eq!(seen, [(1000, Denial::NotReady), (2000, Denial::NotReady)]);
    // A connection that flaps hurries nothing.
    let before = login.next_timeout();
    login.server_is_back(later + Duration::from_secs(3));
    assert_eq!(login.next_timeout(), before);
}

#[test]
fn each_restart_begins_the_minute_anew_also_the_second_within_one() {
    let _limit = nacos_testkit::TimeLimit::start();
    for (restart, jitter) in (1..60).flat_map(|at| [(at, 0.0), (at, 1.0)]) {
        let began = Instant::now();
        let mut login = Login::new(true, began);
        login.granted(began, Tried::named(1), lease(20), 0.0);
        login.token_refused(began);
        let restart = began + Duration::from_secs(restart);
        let mut is_back = false;
        let mut now = began;
        // Its users are there 50 s after the second restart at the latest.
        while now < restart + Duration::from_secs(50) {
            login.failed(now, Tried::named(1), not_ready(), jitter);
            assert_eq!(login.denial().map(|(likely, _)| likely), Some(Denial::NotReady));
            if !is_back && login.next_timeout().expect("a time") > restart {
                is_back = true;
                login.server_is_back(restart);
            }
            let next = login.next_timeout().expect("a time");
            assert!(next - now <= Duration::from_secs(6), "{:?}", next - now);
            now = next;
        }
    }
}

/// How many logins begin in each minute of `minutes`, if something happens each `every` and every
/// login is refused.
fn logins_a_minute(
    login: &mut Login,
    (minutes, every): (u64, Duration),
    mut happens: impl FnMut(&mut Login, Instant),
    mut with: impl FnMut() -> Tried,
) -> Vec<u32> {
    let _limit = nacos_testkit::TimeLimit::start();
    let began = Instant::now();
    let (mut now, mut next) = (began, began);
    let mut logins = vec![0; usize::try_from(minutes).expect("few")];
    loop {
        let due = login.next_timeout().expect("a time").max(now);
        now = due.min(next);
        let minute = usize::try_from((now - began).as_secs() / 60).expect("few");
        let Some(logins) = logins.get_mut(minute) else { return logins };
        if login.begin(now) {
            *logins += 1;
            login.failed(now, with(), not_ready(), 0.0);
        } else {
            happens(login, now);
            next = now + every;
        }
    }
}

#[test]
fn password_that_is_wrong_by_now_is_not_asked_more_often_by_a_connection_that_flaps() {
    for millis in [100, 1_000, 7_000, 20_000, 55_000, 61_000, 90_000] {
        let mut login = Login::new(true, Instant::now());
        login.granted(Instant::now(), Tried::named(1), lease(20), 0.0);
        login.token_refused(Instant::now());
        let flaps = (60, Duration::from_millis(millis));
        let back = |login: &mut Login, now| login.server_is_back(now);
        let logins = logins_a_minute(&mut login, flaps, back, || Tried::named(1));
        // Never more than the series has in its first minute, and less in the long run.
        assert!(logins.iter().all(|logins| *logins <= 18), "{millis} ms: {logins:?}");
        let late: u32 = logins[10..].iter().sum();
        assert!(late <= 4 * 50, "{millis} ms: {logins:?}");
    }
}

#[test]
fn flapping_hurries_no_password_that_never_worked() {
    let mut login = Login::new(true, Instant::now());
    let back = |login: &mut Login, now| login.server_is_back(now);
    let flaps = (10, Duration::from_secs(1));
    let logins = logins_a_minute(&mut login, flaps, back, || Tried::named(1));
    assert!(logins[0] <= 5 && logins[1..].iter().all(|logins| *logins <= 1), "{logins:?}");
}

#[test]
fn passwords_that_replace_each_other_are_not_each_asked_in_a_series_for_ever() {
    let mut login = Login::new(true, Instant::now());
    let mut file = 0;
    let nothing = |_: &mut Login, _| {};
    let logins = logins_a_minute(&mut login, (60, Duration::from_secs(60)), nothing, || {
        file += 1;
        Tried::named(file)
    });
    assert!(logins[10..].iter().all(|logins| *logins <= 5), "{logins:?}");
}

#[test]
fn password_that_has_worked_before_the_present_one_is_still_one_that_has() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    for name in [1, 2] {
        login.granted(now, Tried::named(name), lease(20), 0.0);
    }
    login.token_refused(now);
    for name in [1, 2] {
        let seen = refusals(&mut login, now, Tried::named(name), (&not_ready(), 5));
        assert_eq!(seen.last(), Some(&(5000, Denial::NotReady)), "{name}");
    }
    for name in 3..1000 {
        login.granted(now, Tried::named(name), lease(20), 0.0);
    }
    assert!(login.proven.len() <= 8, "{}", login.proven.len());
}

#[test]
fn token_that_a_second_restart_has_forgotten_is_replaced_without_waiting_for_the_minute() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    login.granted(now, Tried::named(1), lease(18_000), 0.0);
    login.server_is_back(now);
    login.token_refused(now);
    assert!(login.begin(now), "the first restart");
    login.granted(now, Tried::named(1), lease(18_000), 0.0);
    let later = now + Duration::from_secs(20);
    login.token_refused(later);
    assert!(!login.is_renewing(), "no restart, no login within the minute");
    login.server_is_back(later);
    login.token_refused(later);
    assert!(login.begin(later), "the second one");
    login.granted(later, Tried::named(1), lease(18_000), 0.0);
    login.token_refused(later);
    assert!(!login.is_renewing(), "a right that is missing is not gained by asking");
}

#[test]
fn right_that_is_missing_behind_a_connection_that_flaps_causes_few_logins() {
    let began = Instant::now();
    let mut login = Login::new(true, began);
    let mut logins = 0;
    for second in 0..3600 {
        let now = began + Duration::from_secs(second);
        login.server_is_back(now);
        login.token_refused(now);
        if login.begin(now) {
            logins += 1;
            login.granted(now, Tried::named(1), lease(18_000), 0.5);
        }
    }
    assert!(logins <= 40 + 4 * 60, "{logins} logins in an hour");
}

#[test]
fn login_that_is_demanded_after_all_begins_its_series() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    for minute in 0..10 {
        let now = now + Duration::from_secs(70 * minute);
        login.failed(now, Tried::named(1), not_ready(), 0.0);
        login.relax(now, true, 0.0);
    }
    // A restart has switched authentication on, and what asks us to log in is a question.
    let later = now + Duration::from_secs(700);
    login.server_is_back(later);
    login.relax(later, false, 0.0);
    assert!(login.begin(later), "at once");
    let seen = refusals(&mut login, later, Tried::named(1), (&not_ready(), 3));
    let series = [1000, 2000, 4000].map(|delay| (delay, Denial::NotReady));
    assert_eq!(seen, series, "not as often as it was refused while nobody demanded it");
}

#[test]
fn token_serves_on_while_a_server_that_granted_it_refuses_to_renew_it() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    login.granted(now, Tried::named(1), lease(20), 0.0);
    assert!(login.begin(now + Duration::from_secs(18)));
    login.failed(now, Tried::named(1), not_ready(), 0.5);
    assert!(login.has_token());
    assert_eq!(login.denial(), None);
    // Until it is refused itself.
    login.token_refused(now);
    assert_eq!(login.denial(), Some((Denial::NotReady, "403")));
}

#[test]
fn token_serves_on_while_its_renewal_is_refused_for_however_long() {
    let _limit = nacos_testkit::TimeLimit::start();
    let began = Instant::now();
    let mut now = began;
    let mut login = Login::new(true, now);
    login.granted(now, Tried::named(1), lease(18_000), 0.0);
    for _ in 0..30 {
        now = login.next_timeout().expect("a time");
        assert!(login.begin(now));
        login.failed(now, Tried::named(1), not_ready(), 0.5);
        assert!(login.has_token(), "no server has refused it");
        assert_eq!(login.denial(), None);
    }
    assert!(now - began > Duration::from_secs(16_200) + PROVEN_FOR);
    login.token_refused(now);
    assert!(!login.has_token());
    assert!(login.denial().is_some());
}

#[test]
fn user_that_is_not_known_yet_is_tried_again_soon_and_then_ever_later() {
    for (jitter, expected) in [
        (0.0, [250, 500, 1000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 30_000, 30_000]),
        (1.0, [500, 1000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 60_000, 60_000, 60_000]),
    ] {
        let mut now = Instant::now();
        let mut login = Login::new(true, now);
        let delays = [(); 12].map(|()| {
            let unknown = LoginFailure::UnknownUser("nobody".to_owned());
            login.failed(now, Tried::default(), unknown, jitter);
            let before = std::mem::replace(&mut now, login.next_timeout().expect("a time"));
            (now - before).as_millis()
        });
        assert_eq!(delays, expected, "15 s are what a server takes to read its users");
    }
}

#[test]
fn where_no_token_is_needed_a_refused_login_is_tried_by_the_minute() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    login.failed(now, Tried::default(), not_ready(), 0.0);
    login.relax(now, true, 0.0);
    assert_eq!(login.next_timeout(), Some(now + Duration::from_secs(60)));
    login.is_demanded(now);
    assert!(login.begin(now), "unless one wants a token after all");
    login.failed(now, Tried::default(), not_ready(), 0.0);
    assert_eq!(login.next_timeout(), Some(now + Duration::from_secs(60)));
    login.is_demanded(now);
    assert!(!login.begin(now), "and that once a minute");
}

#[test]
fn refused_token_causes_one_login_a_minute() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    let mut logins = 0;
    for second in 0..120 {
        let now = now + Duration::from_secs(second);
        login.token_refused(now);
        if login.begin(now) {
            logins += 1;
            login.granted(now, Tried::default(), lease(18_000), 0.5);
        }
    }
    assert_eq!(logins, 3, "the first one, and one in each minute");
}

#[test]
fn failing_renewal_keeps_the_token_that_may_still_be_good() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    assert!(login.begin(now));
    login.granted(now, Tried::default(), lease(20), 0.0);
    assert!(login.begin(now + Duration::from_secs(18)));
    let nobody = LoginFailure::Unreachable("refused".to_owned());
    login.failed(now, Tried::default(), nobody, 0.0);
    assert!(login.has_token());
    assert_eq!(login.unreachable(), None);
}

#[test]
fn login_that_found_nobody_is_tried_at_once_when_a_server_is_back() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    for _ in 0..9 {
        let nobody = LoginFailure::Unreachable("refused".to_owned());
        login.failed(now, Tried::default(), nobody, 1.0);
    }
    login.server_is_back(now);
    assert!(login.begin(now));
    login.failed(now, Tried::default(), LoginFailure::Denied("no".to_owned()), 1.0);
    login.server_is_back(now);
    assert!(!login.begin(now), "a wrong password is none the better for it");
}

#[test]
fn server_that_comes_and_goes_is_not_asked_for_logins_in_a_burst_each_time() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    let fail = |login: &mut Login| {
        assert!(login.begin(now), "at once");
        let nobody = LoginFailure::Unreachable("refused".to_owned());
        login.failed(now, Tried::default(), nobody, 1.0);
        login.next_timeout().expect("it is tried again") - now
    };
    assert_eq!(fail(&mut login), Duration::from_millis(500));
    for _ in 0..10 {
        login.server_is_back(now);
        assert_eq!(fail(&mut login), Duration::from_secs(1));
    }
}

#[test]
fn hostile_lifetimes_are_bounded() {
    let now = Instant::now();
    for ttl in [Duration::ZERO, Duration::MAX] {
        let mut login = Login::new(true, now);
        let lease = TokenLease { lifetime: Some(ttl), changed: true };
        login.granted(now, Tried::default(), lease, 0.0);
        let refresh = login.next_timeout().expect("a time") - now;
        assert!(refresh >= Duration::from_secs(4) && refresh <= LONGEST);
    }
}

#[test]
fn login_that_nobody_answers_keeps_its_pace_and_its_cause_where_none_is_needed() {
    let now = Instant::now();
    let mut login = Login::new(true, now);
    let mut delays = Vec::new();
    for _ in 0..9 {
        assert!(login.begin(login.next_timeout().expect("a time")));
        login.failed(now, Tried::default(), LoginFailure::Unreachable("closed".into()), 1.0);
        login.relax(now, true, 1.0);
        delays.push((login.next_timeout().expect("a time") - now).as_millis());
    }
    assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    login.is_demanded(now);
    assert_eq!(login.failure(), Some("closed"), "until the next one has ended");
    assert!(login.begin(now), "unless one wants a token after all");
    assert_eq!((login.failure(), login.unreachable()), (Some("closed"), None));
    login.failed(now, Tried::default(), not_ready(), 1.0);
    assert_eq!(login.failure(), Some("403"), "the last one");
    let minute = Some(now + Duration::from_secs(72));
    assert_eq!(login.next_timeout(), minute, "servers can be reached, and refuse it");
    login.relax(now, false, 1.0);
    assert!(!login.begin(now), "once a minute");
    login.granted(now, Tried::default(), lease(20), 0.0);
    assert_eq!(login.failure(), None);
}
