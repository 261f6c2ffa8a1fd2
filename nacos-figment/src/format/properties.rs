//! Java properties, in UTF-8. All values are text.
use std::iter::Peekable;

use super::{Content, Node};
use crate::report::{Issue, Position};

/// Reads properties.
pub(super) fn parse(text: &str) -> Result<Node, Box<Issue>> {
    let mut entries = Vec::new();
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1..);
    while let Some((first, number)) = lines.next() {
        let start = first.trim_start_matches(BLANK);
        if start.is_empty() || start.starts_with(['#', '!']) {
            continue;
        }
        let column = first.chars().count() - start.chars().count() + 1;
        let mut logical = start.to_owned();
        // A line that ends with an odd number of backslashes goes on in the next one.
        while logical.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
            logical.pop();
            match lines.next() {
                Some((next, _)) => logical.push_str(next.trim_start_matches(BLANK)),
                None => break,
            }
        }
        let at = Position::new(number, column as u64);
        let (key, value) = entry(&logical)
            .ok_or_else(|| Box::new(Issue::new("not valid properties: bad \\u escape").at(at)))?;
        entries.push((key, Node::leaf(at, value)));
    }
    let at = entries.first().and_then(|(_, node): &(String, Node)| node.at);
    Ok(Node { at, content: Content::Table(entries) })
}

/// Key and value of a logical line; `None` for a bad `\u` escape.
fn entry(line: &str) -> Option<(String, String)> {
    let mut chars = line.chars().peekable();
    let key = unescape(&mut chars, |c| "=: \t\u{c}".contains(c))?;
    while chars.next_if(|c| BLANK.contains(c)).is_some() {}
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        while chars.next_if(|c| BLANK.contains(c)).is_some() {}
    }
    let value = unescape(&mut chars, |_| false)?;
    Some((key, value))
}

/// Reads up to an unescaped character that `ends`, or to the end of the line.
fn unescape(
    chars: &mut Peekable<std::str::Chars<'_>>,
    ends: impl Fn(char) -> bool,
) -> Option<String> {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|c| !ends(*c)) {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => text.push('\t'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('f') => text.push('\u{c}'),
            Some('u') => text.push(unicode(chars)?),
            Some(other) => text.push(other),
            None => {}
        }
    }
    Some(text)
}

/// The character of a `\u` escape, or of two that are a surrogate pair.
fn unicode(chars: &mut Peekable<std::str::Chars<'_>>) -> Option<char> {
    let first = unit(chars)?;
    let mut units = vec![first];
    if (0xd800..0xdc00).contains(&first) {
        if chars.next() != Some('\\') || chars.next() != Some('u') {
            return None;
        }
        units.push(unit(chars)?);
    }
    char::decode_utf16(units).next()?.ok()
}

fn unit(chars: &mut Peekable<std::str::Chars<'_>>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = chars.next()?.to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
        unit = unit << 4 | digit;
    }
    Some(unit)
}

/// The characters that Java takes for white space here.
const BLANK: [char; 3] = [' ', '\t', '\u{c}'];
