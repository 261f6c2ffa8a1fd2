//! One request on its way: picking, sending, and picking again.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{body::Body, classify, deadline::Deadline, handle::Handle};
use crate::{
    endpoint::Lease,
    error::{Error, ErrorKind, SharedError},
    pick::{LastTried, Tried},
    transport::{BoxError, Connection, SendError, SendRequest},
};

pin_project! {
    /// The response to come of a [`Balance`](crate::Balance).
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the request up; an endpoint that has received it may or may not act on it.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<C, B>
    where
        C: SendRequest<B>,
    {
        route: Route<C>,
        #[pin]
        step: Step<C, B>,
        deadline: Option<Instant>,
        // Made when there is something to wait for: many requests never need it.
        #[pin]
        timer: Option<Sleep>,
    }

    impl<C, B> PinnedDrop for ResponseFuture<C, B>
    where
        C: SendRequest<B>,
    {
        fn drop(this: Pin<&mut Self>) {
            if let StepProj::Sending { attempt, .. } = this.project().step.project()
                && let Some(attempt) = attempt.take()
            {
                attempt.lease.stats.given_up(attempt.started, Instant::now());
            }
        }
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<C, B>
    where
        C: SendRequest<B>,
    {
        Waiting { body: Option<B>, lease: BoxFuture<'static, Result<(Request<()>, Lease<C>), Error>> },
        Sending { #[pin] response: C::Future, attempt: Option<Attempt<C>> },
        Done,
    }
}

type Outcome<C, B> = Result<Response<Body<<C as SendRequest<B>>::Body, C>>, Error>;

/// A request at an endpoint.
struct Attempt<C> {
    lease: Lease<C>,
    started: Instant,
}

impl<C, B> ResponseFuture<C, B>
where
    C: SendRequest<B>,
{
    /// Sends the request at once if an endpoint is ready: waiting for the first poll gains nothing.
    pub(crate) fn new(handle: Arc<Handle<C>>, request: Request<B>) -> Self {
        let now = Instant::now();
        let own = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
        let trail = request.extensions().get::<LastTried>().cloned();
        let deadline = handle.response_timeout.deadline(own, now);
        let tried = Tried::after(trail.as_ref().map_or(0, LastTried::get));
        let mut route = Route { handle, tried, trail };
        let step = route.pick(request, now, None);
        Self { route, step, deadline, timer: None }
    }
}

impl<C, B> Future for ResponseFuture<C, B>
where
    C: SendRequest<B>,
{
    type Output = Outcome<C, B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().advance(cx) {
            Poll::Ready(outcome) => {
                self.project().step.set(Step::Done);
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                let mut this = self.as_mut().project();
                let Some(deadline) = *this.deadline else { return Poll::Pending };
                if this.timer.is_none() {
                    this.timer.set(Some(sleep_until(deadline)));
                }
                if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                    ready!(timer.poll(cx));
                }
                let attempt = match this.step.as_mut().project() {
                    StepProj::Sending { attempt, .. } => attempt.take(),
                    StepProj::Waiting { .. } | StepProj::Done => None,
                };
                this.step.set(Step::Done);
                Poll::Ready(Err(this.route.late(attempt)))
            }
        }
    }
}

impl<C, B> ResponseFuture<C, B>
where
    C: SendRequest<B>,
{
    /// Goes on as far as possible, the deadline aside.
    fn advance(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<C, B>> {
        let mut this = self.project();
        loop {
            let next = match this.step.as_mut().project() {
                StepProj::Waiting { body, lease } => {
                    let (head, lease) = ready!(lease.poll_unpin(cx))?;
                    let Some(body) = body.take() else { return Poll::Pending };
                    this.route.send(head.map(|()| body), lease, Instant::now())
                }
                StepProj::Sending { response, attempt } => {
                    let outcome = ready!(response.poll(cx));
                    let Some(attempt) = attempt.take() else { return Poll::Pending };
                    match outcome.map_err(SendError::into_parts) {
                        Ok(response) => return Poll::Ready(Ok(answered(response, attempt))),
                        Err((cause, None)) => {
                            return Poll::Ready(Err(this.route.lost(cause, &attempt)));
                        }
                        Err((cause, Some(request))) => {
                            this.route.refused(request, cause, &attempt)?
                        }
                    }
                }
                // Polled after it was ready: there is nothing to wait for.
                StepProj::Done => return Poll::Pending,
            };
            this.step.set(next);
        }
    }
}

/// The endpoints that a request has been at, and the way to the next one.
struct Route<C> {
    handle: Arc<Handle<C>>,
    tried: Tried,
    /// Tells the next try of the same request which connection this one has used.
    trail: Option<LastTried>,
}

impl<C: Connection> Route<C> {
    /// Sends the request to an endpoint, or waits for one.
    fn pick<B>(
        &mut self,
        request: Request<B>,
        now: Instant,
        cause: Option<SharedError>,
    ) -> Step<C, B>
    where
        C: SendRequest<B>,
    {
        if let Some(lease) = self.handle.set.lease(&request, now, &self.tried, C::is_open) {
            return self.send(request, lease, now);
        }
        let (set, tried) = (Arc::clone(&self.handle.set), self.tried);
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        let lease = async move { set.ready(head, tried, cause, C::is_open).await }.boxed();
        Step::Waiting { body: Some(body), lease }
    }

    fn send<B>(&mut self, request: Request<B>, lease: Lease<C>, started: Instant) -> Step<C, B>
    where
        C: SendRequest<B>,
    {
        if let Some(trail) = &self.trail {
            trail.set(lease.id);
        }
        let response = lease.connection.send(request);
        Step::Sending { response, attempt: Some(Attempt { lease, started }) }
    }

    /// Takes the request back from an endpoint that did not get it, and goes to another one.
    fn refused<B>(
        &mut self,
        request: Request<B>,
        cause: BoxError,
        attempt: &Attempt<C>,
    ) -> Result<Step<C, B>, Error>
    where
        C: SendRequest<B>,
    {
        if !self.tried.refuse(attempt.lease.id) {
            return Err(self.error_at(ErrorKind::Unsent, attempt).because(cause));
        }
        self.handle.set.resending();
        Ok(self.pick(request, Instant::now(), Some(cause.into())))
    }

    fn lost(&self, cause: BoxError, attempt: &Attempt<C>) -> Error {
        attempt.lease.stats.failed(attempt.started, Instant::now());
        self.error_at(ErrorKind::Lost, attempt).because(cause)
    }

    /// Gives up. If the request is at an endpoint, that counts as a failure of it.
    fn late(&self, attempt: Option<Attempt<C>>) -> Error {
        let Some(attempt) = attempt else {
            return self.handle.set.error(ErrorKind::Timeout);
        };
        attempt.lease.stats.failed(attempt.started, Instant::now());
        self.error_at(ErrorKind::Timeout, &attempt)
    }

    fn error_at(&self, kind: ErrorKind, attempt: &Attempt<C>) -> Error {
        self.handle.set.error(kind).at(attempt.lease.stats.address())
    }
}

/// Records the response with its endpoint, and lets its body keep the lease.
fn answered<C, R: http_body::Body>(
    response: Response<R>,
    attempt: Attempt<C>,
) -> Response<Body<R, C>> {
    let (stats, now) = (&attempt.lease.stats, Instant::now());
    if classify::is_failure(&response) {
        stats.failed(attempt.started, now);
    } else {
        stats.answered(attempt.started, now);
    }
    response.map(|body| Body::new(body, attempt.lease))
}

impl<C, B> fmt::Debug for ResponseFuture<C, B>
where
    C: SendRequest<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("service", &self.route.handle.set.service)
            .finish_non_exhaustive()
    }
}
