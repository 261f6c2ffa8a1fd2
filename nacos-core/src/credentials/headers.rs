//! The headers on which the signature of a request is put.
use std::{collections::HashMap, fmt};

/// The headers of one request, on which its signature is put. `Debug` shows their names only.
pub struct RequestHeaders<'a>(pub(super) &'a mut HashMap<String, String>);

impl RequestHeaders<'_> {
    /// Adds a header, in place of one of the same name. Servers tell upper and lower case apart.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }
}

impl fmt::Debug for RequestHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
