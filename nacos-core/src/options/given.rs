//! A value as a file or the environment gives it, before anybody knows what it is to be.
use std::time::Duration;

use serde::Deserialize;

/// A value of unknown type. No error shows it: it may be a secret in the wrong place.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Given {
    Flag(bool),
    Number(u64),
    Text(String),
}

impl Given {
    /// Never fails: files and the environment turn what looks like a number or a flag into one, and
    /// a password may look like one.
    pub(super) fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    /// Whole, and within what `T` holds.
    pub(super) fn number<T: TryFrom<u64>>(self) -> Result<T, String> {
        let number = match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Flag(_) => None,
        };
        let fits = number.and_then(|number| T::try_from(number).ok());
        fits.ok_or_else(|| "it is no number, or too large".to_owned())
    }

    pub(super) fn flag(self) -> Result<bool, String> {
        match self {
            Self::Flag(flag) => Ok(flag),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err("it is neither `true` nor `false`".to_owned()),
        }
    }

    /// A whole number with its unit. A number without one is refused: other clients mean
    /// milliseconds here and seconds there.
    pub(super) fn time(self) -> Result<Duration, String> {
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
    fn numbers_and_flags_may_be_spelled_as_text() {
        assert_eq!(text("1000").number::<u16>(), Ok(1000));
        assert!(text("70000").number::<u16>().is_err());
        assert_eq!(text("TRUE").flag(), Ok(true));
        assert!(text("yes").flag().is_err());
        assert_eq!(Given::Number(1234).text(), "1234");
    }
}
