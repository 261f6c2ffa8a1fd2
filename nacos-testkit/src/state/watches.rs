//! Patterns of fuzzy watches.

use super::{ConfigKey, ServiceKey};

/// The subject of a fuzzy watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Watched {
    Configs,
    Services,
}

/// How much is watched, of all clients together. The defaults are those of real servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchLimits {
    pub(crate) patterns: usize,
    /// Of one pattern; as many are too many already.
    pub(crate) matches: usize,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self { patterns: 20, matches: 500 }
    }
}

/// `namespace>>group>>name`, where group and name may begin or end with `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    namespace: String,
    group: String,
    name: String,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(">>").map(str::to_owned);
        let pattern = Self { namespace: parts.next()?, group: parts.next()?, name: parts.next()? };
        parts.next().is_none().then_some(pattern)
    }

    pub(crate) fn matches_config(&self, key: &ConfigKey) -> bool {
        self.matches(key.shown_namespace(), &key.group, &key.data_id)
    }

    pub(crate) fn matches_service(&self, key: &ServiceKey) -> bool {
        self.matches(&key.namespace, &key.group, &key.name)
    }

    fn matches(&self, namespace: &str, group: &str, name: &str) -> bool {
        self.namespace == namespace && fits(&self.group, group) && fits(&self.name, name)
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some("" | "*")) => true,
        (Some(rest), Some(_)) => text.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => text == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_matches_at_either_end_and_nowhere_else() {
        assert!(fits("*", "anything") && fits("*", "") && fits("**", "x"));
        assert!(fits("app-*", "app-1") && !fits("app-*", "my-app-1"));
        assert!(fits("*-prod", "app-prod") && !fits("*-prod", "app-prod-2"));
        assert!(fits("*app*", "my-app-1") && !fits("*app*", "my-1"));
        assert!(!fits("a*b", "axb") && fits("a", "a"));
    }
}
