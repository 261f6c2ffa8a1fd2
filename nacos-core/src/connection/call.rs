//! Users' requests: prepared on the caller's task, carried out by the connection that serves.
use std::{collections::BTreeMap, fmt::Display};

use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until, timeout_at},
};
use tracing::{Instrument, debug_span};

use super::{
    Connection,
    access::headers_now,
    current::{Current, CurrentLink},
    inbox::{Loss, is_same},
};
use crate::{
    call_error::CallError,
    error::{Error, ErrorKind},
    session::{NoToken, conflict_delay, reconnect_delay},
    state::{Access, Denial, SessionState},
    telemetry,
    transport::{Caller, Limit},
    wire::{self, Failure, Refusal, Request},
};

/// The abilities that a server has announced or denied, by name.
pub(crate) type Abilities = BTreeMap<String, bool>;

/// Whether a request may be sent again after it may have been done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Repeat {
    /// Asking twice is asking once.
    Freely,
    /// Only if it was certainly not done: it changes something.
    IfUnsent,
}

impl Connection {
    /// Sends `request` and reads its answer. The outer result is about getting there, the inner
    /// one the server's word.
    ///
    /// Waits for a connection if there is none, goes on to the next one if this one is lost, logs
    /// in again once if the token is refused; all within the request timeout, and each try within
    /// three seconds. Where the login has failed and is demanded, one try goes without a token: the
    /// request may be about what everybody may do. A document that is just being replaced is asked
    /// for again. Nothing is sent to a server that lacks the ability which the request needs.
    pub(crate) async fn call<R: Request>(
        &self,
        doing: impl Display,
        request: &R,
        repeat: Repeat,
    ) -> Result<Result<R::Answer, Refusal>, Error> {
        self.call_until(self.deadline(), doing, request, repeat).await
    }

    /// The same, within a [deadline](Self::deadline) that began earlier.
    pub(crate) async fn call_until<R: Request>(
        &self,
        deadline: Instant,
        doing: impl Display,
        request: &R,
        repeat: Repeat,
    ) -> Result<Result<R::Answer, Refusal>, Error> {
        let missing = |abilities: &Abilities, server: &str| R::NEEDS?.missing(abilities, server);
        self.carry_out(deadline, doing, request, repeat, missing).await
    }

    /// When a request that begins now has run out of time.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.options.session.request_timeout
    }

    /// The same, where `missing` says why a server that has announced these abilities must not be
    /// asked. It is called before each try with the server of that try.
    pub(crate) async fn call_unless<R: Request>(
        &self,
        doing: impl Display,
        request: &R,
        repeat: Repeat,
        missing: impl FnMut(&Abilities, &str) -> Option<String>,
    ) -> Result<Result<R::Answer, Refusal>, Error> {
        self.carry_out(self.deadline(), doing, request, repeat, missing).await
    }

    async fn carry_out<R: Request>(
        &self,
        deadline: Instant,
        doing: impl Display,
        request: &R,
        repeat: Repeat,
        mut missing: impl FnMut(&Abilities, &str) -> Option<String>,
    ) -> Result<Result<R::Answer, Refusal>, Error> {
        let mut current = self.current.clone();
        let mut denied = false;
        let mut tried_without_token = false;
        let mut last_error = None;
        let mut tries = 0;
        let mut conflicts = 0;
        loop {
            // A future that is ready is never late: the deadline has to be looked at.
            if Instant::now() >= deadline {
                return Err(last_error.unwrap_or_else(|| self.nobody_answered(&doing)));
            }
            let found = serving(&mut current, tried_without_token);
            let (serving, is_admitted) = match timeout_at(deadline, found).await {
                Ok(Ok(found)) => found,
                Ok(Err(state)) => return Err(state.error_of(doing)),
                Err(_) => return Err(last_error.unwrap_or_else(|| self.nobody_answered(&doing))),
            };
            // Asked on each connection anew: servers of different versions take turns in an
            // upgrade.
            if let Some(why) = missing(&serving.abilities, &serving.server) {
                return Err(Error::new(ErrorKind::Unsupported, doing).because(why));
            }
            let (answer, is_let_in) = self.attempt(&serving, request, deadline).await;
            if is_let_in && !is_admitted {
                // That there is something which everybody may do is news.
                self.outbox.wake();
            }
            let error = match answer {
                Ok(Ok(answer)) => return Ok(Ok(answer)),
                Ok(Err(Failure::Answered(refusal))) => match refusal.code {
                    // Another one is due.
                    _ if refusal.says_unknown() => {
                        self.outbox.lost(serving.id, Loss::Unusable);
                        self.moved_on(&mut current, &serving, deadline).await;
                        last_error = Some(refusal.into_error(&doing));
                        continue;
                    }
                    wire::DENIED if !is_admitted => {
                        let state = current.borrow().state.clone();
                        if state.is_refused() {
                            return Ok(Err(without_login(refusal, &state)));
                        }
                        // The login may still succeed.
                        tried_without_token = true;
                        continue;
                    }
                    wire::DENIED if !denied && self.options.session.is_about_login(&refusal) => {
                        denied = true;
                        match self.denied(&mut current, &serving, refusal, deadline).await {
                            Denied::Renewed => continue,
                            Denied::Refused(refusal) => return Ok(Err(refusal)),
                            Denied::Unserved => return Err(self.nobody_answered(&doing)),
                        }
                    }
                    // Not read: the server is just writing it down.
                    _ if refusal.says_being_modified() && repeat == Repeat::Freely => {
                        let pause = conflict_delay(conflicts, fastrand::f64());
                        conflicts = conflicts.saturating_add(1);
                        last_error = Some(refusal.into_error(&doing));
                        sleep_until(deadline.min(Instant::now() + pause)).await;
                        continue;
                    }
                    _ => return Ok(Err(refusal)),
                },
                Ok(Err(failure @ Failure::Unreadable(_))) => {
                    self.unreadable();
                    return Err(Error::new(ErrorKind::Protocol, doing).because(failure));
                }
                Err(error) => error,
            };
            let kind = error.kind();
            if kind == ErrorKind::Protocol {
                self.unreadable();
            }
            let passes = matches!(kind, ErrorKind::Disconnected | ErrorKind::Timeout);
            let unsent =
                matches!(error, CallError::NotSent(_) | CallError::Busy | CallError::Unsigned(_));
            let again = unsent || passes && repeat == Repeat::Freely;
            let gone = match &error {
                CallError::NotSent(why) | CallError::Lost(why) => Some(why.clone()),
                _ => None,
            };
            let why = format!("{}: {error}", serving.server);
            let error = Error::new(kind, &doing).because(why);
            if !again {
                return Err(error);
            }
            last_error = Some(error);
            if let Some(why) = gone {
                // A server that is leaving keeps the socket open: nobody else would notice.
                self.outbox.lost(serving.id, Loss::Ended(why));
                self.moved_on(&mut current, &serving, deadline).await;
            } else {
                let pause = reconnect_delay(tries, Duration::ZERO, PAUSE_CAP, fastrand::f64());
                sleep_until(deadline.min(Instant::now() + pause)).await;
            }
            tries = tries.saturating_add(1);
        }
    }

    /// Says whether the server is at work, as far as a request shows that was sent when it `began`.
    fn heard(&self, serving: &CurrentLink, began: Instant, error: Option<&CallError>) {
        match error {
            // A try with less than its whole time may say nothing about the server.
            Some(CallError::Timeout) if Instant::now() >= began + self.whole_try() => {
                self.outbox.unanswered(serving.id);
            }
            // Nothing was heard of the server, or nothing was sent to it.
            Some(
                CallError::Timeout
                | CallError::Busy
                | CallError::Unsigned(_)
                | CallError::NotSent(_)
                | CallError::Lost(_),
            ) => {}
            _ => serving.users.answered(),
        }
    }

    /// How long a server is silent at least that has not answered a try: less than three seconds
    /// where users give all tries together less, and no more than they do but for its preparation.
    fn whole_try(&self) -> Duration {
        PER_TRY.min(self.options.session.request_timeout * 3 / 4)
    }

    /// Sends `request` once, and notes what its answer says of the server. Says whether it was
    /// answered without a token.
    async fn attempt<R: Request>(
        &self,
        serving: &CurrentLink,
        request: &R,
        deadline: Instant,
    ) -> (Result<Result<R::Answer, Failure>, CallError>, bool) {
        let began = Instant::now();
        let limit = Limit { idle: PER_TRY, deadline };
        let headers = headers_now(serving.grant.as_deref(), || request.resource());
        let span = debug_span!("request", kind = R::TYPE, server = %serving.server);
        let tag = self.options.session.labels.tag().filter(|_| R::IS_BY_TAG);
        let payload = request.payload().tagged(tag);
        let call = serving.link.call(Caller::User, payload, headers, limit);
        let answer = call.instrument(span).await;
        self.heard(serving, began, answer.as_ref().err());
        let answer = answer.map(|payload| wire::decode(&payload));
        let is_let_in = note_let_in(serving, request, &answer);
        telemetry::requested(R::TYPE, label(&answer), Instant::now() - began);
        (answer, is_let_in)
    }

    /// A request was denied with the token in use, or without one: waits for the login that this
    /// causes.
    async fn denied(
        &self,
        current: &mut watch::Receiver<Current>,
        with: &CurrentLink,
        refusal: Refusal,
        deadline: Instant,
    ) -> Denied {
        self.outbox.refused(with.grant.clone());
        if self.options.access.credentials.is_none() {
            return Denied::Refused(NoToken::NoCredentials.explain(refusal));
        }
        match timeout_at(deadline, renewed(current, with)).await {
            Ok(true) => Denied::Renewed,
            Err(_) if current.borrow().serving.is_none() => Denied::Unserved,
            Ok(false) | Err(_) => Denied::Refused(without_login(refusal, &current.borrow().state)),
        }
    }

    /// Waits until `gone` serves no more: asking it again would only fail again.
    async fn moved_on(
        &self,
        current: &mut watch::Receiver<Current>,
        gone: &CurrentLink,
        deadline: Instant,
    ) {
        let other = |current: &Current| current.link().is_none_or(|link| link.id != gone.id);
        // Both a closed session and the deadline are for the next round to report.
        let _ = timeout_at(deadline, current.wait_for(other)).await;
    }
}

/// Notes what a request was about that was answered without a token, and not refused. Says
/// whether it was.
fn note_let_in<R: Request>(
    serving: &CurrentLink,
    request: &R,
    answer: &Result<Result<R::Answer, Failure>, CallError>,
) -> bool {
    let is_let_in = match answer {
        Ok(Ok(_)) => true,
        Ok(Err(Failure::Answered(refusal))) => refusal.says_absent(),
        Ok(Err(Failure::Unreadable(_))) | Err(_) => false,
    };
    let is_let_in = is_let_in && serving.grant.is_none();
    if is_let_in {
        serving.users.let_in(|| request.resource());
    }
    is_let_in
}

/// The refusal of a request that went without a token, as far as the state says why it did.
fn without_login(refusal: Refusal, state: &SessionState) -> Refusal {
    let no_token = match state {
        SessionState::Denied { likely: Denial::Missing, .. } => NoToken::NoCredentials,
        SessionState::Denied { cause, .. }
        | SessionState::Connected { access: Access::WithoutLogin { cause }, .. } => {
            NoToken::LoginFailed(cause)
        }
        _ => return refusal,
    };
    no_token.explain(refusal)
}

/// How a try ended, as a label.
fn label<A>(answer: &Result<Result<A, Failure>, CallError>) -> &'static str {
    match answer {
        Ok(Ok(_)) => "200",
        Ok(Err(Failure::Answered(refusal))) => telemetry::code_label(refusal.code),
        Ok(Err(Failure::Unreadable(_))) => "unreadable",
        Err(error) => error.label(),
    }
}

/// The connection that serves, as soon as there is one, and that it lets requests in; or one to a
/// server that lets nobody in without a login, unless that was `tried` with this request. Fails
/// with the state of the session where waiting does not help.
pub(super) async fn serving(
    current: &mut watch::Receiver<Current>,
    tried: bool,
) -> Result<(CurrentLink, bool), SessionState> {
    loop {
        // The last state stays in the channel when the session's task has ended with its runtime.
        if current.has_changed().is_err() {
            return Err(SessionState::Closed);
        }
        {
            let current = current.borrow_and_update();
            if let Some(serving) = &current.serving {
                return Ok((serving.clone(), true));
            }
            if let Some(link) = current.unadmitted.as_ref().filter(|_| !tried) {
                return Ok((link.clone(), false));
            }
            // Not where a server is starting: it lets us in soon.
            if current.state.is_hopeless() {
                return Err(current.state.clone());
            }
        }
        current.changed().await.map_err(|_| SessionState::Closed)?;
    }
}

/// Waits for the login that a refused token caused. Says whether to go on: there is another token
/// now, or no session any more.
async fn renewed(current: &mut watch::Receiver<Current>, with: &CurrentLink) -> bool {
    let has_another = |now: &CurrentLink| !is_same(now.grant.as_ref(), with.grant.as_ref());
    let decided = |current: &Current| match (&current.serving, &current.state) {
        (Some(serving), _) => {
            !current.renewing && current.refusals > with.refusals || has_another(serving)
        }
        // Not yet: a connection that is lost meanwhile says nothing about the token.
        (None, state) => state.is_hopeless(),
    };
    match current.wait_for(decided).await {
        Ok(current) => match &current.serving {
            Some(serving) => has_another(serving),
            None => matches!(current.state, SessionState::Closed),
        },
        Err(_) => true,
    }
}

/// The end of a wait for the login that a denial has caused.
enum Denied {
    /// There is another token now, or no session any more.
    Renewed,
    Refused(Refusal),
    /// The deadline came while nobody served.
    Unserved,
}

/// For one try, while nothing of its answer comes.
const PER_TRY: Duration = Duration::from_secs(3);
/// The longest pause between two tries on one connection.
const PAUSE_CAP: Duration = Duration::from_millis(250);
