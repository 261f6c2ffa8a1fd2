//! A value as a file or the environment gives it, before its type is known.
use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use crate::{link_variable::is_link, secret::Secret, start_policy::StartPolicy};

/// A value of unknown type. No error shows it: it may be a secret in the wrong place.
#[derive(Clone)]
pub(crate) enum Given {
    Flag(bool),
    Number(u64),
    /// Any other number.
    Fraction(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            // A format that is asked for text shows any other value in its error.
            deserializer.deserialize_any(Anything)
        } else {
            deserializer.deserialize_string(Anything)
        }
    }
}

struct Anything;

impl Visitor<'_> for Anything {
    type Value = Given;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, `true` or `false`")
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Given, E> {
        Ok(Given::Flag(flag))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Given, E> {
        Ok(Given::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Given, E> {
        Ok(u64::try_from(number).map_or(Given::Fraction(f64::NAN), Given::Number))
    }

    // Without these two the error would show the number.
    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Given, E> {
        Ok(u64::try_from(number).map_or(Given::Fraction(f64::NAN), Given::Number))
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Given, E> {
        Ok(u64::try_from(number).map_or(Given::Fraction(f64::NAN), Given::Number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Given, E> {
        Ok(Given::Fraction(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Given, E> {
        Ok(Given::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Given, E> {
        Ok(Given::Text(text))
    }

    fn visit_char<E: de::Error>(self, text: char) -> Result<Given, E> {
        Ok(Given::Text(text.into()))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Given::deserialize(deserializer)?.secret().map_err(de::Error::custom)
    }
}

impl Given {
    /// Whether it says where a service is, as Kubernetes and Docker set it: no option does.
    pub(crate) fn is_link(&self) -> bool {
        matches!(self, Self::Text(text) if is_link(text))
    }

    pub(crate) fn text(self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text),
            // Files and the environment turn what looks like a number into one.
            Self::Number(number) => Ok(number.to_string()),
            Self::Flag(flag) => Ok(flag.to_string()),
            // 1.50 has become 1.5 by now.
            Self::Fraction(_) => Err("such a number has to be quoted".to_owned()),
        }
    }

    /// As it was written, to the letter: 007 has become 7 by now, 0x10 16, and yes `true`.
    pub(crate) fn secret(self) -> Result<Secret, String> {
        match self {
            Self::Text(text) => Ok(Secret::new(text)),
            Self::Flag(_) | Self::Number(_) | Self::Fraction(_) => {
                Err("a secret that looks like a number or a flag has to be quoted".to_owned())
            }
        }
    }

    /// Whole, and within what `T` holds.
    pub(crate) fn number<T: TryFrom<u64>>(self) -> Result<T, String> {
        if self.is_link() {
            let what = "it is an address and no number, of the form in which Kubernetes and Docker";
            return Err(format!("{what} say where a service is"));
        }
        let number = match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Flag(_) | Self::Fraction(_) => None,
        };
        let fits = number.and_then(|number| T::try_from(number).ok());
        fits.ok_or_else(|| "it is no number, or too large".to_owned())
    }

    pub(crate) fn start_policy(self) -> Result<StartPolicy, String> {
        let policy = self.text().ok().and_then(|name| StartPolicy::parse(&name));
        let choice = "`remote`, `remote_then_snapshot`, `snapshot_first` nor `offline`";
        policy.ok_or_else(|| format!("it is neither {choice}"))
    }

    pub(crate) fn flag(self) -> Result<bool, String> {
        match self {
            Self::Flag(flag) => Ok(flag),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("it is neither `true` nor `false`".to_owned()),
        }
    }

    /// The same in `unit`, if it is a number without one.
    pub(crate) fn in_unit(self, unit: &str) -> Self {
        match self {
            Self::Number(number) => Self::Text(format!("{number}{unit}")),
            Self::Text(text) if text.trim().bytes().all(|c| c.is_ascii_digit()) => {
                Self::Text(format!("{}{unit}", text.trim()))
            }
            other => other,
        }
    }

    /// A whole number with its unit. A number without one is refused: other clients mean
    /// milliseconds here and seconds there.
    pub(crate) fn time(self) -> Result<Duration, String> {
        let Self::Text(text) = self else { return Err(NO_TIME.to_owned()) };
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let millis_in_one = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(NO_TIME.to_owned()),
        };
        let millis =
            number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis_in_one));
        millis.map(Duration::from_millis).ok_or_else(|| NO_TIME.to_owned())
    }
}

const NO_TIME: &str = "it is no time with a unit, such as 500ms, 5s, 2m or 1h";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Given {
        Given::Text(text.to_owned())
    }

    #[test]
    fn times_have_a_unit() {
        let read = |given: &str| text(given).time().map(|time| time.as_millis());
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read(" 5 s "), Ok(5_000));
        assert_eq!(read("2m"), Ok(120_000));
        assert_eq!(read("1h"), Ok(3_600_000));
        for wrong in
            ["", "5", "s", "-5s", "5d", "1.5s", "99999999999999999999s", "99999999999999999h"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(Given::Number(5).time().is_err());
    }

    #[test]
    fn numbers_without_a_unit_get_the_one_that_is_meant() {
        let read = |given: Given| given.in_unit("s").time().map(|time| time.as_millis());
        assert_eq!(read(Given::Number(5)), Ok(5_000));
        assert_eq!(read(text(" 5 ")), Ok(5_000));
        assert_eq!(read(text("5ms")), Ok(5), "it has one of its own");
        for wrong in [text(""), text("-5"), Given::Flag(true), Given::Fraction(5.0)] {
            assert!(read(wrong).is_err());
        }
    }

    #[test]
    fn numbers_and_flags_may_be_spelled_as_text() {
        assert_eq!(text("1000").number::<u16>(), Ok(1000));
        assert!(text("70000").number::<u16>().is_err());
        assert_eq!(text("TRUE").flag(), Ok(true));
        assert!(text("yes").flag().is_err());
        assert_eq!(Given::Number(1234).text(), Ok("1234".to_owned()));
    }

    #[test]
    fn secrets_are_taken_to_the_letter_or_refused() {
        assert_eq!(text("007").secret().map(|secret| secret.expose().to_owned()), Ok("007".into()));
        assert!(Given::Fraction(1.5).text().is_err(), "its zeros are lost");
        for changed in [Given::Number(7), Given::Flag(true), Given::Fraction(1.5)] {
            assert!(changed.secret().is_err());
        }
    }

    #[test]
    fn numbers_of_any_size_are_in_no_error() {
        use serde::de::value::{Error, I128Deserializer, U128Deserializer};
        let large = Given::deserialize(U128Deserializer::<Error>::new(u128::MAX));
        assert!(large.is_ok_and(|given| given.text().is_err()));
        let small = Given::deserialize(I128Deserializer::<Error>::new(-1));
        assert!(small.is_ok_and(|given| given.text().is_err()));
    }
}
