//! Patterns of keys: what a fuzzy watch matches.
use std::{fmt, sync::Arc};

use super::{ConfigKey, Group, InvalidName, Namespace, document_character, invalid_name::check};

/// One part of a pattern. Servers know a `*` at the beginning, at the end or at both, and a `*`
/// alone; one elsewhere would never match.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Wildcard(Arc<str>);

impl Wildcard {
    fn parse(
        what: &'static str,
        text: &str,
        limit: usize,
        allowed: impl Fn(char) -> bool,
    ) -> Result<Self, InvalidName> {
        check(what, text, limit, |c| allowed(c) || c == '*')?;
        let last = text.len() - 1;
        let is_inside = |at: usize| (at > 0 && at < last) || text == "**";
        match text.match_indices('*').map(|(at, _)| at).find(|&at| is_inside(at)) {
            Some(at) => Err(InvalidName::Character { what, found: '*', at }),
            None => Ok(Self(text.into())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        let pattern = &*self.0;
        match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(""), _) => true,
            (Some(rest), Some(_)) => name.contains(rest.strip_suffix('*').unwrap_or(rest)),
            (Some(end), None) => name.ends_with(end),
            (None, Some(start)) => name.starts_with(start),
            (None, None) => name == pattern,
        }
    }
}

/// Which documents a [fuzzy watch](crate::Configs::fuzzy_watch) matches: a pattern of data ids, one
/// of groups, and the namespace if it is not the client's own.
///
/// Each of the two is a name, `*` for all, `start*`, `*end` or `*middle*`. A `*` in another place,
/// which servers take and never match, is an error here. The namespace has no pattern.
///
/// Made from a pattern of data ids (`"orders-*"`, in `DEFAULT_GROUP`) or from one of data ids and
/// one of groups, in Nacos' order (`("*", "ORDERS*")`).
///
/// ```
/// use nacos_core::{ConfigKey, ConfigPattern};
///
/// let pattern = ConfigPattern::try_from(("orders-*", "*"))?;
/// assert!(pattern.matches(&ConfigKey::try_from(("orders-1", "BLUE"))?));
/// assert!(!pattern.matches(&ConfigKey::try_from(("my-orders-1", "BLUE"))?));
/// assert!(ConfigPattern::try_from("orders-*-prod").is_err());
/// # Ok::<(), nacos_core::InvalidName>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConfigPattern(Arc<Parts>);

#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct Parts {
    namespace: Option<Namespace>,
    group: Wildcard,
    data_id: Wildcard,
}

impl ConfigPattern {
    /// The same pattern in `namespace`, whatever the client's own is.
    #[must_use]
    pub fn in_namespace(mut self, namespace: Namespace) -> Self {
        Arc::make_mut(&mut self.0).namespace = Some(namespace);
        self
    }

    /// The namespace, if it was named.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.0.namespace.as_ref()
    }

    /// The pattern of groups.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.0.group.0
    }

    /// The pattern of data ids.
    #[must_use]
    pub fn data_id(&self) -> &str {
        &self.0.data_id.0
    }

    /// Whether `key` is one of those that the pattern means, as servers decide it.
    #[must_use]
    pub fn matches(&self, key: &ConfigKey) -> bool {
        self.namespace() == key.namespace()
            && self.0.group.matches(key.group().as_str())
            && self.0.data_id.matches(key.data_id().as_str())
    }

    /// The pattern with its namespace filled in: the form that every map below the public API uses.
    pub(crate) fn resolve(mut self, own: &Namespace) -> Self {
        if self.0.namespace.is_none() {
            Arc::make_mut(&mut self.0).namespace = Some(own.clone());
        }
        self
    }

    /// The pattern as it travels. The default namespace has one spelling here.
    pub(crate) fn as_sent(&self) -> String {
        let namespace = self.namespace().map_or("public", Namespace::as_str);
        format!("{namespace}>>{}>>{}", self.group(), self.data_id())
    }
}

impl TryFrom<&str> for ConfigPattern {
    type Error = InvalidName;

    fn try_from(data_id: &str) -> Result<Self, InvalidName> {
        Self::try_from((data_id, Group::default().as_str()))
    }
}

impl TryFrom<(&str, &str)> for ConfigPattern {
    type Error = InvalidName;

    fn try_from((data_id, group): (&str, &str)) -> Result<Self, InvalidName> {
        let data_id = Wildcard::parse("data id pattern", data_id, 256, document_character)?;
        let group = Wildcard::parse("group pattern", group, 128, document_character)?;
        Ok(Self(Arc::new(Parts { namespace: None, group, data_id })))
    }
}

impl From<&ConfigPattern> for ConfigPattern {
    fn from(pattern: &ConfigPattern) -> Self {
        pattern.clone()
    }
}

impl fmt::Debug for ConfigPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigPattern")
            .field("namespace", &self.namespace())
            .field("group", &self.group())
            .field("data_id", &self.data_id())
            .finish()
    }
}

impl fmt::Display for ConfigPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace() {
            Some(namespace) => write!(f, "{namespace}/{}/{}", self.group(), self.data_id()),
            None => write!(f, "{}/{}", self.group(), self.data_id()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, data_id: &str) -> bool {
        let key = ConfigKey::try_from(data_id).expect("valid");
        ConfigPattern::try_from(pattern).expect("valid").matches(&key)
    }

    #[test]
    fn star_matches_at_either_end_as_servers_match_it() {
        assert!(matches("*", "anything") && matches("a", "a") && !matches("a", "ab"));
        assert!(matches("app-*", "app-1") && matches("app-*", "app-") && !matches("app-*", "my"));
        assert!(matches("*-prod", "app-prod") && !matches("*-prod", "app-prod-2"));
        assert!(matches("*app*", "my-app-1") && matches("*app*", "app") && !matches("*app*", "a"));
    }

    #[test]
    fn what_servers_would_never_match_is_refused_before_anything_is_sent() {
        for (pattern, at) in [("a*b", 1), ("*a*b", 2), ("a**", 1), ("**", 0), ("***", 1)] {
            let error = ConfigPattern::try_from(pattern).expect_err(pattern);
            let found = InvalidName::Character { what: "data id pattern", found: '*', at };
            assert_eq!(error, found, "{pattern}");
        }
        for pattern in ["", "a b", "a>>b", "a+b", "a%", &"x".repeat(257)] {
            assert!(ConfigPattern::try_from(pattern).is_err(), "{pattern}");
            assert!(ConfigPattern::try_from(("*", pattern)).is_err(), "{pattern}");
        }
    }

    #[test]
    fn namespace_is_part_of_the_pattern() {
        let own = Namespace::parse("own").expect("valid");
        let pattern = ConfigPattern::try_from(("*", "g*")).expect("valid");
        let key = ConfigKey::try_from(("d", "g1")).expect("valid");
        assert!(pattern.matches(&key));
        let resolved = pattern.clone().resolve(&own);
        assert_eq!(
            (resolved.as_sent().as_str(), pattern.as_sent().as_str()),
            ("own>>g*>>*", "public>>g*>>*")
        );
        assert!(!resolved.matches(&key) && resolved.matches(&key.in_namespace(own)));
    }
}
