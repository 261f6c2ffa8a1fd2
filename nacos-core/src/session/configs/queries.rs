//! Documents, asked for over the connection that serves; and the answers.
use super::{
    ConfigsMachine,
    asked::{Asked, Ticket},
    governor::Class,
};
use crate::{
    document::DocumentState,
    error::ErrorKind,
    key::ConfigKey,
    session::{
        Event,
        backoff::{conflict_delay, poll_delay, retry_delay},
        output::RequestOrigin,
        request_failure::RequestFailure,
        serving_context::ServingContext,
    },
    wire::{
        Request,
        config::{ConfigQueryRequest, ConfigQueryResponse},
    },
};

impl ConfigsMachine {
    /// Asks for the documents that may have changed.
    pub(super) fn send_queries(&mut self, cx: &mut ServingContext<'_>) {
        if !cx.connection.may_ask() {
            return;
        }
        let Self { documents, governor, .. } = self;
        governor.watches(cx.now, documents.len());
        documents.wake(cx.now);
        for class in Class::ALL {
            while documents.is_waiting(cx.now, class, MAX_QUERIES)
                && governor.admits(cx.now, class)
                && let Some((key, ticket)) = documents.take(class)
            {
                let request = ConfigQueryRequest::new(&key).outgoing();
                cx.call(request, Asked::Query(key, ticket));
            }
        }
        let (_, waiting, asking) = documents.counts();
        if waiting + asking == 0 {
            governor.drained(documents.next_retry().is_some());
        }
        let (waiting, is_room) = documents.waiting(MAX_QUERIES);
        let held = governor.rests(cx.now, waiting, is_room);
        cx.output.show_all(held.into_iter().map(|(key, why)| Event::Held(key, why)));
    }

    /// Tells the governor how a query ended that counts.
    fn govern(
        &mut self,
        cx: &ServingContext<'_>,
        key: &ConfigKey,
        ticket: Ticket,
        outcome: Result<(), &RequestFailure>,
        jitter: f64,
    ) {
        let Some(is_known) = self.documents.is_asked(key, ticket) else { return };
        match outcome {
            Err(RequestFailure::Unanswered) if is_known => {
                self.governor.timed_out(cx.now, ticket.0, self.documents.newest(), jitter);
            }
            // It has nothing to show meanwhile: it is asked for at its own pace.
            Err(RequestFailure::Unanswered | RequestFailure::Unsent(_)) => {}
            Err(RequestFailure::Refused(refusal)) => {
                let is_overloaded = refusal.kind() == ErrorKind::Overloaded;
                self.governor.answered(cx.now, is_overloaded);
            }
            Ok(()) | Err(RequestFailure::Unreadable { .. }) => {
                self.governor.answered(cx.now, false);
            }
        }
    }

    /// A document was asked for, and this is the answer.
    pub(in crate::session) fn handle_document(
        &mut self,
        cx: &mut ServingContext<'_>,
        origin: RequestOrigin,
        key: &ConfigKey,
        ticket: Ticket,
        answer: Result<ConfigQueryResponse, RequestFailure>,
    ) {
        let (now, jitter) = (cx.now, cx.output.jitter());
        let poll_at = now + poll_delay(jitter);
        let was_withheld = self.documents.is_withheld(key);
        self.govern(cx, key, ticket, answer.as_ref().map(|_| ()), jitter);
        let documents = &mut self.documents;
        let is_settled = documents.is_settled(key, ticket);
        let found = match answer.and_then(|answer| Ok(answer.into_document(key)?)) {
            Err(RequestFailure::Refused(refusal)) if refusal.says_absent() => Ok(None),
            found => found.map(Some),
        };
        let is_answered = is_settled && found.is_ok();
        let state = match found {
            Ok(found) => documents.answered(key, ticket, found, poll_at),
            Err(RequestFailure::Refused(refusal)) if refusal.says_being_modified() => {
                documents.again(key, ticket, |tries| now + conflict_delay(tries, jitter));
                None
            }
            Err(failure) if failure.is_passing(&cx.connection, origin.token) => {
                documents.again(key, ticket, |tries| now + retry_delay(tries, jitter));
                None
            }
            Err(failure) => self.unanswered(cx, key, ticket, &failure, jitter),
        };
        let shows = |state: &DocumentState| !matches!(state, DocumentState::Unreachable { .. });
        let is_readable_again = was_withheld && state.as_ref().is_some_and(shows);
        if state == Some(DocumentState::Absent) || is_readable_again {
            // r-nacos forgets the listeners of a document when it is removed, and never notes those
            // who may not read it (both seen): a client that does not listen again misses changes.
            self.claims.reassert(key);
        }
        // The same as before. One that is polled is as sure as its last answer.
        if state.is_none() && is_answered {
            cx.output.show(Event::Confirmed(vec![key.clone()]));
        }
        let (first, last) =
            if state.as_ref().is_some_and(shows) { (state, None) } else { (None, state) };
        let event = |state| Event::Document(key.clone(), state);
        // A guard that polls has its document before it is told of the refusal; one that does not
        // learns the reason first.
        cx.output.show_all(first.map(event));
        self.tell_denied(cx.output, key);
        cx.output.show_all(last.map(event));
    }

    /// A query failed. Returns the document's new state, if it is one.
    fn unanswered(
        &mut self,
        cx: &mut ServingContext<'_>,
        key: &ConfigKey,
        ticket: Ticket,
        failure: &RequestFailure,
        jitter: f64,
    ) -> Option<DocumentState> {
        let (now, is_fresh) = (cx.now, cx.connection.is_fresh);
        let cause = failure.cause();
        // Nobody may read or listen: that is not asked of thousands of documents every minute.
        let is_denied = cause.kind == ErrorKind::Denied && self.documents.is_denied(key);
        let retry_at = |tries: u32| {
            let delay = failure.retry_after(tries, is_fresh, jitter)?;
            Some(now + if is_denied { delay * (1 + tries.min(9)) } else { delay })
        };
        let state = self.documents.failed(key, ticket, &cause, retry_at);
        if state.is_some() && !cause.kind.is_retryable() {
            cx.output.show(Event::Withheld { key: key.clone(), cause: cause.text });
        }
        state
    }
}

/// Queries under way at once: a change of thousands of documents does not starve everything else.
const MAX_QUERIES: usize = 64;
