//! A request with up to two tries.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::{budget::Budget, replay::Replay};
use crate::{
    error::{Error, ErrorKind},
    pick::LastTried,
    request::{Deadline, is_unavailable},
};

pin_project! {
    /// The response to come of a [`Retry`](crate::Retry).
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives the request up; an endpoint that has received it may or may not act on it.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<S, B>
    where
        S: Service<Request<Replay<B>>>,
        B: http_body::Body,
    {
        service: S,
        budget: Arc<Budget>,
        #[pin]
        step: Step<S::Future, B>,
        // For the second try; none if there is to be none.
        spare: Option<Request<Replay<B>>>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<F, B>
    where
        B: http_body::Body,
    {
        Begin { request: Option<Request<B>>, repeatable: bool },
        Trying { #[pin] response: F },
        Readying { request: Option<Request<Replay<B>>> },
    }
}

impl<S, B> RetryFuture<S, B>
where
    S: Service<Request<Replay<B>>>,
    B: http_body::Body,
{
    pub(super) fn repeatable(service: S, request: Request<B>, budget: Arc<Budget>) -> Self {
        Self::new(service, request, budget, true)
    }

    pub(super) fn once(service: S, request: Request<B>, budget: Arc<Budget>) -> Self {
        Self::new(service, request, budget, false)
    }

    fn new(service: S, request: Request<B>, budget: Arc<Budget>, repeatable: bool) -> Self {
        let step = Step::Begin { request: Some(request), repeatable };
        Self { service, budget, step, spare: None }
    }
}

impl<S, B, R> Future for RetryFuture<S, B>
where
    S: Service<Request<Replay<B>>, Response = Response<R>, Error = Error>,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<R>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepProj::Begin { request, repeatable } => {
                    let Some(request) = request.take() else { return Poll::Pending };
                    let request = if *repeatable {
                        let request = held(request, cx);
                        *this.spare = again(&request);
                        request
                    } else {
                        request.map(Replay::once)
                    };
                    let response = this.service.call(request);
                    this.step.set(Step::Trying { response });
                }
                StepProj::Trying { response } => {
                    let outcome = ready!(response.poll(cx));
                    let spare = this.spare.take().filter(|spare| {
                        is_worth_it(&outcome) && has_time_left(spare) && this.budget.withdraw()
                    });
                    match spare {
                        Some(spare) => this.step.set(Step::Readying { request: Some(spare) }),
                        None => return Poll::Ready(outcome),
                    }
                }
                StepProj::Readying { request } => {
                    ready!(this.service.poll_ready(cx))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    let response = this.service.call(request);
                    this.step.set(Step::Trying { response });
                }
            }
        }
    }
}

/// The request with as much of its body as can be held, and with a trail for its tries.
fn held<B>(request: Request<B>, cx: &mut Context<'_>) -> Request<Replay<B>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut request = request.map(|body| Replay::hold(body, cx));
    request.extensions_mut().insert(LastTried::default());
    request
}

fn again<B>(request: &Request<Replay<B>>) -> Option<Request<Replay<B>>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut again = Request::new(request.body().again()?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.version_mut() = request.version();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// Whether another endpoint may do better.
fn is_worth_it<R>(outcome: &Result<Response<R>, Error>) -> bool {
    match outcome {
        Ok(response) => is_unavailable(response),
        // All others were not sent, and the balancer has tried every endpoint that it can.
        Err(error) => {
            matches!(error.kind(), ErrorKind::Lost | ErrorKind::Timeout) && !error.is_unsent()
        }
    }
}

fn has_time_left<B>(request: &Request<B>) -> bool {
    let deadline = request.extensions().get::<Deadline>();
    deadline.is_none_or(|deadline| Instant::now() < deadline.0)
}

impl<S, B> fmt::Debug for RetryFuture<S, B>
where
    S: Service<Request<Replay<B>>>,
    B: http_body::Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").finish_non_exhaustive()
    }
}
