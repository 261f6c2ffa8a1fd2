//! One field of a message, without reading the rest.
use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};

/// The field `name` at the top of `json`, whatever is wrong behind it; nothing if it is missing or
/// not of that type.
pub(crate) fn peek<'de, T: Deserialize<'de>>(json: &'de [u8], name: &str) -> Option<T> {
    let mut found = None;
    let search = Search { name, found: &mut found, kind: PhantomData };
    // Whatever ended the search, what was found before that counts.
    let _ = serde_json::Deserializer::from_slice(json).deserialize_map(search);
    found
}

struct Search<'a, T> {
    name: &'a str,
    found: &'a mut Option<T>,
    kind: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Search<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut message: A) -> Result<(), A::Error> {
        while let Some(name) = message.next_key::<Cow<'de, str>>()? {
            if name == self.name {
                *self.found = Some(message.next_value()?);
                return Err(de::Error::custom("found: the rest does not matter"));
            }
            message.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
