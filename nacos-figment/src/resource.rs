//! What is built from a part of a configuration: pools, clients, compiled rules.
use std::{any::Any, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

use crate::{
    layer::Layer,
    pipeline::{BoxError, guarded},
    redact,
    report::Issue,
    root::Part,
};

/// How something is built for each version whose part of the configuration differs.
pub(crate) trait Resource<T>: Send + Sync {
    fn name(&self) -> &str;

    /// Whether `new` asks for another one than `old`.
    fn differs(&self, old: &T, new: &T) -> Result<bool, Issue>;

    /// Builds one, within [`BUILD_TIMEOUT`]. Dropping the future gives up.
    fn build(&self, value: &T) -> Building;
}

/// A resource under construction.
pub(crate) type Building = Pin<Box<dyn Future<Output = Result<Part, Failure>> + Send>>;

/// Why a resource could not be built.
pub(crate) enum Failure {
    /// What the user's own code said.
    Error(BoxError),
    Panic,
    Timeout,
}

impl Failure {
    /// What is reported: without the secrets that are in `layers`.
    pub(crate) fn into_issue(self, resource: &str, layers: &[Arc<Layer>]) -> Issue {
        let said = match self {
            Self::Error(error) => redact::told(&*error, layers.iter().map(|layer| layer.dict())),
            Self::Panic => "the code panicked".to_owned(),
            Self::Timeout => format!("not built within {} s", BUILD_TIMEOUT.as_secs()),
        };
        Issue::new(format!("the resource `{resource}` could not be built: {said}"))
    }
}

/// A resource by two functions: which part it depends on, and how it is built from that.
pub(crate) struct FromSlice<L, F> {
    pub(crate) name: Arc<str>,
    pub(crate) slice: L,
    pub(crate) build: F,
}

impl<T, S, R, E, L, F, Fut> Resource<T> for FromSlice<L, F>
where
    S: Clone + PartialEq,
    R: Any + Send + Sync,
    E: Into<BoxError>,
    L: for<'a> Fn(&'a T) -> &'a S + Send + Sync,
    F: Fn(S) -> Fut + Send + Sync,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn differs(&self, old: &T, new: &T) -> Result<bool, Issue> {
        guarded(|| (self.slice)(old) != (self.slice)(new))
    }

    fn build(&self, value: &T) -> Building {
        let Ok(future) = guarded(|| (self.build)((self.slice)(value).clone())) else {
            return Box::pin(std::future::ready(Err(Failure::Panic)));
        };
        Box::pin(async move {
            // Nothing of a future that panicked is looked at again.
            let building = AssertUnwindSafe(future).catch_unwind();
            match timeout(BUILD_TIMEOUT, building).await {
                Ok(Ok(Ok(built))) => Ok(Arc::new(built) as Part),
                Ok(Ok(Err(error))) => Err(Failure::Error(error.into())),
                Ok(Err(_panic)) => Err(Failure::Panic),
                Err(_elapsed) => Err(Failure::Timeout),
            }
        })
    }
}

pub(crate) const BUILD_TIMEOUT: Duration = Duration::from_secs(10);
