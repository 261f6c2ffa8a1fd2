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

use super::Question;
use crate::{
    call_error::CallError,
    key::{ConfigKey, Namespace, ServiceKey},
    resource::Resource,
    session::{
        context::Holdings,
        ids::CallId,
        lifetime::Lifetime,
        request_failure::{Gone, RequestFailure, read},
    },
    wire::{
        Outgoing, Payload, Request,
        config::{ConfigQueryRequest, ConfigQueryResponse},
        naming::{QueryServiceResponse, ServiceQueryRequest},
    },
};

/// Whether servers let us in without a token, as far as that is known.
#[derive(Debug)]
pub(super) struct Admission {
    /// The namespaces in which a question asks that names nothing of ours.
    config_namespace: Namespace,
    naming_namespace: Namespace,

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
pub(super) enum Verdict {
    Unknown,
    Open,
    Demanded,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asking {
    No,
    /// As soon as somebody serves.
    Wanted(Question),
    UnderWay(CallId),
}

impl Admission {
    pub(super) fn new(config_namespace: Namespace, naming_namespace: Namespace) -> Self {
        Self {
            config_namespace,
            naming_namespace,
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
    pub(super) fn is_open(&self) -> bool {
        self.verdict == Verdict::Open
    }

    /// Servers let nobody in without a token.
    pub(super) fn is_demanded(&self) -> bool {
        self.verdict == Verdict::Demanded
    }

    /// The question is asked, or about to be.
    pub(super) fn is_asking(&self) -> bool {
        self.asking != Asking::No
    }

    /// Nothing is to be said of the session before the answer.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.is_some()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.again.into_iter().chain(self.awaited.map(|awaited| awaited.until)).min()
    }

    /// Whether the time has come to ask again, or to wait no longer.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.again.is_some_and(|at| at <= now) {
            self.want();
        }
        self.awaited.take_if(|awaited| awaited.until <= now);
    }

    /// It is to be asked as soon as somebody serves.
    pub(super) fn want(&mut self) {
        self.again = None;
        if self.asking == Asking::No {
            self.asking = Asking::Wanted(Question::Service);
        }
    }

    /// It is to be asked at this time, or never of itself.
    pub(super) fn want_at(&mut self, at: Option<Instant>) {
        self.again = at;
    }

    /// Somebody waits for the first verdict until then, before anything else.
    pub(super) fn want_first(&mut self, until: Instant) {
        self.awaited = Some(Awaited { until, at_most: until });
        self.want();
    }

    /// A request was refused: asks what that means, once a minute at most.
    pub(super) fn force(&mut self, now: Instant) {
        match self.forced.map(|at| at + FORCED_EVERY) {
            Some(next) if now < next => self.again = Some(next),
            _ => {
                self.forced = Some(now);
                self.want();
            }
        }
    }

    /// Nobody wants to know any more.
    pub(super) fn forget(&mut self) {
        let namespaces = (self.config_namespace.clone(), self.naming_namespace.clone());
        *self = Self { forced: self.forced, ..Self::new(namespaces.0, namespaces.1) };
    }

    /// A user's request about `to` was answered without a token: worth asking for. Says whether it
    /// is asked for now.
    pub(super) fn handle_admitted(&mut self, to: Resource) -> bool {
        match to {
            Resource::Document(key) => self.document.answered = Some((key, true)),
            Resource::Service(key) => self.service.answered = Some((key, true)),
            Resource::Documents | Resource::Services | Resource::Connection => return false,
        }
        // There is something that everybody may do: the last question asked for something else.
        let is_wanted = self.is_demanded();
        if is_wanted {
            self.want();
        }
        is_wanted
    }

    /// Another server serves, which may think otherwise; with a login that has failed, nothing is
    /// known of it. Says whether it is to be asked.
    pub(super) fn handle_serves(&mut self, has_failed: bool) -> bool {
        let was_asking = self.is_asking();
        self.asking = Asking::No;
        if has_failed {
            self.verdict = Verdict::Unknown;
        }
        was_asking || has_failed || self.is_demanded()
    }

    /// The question to ask the server that serves, if one is wanted. Its request is to be sent, and
    /// [noted](Self::asked).
    pub(super) fn poll_question(
        &mut self,
        now: Instant,
        holdings: Holdings<'_>,
    ) -> Option<(Question, Outgoing)> {
        let Asking::Wanted(question) = self.asking else { return None };
        // A slow answer still counts, but `connect` does not wait for it.
        if let Some(Awaited { until, at_most }) = &mut self.awaited {
            *until = (now + ANSWERED_WITHIN).min(*at_most);
        }
        let request = match question {
            Question::Service => {
                let service = if let Some(claimed) = self.service.next(holdings.services()) {
                    claimed
                } else {
                    ServiceKey::try_from(NOBODY).ok()?.resolve(&self.naming_namespace)
                };
                // Of however many instances: nobody wants them.
                ServiceQueryRequest::new(&service).of_cluster(NO_CLUSTER).outgoing()
            }
            Question::Document => {
                let document = if let Some(claimed) = self.document.next(holdings.documents()) {
                    claimed
                } else {
                    ConfigKey::try_from(NOBODY).ok()?.resolve(&self.config_namespace)
                };
                ConfigQueryRequest::new(&document).outgoing()
            }
        };
        Some((question, request))
    }

    /// The question is under way.
    pub(super) fn asked(&mut self, call: CallId) {
        self.asking = Asking::UnderWay(call);
    }

    /// One of the two questions was answered, or will not be. Returns the verdict, unless the other
    /// one decides.
    pub(super) fn handle_answer(
        &mut self,
        lifetime: Lifetime,
        call: CallId,
        question: Question,
        answer: Result<Payload, CallError>,
    ) -> Result<Option<Verdict>, Gone> {
        if self.asking != Asking::UnderWay(call) {
            return Ok(None);
        }
        // For the server that serves next, if this one is gone.
        self.asking = Asking::Wanted(Question::Service);
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
                Question::Service if lifetime == Lifetime::Open => {
                    self.asking = Asking::Wanted(Question::Document);
                    return Ok(None);
                }
                Question::Service => Verdict::Unknown,
                Question::Document => Verdict::Demanded,
            },
            // Overloaded, a failing plugin, no answer, or one that cannot be read: says nothing.
            Err(_) => Verdict::Unknown,
        };
        if verdict == Verdict::Open {
            match question {
                Question::Service => self.service.was_let_in = true,
                Question::Document => self.document.was_let_in = true,
            }
        }
        Ok(Some(verdict))
    }

    /// The question is decided. Says whether servers let us in that did not before.
    pub(super) fn decide(&mut self, verdict: Verdict, is_anonymous: bool) -> bool {
        self.asking = Asking::No;
        self.awaited = None;
        let before = self.verdict;
        match verdict {
            // A login that was demanded is so until somebody lets us in.
            Verdict::Unknown if before == Verdict::Demanded || !is_anonymous => {}
            verdict => self.verdict = verdict,
        }
        let was_shut =
            if is_anonymous { before == Verdict::Demanded } else { before != Verdict::Open };
        was_shut && self.is_open()
    }
}

/// A name that no service and no document has; telling, because servers may log it.
pub(in crate::session) const NOBODY: &str = "nacos-core.is-login-needed";
/// The same of a cluster, in whose names servers allow no dot.
pub(in crate::session) const NO_CLUSTER: &str = "is-login-needed";
/// `connect` does not wait longer for each question: the answer decides only what is said.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
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
