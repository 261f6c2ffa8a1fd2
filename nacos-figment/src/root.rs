//! The one place where a configuration is swapped: every reader looks here.
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use nacos_core::{Client, Live, LiveWriter, inspect::Inspect, live};

use crate::{
    layer::Layer,
    report::Source,
    slot::{Borrowed, Slot},
    tasks::Task,
};

/// A value of a type that only its lens knows.
pub(crate) type Part = Arc<dyn Any + Send + Sync>;

/// One accepted configuration with everything that was built for it. Never changes.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) generation: u64,
    pub(crate) value: Part,
    /// The resources, in the order in which they were registered.
    pub(crate) parts: Vec<Part>,
    pub(crate) sources: Arc<[Source]>,
    pub(crate) layers: Arc<[Arc<Layer>]>,
}

/// The version in force, and a way to wait for the next.
pub(crate) struct Root {
    slot: Slot<Version>,
    generation: Live<u64>,
}

impl Root {
    /// A root with its first version, and the only hand that may put others in place.
    pub(crate) fn new(version: Version) -> (Arc<Self>, Swap) {
        let (writer, generation) = live(version.generation);
        let root = Arc::new(Self { slot: Slot::new(version), generation });
        (Arc::clone(&root), Swap { root, writer })
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

/// The only writer of a [`Root`]. When it goes, those who wait for changes learn it.
pub(crate) struct Swap {
    root: Arc<Root>,
    writer: LiveWriter<u64>,
}

impl Swap {
    pub(crate) fn current(&self) -> Arc<Version> {
        self.root.share()
    }

    /// Puts the next version in place: one store, and everything in it is in force.
    pub(crate) fn commit(&self, next: impl FnOnce(&Version) -> Version) -> u64 {
        let current = self.current();
        let generation = current.generation + 1;
        let next = Version { generation, ..next(&current) };
        drop(current);
        let old = self.root.slot.replace(Arc::new(next));
        self.writer.publish(generation);
        // Nobody may have pinned it: then what is in it is dropped here, by code that is not ours.
        if catch_unwind(AssertUnwindSafe(|| drop(old))).is_err() {
            tracing::warn!(generation, "dropping the configuration before this one panicked");
        }
        generation
    }
}

/// What lives as long as somebody can still read the newest configuration: the task that keeps it
/// new, and the client that the task asks.
pub(crate) struct Owner {
    pub(crate) _client: Option<Client>,
    pub(crate) _engine: Task,
    pub(crate) _inspect: Arc<dyn Inspect>,
}
