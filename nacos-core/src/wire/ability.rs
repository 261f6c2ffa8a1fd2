//! A server's abilities beyond the basics, as it announces them on each connection.
use std::collections::BTreeMap;

/// Something that not every server can do. A [`Request`](super::Request) that needs one says so,
/// and is not sent to a server that has not announced it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ability {
    /// Persistent instances over gRPC; Java Nacos since 2.3.
    PersistentInstances,
    /// Fuzzy watches of documents and services; Java Nacos since 3.0.
    FuzzyWatch,
}

impl Ability {
    /// Why `server`, which announced `abilities`, is not asked for it; `None` if it can.
    ///
    /// Silence is a no: servers before 2.3 and r-nacos announce nothing, and answer such requests
    /// with errors of many kinds, or not at all.
    pub(crate) fn missing(
        self,
        abilities: &BTreeMap<String, bool>,
        server: &str,
    ) -> Option<String> {
        let name = self.name();
        match abilities.get(name) {
            Some(true) => None,
            Some(false) => Some(format!("{server} says that it lacks the ability {name}")),
            None if abilities.is_empty() => {
                Some(format!("{server} announces no abilities, and {name} is needed"))
            }
            None => Some(format!("{server} has not announced the ability {name}")),
        }
    }

    /// The name on the wire.
    fn name(self) -> &'static str {
        match self {
            Self::PersistentInstances => "supportPersistentInstanceByGrpc",
            Self::FuzzyWatch => "fuzzyWatch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_announced_ability_is_there_and_the_rest_is_told_apart() {
        let table = |on: &[(&str, bool)]| {
            on.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect::<BTreeMap<_, _>>()
        };
        let missing = |abilities: &[(&str, bool)]| {
            Ability::FuzzyWatch.missing(&table(abilities), "10.0.0.1:8848")
        };
        assert_eq!(missing(&[("fuzzyWatch", true)]), None);
        let reasons = [
            missing(&[("fuzzyWatch", false), ("lock", true)]),
            missing(&[("lock", true)]),
            missing(&[]),
        ];
        let reasons = reasons.map(|why| why.expect("it is missing"));
        for why in &reasons {
            assert!(why.contains("fuzzyWatch") && why.contains("10.0.0.1:8848"), "{why}");
        }
        assert!(reasons[0] != reasons[1] && reasons[1] != reasons[2]);
    }
}
