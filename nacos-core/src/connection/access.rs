//! Asks the credentials for grants, and puts the headers of a grant on each request.
use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    call_error::CallError,
    credentials::{Credentials, Grant, GrantContext, GrantError, GrantFailure},
    resource::Resource,
    session::{LoginFailure, Tried},
    state::Denial,
    tasks::{self, Task},
    transport::Headers,
};

/// The credentials of a client, and where they are used.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
    /// The path below which servers answer HTTP; without slashes around it.
    pub(crate) context_path: Arc<str>,
    /// The token that requests carry came over HTTP from the servers.
    pub(crate) logs_in_over_http: bool,
}

/// Asks the credentials, in a task of its own: they may be user code, which must neither delay the
/// session nor end it. `place` is a one-permit lock: while the credentials are being asked, another
/// login fails at once instead of waiting.
pub(super) async fn log_in(
    credentials: Option<Arc<dyn Credentials>>,
    context: GrantContext,
    within: Duration,
    alone: bool,
    place: Arc<Semaphore>,
) -> Result<Grant, (Tried, LoginFailure)> {
    let nobody = |why: &str| Err((Tried::default(), LoginFailure::Unreachable(why.to_owned())));
    let Some(credentials) = credentials else {
        return nobody("there are no credentials");
    };
    // A deadline does not end code that blocks its thread, so the last login may still run.
    let Ok(place) = place.try_acquire_owned() else {
        return nobody("the credentials are still busy with the last time they were asked");
    };
    let asked = foreign(alone, async move {
        let _place = place;
        credentials.grant(&context).await
    });
    let outcome = match timeout(within, asked).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(GrantError::unavailable("the credentials panicked")),
        Err(_) => Err(GrantError::unavailable("the credentials gave no answer in time")),
    };
    outcome.map_err(|GrantError { cause, why, tried }| {
        let failure = match cause {
            GrantFailure::Denied => LoginFailure::Denied(why),
            GrantFailure::Refused => LoginFailure::Refused { likely: Denial::NotReady, why },
            GrantFailure::Failed => LoginFailure::Refused { likely: Denial::Wrong, why },
            GrantFailure::Unknown => LoginFailure::UnknownUser(why),
            GrantFailure::Unavailable => LoginFailure::Unreachable(why),
        };
        (tried, failure)
    })
}

/// The headers of a request that is sent now, from the task that sends it.
pub(super) fn headers_now(grant: Option<&Grant>, resource: impl FnOnce() -> Resource) -> Headers {
    grant.map_or_else(Headers::new, |grant| grant.headers_for(resource))
}

/// The headers of a request of the session's own. Signing by user code may take its time, or panic,
/// and so has a task of its own.
pub(super) enum SessionHeaders {
    Known(Headers),
    /// User code is to sign it.
    Unsigned(Arc<Grant>, Resource),
}

impl SessionHeaders {
    pub(super) fn new(grant: Option<&Arc<Grant>>, resource: Resource) -> Self {
        match grant {
            Some(grant) if grant.runs_foreign_code() && resource != Resource::Connection => {
                Self::Unsigned(Arc::clone(grant), resource)
            }
            grant => Self::Known(headers_now(grant.map(Arc::as_ref), || resource)),
        }
    }

    /// The headers, `until` then at the latest.
    pub(super) async fn by(self, until: Instant, alone: bool) -> Result<Headers, CallError> {
        let (grant, resource) = match self {
            Self::Known(headers) => return Ok(headers),
            Self::Unsigned(grant, resource) => (grant, resource),
        };
        let signed = foreign(alone, async move { grant.headers_for(|| resource) });
        match timeout_at(until, signed).await {
            Ok(Some(headers)) => Ok(headers),
            Ok(None) => Err(CallError::Unsigned("the signer panicked")),
            Err(_) => Err(CallError::Unsigned("it was not signed in time")),
        }
    }
}

/// Drops a grant that no request carries any more. Its destructor may be user code.
pub(super) async fn forget(grant: Arc<Grant>, alone: bool) {
    // A panic of that code concerns nobody here.
    let _ = foreign(alone, async move { drop(grant) }).await;
}

/// Runs code that is not ours: where the session has a thread `alone`, not on that one.
fn foreign<T: Send + 'static>(
    alone: bool,
    code: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    if alone { tasks::spawn_beside(code) } else { tasks::spawn(code) }
}

/// For one login, however many servers are asked; more where `connect` may take longer.
pub(super) fn login_timeout(connect: Duration) -> Duration {
    connect.max(LOGIN_TIMEOUT)
}

const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

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

    #[tokio::test]
    async fn request_that_is_not_signed_says_so_and_blames_no_server() {
        TimeLimit::for_test();
        let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
        let goes_on = std::sync::Mutex::new(goes_on);
        let hangs = Grant::new().signed_by(move |_, _, _| {
            let told = goes_on.lock().expect("no panic").recv();
            assert!(told.is_ok(), "let go");
        });
        let document = crate::key::ConfigKey::try_from("d").expect("valid");
        let document = Resource::Document(document.resolve(&crate::key::Namespace::default()));
        let ends = |alone, grant: &Arc<Grant>| {
            let headers = SessionHeaders::new(Some(grant), document.clone());
            headers.by(Instant::now(), alone)
        };
        let hangs = Arc::new(hangs);
        let late = ends(true, &hangs).await.map(drop);
        assert_eq!(late, Err(CallError::Unsigned("it was not signed in time")));
        drop(go_on);
        let panics = Arc::new(Grant::new().signed_by(|_, _, _| panic!("on purpose")));
        let headers = SessionHeaders::new(Some(&panics), document);
        let minute = Instant::now() + Duration::from_secs(60);
        let panicked = headers.by(minute, false).await.map(drop);
        assert_eq!(panicked, Err(CallError::Unsigned("the signer panicked")));
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_asked_once_at_a_time_and_again_once_they_were_given_up() {
        TimeLimit::for_test();
        let place = Arc::new(Semaphore::new(1));
        let ask = || {
            let (servers, dialer, context_path) = (Vec::new(), Dialer::plain(), "nacos".into());
            let within = Duration::from_secs(5);
            let context = GrantContext { servers, dialer, refused: false, context_path, within };
            log_in(Some(Arc::new(Silent)), context, LOGIN_TIMEOUT, false, Arc::clone(&place))
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
