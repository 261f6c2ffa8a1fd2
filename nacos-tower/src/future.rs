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

use crate::{
    backend::Lease,
    balance::Balance,
    body::Body,
    connect::{BoxError, SendRequest},
    deadline::Deadline,
    error::{Cause, Error, ErrorKind},
    tried::{LastTried, Tried},
    verdict,
};

pin_project! {
    /// The response to come of a [`Balance`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the request up; an endpoint that has received it may or may not act on it.
    #[must_use = "futures do nothing unless polled"]
    #[project = Projected]
    pub struct ResponseFuture<C, B>
    where
        C: SendRequest<B>,
    {
        balance: Balance<C>,
        #[pin]
        step: Step<C, B>,
        tried: Tried,
        // Tells the next try of the same request which connection this one used.
        trail: Option<LastTried>,
        deadline: Option<Instant>,
        // Made when there is something to wait for: many a request never needs it.
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
                attempt.lease.backend.given_up(attempt.started, Instant::now());
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
        Picking { request: Option<Request<B>> },
        Waiting { request: Option<Request<B>>, lease: BoxFuture<'static, Result<Lease<C>, Error>> },
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
    pub(crate) fn new(balance: Balance<C>, request: Request<B>) -> Self {
        let extensions = request.extensions();
        let own = extensions.get::<Deadline>().map(|deadline| deadline.0);
        let trail = extensions.get::<LastTried>().cloned();
        let timeout = balance.fleet().options.response_timeout;
        Self {
            tried: Tried::after(trail.as_ref().map_or(0, LastTried::get)),
            trail,
            deadline: timeout.deadline(own, Instant::now()),
            step: Step::Picking { request: Some(request) },
            timer: None,
            balance,
        }
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
                let error = this.late();
                self.project().step.set(Step::Done);
                Poll::Ready(Err(error))
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
            match this.step.as_mut().project() {
                StepProj::Picking { request } => {
                    let Some(request) = request.take() else { return Poll::Pending };
                    this.pick(request, None);
                }
                StepProj::Waiting { request, lease } => {
                    let lease = ready!(lease.poll_unpin(cx))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    this.send(request, lease, Instant::now());
                }
                StepProj::Sending { response, attempt } => {
                    let outcome = ready!(response.poll(cx));
                    let Some(attempt) = attempt.take() else { return Poll::Pending };
                    match outcome {
                        Ok(response) => return Poll::Ready(Ok(answered(response, attempt))),
                        Err(error) => match error.into_parts() {
                            (cause, Some(request)) => this.refused(request, cause, &attempt)?,
                            (cause, None) => return Poll::Ready(Err(this.lost(cause, &attempt))),
                        },
                    }
                }
                // Polled after it was ready: there is nothing to wait for.
                StepProj::Done => return Poll::Pending,
            }
        }
    }
}

impl<C, B> Projected<'_, C, B>
where
    C: SendRequest<B>,
{
    /// Sends the request to an endpoint, or waits for one.
    fn pick(&mut self, request: Request<B>, cause: Option<Cause>) {
        let now = Instant::now();
        if let Some(lease) = self.balance.fleet().lease(now, self.tried, C::is_open) {
            return self.send(request, lease, now);
        }
        let (fleet, tried) = (Arc::clone(self.balance.fleet()), *self.tried);
        let lease = async move { fleet.ready(tried, cause, C::is_open).await }.boxed();
        self.step.set(Step::Waiting { request: Some(request), lease });
    }

    fn send(&mut self, request: Request<B>, lease: Lease<C>, started: Instant) {
        if let Some(trail) = &self.trail {
            trail.set(lease.passage);
        }
        let response = lease.connection.send(request);
        self.step.set(Step::Sending { response, attempt: Some(Attempt { lease, started }) });
    }

    /// Takes the request back from an endpoint that did not get it, and goes to another one.
    fn refused(
        &mut self,
        request: Request<B>,
        cause: BoxError,
        attempt: &Attempt<C>,
    ) -> Result<(), Error> {
        let fleet = self.balance.fleet();
        if !self.tried.refuse(attempt.lease.passage) {
            let error = fleet.error(ErrorKind::Unsent).at(attempt.lease.backend.address());
            return Err(error.because(cause));
        }
        fleet.resending();
        self.pick(request, Some(cause.into()));
        Ok(())
    }

    fn lost(&self, cause: BoxError, attempt: &Attempt<C>) -> Error {
        let backend = &attempt.lease.backend;
        backend.failed(attempt.started, Instant::now());
        self.balance.fleet().error(ErrorKind::Lost).at(backend.address()).because(cause)
    }

    /// Gives up, and holds it against the endpoint if there is one.
    fn late(&mut self) -> Error {
        let error = self.balance.fleet().error(ErrorKind::Timeout);
        match self.step.as_mut().project() {
            StepProj::Sending { attempt, .. } => match attempt.take() {
                Some(attempt) => {
                    let backend = &attempt.lease.backend;
                    backend.failed(attempt.started, Instant::now());
                    error.at(backend.address())
                }
                None => error,
            },
            _ => error,
        }
    }
}

/// Takes in what the response says, and lets its body keep the lease.
fn answered<C, R: http_body::Body>(
    response: Response<R>,
    attempt: Attempt<C>,
) -> Response<Body<R, C>> {
    let (backend, now) = (&attempt.lease.backend, Instant::now());
    if verdict::is_failure(&response) {
        backend.failed(attempt.started, now);
    } else {
        backend.answered(attempt.started, now);
    }
    response.map(|body| Body::new(body, attempt.lease))
}

impl<C, B> fmt::Debug for ResponseFuture<C, B>
where
    C: SendRequest<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("balance", &self.balance).finish_non_exhaustive()
    }
}
