//! The labels of a client's connections, by which servers choose gray versions for it.
use std::sync::Arc;

/// Names and values, each name once. Cheap to clone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Reads `name=value`, several separated by `,`.
    ///
    /// # Errors
    ///
    /// Names the rule that is broken, and the label by its place.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut labels: Vec<(Box<str>, Box<str>)> = Vec::new();
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        for (place, part) in (1..).zip(parts) {
            let invalid = |why: &str| Err(format!("label {place} {why}"));
            let Some((name, value)) = part.split_once('=') else {
                return invalid("is no `name=value`");
            };
            let (name, value) = (name.trim(), value.trim());
            if !is_valid(name) || !is_valid(value) {
                return invalid(
                    "has other characters than letters, digits and `_ - . :`, none, or more than 128",
                );
            }
            if labels.iter().any(|(other, _)| **other == *name) {
                return invalid("has the name of another one");
            }
            if labels.len() == MOST {
                return Err(format!("there are more than {MOST} labels"));
            }
            labels.push((name.into(), value.into()));
        }
        Ok(Self(labels.into()))
    }

    /// Each name and its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The gray tag of this client.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.iter().find(|(name, _)| *name == TAG).map(|(_, value)| value)
    }
}

fn is_valid(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    (1..=LONGEST).contains(&text.len()) && text.chars().all(allowed)
}

/// The label by which servers choose the version of a gray tag.
pub(crate) const TAG: &str = "Vipserver-Tag";
/// In characters, as the Java client has it.
const LONGEST: usize = 128;
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_the_java_client_writes_them() {
        let labels = Labels::parse(" Vipserver-Tag = blue,zone=z1,, ").expect("valid");
        let read: Vec<_> = labels.iter().collect();
        assert_eq!(read, [("Vipserver-Tag", "blue"), ("zone", "z1")]);
        assert_eq!(labels.tag(), Some("blue"));
        assert_eq!(Labels::parse("").expect("none"), Labels::default());
        assert_eq!(Labels::default().tag(), None);
    }

    #[test]
    fn broken_labels_are_named_by_their_place() {
        for (text, part) in [
            ("a=1,b", "label 2"),
            ("a=", "label 1"),
            ("=1", "label 1"),
            ("a=1=2", "label 1"),
            ("a=ü", "label 1"),
            ("a=1,b=2,a=3", "label 3"),
            (&format!("a={}", "x".repeat(129)), "label 1"),
            (&(0..65).map(|n| format!("n{n}=1")).collect::<Vec<_>>().join(","), "more than 64"),
        ] {
            let error = Labels::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
