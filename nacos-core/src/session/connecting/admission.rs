//! Whether servers let us in without a token: asked where that is not known, and worth knowing.
//!
//! Connections are not guarded, requests are. So one is sent that needs a user and changes nothing:
//! a query of a service. Where that is refused, a query of a document decides, so that a rule about
//! services alone keeps nobody out. The question names something that is claimed, or something that
//! a user's request was about and that was answered without a token, because a server may have
//! parts that everybody may use. If there is neither, the question has a name that nobody uses.
//! These questions are asked
//!
//! - without credentials, when `connect` wants to know, and when a request was refused: a session
//!   that is refused both is `Denied`, and asks again by the minute;
//! - with credentials, when the login has failed, be it that servers refused it or that it reached
//!   none: once on each connection, and then whenever it has failed again. A server that lets us in
//!   all the same is used without a login, unless the option `require_login` forbids that. On a new
//!   connection a login that found nobody before is tried first.
use std::time::{Duration, Instant};

use super::{
    super::{
        backoff::denied_delay,
        request_failure::{Gone, RequestFailure, read},
    },
    Asked, CallId, ConnectingMachine, Context, Decision, ErrorKind, Lifetime, Question,
};
use crate::{
    call_error::CallError,
    key::{ConfigKey, ServiceKey},
    resource::Resource,
    wire::{
        Payload, Request,
        config::{ConfigQueryRequest, ConfigQueryResponse},
        naming::{QueryServiceResponse, ServiceQueryRequest},
    },
};

/// Whether servers let us in without a token, as far as that is known.
#[derive(Debug)]
pub(crate) struct Admission {
    verdict: Verdict,
    asking: Asking,
    /// Somebody waits for the first verdict before anything else.
    awaited: Option<Awaited>,
    /// When a refused request last caused it to be asked.
    forced: Option<Instant>,
    /// When it is asked again, if nobody wants to know before.
    again: Option<Instant>,
    service: Sample<ServiceKey>,
    document: Sample<ConfigKey>,
}

/// Which of what is claimed was asked for last.
///
/// There may be parts of a server that everybody may use: what was let in is asked for again, and
/// what was not is followed by another one, until one was let in or all were refused.
#[derive(Debug)]
struct Sample<K> {
    asked: Option<K>,
    was_let_in: bool,
    /// The key of the user's request that was answered last without a token, and whether that has
    /// not been refused since.
    answered: Option<(K, bool)>,
}

impl<K: Clone + Ord> Sample<K> {
    fn new() -> Self {
        Self { asked: None, was_let_in: false, answered: None }
    }

    /// The key to ask for now: one that the server agreed to or has answered, if there is any.
    fn next<'a>(&mut self, claimed: impl Iterator<Item = (&'a K, bool)>) -> Option<K>
    where
        K: 'a,
    {
        let asked = self.asked.take();
        let was_let_in = std::mem::take(&mut self.was_let_in);
        if let Some((key, stands)) = &mut self.answered
            && asked.as_ref() == Some(key)
        {
            *stands = was_let_in;
        }
        let answered = self.answered.iter().map(|(key, stands)| (key, *stands));
        #[expect(clippy::map_identity, reason = "references that live as long as `answered`")]
        let candidates = claimed.map(|(key, is_held)| (key, is_held)).chain(answered);
        let first = candidates.min_by_key(|&(key, is_held)| {
            let is_proven = was_let_in && asked.as_ref() == Some(key);
            let had_its_turn = asked.as_ref().is_some_and(|asked| key <= asked);
            (!is_held, !is_proven, had_its_turn, key)
        });
        self.asked = first.map(|(key, _)| key.clone());
        self.asked.clone()
    }
}

/// A wait for the first verdict.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    until: Instant,
    /// It is not prolonged beyond this.
    at_most: Instant,
}

/// The meaning of the servers' last answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Unknown,
    Open,
    Demanded,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asking {
    No,
    /// As soon as somebody serves.
    Wanted,
    UnderWay(CallId),
}

impl Admission {
    pub(crate) fn new() -> Self {
        Self {
            verdict: Verdict::Unknown,
            asking: Asking::No,
            awaited: None,
            forced: None,
            again: None,
            service: Sample::new(),
            document: Sample::new(),
        }
    }

    /// Servers let us in without a token.
    pub(crate) fn is_open(&self) -> bool {
        self.verdict == Verdict::Open
    }

    /// Servers let nobody in without a token.
    pub(crate) fn is_demanded(&self) -> bool {
        self.verdict == Verdict::Demanded
    }

    /// The question is asked, or about to be.
    pub(crate) fn is_asking(&self) -> bool {
        self.asking != Asking::No
    }

    /// Nothing is to be said of the session before the answer.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.again.into_iter().chain(self.awaited.map(|awaited| awaited.until)).min()
    }

    fn want(&mut self) {
        self.again = None;
        if self.asking == Asking::No {
            self.asking = Asking::Wanted;
        }
    }

    /// Nobody wants to know any more.
    fn forget(&mut self) {
        *self = Self { forced: self.forced, ..Self::new() };
    }

    /// A request was refused: asks what that means, once a minute at most.
    fn force(&mut self, now: Instant) {
        match self.forced.map(|at| at + FORCED_EVERY) {
            Some(next) if now < next => self.again = Some(next),
            _ => {
                self.forced = Some(now);
                self.want();
            }
        }
    }
}

impl ConnectingMachine {
    /// Somebody wants to know, before anything else and until then, whether this session needs a
    /// login.
    pub(in super::super) fn knock(&mut self, until: Instant) {
        if self.login.is_anonymous() {
            self.admission.awaited = Some(Awaited { until, at_most: until });
            self.admission.want();
        }
    }

    /// A user's request about `to` was answered without a token: worth asking for. Says whether it
    /// is asked for now.
    pub(in super::super) fn handle_admitted(&mut self, to: Resource) -> bool {
        match to {
            Resource::Document(key) => self.admission.document.answered = Some((key, true)),
            Resource::Service(key) => self.admission.service.answered = Some((key, true)),
            Resource::Documents | Resource::Services | Resource::Connection => return false,
        }
        // There is something that everybody may do: the last question asked for something else.
        let is_wanted = self.admission.is_demanded();
        if is_wanted {
            self.admission.want();
        }
        is_wanted
    }

    /// A request that carried no token was refused.
    pub(super) fn refused_without_token(&mut self, now: Instant) {
        if self.login.is_anonymous() {
            if !self.admission.is_demanded() {
                self.admission.force(now);
            }
        } else if self.admission.is_open() {
            // Authentication has been switched on, it seems: whether that is so is asked once a
            // login has failed again.
            self.login.is_demanded(now);
        } else {
            // It carried a token that is none any more.
            self.login.token_refused(now);
        }
    }

    /// Whether the time has come to ask again.
    pub(super) fn admission_due(&mut self, now: Instant) {
        if self.admission.again.is_some_and(|at| at <= now) {
            self.admission.want();
        }
        self.admission.awaited.take_if(|awaited| awaited.until <= now);
    }

    /// The login has failed: a server that wants none may let us in all the same.
    pub(super) fn login_failed(&mut self) {
        if !self.options.require_login && !self.login.has_token() {
            self.admission.want();
        }
    }

    /// There is a token, so the question is none any more.
    pub(super) fn admitted_by_token(&mut self) {
        self.admission.forget();
    }

    /// Another server serves, which may think otherwise.
    pub(super) fn admission_on_another(&mut self, now: Instant) {
        let was_asking = self.admission.is_asking();
        let was_open = self.admission.is_open();
        self.admission.asking = Asking::No;
        let has_failed = self.login.failure().is_some() && !self.options.require_login;
        if has_failed {
            self.admission.verdict = Verdict::Unknown;
        }
        if !(was_asking || has_failed || self.admission.is_demanded()) {
            return;
        }
        if self.login.is_tried_anew() && !was_open {
            // It found nobody while nobody served, and now that somebody does, it likely succeeds.
            self.admission.again = Some(now + LOGIN_WITHIN);
        } else {
            self.admission.want();
        }
    }

    /// Asks, if that is wanted and somebody serves.
    pub(in super::super) fn ask_admission(&mut self, cx: &mut Context<'_>) {
        if self.admission.asking == Asking::Wanted && cx.lifetime == Lifetime::Open {
            self.ask(cx, Question::Service);
        }
    }

    fn ask(&mut self, cx: &mut Context<'_>, question: Question) {
        let Some(link) = self.serving() else { return };
        let asked = Asked::Admission(question);
        // A slow answer still counts, but `connect` does not wait for it.
        if let Some(Awaited { until, at_most }) = &mut self.admission.awaited {
            *until = (cx.now + ANSWERED_WITHIN).min(*at_most);
        }
        let call = match question {
            Question::Service => {
                let claimed = self.admission.service.next(cx.holdings.services());
                let service = if let Some(claimed) = claimed {
                    claimed
                } else {
                    let Ok(nobody) = ServiceKey::try_from(NOBODY) else { return };
                    nobody.resolve(&self.options.naming_namespace)
                };
                // Of however many instances: nobody wants them.
                let request = ServiceQueryRequest::new(&service).of_cluster(NO_CLUSTER).outgoing();
                self.call(cx, link, request, asked)
            }
            Question::Document => {
                let claimed = self.admission.document.next(cx.holdings.documents());
                let document = if let Some(claimed) = claimed {
                    claimed
                } else {
                    let Ok(nothing) = ConfigKey::try_from(NOBODY) else { return };
                    nothing.resolve(&self.options.config_namespace)
                };
                let request = ConfigQueryRequest::new(&document).outgoing();
                self.call(cx, link, request, asked)
            }
        };
        self.admission.asking = Asking::UnderWay(call);
    }

    /// One of the two questions was answered, or will not be.
    pub(super) fn admission_answered(
        &mut self,
        cx: &mut Context<'_>,
        call: CallId,
        question: Question,
        answer: Result<Payload, CallError>,
    ) -> Result<(), Gone> {
        if self.admission.asking != Asking::UnderWay(call) {
            return Ok(());
        }
        // For the server that serves next, if this one is gone.
        self.admission.asking = Asking::Wanted;
        let outcome = match question {
            Question::Service => read::<QueryServiceResponse>(answer)?.map(drop),
            Question::Document => read::<ConfigQueryResponse>(answer)?.map(drop),
        };
        let verdict = match outcome {
            Ok(()) => Verdict::Open,
            Err(RequestFailure::Refused(refusal)) if refusal.says_absent() => Verdict::Open,
            // A user that lacks a right is known: no login is missing.
            Err(RequestFailure::Refused(refusal)) if refusal.says_forbidden() => Verdict::Open,
            Err(RequestFailure::Refused(refusal)) if refusal.demands_login() => match question {
                Question::Service if cx.lifetime == Lifetime::Open => {
                    self.ask(cx, Question::Document);
                    return Ok(());
                }
                Question::Service => Verdict::Unknown,
                Question::Document => Verdict::Demanded,
            },
            // Overloaded, a failing plugin, no answer, or one that cannot be read: says nothing.
            Err(_) => Verdict::Unknown,
        };
        if verdict == Verdict::Open {
            match question {
                Question::Service => self.admission.service.was_let_in = true,
                Question::Document => self.admission.document.was_let_in = true,
            }
        }
        self.decided(cx, verdict);
        Ok(())
    }

    fn decided(&mut self, cx: &mut Context<'_>, verdict: Verdict) {
        self.admission.asking = Asking::No;
        self.admission.awaited = None;
        let jitter = cx.output.jitter();
        let is_anonymous = self.login.is_anonymous();
        let before = self.admission.verdict;
        match verdict {
            // A login that was demanded is so until somebody lets us in.
            Verdict::Unknown if before == Verdict::Demanded || !is_anonymous => {}
            verdict => self.admission.verdict = verdict,
        }
        if is_anonymous {
            // A question that nobody has answered is asked again, too.
            self.admission.again =
                (!self.admission.is_open()).then(|| cx.now + denied_delay(jitter));
        } else {
            self.login.relax(cx.now, self.admission.is_open(), jitter);
        }
        let was_shut =
            if is_anonymous { Verdict::Demanded == before } else { before != Verdict::Open };
        if self.admission.is_open() && was_shut {
            self.decisions.push_back(Decision::LetIn);
        }
        self.tell_not_let_in();
    }

    /// Tells readers that wait for a first answer why there is none, if waiting does not help, or
    /// if nobody knows how long they would wait.
    pub(super) fn tell_not_let_in(&mut self) {
        if self.is_refused() {
            self.tell_waiting(ErrorKind::Denied);
        } else if self.login.unreachable().is_some() && !self.is_let_in() && !self.is_undecided() {
            self.tell_waiting(ErrorKind::Disconnected);
        }
    }
}

/// A name that no service and no document has; telling, because servers may log it.
pub(in super::super) const NOBODY: &str = "nacos-core.is-login-needed";
/// The same of a cluster, in whose names servers allow no dot.
pub(in super::super) const NO_CLUSTER: &str = "is-login-needed";
/// `connect` does not wait longer for each question: the answer decides only what is said.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// A login that is tried because a server has come back decides, if it ends within this.
const LOGIN_WITHIN: Duration = Duration::from_secs(1);
/// Refused requests cause it no more often.
const FORCED_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_in_is_asked_for_again_and_what_was_not_is_followed_by_another() {
        let mut sample = Sample::new();
        let due = |keys: &'static [u32]| keys.iter().map(|key| (key, false));
        let mut next = |keys| sample.next(due(keys));
        let turns: Vec<_> = (0..4).filter_map(|_| next(&[3, 1, 2])).collect();
        assert_eq!(turns, [1, 2, 3, 1]);
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[3, 2]), Some(2));
        sample.was_let_in = true;
        assert_eq!(sample.next(due(&[1, 3, 2])), Some(2));
        sample.was_let_in = true;
        assert_eq!(sample.next(due(&[1, 3])), Some(3), "it is claimed no more");
        let agreed = [(&1, false), (&4, true), (&5, true)];
        assert_eq!(sample.next(agreed.into_iter()), Some(4));
        assert_eq!(sample.next(agreed.into_iter()), Some(5));
    }

    #[test]
    fn what_was_answered_is_asked_for_until_it_is_refused_and_then_in_its_turn() {
        let mut sample = Sample::new();
        sample.answered = Some((2, true));
        let due = |keys: &'static [u32]| keys.iter().map(|key| (key, false));
        for _ in 0..3 {
            assert_eq!(sample.next(due(&[1, 3])), Some(2));
            sample.was_let_in = true;
        }
        assert_eq!(sample.next(due(&[])), Some(2));
        let turns: Vec<_> = (0..4).filter_map(|_| sample.next(due(&[1, 3]))).collect();
        assert_eq!(turns, [3, 1, 2, 3], "it was refused");
        assert_eq!(sample.next(due(&[])), Some(2), "it may be let in again");
        let agreed = [(&4, true)];
        assert_eq!(sample.next(agreed.into_iter()), Some(4));
        sample.answered = Some((9, true));
        assert_eq!(sample.next(due(&[1])), Some(9), "the last one that was answered");
    }
}
