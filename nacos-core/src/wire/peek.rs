//! One field of a message, without reading the rest.
use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

/// The field `name` at the top of `json`, whatever is wrong behind it; nothing if it is missing or
/// not of that type.
pub(crate) fn peek<'de, T: Deserialize<'de>>(json: &'de [u8], name: &str) -> Option<T> {
    peek_in(json, &[name])
}

/// The same of a field within fields: the last name of `path` within that before it.
pub(crate) fn peek_in<'de, T: Deserialize<'de>>(json: &'de [u8], path: &[&str]) -> Option<T> {
    let mut found = None;
    let search = Lookup { path, found: &mut found, kind: PhantomData };
    // A value that was found counts, whatever ended the search.
    let _ = search.deserialize(&mut serde_json::Deserializer::from_slice(json));
    found
}

struct Lookup<'a, T> {
    path: &'a [&'a str],
    found: &'a mut Option<T>,
    kind: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Lookup<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Lookup<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut message: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else { return Ok(()) };
        while let Some(name) = message.next_key::<Cow<'de, str>>()? {
            if name == *first {
                if rest.is_empty() {
                    *self.found = Some(message.next_value()?);
                } else {
                    message.next_value_seed(Lookup {
                        path: rest,
                        found: self.found,
                        kind: PhantomData,
                    })?;
                }
                return Err(de::Error::custom("found: the rest does not matter"));
            }
            message.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
