//! The checks, theme by theme, in the order of the document.
mod access;
mod changes;
mod config;
mod death;
mod fuzzy;
mod gray;
mod handshake;
mod illegal;
mod listen;
mod many;
mod naming;
mod operator;
mod publication;
mod restart;
mod selection;

use crate::check::{Check, Theme};

pub(crate) const THEMES: &[Theme] = &[
    handshake::THEME,
    config::THEME,
    changes::THEME,
    listen::THEME,
    gray::THEME,
    fuzzy::THEME,
    many::THEME,
    naming::THEME,
    publication::THEME,
    selection::THEME,
    operator::THEME,
    illegal::THEME,
    access::THEME,
    death::THEME,
    restart::THEME,
];

pub(crate) fn checks() -> impl Iterator<Item = Check> {
    THEMES.iter().flat_map(|theme| theme.checks).copied()
}

#[test]
fn no_two_checks_have_the_same_name() {
    let mut names: Vec<&str> = checks().map(|check| check.what).collect();
    let number = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), number);
}
