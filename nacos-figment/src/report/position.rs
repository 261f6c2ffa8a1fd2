//! Lines and columns.
use std::fmt;

/// A place in a text, as editors count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    pub(crate) fn new(line: u64, column: u64) -> Option<Self> {
        let [line, column] = [line, column].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        (line > 0).then_some(Self { line, column: column.max(1) })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)
    }
}
