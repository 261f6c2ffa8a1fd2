//! Whether a proxy that knows HTTP/2 stands before the server, by how the server names what reaches
//! it.
//!
//! For a server the connection that reaches it is the client, and a server check tells its name.
//! Two names on one connection of ours mean that a proxy shares our calls out over several of its
//! own; one name on two of ours, that it carries both over one. Where streams and calls never share
//! one, names cannot tell: there the server does not know a connection whose setup it has just
//! acknowledged. None of that can be put right from here, nor what [`endings`] tell.
//!
//! [`endings`]: super::endings
use std::{collections::VecDeque, fmt};

use super::endings::StreamLimit;
use crate::session::ids::LinkId;

/// A way in which a proxy changes a connection, or its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Finding {
    /// Calls of one connection reach the server over several.
    Split,
    /// Several connections reach the server over one.
    Pooled,
    /// Streams end by a limit.
    Limited(StreamLimit),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Split => "an HTTP/2 proxy before the server splits one connection over several",
            Self::Pooled => {
                "an HTTP/2 proxy before the server carries several connections over one"
            }
            Self::Limited(limit) => return limit.fmt(f),
        })?;
        f.write_str(
            ", and the server takes each of its own for a client: let the proxy forward the gRPC \
             port as plain TCP (nginx `stream`, HAProxy `mode tcp`, Istio port name `tcp-`)",
        )
    }
}

/// How servers have named the last connections.
#[derive(Debug, Default)]
pub(super) struct LinkNames {
    known: VecDeque<(LinkId, String)>,
    /// The last finding, and the connection that showed it.
    found: Option<(LinkId, Finding)>,
    /// A server did not know a connection that it had just registered.
    pub(super) is_doubtful: bool,
    /// How many in a row it did not know right after their setup.
    unknown: usize,
}

impl LinkNames {
    /// The server calls `link` by `name`. Says what is new about that.
    ///
    /// r-nacos names a connection by its address alone, which another may have had before: there,
    /// only two that are open tell, and three in a row, because no system gives a port out so.
    pub(super) fn named(
        &mut self,
        link: LinkId,
        name: &str,
        is_open: impl Fn(LinkId) -> bool,
    ) -> Option<Finding> {
        // A server that gives no name, and one whose names are too long to remember.
        if name.is_empty() || name.len() > MAX_NAME {
            return None;
        }
        let same_link = self.known.iter().find(|(other, _)| *other == link);
        let finding = match same_link {
            Some((_, known)) if known != name => Some(Finding::Split),
            Some(_) => return None,
            None => {
                let is_unique = has_time(name);
                let shared = |(other, known): &(LinkId, String)| {
                    known == name && (is_unique || is_open(*other))
                };
                let in_a_row = self.known.iter().take(IN_A_ROW - 1);
                let same = in_a_row.filter(|(_, known)| known == name).count();
                let shared = same == IN_A_ROW - 1 || self.known.iter().any(shared);
                self.known.truncate(REMEMBERED - 1);
                self.known.push_front((link, name.to_owned()));
                shared.then_some(Finding::Pooled)
            }
        };
        self.found = finding.map(|finding| (link, finding)).or(self.found);
        finding
    }

    /// The server did not know `link` right after it had set it up. Nothing but a proxy does that
    /// twice in a row.
    pub(super) fn unknown_at_once(&mut self, link: LinkId) -> Option<Finding> {
        self.unknown = self.unknown.saturating_add(1);
        let finding = self.is_split_for_good().then_some(Finding::Split)?;
        self.found = Some((link, finding));
        Some(finding)
    }

    /// A connection has ended that its server did know.
    pub(super) fn known_for_a_while(&mut self) {
        self.unknown = 0;
    }

    /// Whether another connection will probably fare no better.
    pub(super) fn is_split_for_good(&self) -> bool {
        self.unknown >= TWICE
    }

    /// Why a connection was lost, with what explains it.
    pub(super) fn explain(&self, why: &str) -> String {
        match self.found {
            Some((_, finding)) => format!("{why}; {finding}"),
            None => why.to_owned(),
        }
    }

    /// `link` was a good one, and its server was asked for its name: a finding on an earlier
    /// connection is over. A finding on a later one stays, because it may explain the end of
    /// `link`: of two that a proxy carries over one, the first serves.
    pub(super) fn forget_before(&mut self, link: LinkId) {
        self.found = self.found.filter(|(on, _)| *on >= link);
        self.is_doubtful = false;
    }
}

/// Whether a name begins with a time in milliseconds, as Java Nacos has it.
fn has_time(name: &str) -> bool {
    name.bytes().take_while(u8::is_ascii_digit).count() >= DIGITS_OF_A_TIME
}

const DIGITS_OF_A_TIME: usize = 12;
/// Connections with one address that are no chance any more.
const IN_A_ROW: usize = 3;
/// Connections that are unknown at once and are no chance any more.
const TWICE: usize = 2;
/// Connections of which the names are remembered.
const REMEMBERED: usize = 8;
/// Those of servers have some 40 characters.
const MAX_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: fn(LinkId) -> bool = |_| false;
    const JAVA: &str = "1795392095873_127.0.0.1_58454";

    #[test]
    fn address_that_another_connection_had_before_is_no_pool() {
        let mut names = LinkNames::default();
        assert_eq!(names.named(LinkId(1), "1_127.0.0.1:45974", NONE), None);
        assert_eq!(names.named(LinkId(2), "1_127.0.0.1:45974", NONE), None);
        let both = |_| true;
        assert_eq!(names.named(LinkId(3), "1_127.0.0.1:45974", both), Some(Finding::Pooled));
    }

    #[test]
    fn address_that_three_connections_in_a_row_have_is_a_pool() {
        let mut names = LinkNames::default();
        let address = "1_127.0.0.1:45974";
        for (link, name) in [(1, address), (2, "1_127.0.0.1:45975"), (3, address), (4, address)] {
            assert_eq!(names.named(LinkId(link), name, NONE), None, "{link}");
        }
        assert_eq!(names.named(LinkId(4), address, NONE), None, "the same connection");
        assert_eq!(names.named(LinkId(5), address, NONE), Some(Finding::Pooled));
    }

    #[test]
    fn connections_that_are_unknown_at_once_twice_in_a_row_are_split() {
        let mut names = LinkNames::default();
        assert_eq!(names.unknown_at_once(LinkId(1)), None);
        names.known_for_a_while();
        assert_eq!(names.unknown_at_once(LinkId(3)), None);
        assert!(!names.is_split_for_good());
        assert_eq!(names.unknown_at_once(LinkId(4)), Some(Finding::Split));
        assert!(names.is_split_for_good() && names.explain("lost").contains("splits"));
    }

    #[test]
    fn two_names_on_one_connection_are_a_split() {
        let mut names = LinkNames::default();
        assert_eq!(names.named(LinkId(1), JAVA, NONE), None);
        assert_eq!(names.named(LinkId(1), JAVA, NONE), None);
        assert_eq!(names.named(LinkId(1), "b", NONE), Some(Finding::Split));
        assert!(names.explain("lost").starts_with("lost; an HTTP/2 proxy"));
        names.forget_before(LinkId(1));
        assert!(names.explain("lost").contains("an HTTP/2 proxy"), "it was found on this one");
        names.forget_before(LinkId(2));
        assert_eq!(names.explain("lost"), "lost");
    }

    #[test]
    fn one_name_on_two_connections_is_a_pool() {
        let mut names = LinkNames::default();
        assert_eq!(names.named(LinkId(1), JAVA, NONE), None);
        assert_eq!(names.named(LinkId(2), JAVA, NONE), Some(Finding::Pooled));
        assert_eq!(names.named(LinkId(2), JAVA, NONE), None, "once a connection");
        assert_eq!(names.named(LinkId(3), JAVA, NONE), Some(Finding::Pooled));
    }

    #[test]
    fn connections_without_a_name_and_long_ago_say_nothing() {
        let mut names = LinkNames::default();
        for link in 1..=100 {
            assert_eq!(names.named(LinkId(link), "", NONE), None);
            assert_eq!(names.named(LinkId(link), &"x".repeat(MAX_NAME + 1), NONE), None);
            assert_eq!(names.named(LinkId(link), &link.to_string(), NONE), None);
        }
        assert_eq!(names.known.len(), REMEMBERED);
        assert_eq!(names.named(LinkId(101), "1", NONE), None);
    }

    #[test]
    fn finding_says_what_to_do() {
        for finding in [Finding::Split, Finding::Pooled] {
            assert!(finding.to_string().contains("nginx `stream`"));
        }
    }
}
