//! The options of a client: one table, from which the builder's setters, the variables of the
//! environment, the keys of a configuration file and the documentation come.
//!
//! To add one, write its row in [`table`] and use it in [`check`].
mod access;
mod check;
mod foreign;
mod instance_id;
mod layers;
mod macros;
mod origin;
mod server_list;
mod table;
mod tls;
mod typos;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

pub use self::table::ClientOptions;
pub(crate) use self::{
    check::{check, prepare},
    macros::value,
    origin::OptionOrigin,
    table::{OPTIONS, table},
    tls::Certificates,
    typos::variable as misspelt_variable,
};
use crate::{
    error::{Error, ErrorKind, clip},
    given::Given,
    link_variable::{linked, said_of},
};

/// One row of the table.
pub(crate) struct Row {
    /// The name, in code and in files.
    pub(crate) name: &'static str,
    /// Names of the same option in other clients, as files and the environment spell them.
    pub(crate) also: &'static [Also],
    set: fn(&mut ClientOptions, Given) -> Result<(), String>,
    is_given: fn(&ClientOptions) -> bool,
    clear: fn(&mut ClientOptions),
    /// The kind of value, in a word.
    #[cfg(test)]
    kind: &'static str,
    /// The value that holds if none is given.
    #[cfg(test)]
    default: &'static str,
    /// The lines of the documentation.
    #[cfg(test)]
    docs: &'static [&'static str],
}

/// The name of an option in another client.
pub(crate) struct Also {
    pub(crate) name: &'static str,
    /// The unit of a time that is given as a number there; empty where none is needed.
    unit: &'static str,
}

impl Row {
    /// The variable of the environment.
    pub(crate) fn variable(&self) -> String {
        format!("NACOS_{}", self.name.to_ascii_uppercase())
    }

    /// The row of the option that is called `name`, in whatever case.
    fn find(name: &str) -> Option<&'static Self> {
        let plain = plain(name);
        OPTIONS.iter().find(|row| self::plain(row.name) == plain || row.known_as(&plain).is_some())
    }

    fn known_as(&self, plain: &str) -> Option<&Also> {
        self.also.iter().find(|also| self::plain(also.name) == plain)
    }

    /// Whether `given`, under `name`, is what Kubernetes and Docker set for a service that is
    /// called like it. They do so under certain names alone: under all others a user has given it.
    pub(crate) fn is_set_for_a_service(&self, name: &str, given: &Given) -> bool {
        given.is_link() && [name, self.name].into_iter().any(|name| linked(name).is_some())
    }

    /// Sets the option in `options` to what is given as `name`, its own or another client's.
    pub(crate) fn read(
        &self,
        options: &mut ClientOptions,
        name: &str,
        given: Given,
    ) -> Result<(), String> {
        let unit = self.known_as(&plain(name)).map_or("", |also| also.unit);
        (self.set)(options, if unit.is_empty() { given } else { given.in_unit(unit) })
    }
}

impl ClientOptions {
    /// Sets the option that is called `name`.
    fn set(&mut self, name: &str, given: Given) -> Result<(), String> {
        match Row::find(name) {
            Some(row) => row
                .read(self, name, given)
                .map_err(|why| format!("the option `{}`: {why}", row.name)),
            None => Err(match (foreign::why(name), typos::option(name)) {
                (Some(why), _) => format!("there is no option `{name}`: {why}"),
                (None, Some(nearest)) => {
                    format!("there is no option `{name}`; did you mean `{nearest}`?")
                }
                (None, None) => format!("there is no option `{name}`"),
            }),
        }
    }
}

/// Keys are read in snake, kebab and camel case; an unknown one is an error that suggests the
/// nearest. No error shows a value, which may be a secret in the wrong place.
impl<'de> Deserialize<'de> for ClientOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = ClientOptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the options of a client, by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ClientOptions, A::Error> {
        let mut options = ClientOptions::default();
        let mut read: BTreeMap<&str, String> = BTreeMap::new();
        let mut services = OfServices::default();
        while let Some(name) = map.next_key::<String>()? {
            match map.next_value::<Option<Given>>()? {
                // Given as nothing is not given: placeholders become that.
                None => continue,
                Some(Given::Text(text)) if text.is_empty() => continue,
                Some(given) => match services.take(&name, given) {
                    None => continue,
                    Some(given) => options.set(&name, given).map_err(de::Error::custom)?,
                },
            }
            // Layers are merged by key: of two spellings the upper layer's need not be the last.
            if let Some(row) = Row::find(&name)
                && let Some(other) = read.insert(row.name, name.clone())
            {
                let why =
                    format!("the option `{}` is given as `{other}` and as `{name}`", row.name);
                return Err(de::Error::custom(why));
            }
        }
        for (name, given) in services.end(&mut options.origin) {
            options.set(&name, given).map_err(de::Error::custom)?;
        }
        Ok(options)
    }
}

/// The variables that Kubernetes and Docker set for services, where all variables with a prefix are
/// read: where there is a service `nacos`, they set `NACOS_PORT=tcp://10.0.0.1:8848`, and more
/// about it.
#[derive(Default)]
struct OfServices {
    /// The services that such a value names.
    linked: BTreeSet<String>,
    /// Variables of such a service, or misspelt options: the other variables decide which.
    undecided: Vec<(String, Given)>,
    skipped: Vec<String>,
}

impl OfServices {
    /// Hands back what is to be read as an option.
    fn take(&mut self, name: &str, given: Given) -> Option<Given> {
        let row = Row::find(name);
        let service = linked(name);
        let is_link = match row {
            Some(row) => row.is_set_for_a_service(name, &given),
            None => service.is_some() && given.is_link(),
        };
        if is_link {
            self.linked.extend(service);
            self.skipped.push(name.to_owned());
            return None;
        }
        if row.is_none() && !said_of(name).is_empty() {
            self.undecided.push((name.to_owned(), given));
            return None;
        }
        Some(given)
    }

    /// The undecided variables of no service, to be read as options. Warns about the rest, and
    /// notes it.
    fn end(self, origin: &mut OptionOrigin) -> Vec<(String, Given)> {
        let Self { linked, undecided, mut skipped } = self;
        let (known, unknown): (Vec<_>, Vec<_>) = undecided
            .into_iter()
            .partition(|(name, _)| said_of(name).iter().any(|service| linked.contains(service)));
        if !skipped.is_empty() {
            skipped.extend(known.into_iter().map(|(name, _)| name));
            for name in &skipped {
                origin.note_not_read(name);
            }
            let names = skipped.join(", ");
            let options = clip(&names, origin::MOST_SHOWN);
            tracing::warn!(options, "not read: Kubernetes and Docker set this for a service");
        }
        unknown
    }
}

/// The error for an option that cannot be used.
pub(crate) fn invalid(option: &str, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOption, format!("read the option `{option}`"))
        .because(why.to_string())
}

/// Names the variable only: its value may be a secret in the wrong place.
pub(crate) fn unreadable_variable(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidOption, format!("read the variable {name}"))
        .because(why.to_owned())
}

/// `serverAddr`, `server-addr` and `server_addr` are the same name.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests;
