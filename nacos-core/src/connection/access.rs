//! What requests carry so that servers let them in: asked for, and put on each request.
use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::timeout};

use crate::{
    call_error::CallError,
    credentials::{Cause, Credentials, Grant, GrantContext, GrantError},
    resource::Resource,
    session::{LoginFailure, Tried},
    state::Denial,
    tasks::{self, Task},
    transport::Headers,
};

/// Who asks for access, and where.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
    /// The path below which servers answer HTTP; without slashes around it.
    pub(crate) context_path: Arc<str>,
    /// What requests carry came over HTTP from the servers.
    pub(crate) logs_in_over_http: bool,
}

/// Asks the credentials, in a task of its own: they may be somebody else's code, which can delay
/// the session by no means, nor end it. `place` is held while they are asked: nobody asks a second time meanwhile.
pub(super) async fn log_in(
    credentials: Option<Arc<dyn Credentials>>,
    context: GrantContext,
    alone: bool,
    place: Arc<Mutex<()>>,
) -> Result<Grant, (Tried, LoginFailure)> {
    let nobody = |why: &str| Err((Tried::default(), LoginFailure::Unreachable(why.to_owned())));
    let Some(credentials) = credentials else {
        return nobody("there are no credentials");
    };
    // What blocks its thread is not ended by its deadline.
    let Ok(place) = place.try_lock_owned() else {
        return nobody("the credentials are still busy with the last time they were asked");
    };
    let asked = foreign(alone, async move {
        let _place = place;
        credentials.grant(&context).await
    });
    let outcome = match timeout(LOGIN_TIMEOUT, asked).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(GrantError::unavailable("whoever was asked for credentials panicked")),
        Err(_) => Err(GrantError::unavailable("the credentials gave no answer in time")),
    };
    outcome.map_err(|GrantError { cause, why, tried }| {
        let failure = match cause {
            Cause::Denied => LoginFailure::Denied(why),
            Cause::Refused => LoginFailure::Refused { likely: Denial::NotReady, why },
            Cause::Failed => LoginFailure::Refused { likely: Denial::Wrong, why },
            Cause::Unknown => LoginFailure::UnknownUser(why),
            Cause::Unavailable => LoginFailure::Unreachable(why),
        };
        (tried, failure)
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
pub(super) const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
const SIGNER_PANICKED: &str = "the request was not sent: whoever was to sign it panicked";

#[cfg(test)]
mod tests {
    use nacos_testkit::TimeLimit;

    use super::*;
    use crate::{credentials::GrantFuture, transport::Dialer};

    /// Never answers.
    #[derive(Debug)]
    struct Silent;

    impl Credentials for Silent {
        fn grant<'a>(&'a self, _: &'a GrantContext) -> GrantFuture<'a> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_asked_once_at_a_time_and_again_once_they_were_given_up() {
        TimeLimit::for_test();
        let place = Arc::new(Mutex::new(()));
        let ask = || {
            let (servers, dialer, context_path) = (Vec::new(), Dialer::plain(), "nacos".into());
            let within = Duration::from_secs(5);
            let context = GrantContext { servers, dialer, refused: false, context_path, within };
            log_in(Some(Arc::new(Silent)), context, false, Arc::clone(&place))
        };
        for _ in 0..2 {
            let asked = tasks::spawn(ask());
            tokio::task::yield_now().await;
            let Err((_, LoginFailure::Unreachable(why))) = ask().await else {
                panic!("it is taken")
            };
            assert!(why.contains("still busy"), "{why}");
            let Some(Err((_, LoginFailure::Unreachable(why)))) = asked.await else {
                panic!("silent")
            };
            assert!(why.contains("no answer in time"), "{why}");
        }
    }
}
