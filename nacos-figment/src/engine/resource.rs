//! Resources, built from a part of a configuration: pools, clients, compiled rules.
use std::{any::Any, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

use crate::{
    hot::Erased,
    pipeline::{BoxError, Layer, PANICKED, catch_panic},
    report::{Issue, redact},
};

/// How something is built for each version whose part of the configuration differs.
pub(crate) trait Resource<T>: Send + Sync {
    fn name(&self) -> &str;

    /// Whether `new` asks for another one than `old`.
    fn differs(&self, old: &T, new: &T) -> Result<bool, Issue>;

    /// Builds one, within [`BUILD_TIMEOUT`]. Dropping the future gives up.
    fn build(&self, value: &T) -> BuildFuture;
}

/// A resource under construction.
pub(crate) type BuildFuture = Pin<Box<dyn Future<Output = Result<Erased, BuildError>> + Send>>;

/// Why a resource could not be built.
pub(crate) enum BuildError {
    /// The error of the user's code.
    Error(BoxError),
    Panic,
    Timeout,
}

impl BuildError {
    /// The issue to report, without the secrets of `layers`.
    pub(crate) fn into_issue(self, resource: &str, layers: &[Arc<Layer>]) -> Issue {
        let said = match self {
            Self::Error(error) => {
                redact::error_text(&*error, layers.iter().map(|layer| layer.dict()))
            }
            Self::Panic => PANICKED.to_owned(),
            Self::Timeout => format!("not built within {} s", BUILD_TIMEOUT.as_secs()),
        };
        Issue::new(format!("the resource `{resource}` could not be built: {said}"))
    }
}

/// A resource by two functions: which part it depends on, and how it is built from that.
pub(crate) struct SliceResource<L, F> {
    pub(crate) name: Arc<str>,
    pub(crate) slice: L,
    pub(crate) build: F,
}

impl<T, S, R, E, L, F, Fut> Resource<T> for SliceResource<L, F>
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
        catch_panic(|| (self.slice)(old) != (self.slice)(new))
    }

    fn build(&self, value: &T) -> BuildFuture {
        let Ok(future) = catch_panic(|| (self.build)((self.slice)(value).clone())) else {
            return Box::pin(std::future::ready(Err(BuildError::Panic)));
        };
        Box::pin(async move {
            // Nothing of a future that panicked is looked at again.
            let building = AssertUnwindSafe(future).catch_unwind();
            match timeout(BUILD_TIMEOUT, building).await {
                Ok(Ok(Ok(built))) => Ok(Arc::new(built) as Erased),
                Ok(Ok(Err(error))) => Err(BuildError::Error(error.into())),
                Ok(Err(_panic)) => Err(BuildError::Panic),
                Err(_elapsed) => Err(BuildError::Timeout),
            }
        })
    }
}

pub(crate) const BUILD_TIMEOUT: Duration = Duration::from_secs(10);
