//! Instances as they arrive, in answers and pushes.
use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    instance::{Instance, MAX_WEIGHT},
    key::ClusterName,
};

/// An instance as it arrives: other clients may have registered anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InstanceInfo {
    #[serde(deserialize_with = "super::or_default")]
    ip: String,
    #[serde(deserialize_with = "super::or_default")]
    port: i64,
    #[serde(deserialize_with = "weight")]
    weight: Option<f64>,
    #[serde(deserialize_with = "super::or_default")]
    healthy: bool,
    enabled: Option<bool>,
    ephemeral: Option<bool>,
    cluster_name: Option<String>,
    #[serde(deserialize_with = "metadata")]
    metadata: BTreeMap<String, String>,
}

impl Default for InstanceInfo {
    fn default() -> Self {
        Self {
            ip: String::new(),
            port: 0,
            weight: None,
            // Servers that leave it out mean `true`.
            healthy: true,
            enabled: None,
            ephemeral: None,
            cluster_name: None,
            metadata: BTreeMap::new(),
        }
    }
}

impl InstanceInfo {
    /// The instance, if it can be dialled at all.
    pub(super) fn into_instance(self, last: &mut ClusterName) -> Option<Instance> {
        let port = u16::try_from(self.port).ok().filter(|&port| port != 0)?;
        let ip = match self.ip.trim() {
            "" => return None,
            ip if ip.len() == self.ip.len() => self.ip,
            ip => ip.to_owned(),
        };
        let weight = self.weight.unwrap_or(1.0);
        Some(Instance {
            ip,
            port,
            // Java counts a weight that is not a number as 1.
            weight: if weight.is_nan() { 1.0 } else { weight.clamp(0.0, MAX_WEIGHT) },
            healthy: self.healthy,
            enabled: self.enabled.unwrap_or(true),
            ephemeral: self.ephemeral.unwrap_or(true),
            cluster: cluster(last, self.cluster_name.as_deref()),
            metadata: self.metadata,
        })
    }
}

/// The cluster of that name, shared by neighbours: most services have only one.
fn cluster(last: &mut ClusterName, name: Option<&str>) -> ClusterName {
    match name {
        None | Some("") => ClusterName::default(),
        Some(name) => {
            if last.as_str() != name {
                *last = ClusterName::received(name);
            }
            last.clone()
        }
    }
}

/// A weight: a number, or a text for those that JSON has no number for, or anything else for none.
fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    struct Weight;

    impl<'de> Visitor<'de> for Weight {
        type Value = Option<f64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a weight")
        }

        fn visit_f64<E>(self, weight: f64) -> Result<Option<f64>, E> {
            Ok(Some(weight))
        }

        fn visit_u64<E>(self, weight: u64) -> Result<Option<f64>, E> {
            // A number that does not fit is far above the largest weight.
            Ok(Some(f64::from(u32::try_from(weight).unwrap_or(u32::MAX))))
        }

        fn visit_i64<E>(self, weight: i64) -> Result<Option<f64>, E> {
            Ok(Some(f64::from(i32::try_from(weight).unwrap_or(-1))))
        }

        fn visit_str<E>(self, weight: &str) -> Result<Option<f64>, E> {
            Ok(weight.parse().ok())
        }

        fn visit_bool<E>(self, _: bool) -> Result<Option<f64>, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Option<f64>, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<f64>, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<f64>, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }

    deserializer.deserialize_any(Weight)
}

/// Texts by key; a null is an empty text, and no map at all an empty map.
fn metadata<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    struct MetadataTexts;

    impl<'de> Visitor<'de> for MetadataTexts {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of texts")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut texts = BTreeMap::new();
            while let Some((key, text)) = map.next_entry::<String, Option<String>>()? {
                texts.insert(key, text.unwrap_or_default());
            }
            Ok(texts)
        }
    }

    deserializer.deserialize_any(MetadataTexts)
}
