//! `Hot`: a typed view of a configuration that is always the current one.
mod changes;
mod root;
mod slot;

use std::{fmt, marker::PhantomData, ops::Deref, sync::Arc};

pub use self::changes::{Change, Changes};
pub(crate) use self::root::{Erased, KeepAlive, Root, RootWriter, Version};
use self::slot::Borrowed;
use crate::report::Source;

/// Finds a value inside a version.
pub(crate) enum Lens<T: 'static> {
    /// Not counted, so that pinning the whole costs one counter and not two.
    Whole(for<'a> fn(&'a Version) -> &'a T),
    Part(Arc<dyn for<'a> Fn(&'a Version) -> &'a T + Send + Sync>),
}

impl<T: 'static> Lens<T> {
    fn find<'a>(&self, version: &'a Version) -> &'a T {
        match self {
            Self::Whole(find) => find(version),
            Self::Part(find) => find(version),
        }
    }
}

impl<T: 'static> Clone for Lens<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Whole(find) => Self::Whole(*find),
            Self::Part(find) => Self::Part(Arc::clone(find)),
        }
    }
}

/// A typed, always current view of a configuration, of a part of one, or of a resource built from
/// it.
///
/// Cheap to clone; clones and [parts](Self::map) share one root, so whatever is read from one
/// [`load`](Self::load) or [`pin`](Self::pin) belongs to one version. Every `Hot` keeps the
/// configuration up to date: the task behind it and the client's session end with the last of them,
/// and of the [`HotConfig`](crate::HotConfig)s.
///
/// ```
/// use nacos_figment::Hot;
///
/// struct Config { limits: Limits }
/// struct Limits { rps: u32 }
///
/// let config = Hot::fixed(Config { limits: Limits { rps: 100 } });
/// let limits: Hot<Limits> = config.map(|config| &config.limits);
/// assert_eq!(limits.load().rps, 100);
/// ```
pub struct Hot<T: 'static> {
    root: Arc<Root>,
    lens: Lens<T>,
    keep_alive: Option<Arc<KeepAlive>>,
}

impl<T: Send + Sync + 'static> Hot<T> {
    /// A value that never changes: for tests, and for code that also runs without Nacos.
    #[must_use]
    pub fn fixed(value: T) -> Self {
        let version = Version {
            generation: 1,
            value: Arc::new(value),
            resources: Vec::new(),
            sources: Arc::new([]),
            layers: Arc::new([]),
        };
        let (root, _) = Root::new(version);
        Self::whole(root, None)
    }

    /// The whole configuration. `T` must be what the root's versions hold.
    pub(crate) fn whole(root: Arc<Root>, keep_alive: Option<Arc<KeepAlive>>) -> Self {
        Self { root, lens: Lens::Whole(|version| downcast(&version.value)), keep_alive }
    }

    /// The resource in this place. `T` must be what was built for it, and the root's version must
    /// have it already.
    pub(crate) fn resource<C: 'static>(whole: &Hot<C>, place: ResourcePlace) -> Self {
        let lens = Lens::Part(Arc::new(move |version: &Version| {
            // The whole of it moves in here, so that the place is kept as long as this is.
            let ResourcePlace { index, hold: _ } = &place;
            downcast(&version.resources[*index])
        }));
        Self { root: Arc::clone(&whole.root), lens, keep_alive: whole.keep_alive.clone() }
    }
}

/// The place of a resource in every version, for as long as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct ResourcePlace {
    pub(crate) index: usize,
    /// With the last of these, the place is free for another resource.
    pub(crate) hold: Arc<()>,
}

/// A value or a resource under the type that the engine gave it.
pub(crate) fn downcast<T: 'static>(erased: &Erased) -> &T {
    erased.downcast_ref().expect("the engine of a root stores one type in each place")
}

impl<T: 'static> Hot<T> {
    /// Borrows the current value, without a lock or an allocation.
    ///
    /// Everything read through one guard is of one version. The guard is not `Send`, so a future
    /// that holds it across an `.await` cannot be spawned; [`pin`](Self::pin) is for that:
    ///
    /// ```compile_fail
    /// # use nacos_figment::Hot;
    /// fn spawn(_: impl Future<Output = ()> + Send) {}
    ///
    /// let limit = Hot::fixed(7);
    /// spawn(async move {
    ///     let guard = limit.load();
    ///     std::future::ready(()).await;
    ///     println!("{}", *guard);
    /// });
    /// ```
    pub fn load(&self) -> Guard<'_, T> {
        Guard { version: self.root.borrow(), lens: &self.lens, not_send: PhantomData }
    }

    /// Keeps the current version: `Send`, and for as long as it lives, so does everything in that
    /// version, its resources included.
    ///
    /// ```
    /// # use nacos_figment::Hot;
    /// fn spawn(_: impl Future<Output = ()> + Send) {}
    ///
    /// let limit = Hot::fixed(7);
    /// spawn(async move {
    ///     let pinned = limit.pin();
    ///     std::future::ready(()).await;
    ///     println!("{}", *pinned);
    /// });
    /// ```
    #[must_use]
    pub fn pin(&self) -> Pinned<T> {
        Pinned { version: self.root.share(), lens: self.lens.clone() }
    }

    /// A part of this. It is never torn against the whole, and its [`changes`](Self::changes) are
    /// only those of the part.
    ///
    /// `part` runs on every read: it should do no more than name a field.
    #[must_use]
    pub fn map<U: 'static>(
        &self,
        part: impl for<'a> Fn(&'a T) -> &'a U + Send + Sync + 'static,
    ) -> Hot<U> {
        let whole = self.lens.clone();
        let lens = Lens::Part(Arc::new(move |version: &Version| part(whole.find(version))));
        Hot { root: Arc::clone(&self.root), lens, keep_alive: self.keep_alive.clone() }
    }

    /// Follows the changes of this value, as this one subscriber sees them.
    pub fn changes(&self) -> Changes<T>
    where
        T: PartialEq,
    {
        Changes::new(self.clone(), self.root.generation())
    }

    pub(crate) fn version(&self) -> Arc<Version> {
        self.root.share()
    }

    /// Which version is current. The first is 1; each commit adds one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.root.borrow().generation
    }
}

impl<T: 'static> Clone for Hot<T> {
    fn clone(&self) -> Self {
        Self {
            root: Arc::clone(&self.root),
            lens: self.lens.clone(),
            keep_alive: self.keep_alive.clone(),
        }
    }
}

/// Shows the generation, never the value: a configuration holds secrets.
impl<T: 'static> fmt::Debug for Hot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hot").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

/// A borrowed value, of one version. Keep it short: it is not `Send`.
#[must_use = "it borrows the value for as long as it lives"]
pub struct Guard<'a, T: 'static> {
    version: Borrowed<Version>,
    lens: &'a Lens<T>,
    not_send: PhantomData<*const ()>,
}

impl<T: 'static> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.lens.find(&self.version)
    }
}

impl<T: 'static> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("generation", &self.version.generation)
            .finish_non_exhaustive()
    }
}

/// A value of a version that is kept. Do not keep it forever: a stream or a loop that pins once
/// never sees a change, and holds on to old resources.
pub struct Pinned<T: 'static> {
    version: Arc<Version>,
    lens: Lens<T>,
}

impl<T: 'static> Pinned<T> {
    /// Which version this is.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.version.generation
    }

    /// The files and documents that this version was made of, those that override others last.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.version.sources
    }

    /// A part of the same version.
    #[must_use]
    pub fn map<U: 'static>(
        &self,
        part: impl for<'a> Fn(&'a T) -> &'a U + Send + Sync + 'static,
    ) -> Pinned<U> {
        let whole = self.lens.clone();
        let lens = Lens::Part(Arc::new(move |version: &Version| part(whole.find(version))));
        Pinned { version: Arc::clone(&self.version), lens }
    }
}

impl<T: 'static> Deref for Pinned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.lens.find(&self.version)
    }
}

impl<T: 'static> Clone for Pinned<T> {
    fn clone(&self) -> Self {
        Self { version: Arc::clone(&self.version), lens: self.lens.clone() }
    }
}

impl<T: 'static> fmt::Debug for Pinned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
