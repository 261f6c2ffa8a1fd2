//! Why a claim or a query was not answered as it was hoped, and when to try again.
use std::{sync::Arc, time::Duration};

use super::{backoff::retry_delay, cause::Cause, serving_context::ConnectionFacts};
use crate::{
    call_error::CallError,
    disconnect::Reason,
    error::ErrorKind,
    wire::{self, Answer, Failure, Payload, Refusal},
};

/// Nothing more can be sent on this connection: it is lost, leaving, or not known. For any request
/// that is an end of the connection, and no answer.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) reason: Reason,
    pub(super) why: String,
}

/// The refusal of a claim, as its guards are told it.
#[derive(Debug)]
pub(super) struct ClaimRefusal {
    pub(super) code: i32,
    pub(super) message: Arc<str>,
    /// It is about a token that has been, or is being, replaced: then the guards are not told yet.
    pub(super) is_passing: bool,
}

/// Why a claim was not agreed to, on a connection that goes on.
pub(super) enum RequestFailure {
    /// No answer in time: nobody knows whether it was done.
    Unanswered,
    /// It never left this process: that says nothing of the server.
    Unsent(Cause),
    /// An answer that cannot be read: it may have been done, and asking at once would not help.
    Unreadable { cause: Cause, too_large: bool },
    /// The server said no.
    Refused(Refusal),
}

impl RequestFailure {
    /// When to send it again; never, if only a change can help. A server that is `fresh` may refuse
    /// what it allows once it has read its users.
    pub(super) fn retry_after(&self, tries: u32, fresh: bool, jitter: f64) -> Option<Duration> {
        let tries = match self {
            Self::Refused(refusal) => match refusal.kind() {
                ErrorKind::Refused | ErrorKind::Unsupported | ErrorKind::Conflict => return None,
                // A new token retries at once; this is for rights that are granted meanwhile.
                ErrorKind::Denied if fresh => tries,
                // A place is free once other clients have left theirs, and a minute after that.
                ErrorKind::Denied | ErrorKind::TooManyPatterns => u32::MAX,
                _ => tries,
            },
            // It is on its way each time, and grows no smaller by that.
            Self::Unreadable { too_large: true, .. } => u32::MAX,
            Self::Unreadable { .. } | Self::Unanswered | Self::Unsent(_) => tries,
        };
        Some(retry_delay(tries, jitter))
    }

    /// Whether it is a denial of a token that has been, or is being, replaced.
    pub(super) fn is_passing(&self, connection: &ConnectionFacts<'_>, token: u64) -> bool {
        let is_denial = matches!(self, Self::Refused(refusal) if refusal.code == wire::DENIED);
        is_denial && (token < connection.token || connection.is_renewing)
    }

    /// The refusal of a claim that was sent with this token. `None` if the claim is to be sent
    /// again at once: nobody knows whether it was done, or there is another token already.
    pub(super) fn rejection(
        &self,
        connection: &ConnectionFacts<'_>,
        token: u64,
    ) -> Option<ClaimRefusal> {
        let (code, message): (i32, Arc<str>) = match self {
            Self::Unanswered => return None,
            Self::Refused(refusal) => {
                let refusal = refusal.clone();
                let told = match connection.no_token {
                    Some(no_token) => no_token.explain(refusal),
                    None => refusal,
                };
                (told.code, told.message.into())
            }
            Self::Unsent(cause) | Self::Unreadable { cause, .. } => {
                (wire::SERVER_ERROR, Arc::clone(&cause.text))
            }
        };
        let is_passing = self.is_passing(connection, token);
        if is_passing && token < connection.token {
            return None;
        }
        Some(ClaimRefusal { code, message, is_passing })
    }

    pub(super) fn cause(&self) -> Cause {
        let (kind, text) = match self {
            Self::Unanswered => (CallError::Timeout.kind(), CallError::Timeout.to_string().into()),
            Self::Refused(refusal) => (refusal.kind(), refusal.to_string().into()),
            Self::Unsent(cause) | Self::Unreadable { cause, .. } => return cause.clone(),
        };
        Cause { kind, text }
    }
}

/// Classifies the outcome of a request: an answer, a failure, or the end of the connection. This is
/// the only place that does, for all requests but server checks, setup probes and health checks.
pub(super) fn read<A: Answer>(
    answer: Result<Payload, CallError>,
) -> Result<Result<A, RequestFailure>, Gone> {
    Ok(match answer {
        Ok(payload) => match wire::decode(&payload) {
            Err(Failure::Answered(refusal)) if refusal.says_unknown() => {
                return Err(Gone { reason: Reason::Unusable, why: refusal.to_string() });
            }
            outcome => outcome.map_err(RequestFailure::from),
        },
        Err(error @ (CallError::NotSent(_) | CallError::Lost(_))) => {
            return Err(Gone { reason: Reason::Connection, why: error.to_string() });
        }
        Err(CallError::Timeout) => Err(RequestFailure::Unanswered),
        Err(error) => {
            let cause = Cause { kind: error.kind(), text: error.to_string().into() };
            Err(match error {
                CallError::Oversized { .. } => {
                    RequestFailure::Unreadable { cause, too_large: true }
                }
                CallError::Unsigned(_) | CallError::Busy => RequestFailure::Unsent(cause),
                _ => RequestFailure::Unreadable { cause, too_large: false },
            })
        }
    })
}

impl ClaimRefusal {
    /// The code and the text that guards are told.
    pub(super) fn told(&self) -> (i32, &Arc<str>) {
        (self.code, &self.message)
    }
}

impl From<Failure> for RequestFailure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Answered(refusal) => Self::Refused(refusal),
            Failure::Unreadable(why) => {
                let cause = Cause { kind: ErrorKind::Protocol, text: why.into() };
                Self::Unreadable { cause, too_large: false }
            }
        }
    }
}
