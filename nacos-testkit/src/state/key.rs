//! Names of configurations and services, as the server keeps them.

/// Where a configuration is kept; the namespace is blank for the default one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConfigKey {
    pub(crate) namespace: String,
    pub(crate) group: String,
    pub(crate) data_id: String,
}

impl ConfigKey {
    /// The text form of fuzzy watches: `dataId+group+namespace`.
    pub(crate) fn to_group_key(&self) -> String {
        let escape = |part: &str| part.replace('%', "%25").replace('+', "%2B");
        format!("{}+{}+{}", escape(&self.data_id), escape(&self.group), self.shown_namespace())
    }

    pub(crate) fn shown_namespace(&self) -> &str {
        if self.namespace.is_empty() { "public" } else { &self.namespace }
    }
}

/// Where a service is kept; the default namespace is `public`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceKey {
    pub(crate) namespace: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

impl ServiceKey {
    pub(crate) fn new(namespace: &str, group: &str, name: &str) -> Self {
        let or = |text: &str, default: &str| {
            if text.is_empty() { default.to_owned() } else { text.to_owned() }
        };
        Self {
            namespace: or(namespace, "public"),
            group: or(group, "DEFAULT_GROUP"),
            name: name.to_owned(),
        }
    }

    /// `group@@service`
    pub(crate) fn grouped_name(&self) -> String {
        format!("{}@@{}", self.group, self.name)
    }

    /// The text form of fuzzy watches: `namespace@@group@@service`.
    pub(crate) fn to_service_key(&self) -> String {
        format!("{}@@{}@@{}", self.namespace, self.group, self.name)
    }
}
