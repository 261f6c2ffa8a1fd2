//! The filters of a client, one after the other: each call in a task of its own, within a deadline.
use std::{any::type_name, fmt, sync::Arc, time::Duration};

use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{ConfigContent, ConfigFilter, FilterError};
use crate::{document::Document, key::ConfigKey, tasks};

/// All filters of a client, at least one.
#[derive(Clone)]
pub(crate) struct Filters {
    filters: Arc<[Named]>,
    /// For each of them.
    within: Duration,
}

/// A filter, and the name of its type.
#[derive(Clone)]
pub(crate) struct Named {
    name: &'static str,
    filter: Arc<dyn ConfigFilter>,
}

/// A document, and the result of the filters.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The document before.
    pub(crate) stored: Document,
    pub(crate) number: Number,
    pub(crate) outcome: Result<Document, FilterError>,
}

/// The place of a content among all that were wanted of its document, since when they first were.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Number {
    pub(crate) at: u64,
    /// It is a snapshot, and the server has not said the same.
    pub(crate) is_snapshot: bool,
}

/// Where a filter runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// On the caller's runtime.
    Here,
    /// Not on the thread of the caller, which serves others too.
    Beside,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Publish,
    Query,
}

impl Named {
    pub(crate) fn new<F: ConfigFilter>(filter: F) -> Self {
        Self { name: type_name::<F>(), filter: Arc::new(filter) }
    }
}

impl Filters {
    /// None without a filter.
    pub(crate) fn new(filters: Vec<Named>, within: Duration) -> Option<Self> {
        (!filters.is_empty()).then(|| Self { filters: filters.into(), within })
    }

    /// The document that is to be published in place of `document`.
    ///
    /// # Cancel safety
    ///
    /// The filter that has its turn is dropped.
    pub(crate) async fn before_publish(
        &self,
        mut document: ConfigContent,
    ) -> Result<ConfigContent, FilterError> {
        for filter in &*self.filters {
            document = self.call(filter, document, Direction::Publish, (Place::Here, None)).await?;
        }
        Ok(document)
    }

    /// The document that is to be shown in place of `document`, which is stored under `key`. `held`
    /// is dropped once no code of a filter runs any more, which may be later than this ends.
    ///
    /// # Cancel safety
    ///
    /// The filter that has its turn is dropped.
    pub(crate) async fn after_query(
        &self,
        key: &ConfigKey,
        document: &Document,
        place: Place,
        held: Option<Arc<OwnedSemaphorePermit>>,
    ) -> Result<Document, FilterError> {
        let mut content = ConfigContent::stored(key, document);
        for filter in self.filters.iter().rev() {
            content = self.call(filter, content, Direction::Query, (place, held.clone())).await?;
        }
        Ok(content.show(document))
    }

    async fn call(
        &self,
        Named { name, filter }: &Named,
        document: ConfigContent,
        direction: Direction,
        (place, held): (Place, Option<Arc<OwnedSemaphorePermit>>),
    ) -> Result<ConfigContent, FilterError> {
        let (key, filter) = (document.key().clone(), Arc::clone(filter));
        let call = async move {
            let _held = held;
            match direction {
                Direction::Publish => filter.before_publish(document).await,
                Direction::Query => filter.after_query(document).await,
            }
        };
        let called = match place {
            Place::Here => tasks::spawn(call),
            Place::Beside => tasks::spawn_beside(call),
        };
        let outcome = match timeout(self.within, called).await {
            Ok(Some(Ok(document))) if *document.key() != key => {
                let why = format!("it returned another document: {}", document.key());
                Err(FilterError::rejected(why))
            }
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(FilterError::unavailable("it panicked")),
            Err(_) => {
                let why = format!("it gave no answer in {:?}", self.within);
                Err(FilterError::unavailable(why))
            }
        };
        outcome.map_err(|error| error.of(name))
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.filters.iter().map(|named| named.name)).finish()
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
