//! Names and keys: every string that addresses something on a server, parsed once.
//!
//! The rules are those that servers since 2.3 enforce. Older servers and r-nacos accept more, but
//! what one server stores and another refuses is a trap, so the strictest rule holds here.
mod invalid_name;
mod pattern;

use std::{fmt, str::FromStr, sync::Arc};

use self::invalid_name::check;
pub use self::{invalid_name::InvalidName, pattern::ConfigPattern};

/// Declares one kind of name: a shared string that obeys a rule.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $limit:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            ///
            /// [`InvalidName`] names the rule that `name` breaks.
            pub fn parse(name: &str) -> Result<Self, InvalidName> {
                check($what, name, $limit, $allowed)?;
                Ok(Self(name.into()))
            }

            /// The name as it goes on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::parse(name)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;

            fn try_from(name: &str) -> Result<Self, InvalidName> {
                Self::parse(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// The name of a document within its group, for example `orders.yaml`.
    ///
    /// ASCII letters, digits and `_ - . :`, at most 256 characters.
    DataId, "data id", 256, document_character
}

name! {
    /// A group of documents or services. [`Group::default`] is `DEFAULT_GROUP`.
    ///
    /// ASCII letters, digits and `_ - . :`, at most 128 characters.
    Group, "group", 128, document_character
}

name! {
    /// A cluster of a service's instances. [`ClusterName::default`] is `DEFAULT`.
    ///
    /// ASCII letters, digits, `-` and `_`, at most 64 characters.
    ClusterName, "cluster name", 64, |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

impl DataId {
    /// Whether it says that the document holds cipher text: servers and other clients encrypt and
    /// decrypt by this prefix.
    pub(crate) fn is_cipher(&self) -> bool {
        self.as_str().starts_with("cipher-")
    }

    /// The type of content that the ending names, if it names one.
    pub(crate) fn content_type(&self) -> Option<&'static str> {
        let (_, ending) = self.as_str().rsplit_once('.')?;
        Some(match ending.to_ascii_lowercase().as_str() {
            "yaml" | "yml" => "yaml",
            "json" => "json",
            "toml" => "toml",
            "properties" => "properties",
            "xml" => "xml",
            "html" | "htm" => "html",
            _ => return None,
        })
    }
}

fn document_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')
}

impl Default for Group {
    fn default() -> Self {
        Self("DEFAULT_GROUP".into())
    }
}

impl Default for ClusterName {
    fn default() -> Self {
        Self("DEFAULT".into())
    }
}

impl ClusterName {
    /// A cluster as a server named it: other clients may have registered what we would refuse.
    pub(crate) fn received(name: &str) -> Self {
        Self(name.into())
    }
}

/// A namespace id (not its display name). [`Namespace::default`] is the default namespace.
///
/// The default namespace has two spellings, the empty one and `public`; both parse to the same
/// value, and each message is sent with the spelling that its servers understand: the empty one for
/// documents, `public` for services. To Java Nacos 2.3 and 3.x, the empty one is another namespace
/// in naming, and there the default namespace of every client is `public`: so it is in Java, Go,
/// Python (3.2), Node, C#, C++ and Rust. An instance that is registered under the empty namespace
/// over the bare protocol is invisible to all of these clients.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Parses a namespace id: ASCII letters, digits, `-` and `_`, at most 64 characters, or empty.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] names the rule that `id` breaks.
    pub fn parse(id: &str) -> Result<Self, InvalidName> {
        if id.is_empty() || id == "public" {
            return Ok(Self::default());
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        check("namespace", id, 64, allowed)?;
        Ok(Self(id.into()))
    }

    /// The id; `public` for the default namespace.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "public" } else { &self.0 }
    }

    /// Whether this is the default namespace.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// The spelling in configuration messages: 2.x servers take `public` for another place.
    pub(crate) fn as_tenant(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self("".into())
    }
}

impl FromStr for Namespace {
    type Err = InvalidName;

    fn from_str(id: &str) -> Result<Self, InvalidName> {
        Self::parse(id)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The name of a service within its group.
///
/// At most 512 characters, no white space, no CJK ideograph, no `@@`, no `@` in front.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// Parses a service name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] names the rule that `name` breaks.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        let ideograph = |c: char| ('\u{4E00}'..='\u{9FA5}').contains(&c);
        check("service name", name, 512, |c| {
            !c.is_whitespace() && !c.is_control() && !ideograph(c)
        })?;
        match name.find("@@").or_else(|| name.starts_with('@').then_some(0)) {
            Some(at) => Err(InvalidName::Character { what: "service name", found: '@', at }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as it goes on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::parse(name)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where a document stands: data id, group, and the namespace if it is not the client's own.
///
/// Made from a data id (`"orders.yaml"`, in `DEFAULT_GROUP`) or from a data id and a group, in
/// Nacos' order (`("orders.yaml", "ORDER_GROUP")`).
///
/// ```
/// use nacos_core::{ConfigKey, Namespace};
///
/// let key = ConfigKey::try_from(("orders.yaml", "ORDER_GROUP"))?;
/// assert_eq!(key.data_id().as_str(), "orders.yaml");
/// let staging = key.in_namespace(Namespace::parse("staging")?);
/// assert_eq!(staging.to_string(), "staging/ORDER_GROUP/orders.yaml");
/// # Ok::<(), nacos_core::InvalidName>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConfigKey(Arc<ConfigNames>);

/// The names of a document, once for all maps that know it.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct ConfigNames {
    namespace: Option<Namespace>,
    group: Group,
    data_id: DataId,
}

impl ConfigKey {
    /// A document of the client's own namespace.
    #[must_use]
    pub fn new(data_id: DataId, group: Group) -> Self {
        Self(Arc::new(ConfigNames { namespace: None, group, data_id }))
    }

    /// The same document in `namespace`, whatever the client's own is.
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

    /// The group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.0.group
    }

    /// The data id.
    #[must_use]
    pub fn data_id(&self) -> &DataId {
        &self.0.data_id
    }

    /// The key with its namespace filled in: the form that every map below the public API uses.
    pub(crate) fn resolve(mut self, own: &Namespace) -> Self {
        if self.0.namespace.is_none() {
            Arc::make_mut(&mut self.0).namespace = Some(own.clone());
        }
        self
    }

    /// The namespace as configuration messages spell it.
    pub(crate) fn tenant(&self) -> &str {
        self.0.namespace.as_ref().map_or("", Namespace::as_tenant)
    }
}

impl TryFrom<&str> for ConfigKey {
    type Error = InvalidName;

    fn try_from(data_id: &str) -> Result<Self, InvalidName> {
        Ok(Self::new(DataId::parse(data_id)?, Group::default()))
    }
}

impl TryFrom<(&str, &str)> for ConfigKey {
    type Error = InvalidName;

    fn try_from((data_id, group): (&str, &str)) -> Result<Self, InvalidName> {
        Ok(Self::new(DataId::parse(data_id)?, Group::parse(group)?))
    }
}

impl From<&ConfigKey> for ConfigKey {
    fn from(key: &ConfigKey) -> Self {
        key.clone()
    }
}

impl fmt::Debug for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigKey")
            .field("namespace", &self.0.namespace)
            .field("group", &self.0.group)
            .field("data_id", &self.0.data_id)
            .finish()
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.namespace {
            Some(namespace) => write!(f, "{namespace}/{}/{}", self.0.group, self.0.data_id),
            None => write!(f, "{}/{}", self.0.group, self.0.data_id),
        }
    }
}

/// Which service: name, group, and the namespace if it is not the client's own.
///
/// Made from a name (`"orders"`, in `DEFAULT_GROUP`), a grouped name (`"ORDER_GROUP@@orders"`), or
/// a name and a group, in Nacos' order (`("orders", "ORDER_GROUP")`).
///
/// ```
/// use nacos_core::ServiceKey;
///
/// let key = ServiceKey::try_from("ORDER_GROUP@@orders")?;
/// assert_eq!(key, ServiceKey::try_from(("orders", "ORDER_GROUP"))?);
/// # Ok::<(), nacos_core::InvalidName>(())
/// ```
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ServiceKey(Arc<ServiceNames>);

/// The names of a service, once for all maps that know it.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
struct ServiceNames {
    namespace: Option<Namespace>,
    group: Group,
    name: ServiceName,
}

impl ServiceKey {
    /// A service of the client's own namespace.
    #[must_use]
    pub fn new(name: ServiceName, group: Group) -> Self {
        Self(Arc::new(ServiceNames { namespace: None, group, name }))
    }

    /// The same service in `namespace`, whatever the client's own is.
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

    /// The group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.0.group
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &ServiceName {
        &self.0.name
    }

    /// The key with its namespace filled in: the form that every map below the public API uses.
    pub(crate) fn resolve(mut self, own: &Namespace) -> Self {
        if self.0.namespace.is_none() {
            Arc::make_mut(&mut self.0).namespace = Some(own.clone());
        }
        self
    }

    /// Group and name alone.
    pub(crate) fn unplaced(&self) -> Self {
        Self::new(self.name().clone(), self.group().clone())
    }

    /// The namespace as naming messages spell it: always `public` for the default one, as all other
    /// clients do. Java 2.3 and 3.x keep the blank one apart.
    pub(crate) fn namespace_id(&self) -> &str {
        self.0.namespace.as_ref().map_or("public", Namespace::as_str)
    }
}

impl TryFrom<&str> for ServiceKey {
    type Error = InvalidName;

    fn try_from(name: &str) -> Result<Self, InvalidName> {
        match name.split_once("@@") {
            Some((group, name)) => Self::try_from((name, group)),
            None => Ok(Self::new(ServiceName::parse(name)?, Group::default())),
        }
    }
}

impl TryFrom<(&str, &str)> for ServiceKey {
    type Error = InvalidName;

    fn try_from((name, group): (&str, &str)) -> Result<Self, InvalidName> {
        Ok(Self::new(ServiceName::parse(name)?, Group::parse(group)?))
    }
}

impl From<&ServiceKey> for ServiceKey {
    fn from(key: &ServiceKey) -> Self {
        key.clone()
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceKey")
            .field("namespace", &self.0.namespace)
            .field("group", &self.0.group)
            .field("name", &self.0.name)
            .finish()
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.namespace {
            Some(namespace) => write!(f, "{namespace}/{}@@{}", self.0.group, self.0.name),
            None => write!(f, "{}@@{}", self.0.group, self.0.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offending_character_is_named() {
        let error = DataId::parse("orders yaml").expect_err("has a blank");
        assert_eq!(error, InvalidName::Character { what: "data id", found: ' ', at: 6 });
        assert_eq!(error.to_string(), "the data id has ' ' at byte 6, which servers refuse");
    }

    #[test]
    fn blank_and_long_names_are_refused() {
        assert_eq!(Group::parse(""), Err(InvalidName::Blank { what: "group" }));
        let long = "x".repeat(65);
        assert_eq!(
            ClusterName::parse(&long),
            Err(InvalidName::TooLong { what: "cluster name", length: 65, limit: 64 })
        );
    }

    #[test]
    fn default_namespace_has_one_value_and_two_spellings() {
        let namespace = Namespace::parse("public").expect("valid");
        assert_eq!(namespace, Namespace::parse("").expect("valid"));
        assert_eq!((namespace.as_str(), namespace.as_tenant()), ("public", ""));
    }

    #[test]
    fn service_names_that_servers_refuse_are_refused_here() {
        for name in ["@orders", "a@@b@@c", "or ders", "订单", "a\tb"] {
            assert!(ServiceName::parse(name).is_err(), "{name:?} was accepted");
        }
        for name in ["orders", "orders.v1.Orders", "a@b", "grüße"] {
            assert!(ServiceName::parse(name).is_ok(), "{name:?} was refused");
        }
    }

    #[test]
    fn namespace_of_the_key_beats_the_clients() {
        let own = Namespace::parse("own").expect("valid");
        let key = ConfigKey::try_from("a").expect("valid");
        assert_eq!(key.clone().resolve(&own).tenant(), "own");
        assert_eq!(key.in_namespace(Namespace::default()).resolve(&own).tenant(), "");
    }
}
