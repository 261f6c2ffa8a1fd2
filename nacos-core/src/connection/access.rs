//! What requests carry so that servers let them in: asked for, and put on each request.
use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use crate::{
    credentials::{Cause, Credentials, Grant, GrantContext, GrantError},
    resource::Resource,
    session::LoginFailure,
    tasks::{self, Task},
    transport::{CallError, Headers},
};

/// Asks the credentials, in a task of its own: they may be somebody else's code, which can delay
/// the session by no means, nor end it.
pub(super) async fn log_in(
    credentials: Option<Arc<dyn Credentials>>,
    context: GrantContext,
    alone: bool,
) -> Result<Grant, LoginFailure> {
    let Some(credentials) = credentials else {
        return Err(LoginFailure::Unreachable("there are no credentials".to_owned()));
    };
    let asked = foreign(alone, async move { credentials.grant(&context).await });
    let outcome = match timeout(LOGIN_TIMEOUT, asked).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(GrantError::unavailable("whoever was asked for credentials panicked")),
        Err(_) => Err(GrantError::unavailable("the credentials gave no answer in time")),
    };
    outcome.map_err(|GrantError { cause, why }| match cause {
        Cause::Denied => LoginFailure::Denied(why),
        Cause::Unknown => LoginFailure::UnknownUser(why),
        Cause::Unavailable => LoginFailure::Unreachable(why),
    })
}

/// The headers of a request that is sent now, from the task of whoever wants it sent.
pub(super) fn headers_now(grant: Option<&Grant>, resource: impl FnOnce() -> Resource) -> Headers {
    grant.map_or_else(Headers::new, |grant| grant.headers_for(resource))
}

/// The headers of a request of the session's own. What may take its time, or panic, does so in a
/// task of its own.
pub(super) async fn headers(
    grant: Option<Arc<Grant>>,
    resource: Resource,
    alone: bool,
) -> Result<Headers, CallError> {
    match grant {
        Some(grant) if grant.runs_foreign_code() && resource != Resource::Connection => {
            let signed = foreign(alone, async move { grant.headers_for(|| resource) });
            signed.await.ok_or_else(|| CallError::Unreadable(SIGNER_PANICKED.to_owned()))
        }
        grant => Ok(headers_now(grant.as_deref(), || resource)),
    }
}

/// Runs code that is not ours: where the session has a thread `alone`, not on that one.
fn foreign<T: Send + 'static>(
    alone: bool,
    code: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    if alone { tasks::spawn_beside(code) } else { tasks::spawn(code) }
}

/// For one login, however many servers are asked.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
const SIGNER_PANICKED: &str = "the request was not sent: whoever was to sign it panicked";
