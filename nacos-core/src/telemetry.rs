//! The metrics of a client, through the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Always on, and next to nothing while no recorder is installed. No label comes from a peer or a
//! user: their values are those listed here, so that no dashboard grows without bound. Gauges are
//! sums over all clients of the process, but for the age of a token, of which there is no sum. A
//! recorder that is installed late, when clients are connected already, learns of each of them at
//! its next health check at the latest; recorders are told a description and the unit of each name.
//!
//! | name | kind | labels | what |
//! | --- | --- | --- | --- |
//! | [`SESSIONS`] | gauge | `state` | clients that are `connecting`, `connected`, `backoff` or `denied` |
//! | [`CONNECTS`] | counter | | connections that a server registered |
//! | [`DISCONNECTS`] | counter | `reason` | connections that served and ended, but for that of a client that is dropped without `shutdown`: see below |
//! | [`REQUEST_SECONDS`] | histogram | `type`, `code` | each try of a request: its type on the wire; the code of the answer (200, 300, 301, 302, 400, 403, 404, 500, 503, `other`), or `timeout`, `lost`, `not_sent`, `status`, `unreadable` |
//! | [`SENT_BYTES`], [`RECEIVED_BYTES`] | counter | | gRPC messages with their prefixes |
//! | [`PUSHES`] | counter | `type` | messages of servers by their type, `other` for unknown ones |
//! | [`UNREADABLE`] | counter | | messages that could not be read, or were over the receive limit |
//! | [`OLDER_LISTS`] | counter | `outcome` | lists of services that are older than the one before, by their server's clock: `dropped`, because they were overtaken, or `applied`, because the clock has stepped back |
//! | [`CLAIMS`], [`CLAIMS_UNSETTLED`] | gauge | | what the clients claim, and how much of it is to be sent or under way: the redo queue, without what stands refused |
//! | [`SERVICES_HELD`] | gauge | | views of services that keep their last instances though the server lists none |
//! | [`TOKEN_AGE_SECONDS`] | gauge | | how long ago the client that reported last had logged in then; stays when that client is gone |
//! | [`CONFIG_PULLS`] | counter | `class` | queries for watched documents: `start` if nothing was known of one, `push`, or `audit` if a listen found a difference or it was asked for again |
//! | [`CONFIG_PULLS_UNDER_WAY`], [`CONFIG_PULLS_WAITING`] | gauge | | such queries under way; documents that may have changed and wait to be asked for |
//! | [`CONFIG_PULLS_HELD`] | counter | `reason` | documents that waited for more than a second: `throttled` for a token, `staggered` after a mass event, `read_only`, `frozen` |
//! | [`CONFIG_PULL_TIMEOUTS`] | counter | | queries that were not answered, those that were under way together once |
//! | [`CONFIG_OVERLOADS`], [`CONFIG_STAGGERS`] | counter | | servers that said that they are overloaded; mass events |
//! | [`CONFIG_PULLS_STOPPED`] | gauge | `mode` | clients that are `read_only`, `recovering` or `frozen` |
//! | [`CONFIG_PULLS_ALARMING`] | gauge | | clients that have been `read_only` or `frozen` for more than 60 s |
//! | [`CONFIG_READ_ONLY`], [`CONFIG_READ_ONLY_LEFT`] | counter | `by` | how often a client went read-only; what ended it: a listen after a `push`, a `reconnect` or as a `probe`, or a late `answer` |
//! | [`LAG_SECONDS`] | histogram | | how late the session's timers are: starvation of the runtime |
//! | [`SNAPSHOT_WRITES`] | counter | `result` | snapshots of documents that were `written`, were there already (`unchanged`), or could not be written (`failed`) |
//! | [`SNAPSHOTS_CORRUPT`] | counter | | snapshots that were damaged, and set aside |
//! | [`DOCUMENTS_OVERRIDDEN`] | gauge | | watched documents in whose place an operator's file stands |
//! | [`FILTER_FAILURES`] | counter | `why` | watched documents that a filter `rejected`, or that did not pass because one was `unavailable`, each try |
//! | [`SESSIONS_STARVED`] | gauge | | clients whose session was kept waiting for a second or more within the last minute |
//!
//! A connection that served ended because of
//!
//! | `reason` | what |
//! | --- | --- |
//! | `connection` | the socket, TLS or HTTP/2: closed, reset, or the server leaves |
//! | `stream` | the stream of pushes ended, and the connection did not |
//! | `health_check` | three health checks were not answered, and no other server was found |
//! | `unusable` | the server answered that it does not know the connection (any more) |
//! | `suspect` | the server was silent, and another, or another connection, answered first |
//! | `reset` | the server asked the client to move, and it has |
//! | `left` | the server is not on the list any more, and another serves |
//! | `unresponsive` | the server answered health checks and nothing else, and another serves |
//! | `shutdown` | the client was shut down |
//!
//! The load of a fleet on its servers follows from the pulls. In `PromQL`, over all instances:
//!
//! - pulls per instance and second:
//!   `sum(rate(nacos_config_pulls_total[1m])) / sum(nacos_sessions)`;
//! - surge ratio, the peak above the mean of ten minutes:
//!   `max_over_time(sum(rate(nacos_config_pulls_total[15s]))[10m:15s]) /
//!   avg_over_time(sum(rate(nacos_config_pulls_total[15s]))[10m:15s])`;
//! - density of a restart: `sum(rate(nacos_config_pulls_total{class="start"}[15s]))`.
//!
//! Beside them, `tracing` has one span a session, `nacos`, with the application's name, and at
//! level `DEBUG` one a try of a user's request, `request`, with its type and the server.
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_recorder,
};

use crate::{
    disconnect::Reason,
    error::ErrorKind,
    state::SessionState,
    storm::{PullCounts, PullMode, StormReport},
};

/// Clients by the state of their session.
pub const SESSIONS: &str = "nacos_sessions";
/// Connections that a server registered.
pub const CONNECTS: &str = "nacos_connects_total";
/// Connections that served and ended, by reason.
pub const DISCONNECTS: &str = "nacos_disconnects_total";
/// How long each try of a request took, in seconds.
pub const REQUEST_SECONDS: &str = "nacos_request_duration_seconds";
/// Bytes of messages sent.
pub const SENT_BYTES: &str = "nacos_sent_bytes_total";
/// Bytes of messages received.
pub const RECEIVED_BYTES: &str = "nacos_received_bytes_total";
/// Messages of servers.
pub const PUSHES: &str = "nacos_pushes_total";
/// Messages that could not be read.
pub const UNREADABLE: &str = "nacos_unreadable_total";
/// Lists of services with an older time than the one before, by what became of them.
pub const OLDER_LISTS: &str = "nacos_older_lists_total";
/// Registered services, subscriptions and watched documents.
pub const CLAIMS: &str = "nacos_claims";
/// Claims that are to be sent, or are under way.
pub const CLAIMS_UNSETTLED: &str = "nacos_claims_unsettled";
/// Views of services that keep their last instances.
pub const SERVICES_HELD: &str = "nacos_services_held";
/// Queries for watched documents, by class.
pub const CONFIG_PULLS: &str = "nacos_config_pulls_total";
/// Queries for watched documents under way.
pub const CONFIG_PULLS_UNDER_WAY: &str = "nacos_config_pulls_under_way";
/// Documents that wait to be asked for.
pub const CONFIG_PULLS_WAITING: &str = "nacos_config_pulls_waiting";
/// Documents that have waited for more than a second, by the reason.
pub const CONFIG_PULLS_HELD: &str = "nacos_config_pulls_held_total";
/// Queries for watched documents that were not answered.
pub const CONFIG_PULL_TIMEOUTS: &str = "nacos_config_pull_timeouts_total";
/// How often servers said that they are overloaded.
pub const CONFIG_OVERLOADS: &str = "nacos_config_overloads_total";
/// Mass events, after which pulls are spread.
pub const CONFIG_STAGGERS: &str = "nacos_config_staggers_total";
/// Pushes whose document waited, because its watches have a jitter.
pub const CONFIG_PULLS_JITTERED: &str = "nacos_config_pulls_jittered_total";
/// Clients that do not pull as ever, by mode.
pub const CONFIG_PULLS_STOPPED: &str = "nacos_config_pulls_stopped";
/// Clients that have not pulled for `pull_alarm_after`, a minute by default.
pub const CONFIG_PULLS_ALARMING: &str = "nacos_config_pulls_alarming";
/// How often clients went read-only.
pub const CONFIG_READ_ONLY: &str = "nacos_config_read_only_total";
/// The ends of that, by the cause.
pub const CONFIG_READ_ONLY_LEFT: &str = "nacos_config_read_only_left_total";
/// Age of the token in use, in seconds.
pub const TOKEN_AGE_SECONDS: &str = "nacos_token_age_seconds";
/// Lateness of a session's timers, in seconds.
pub const LAG_SECONDS: &str = "nacos_session_lag_seconds";

/// Clients whose session was kept waiting a moment ago.
pub const SESSIONS_STARVED: &str = "nacos_sessions_starved";

/// Watched documents that an operator overrides.
pub const DOCUMENTS_OVERRIDDEN: &str = "nacos_config_overridden";
/// Snapshots of documents, by what became of them.
pub const SNAPSHOT_WRITES: &str = "nacos_config_snapshot_writes_total";
/// Snapshots that were damaged.
pub const SNAPSHOTS_CORRUPT: &str = "nacos_config_snapshot_corrupt_total";

/// Watched documents that did not pass the filters, each try.
pub const FILTER_FAILURES: &str = "nacos_config_filter_failures_total";

/// A server has registered a connection.
pub(crate) fn connected() {
    counter!(CONNECTS).increment(1);
}

/// A connection that served has ended.
pub(crate) fn disconnected(reason: Reason) {
    counter!(DISCONNECTS, "reason" => reason.label()).increment(1);
}

/// A server sent a message of a type that is known, or `other`.
pub(crate) fn pushed(kind: &'static str) {
    counter!(PUSHES, "type" => kind).increment(1);
}

/// A message could not be read.
pub(crate) fn unreadable() {
    counter!(UNREADABLE).increment(1);
}

/// A list of a service has an older time than the one before it.
pub(crate) fn older_list(is_applied: bool) {
    let outcome = if is_applied { "applied" } else { "dropped" };
    counter!(OLDER_LISTS, "outcome" => outcome).increment(1);
}

/// A snapshot was to be written: `result` says what became of it.
pub(crate) fn snapshot_written(result: &'static str) {
    counter!(SNAPSHOT_WRITES, "result" => result).increment(1);
}

/// A watched document did not pass the filters.
pub(crate) fn filter_failed(kind: ErrorKind) {
    let why = if kind.is_retryable() { "unavailable" } else { "rejected" };
    counter!(FILTER_FAILURES, "why" => why).increment(1);
}

/// A snapshot is damaged, and is set aside.
pub(crate) fn snapshot_corrupt() {
    counter!(SNAPSHOTS_CORRUPT).increment(1);
}

/// The governor of a client's pulls has decided what lies between these counts.
pub(crate) fn governed(before: &PullCounts, now: &PullCounts) {
    if before == now {
        return;
    }
    let add =
        |name: &'static str, label: Option<(&'static str, &'static str)>, many: u64| match label {
            _ if many == 0 => {}
            Some((label, value)) => counter!(name, label => value).increment(many),
            None => counter!(name).increment(many),
        };
    let class = |class, many| add(CONFIG_PULLS, Some(("class", class)), many);
    class("start", now.start - before.start);
    class("push", now.push - before.push);
    class("audit", now.audit - before.audit);
    let reason = |reason, many| add(CONFIG_PULLS_HELD, Some(("reason", reason)), many);
    reason("throttled", now.held.throttled - before.held.throttled);
    reason("staggered", now.held.staggered - before.held.staggered);
    reason("read_only", now.held.read_only - before.held.read_only);
    reason("frozen", now.held.frozen - before.held.frozen);
    add(CONFIG_PULL_TIMEOUTS, None, now.timeouts - before.timeouts);
    add(CONFIG_OVERLOADS, None, now.overloads - before.overloads);
    add(CONFIG_STAGGERS, None, now.staggers - before.staggers);
    add(CONFIG_PULLS_JITTERED, None, now.jittered - before.jittered);
    let (before, now) = (&before.read_only, &now.read_only);
    add(CONFIG_READ_ONLY, None, now.entered - before.entered);
    let left = |by, many| add(CONFIG_READ_ONLY_LEFT, Some(("by", by)), many);
    left("push", now.left_by_push - before.left_by_push);
    left("reconnect", now.left_by_reconnect - before.left_by_reconnect);
    left("probe", now.left_by_probe - before.left_by_probe);
    left("answer", now.left_by_answer - before.left_by_answer);
}

/// Bytes of messages were sent.
pub(crate) fn sent(bytes: usize) {
    counter!(SENT_BYTES).increment(bytes as u64);
}

/// Bytes of messages were received.
pub(crate) fn received(bytes: usize) {
    counter!(RECEIVED_BYTES).increment(bytes as u64);
}

/// The token in use is that old.
pub(crate) fn token_age(age: Duration) {
    gauge!(TOKEN_AGE_SECONDS).set(age);
}

/// A timer of the session fired that late.
pub(crate) fn lag(lag: Duration) {
    histogram!(LAG_SECONDS).record(lag);
}

/// A try of a request of type `kind` took `took`, and ended with `code`: see [`code_label`].
pub(crate) fn requested(kind: &'static str, code: &'static str, took: Duration) {
    histogram!(REQUEST_SECONDS, "type" => kind, "code" => code).record(took);
}

/// The label of a code that a server answered. Rare codes share one label, and so do codes that no
/// server defines.
pub(crate) fn code_label(code: i32) -> &'static str {
    match code {
        200 => "200",
        300 => "300",
        301 => "301",
        302 => "302",
        400 => "400",
        403 => "403",
        404 => "404",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}

/// One client's contribution to the gauges; dropping it takes that back.
///
/// A gauge is changed by what its recorder has not been told yet, and never by more: one that is
/// installed later than the client connected is told the whole, or it would fall below zero.
#[derive(Debug, Default)]
pub(crate) struct Share {
    now: Contribution,
    /// The contribution that each recorder knows. A process has one; a thread may have another for
    /// a while.
    told: Vec<(usize, Contribution)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Contribution {
    state: Option<&'static str>,
    claims: usize,
    unsettled: usize,
    held: usize,
    overridden: usize,
    starved: usize,
    pulls_under_way: usize,
    pulls_waiting: usize,
    pulls_stopped: Option<&'static str>,
    pulls_alarming: usize,
}

impl Share {
    /// The session's state is `state` now.
    pub(crate) fn state(&mut self, state: &SessionState) {
        self.now.state = match state {
            SessionState::Connecting { .. } => Some("connecting"),
            SessionState::Connected { .. } => Some("connected"),
            SessionState::Backoff { .. } => Some("backoff"),
            SessionState::Denied { .. } => Some("denied"),
            SessionState::Closed => None,
        };
        self.tell();
    }

    /// Tells how many claims the client has now, how many are unsettled, and how many views are
    /// held.
    pub(crate) fn counts(&mut self, claims: usize, unsettled: usize, held: usize) {
        self.now = Contribution { claims, unsettled, held, ..self.now };
        self.tell();
    }

    /// How the client's pulls of documents stand.
    pub(crate) fn pulls(&mut self, storm: &StormReport) {
        let mode = (storm.mode != PullMode::Normal).then(|| storm.mode.name());
        self.now = Contribution {
            pulls_under_way: storm.under_way,
            pulls_waiting: storm.waiting,
            pulls_stopped: mode,
            pulls_alarming: usize::from(storm.is_alarming),
            ..self.now
        };
        self.tell();
    }

    /// Tells how many documents an operator overrides now.
    pub(crate) fn overridden(&mut self, overridden: usize) {
        self.now.overridden = overridden;
        self.tell();
    }

    /// Whether the session was kept waiting a moment ago.
    pub(crate) fn starved(&mut self, starved: bool) {
        self.now.starved = usize::from(starved);
        self.tell();
    }

    fn tell(&mut self) {
        let (now, recorder) = (self.now, recorder());
        let known = self.told.iter_mut().find(|(known, _)| *known == recorder);
        let told = if let Some((_, told)) = known {
            std::mem::replace(told, now)
        } else {
            // It does not know what the names mean either.
            describe();
            self.told.truncate(RECORDERS - 1);
            self.told.insert(0, (recorder, now));
            Contribution::default()
        };
        relabel(SESSIONS, "state", told.state, now.state);
        relabel(CONFIG_PULLS_STOPPED, "mode", told.pulls_stopped, now.pulls_stopped);
        shift(CONFIG_PULLS_UNDER_WAY, told.pulls_under_way, now.pulls_under_way);
        shift(CONFIG_PULLS_WAITING, told.pulls_waiting, now.pulls_waiting);
        shift(CONFIG_PULLS_ALARMING, told.pulls_alarming, now.pulls_alarming);
        shift(CLAIMS, told.claims, now.claims);
        shift(CLAIMS_UNSETTLED, told.unsettled, now.unsettled);
        shift(SERVICES_HELD, told.held, now.held);
        shift(DOCUMENTS_OVERRIDDEN, told.overridden, now.overridden);
        shift(SESSIONS_STARVED, told.starved, now.starved);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.now = Contribution::default();
        self.tell();
    }
}

/// Moves a client from the gauge of one label to that of another.
fn relabel(
    name: &'static str,
    label: &'static str,
    told: Option<&'static str>,
    now: Option<&'static str>,
) {
    if told == now {
        return;
    }
    for (value, change) in [(told, -1.0), (now, 1.0)] {
        if let Some(value) = value {
            gauge!(name, label => value).increment(change);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 claims")]
fn shift(name: &'static str, told: usize, now: usize) {
    if told != now {
        gauge!(name).increment(now as f64 - told as f64);
    }
}

/// Recorders that a client remembers.
const RECORDERS: usize = 4;

/// Tells the recorders of this moment apart: by their addresses, since there is nothing else.
fn recorder() -> usize {
    with_recorder(|recorder| std::ptr::from_ref(recorder).cast::<()>().addr())
}

/// Tells the recorder what there is, and in which units.
fn describe() {
    describe_gauge!(SESSIONS, Unit::Count, "Clients by the state of their session");
    describe_counter!(CONNECTS, Unit::Count, "Connections that a server registered");
    describe_counter!(DISCONNECTS, Unit::Count, "Connections that served and ended, by reason");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "How long each try of a request took");
    describe_counter!(SENT_BYTES, Unit::Bytes, "gRPC messages sent, with their prefixes");
    describe_counter!(RECEIVED_BYTES, Unit::Bytes, "gRPC messages received, with their prefixes");
    describe_counter!(PUSHES, Unit::Count, "Messages of servers by their type");
    describe_counter!(
        UNREADABLE,
        Unit::Count,
        "Messages that could not be read, or were over the receive limit"
    );
    describe_counter!(
        OLDER_LISTS,
        Unit::Count,
        "Lists of services that are older than the one before, by what became of them"
    );
    describe_gauge!(CLAIMS, Unit::Count, "Registered services, subscriptions, watched documents");
    describe_gauge!(
        CLAIMS_UNSETTLED,
        Unit::Count,
        "Claims that are to be sent, or are under way, without those that stand refused"
    );
    describe_gauge!(
        SERVICES_HELD,
        Unit::Count,
        "Views of services that keep their last instances though the server lists none"
    );
    describe_counter!(CONFIG_PULLS, Unit::Count, "Queries for watched documents by class");
    describe_gauge!(CONFIG_PULLS_UNDER_WAY, Unit::Count, "Queries for watched documents under way");
    describe_gauge!(CONFIG_PULLS_WAITING, Unit::Count, "Documents that wait to be asked for");
    describe_counter!(
        CONFIG_PULLS_HELD,
        Unit::Count,
        "Documents that waited for more than a second, by the reason"
    );
    describe_counter!(
        CONFIG_PULL_TIMEOUTS,
        Unit::Count,
        "Queries that were not answered, those that were under way together once"
    );
    describe_counter!(CONFIG_OVERLOADS, Unit::Count, "Servers that said they are overloaded");
    describe_counter!(CONFIG_STAGGERS, Unit::Count, "Mass events, after which pulls are spread");
    describe_counter!(
        CONFIG_PULLS_JITTERED,
        Unit::Count,
        "Pushes whose document waited for the jitter of its watches"
    );
    describe_gauge!(
        CONFIG_PULLS_STOPPED,
        Unit::Count,
        "Clients that are read-only, recovering or frozen"
    );
    describe_gauge!(
        CONFIG_PULLS_ALARMING,
        Unit::Count,
        "Clients that have been read-only or frozen for more than a minute"
    );
    describe_counter!(CONFIG_READ_ONLY, Unit::Count, "How often clients went read-only");
    describe_counter!(CONFIG_READ_ONLY_LEFT, Unit::Count, "What ended a read-only mode");
    describe_gauge!(TOKEN_AGE_SECONDS, Unit::Seconds, "Age of the token in use");
    describe_histogram!(LAG_SECONDS, Unit::Seconds, "Lateness of a session's timers");
    describe_gauge!(
        DOCUMENTS_OVERRIDDEN,
        Unit::Count,
        "Watched documents in whose place an operator's file stands"
    );
    describe_counter!(
        SNAPSHOT_WRITES,
        Unit::Count,
        "Snapshots of documents, by what became of them"
    );
    describe_counter!(SNAPSHOTS_CORRUPT, Unit::Count, "Snapshots that were damaged");
    describe_counter!(
        FILTER_FAILURES,
        Unit::Count,
        "Watched documents that did not pass the filters"
    );
    describe_gauge!(
        SESSIONS_STARVED,
        Unit::Count,
        "Clients whose session was kept waiting within the last minute"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_codes_and_those_of_nobody_are_one_label() {
        for code in [200, 300, 301, 302, 400, 403, 404, 500, 503] {
            assert_eq!(code_label(code), code.to_string());
        }
        for code in [0, -401, -503, 409, 502, 22_001, i32::MIN, i32::MAX] {
            assert_eq!(code_label(code), "other", "{code}");
        }
    }
}
