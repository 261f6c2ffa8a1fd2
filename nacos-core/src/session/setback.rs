//! Why a claim or a query was not answered as it was hoped, and when to try again.
use std::time::Duration;

use super::{Event, Session, backoff::retry_delay, documents::Cause};
use crate::{
    call_error::CallError,
    disconnect::Reason,
    error::ErrorKind,
    wire::{self, Answer, Failure, Payload, Refusal},
};

/// Nothing more can be sent on this connection: it is lost, leaving, or not known. Whatever was
/// asked, that is an end of the connection, and no answer.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) reason: Reason,
    pub(super) why: String,
}

/// Why a claim was not agreed to, on a connection that goes on.
pub(super) enum Setback {
    /// No answer in time: nobody knows whether it was done.
    Unanswered,
    /// An answer that cannot be read: it may have been done, and asking at once would not help.
    Unreadable { cause: Cause, too_large: bool },
    /// The server said no.
    Refused(Refusal),
}

impl Setback {
    /// When to send it again; never, if only a change can help. A server that is `fresh` may refuse
    /// what it allows once it has read its users.
    pub(super) fn retry_after(&self, tries: u32, fresh: bool, jitter: f64) -> Option<Duration> {
        let tries = match self {
            Self::Refused(refusal) => match refusal.kind() {
                ErrorKind::Refused | ErrorKind::Unsupported | ErrorKind::Conflict => return None,
                // A new token retries at once; this is for rights that are granted meanwhile.
                ErrorKind::Denied if fresh => tries,
                ErrorKind::Denied => u32::MAX,
                _ => tries,
            },
            // It is on its way each time, and grows no smaller by that.
            Self::Unreadable { too_large: true, .. } => u32::MAX,
            Self::Unreadable { .. } | Self::Unanswered => tries,
        };
        Some(retry_delay(tries, jitter))
    }

    pub(super) fn cause(&self) -> Cause {
        let (kind, text) = match self {
            Self::Unanswered => (CallError::Timeout.kind(), CallError::Timeout.to_string().into()),
            Self::Refused(refusal) => (refusal.kind(), refusal.to_string().into()),
            Self::Unreadable { cause, .. } => return cause.clone(),
        };
        Cause { kind, text }
    }
}

impl Session {
    /// Reads an answer; one that came and cannot be read is told of.
    pub(super) fn read<A: Answer>(
        &mut self,
        answer: Result<Payload, CallError>,
    ) -> Result<Result<A, Setback>, Gone> {
        let came = answer.is_ok();
        let outcome = read(answer)?;
        if came && let Err(Setback::Unreadable { cause, .. }) = &outcome {
            let (kind, why) = (A::TYPE.to_owned(), cause.text.to_string());
            self.output.show(Event::Unread { kind, about: String::new(), why });
        }
        Ok(outcome)
    }
}

/// What has become of a request: its answer, why it is not the one that was hoped for, or that the
/// connection is gone. The only place where that is told apart.
pub(super) fn read<A: Answer>(
    answer: Result<Payload, CallError>,
) -> Result<Result<A, Setback>, Gone> {
    Ok(match answer {
        Ok(payload) => match wire::decode(&payload) {
            Err(Failure::Answered(refusal))
                if matches!(refusal.code, wire::UNREGISTERED | wire::DISCONNECTED) =>
            {
                return Err(Gone { reason: Reason::Unusable, why: refusal.to_string() });
            }
            outcome => outcome.map_err(Setback::from),
        },
        Err(error @ (CallError::NotSent(_) | CallError::Lost(_))) => {
            return Err(Gone { reason: Reason::Connection, why: error.to_string() });
        }
        Err(CallError::Timeout) => Err(Setback::Unanswered),
        Err(error) => {
            let cause = Cause { kind: error.kind(), text: error.to_string().into() };
            let too_large = matches!(error, CallError::Oversized { .. });
            Err(Setback::Unreadable { cause, too_large })
        }
    })
}

impl From<Failure> for Setback {
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
