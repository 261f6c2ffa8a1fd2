//! The version in force: one writer replaces it, every reader looks here.
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use nacos_core::{Client, Live, LiveWriter, inspect::Inspect, live};

use super::slot::{Borrowed, Slot};
use crate::{pipeline::Layer, report::Source, tasks::Task};

/// A value of a type that only its lens knows.
pub(crate) type Erased = Arc<dyn Any + Send + Sync>;

/// One accepted configuration with everything that was built for it. Never changes.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) generation: u64,
    pub(crate) value: Erased,
    /// The resources, in the order in which they were registered.
    pub(crate) resources: Vec<Erased>,
    pub(crate) sources: Arc<[Source]>,
    pub(crate) layers: Arc<[Arc<Layer>]>,
}

/// The version in force, and a way to wait for the next.
pub(crate) struct Root {
    slot: Slot<Version>,
    generation: Live<u64>,
}

impl Root {
    /// A root with its first version, and the only writer that may replace it.
    pub(crate) fn new(version: Version) -> (Arc<Self>, RootWriter) {
        let (writer, generation) = live(version.generation);
        let root = Arc::new(Self { slot: Slot::new(version), generation });
        (Arc::clone(&root), RootWriter { root, writer })
    }

    pub(crate) fn borrow(&self) -> Borrowed<Version> {
        self.slot.borrow()
    }

    pub(crate) fn share(&self) -> Arc<Version> {
        self.slot.share()
    }

    /// Follows the generation; it may be behind the slot for a moment, never ahead.
    pub(crate) fn generation(&self) -> Live<u64> {
        self.generation.clone()
    }
}

/// The only writer of a [`Root`]. Readers that wait for changes learn when it is dropped.
pub(crate) struct RootWriter {
    root: Arc<Root>,
    writer: LiveWriter<u64>,
}

impl RootWriter {
    pub(crate) fn current(&self) -> Arc<Version> {
        self.root.share()
    }

    /// Publishes the next version, with the next generation: one store, and everything in it is in
    /// force. Nothing else publishes.
    pub(crate) fn commit(&self, next: Version) -> u64 {
        let generation = self.root.borrow().generation + 1;
        let next = Version { generation, ..next };
        let old = self.root.slot.replace(Arc::new(next));
        self.writer.publish(generation);
        // Without a pin, this drops values and resources, which runs code of the user.
        if catch_unwind(AssertUnwindSafe(|| drop(old))).is_err() {
            tracing::warn!(generation, "dropping the configuration before this one panicked");
        }
        generation
    }
}

/// Lives as long as a reader of the newest configuration: the task that keeps it up to date, and
/// the client that the task asks.
pub(crate) struct KeepAlive {
    pub(crate) _client: Option<Client>,
    pub(crate) _engine: Task,
    pub(crate) _inspect: Arc<dyn Inspect>,
}
