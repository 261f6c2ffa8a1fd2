//! From byte offsets to positions.
use crate::report::Position;

/// Where the lines of a text begin, to turn byte offsets into positions.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    pub(crate) fn position(&self, byte: usize) -> Option<Position> {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = *self.starts.get(line.checked_sub(1)?)?;
        // An offset inside a character, or behind the end, counts as far as there is text.
        let before = self.text.as_bytes().get(start..byte.min(self.text.len()))?;
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        Position::new(line as u64, column as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_characters() {
        let lines = Lines::of("a: 1\n名: 2\n");
        let at = |byte| lines.position(byte).map(|at| (at.line, at.column));
        assert_eq!(at(0), Some((1, 1)));
        assert_eq!(at(3), Some((1, 4)));
        assert_eq!(at(5), Some((2, 1)));
        assert_eq!(at(10), Some((2, 4)));
        assert_eq!(at(999), Some((3, 1)));
    }
}
