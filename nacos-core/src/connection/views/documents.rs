//! Documents under watch, as their readers are shown them.
use super::super::saver::Saver;
use crate::{document::DocumentState, key::ConfigKey, live::Live, store::Store};

/// For each document that a guard watches: what is shown of it.
///
/// A guard [enters](Self::enter) before it claims and [leaves](Self::leave) after it has withdrawn,
/// as in a [`Store`].
#[derive(Debug)]
pub(crate) struct DocumentViews {
    views: Store<ConfigKey, DocumentState>,
    /// Writes what the server says to the disk, if it is to be kept there.
    saver: Option<Saver>,
}

impl DocumentViews {
    pub(crate) fn new(saver: Option<Saver>) -> Self {
        Self { views: Store::new(), saver }
    }

    /// A guard comes, and reads the document.
    pub(crate) fn enter(&self, key: &ConfigKey) -> Live<DocumentState> {
        self.views.enter(key, || DocumentState::Pending)
    }

    /// A guard goes. With the last one the view goes too, and its readers end.
    pub(crate) fn leave(&self, key: &ConfigKey) {
        self.views.leave(key);
    }

    /// The document is as the server says.
    pub(crate) fn show(&self, key: &ConfigKey, state: DocumentState) {
        if let Some(saver) = &self.saver {
            match &state {
                DocumentState::Present(document) => saver.save(key, Some(document.clone())),
                DocumentState::Absent => saver.save(key, None),
                // Not the server's word about the document.
                DocumentState::Pending | DocumentState::Unreachable { .. } => {}
            }
        }
        self.views.update(key, |_| Some(state));
    }

    /// Ends every reader, and every reader to come.
    pub(crate) fn close(&self) {
        self.views.close();
    }
}
