//! Are we let in? By a token, or because servers want none.
//!
//! [`login`] says when to log in, [`admission`] asks whether that is needed. Here it is decided
//! what both mean together. The type knows nothing of connections: which one serves, if one does,
//! is an argument; the question to send and the [news](AccessNews) are return values.
pub(in crate::session) mod admission;
pub(in crate::session) mod login;

use std::time::{Duration, Instant};

use self::{
    admission::Admission,
    login::{Login, LoginFailure, TokenLease, Tried},
};
use super::asked::Question;
use crate::{
    call_error::CallError,
    error::ErrorKind,
    resource::Resource,
    session::{
        backoff::denied_delay,
        cause::{DEMANDED, NoToken},
        context::{Context, Holdings},
        effects::Effect,
        ids::{CallId, LinkId},
        options::Options,
        request_failure::Gone,
    },
    state::{Access, Denial},
    wire::{Outgoing, Payload},
};

/// See the [module documentation](self).
#[derive(Debug)]
pub(in crate::session) struct Authentication {
    login: Login,
    admission: Admission,
    /// A server that refuses the login is not to be used without one.
    require_login: bool,
}

/// News for those who wait to be let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "somebody waits for it"]
pub(super) enum AccessNews {
    /// Requests that were refused may be let in now.
    LetIn,
    /// Waiting does not help, or nobody knows how long it would take; an error of this kind says
    /// so.
    KeptOut(ErrorKind),
}

impl Authentication {
    pub(super) fn new(options: &Options, now: Instant) -> Self {
        let [config, naming] = [&options.config_namespace, &options.naming_namespace];
        Self {
            login: Login::new(options.has_credentials, now),
            admission: Admission::new(config.clone(), naming.clone()),
            require_login: options.require_login,
        }
    }

    // Inputs.

    /// Whether to log in now; if so, the login counts as begun.
    pub(super) fn begin_login(&mut self, now: Instant) -> Option<Effect> {
        let begins = self.login.begin(now);
        begins.then(|| Effect::Login { refused: self.login.is_refused() })
    }

    /// A login with the credential `with` ended: a grant, or why there is none.
    pub(super) fn handle_login(
        &mut self,
        now: Instant,
        serving: Option<LinkId>,
        with: Tried,
        outcome: Result<TokenLease, LoginFailure>,
        jitter: f64,
    ) -> Option<AccessNews> {
        match outcome {
            Ok(lease) => {
                // There is a token, so the question is none any more.
                self.admission.forget();
                self.login.granted(now, with, lease, jitter).then_some(AccessNews::LetIn)
            }
            Err(why) => {
                self.login.failed(now, with, why, jitter);
                // A server that wants none may let us in all the same.
                if !self.require_login && !self.login.has_token() {
                    self.admission.want();
                }
                self.keeps_out(serving)
            }
        }
    }

    /// Somebody wants to know, before anything else and until then, whether this session needs a
    /// login.
    pub(super) fn knock(&mut self, until: Instant) {
        if self.login.is_anonymous() {
            self.admission.want_first(until);
        }
    }

    /// A user's request about `to` was answered without a token. Says whether the question is asked
    /// now.
    pub(super) fn handle_admitted(&mut self, to: Resource) -> bool {
        self.admission.handle_admitted(to)
    }

    /// A request was denied with the token in use, or without one if there is none.
    pub(super) fn handle_denied(&mut self, now: Instant) {
        if self.login.has_token() {
            self.login.token_refused(now);
        } else if self.login.is_anonymous() {
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
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.admission.handle_timeout(now);
    }

    /// Another server serves, which may think otherwise.
    pub(super) fn handle_serves(&mut self, now: Instant) {
        self.login.server_is_back(now);
        let has_failed = self.login.failure().is_some() && !self.require_login;
        let was_open = self.admission.is_open();
        if !self.admission.handle_serves(has_failed) {
            return;
        }
        if self.login.is_tried_anew() && !was_open {
            // It found nobody while nobody served, and now that somebody does, it likely succeeds.
            self.admission.want_at(Some(now + LOGIN_WITHIN));
        } else {
            self.admission.want();
        }
    }

    /// The question to ask the server that serves, if one is wanted. Its request is to be sent, and
    /// [noted](Self::asked).
    pub(super) fn poll_question(
        &mut self,
        now: Instant,
        holdings: Holdings<'_>,
    ) -> Option<(Question, Outgoing)> {
        self.admission.poll_question(now, holdings)
    }

    /// The question is under way.
    pub(super) fn asked(&mut self, call: CallId) {
        self.admission.asked(call);
    }

    /// A question was answered, or will not be.
    pub(super) fn handle_answer(
        &mut self,
        cx: &mut Context<'_>,
        serving: Option<LinkId>,
        call: CallId,
        question: Question,
        answer: Result<Payload, CallError>,
    ) -> Result<Option<AccessNews>, Gone> {
        let verdict = self.admission.handle_answer(cx.lifetime, call, question, answer)?;
        let Some(verdict) = verdict else { return Ok(None) };
        let is_anonymous = self.login.is_anonymous();
        let is_let_in_anew = self.admission.decide(verdict, is_anonymous);
        let (is_open, jitter) = (self.admission.is_open(), cx.output.jitter());
        if is_anonymous {
            // A question that nobody has answered is asked again, too.
            self.admission.want_at((!is_open).then(|| cx.now + denied_delay(jitter)));
        } else {
            self.login.relax(cx.now, is_open, jitter);
        }
        let let_in = is_let_in_anew.then_some(AccessNews::LetIn);
        Ok(let_in.or_else(|| self.keeps_out(serving)))
    }

    // Outputs.

    /// When [`begin_login`](Self::begin_login) will say yes.
    pub(super) fn next_login(&self) -> Option<Instant> {
        self.login.next_timeout()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if one serves.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.admission.next_timeout()
    }

    /// The news for readers that wait for a first answer, if waiting does not help, or if nobody
    /// knows how long they would wait.
    fn keeps_out(&self, serving: Option<LinkId>) -> Option<AccessNews> {
        if self.is_refused(serving) {
            Some(AccessNews::KeptOut(ErrorKind::Denied))
        } else if self.unreachable(serving).is_some() && !self.is_let_in() {
            Some(AccessNews::KeptOut(ErrorKind::Disconnected))
        } else {
            None
        }
    }

    // Getters.

    /// Whether requests may go out: there is a token, or none is needed as far as is known.
    pub(super) fn is_let_in(&self) -> bool {
        if self.login.is_anonymous() {
            !self.admission.is_demanded()
        } else {
            self.login.has_token() || self.admission.is_open()
        }
    }

    /// How it is let in.
    pub(super) fn access(&self) -> Access {
        match self.login.failure() {
            _ if self.login.is_anonymous() => Access::Anonymous,
            Some(cause) => Access::WithoutLogin { cause: cause.into() },
            None => Access::Granted,
        }
    }

    /// Whether something is due or under way that may let in who was refused: a login, or the
    /// question whether one is needed.
    pub(in crate::session) fn is_renewing(&self) -> bool {
        self.login.is_renewing() || !self.login.is_anonymous() && self.admission.is_asking()
    }

    /// Whether a refused login is tried again within seconds, and may be granted then.
    pub(in crate::session) fn tries_soon(&self) -> bool {
        self.login.tries_soon()
    }

    /// Whether a user's request that finds nobody who lets it in is worth a try without a token:
    /// it may be about what everybody may do, which those that were asked for are not. A request
    /// whose login has worked before waits for the next one instead, as long as there is hope.
    pub(in crate::session) fn tries_without_token(&self, serving: Option<LinkId>) -> bool {
        let has_failed = self.login.failure().is_some() && self.login.grants() == 0;
        let is_forbidden = self.require_login && !self.login.is_anonymous();
        serving.is_some()
            && !self.is_let_in()
            && !self.is_undecided(serving)
            && !is_forbidden
            && (self.is_refused(serving) || has_failed)
    }

    /// Whether requests are to carry what the last login brought.
    pub(in crate::session) fn has_token(&self) -> bool {
        self.login.has_token()
    }

    /// Which token that is, by number.
    pub(super) fn token(&self) -> u64 {
        self.login.grants()
    }

    /// Why there is no token, as far as is known.
    pub(super) fn no_token(&self) -> Option<NoToken<'_>> {
        if self.login.is_anonymous() {
            return Some(NoToken::NoCredentials);
        }
        self.login.failure().map(NoToken::LoginFailed)
    }

    /// Whether there are no credentials.
    pub(super) fn is_anonymous(&self) -> bool {
        self.login.is_anonymous()
    }

    /// Whether nothing is to be said of the session before the question has an answer.
    pub(super) fn is_awaited(&self) -> bool {
        self.admission.is_awaited()
    }

    /// The likely meaning of the servers' refusal of this client, and their words, if that is
    /// how it stands.
    pub(super) fn denied(&self, serving: Option<LinkId>) -> Option<(Denial, &str)> {
        if self.login.is_anonymous() {
            let demanded = serving.is_some() && self.admission.is_demanded();
            return demanded.then_some((Denial::Missing, DEMANDED));
        }
        let denial = self.login.denial()?;
        if self.require_login {
            return Some(denial);
        }
        let refused = serving.is_some() && !self.admission.is_open() && !self.is_undecided(serving);
        refused.then_some(denial)
    }

    /// Whether there is no token because servers are not ready to grant one, it seems.
    pub(super) fn is_not_ready(&self, serving: Option<LinkId>) -> bool {
        self.denied(serving).is_some_and(|(likely, _)| likely == Denial::NotReady)
    }

    /// Whether this client is refused, and waiting does not help, as far as is known.
    fn is_refused(&self, serving: Option<LinkId>) -> bool {
        self.denied(serving).is_some_and(|(likely, _)| likely != Denial::NotReady)
    }

    /// Whether the server that serves is being asked whether it lets us in without a login, and has
    /// never said no.
    fn is_undecided(&self, serving: Option<LinkId>) -> bool {
        serving.is_some() && self.admission.is_asking() && !self.admission.is_demanded()
    }

    /// Why nobody has answered the login, unless the server that serves may need none.
    pub(super) fn unreachable(&self, serving: Option<LinkId>) -> Option<&str> {
        self.login.unreachable().filter(|_| !self.is_undecided(serving))
    }

    /// Why the last login did not succeed, as those are told who are not let in.
    pub(super) fn cause(&self, serving: Option<LinkId>) -> Option<&str> {
        self.denied(serving).map(|(_, why)| why).or(self.login.unreachable())
    }

    /// Why the last login that ended did not succeed, if there is no token.
    pub(super) fn failure(&self) -> Option<&str> {
        self.login.failure()
    }

    /// The servers' words when they refused the last login, if there is no token.
    pub(super) fn refusal(&self) -> Option<&str> {
        self.login.refusal().map(|(_, why)| why)
    }
}

#[cfg(test)]
impl Authentication {
    pub(super) fn require_login(&mut self) {
        self.require_login = true;
    }
}

/// A login that is tried because a server has come back decides, if it ends within this.
const LOGIN_WITHIN: Duration = Duration::from_secs(1);
