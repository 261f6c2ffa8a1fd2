//! Names of files for names that a server or a user chose.
use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// The name of one file or folder for `name`, whatever that is: it names nothing but an entry of
/// its folder, on any system, and two names have two, also where a disk takes `a` and `A` for one
/// letter.
///
/// It is the [`plain_name`], and behind a sign that no encoding makes which of its letters are
/// capitals, if there are any: four letters a hexadecimal digit, as in `DEFAULT_GROUP%ufff`.
pub(super) fn file_name(name: &str) -> String {
    let mut encoded = plain_name(name);
    let capitals = capitals(name);
    if capitals.is_empty() || encoded.starts_with(DIGEST) {
        return encoded;
    }
    encoded.push_str(CAPITALS);
    encoded.push_str(&capitals);
    if encoded.len() > LONGEST { format!("{DIGEST}{}", sha256(&[name])) } else { encoded }
}

/// Which letters are capitals, four of them a digit; nothing if none is.
fn capitals(name: &str) -> String {
    let letters: Vec<_> = name.chars().filter(char::is_ascii_alphabetic).collect();
    let digits = letters.chunks(4).map(|four| {
        let bits = four.iter().zip([8, 4, 2, 1]);
        let sum = bits.filter(|(letter, _)| letter.is_ascii_uppercase()).map(|(_, bit)| bit).sum();
        char::from_digit(sum, 16).unwrap_or_default()
    });
    digits.collect::<String>().trim_end_matches('0').to_owned()
}

/// The name of an entry as a person spells it: of two names that differ in the case of their
/// letters alone, a disk may make one.
///
/// Letters, digits and `_ - .` stand for themselves, everything else is percent-encoded. So is a
/// dot in front, which leaves room for files that are no documents; a dot at the end, which Windows
/// drops; and the first letter of a device's name, such as `CON`. A long name becomes its digest,
/// behind a sign that no encoding makes.
pub(super) fn plain_name(name: &str) -> String {
    let mut encoded = utf8_percent_encode(name, ENCODED).to_string();
    if encoded.is_empty() {
        return "%empty".to_owned();
    }
    if encoded.len() > LONGEST {
        return format!("{DIGEST}{}", sha256(&[name]));
    }
    if encoded.ends_with('.') {
        encoded.truncate(encoded.len() - 1);
        encoded.push_str("%2E");
    }
    if encoded.starts_with('.') || is_device(&encoded) {
        let first = encoded.remove(0);
        encoded.insert_str(0, &format!("%{:02X}", u32::from(first)));
    }
    encoded
}

/// The digest of these texts, of which none can be taken for the end of the one before.
pub(super) fn sha256(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Windows opens a device under these names, with any ending: `con.yaml`.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let port = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    let is_port = port.is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'9']));
    is_port || ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str())
}

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');
/// No encoding makes these: no hexadecimal digits follow the sign.
const CAPITALS: &str = "%u";
const DIGEST: &str = "%sha256-";
/// Bytes, so that a name with what is put around it stays below the 255 of most file systems.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_readable() {
        for name in ["orders.yaml", "DEFAULT_GROUP", "a-b_c.d", "console", "com10", "COM.", "x"] {
            assert_eq!(plain_name(name), name.replace("COM.", "COM%2E"));
        }
        assert_eq!(plain_name("com.acme:Orders"), "com.acme%3AOrders");
        assert_eq!(file_name("orders.yaml"), "orders.yaml");
    }

    #[test]
    fn capitals_are_told_apart_on_every_disk() {
        let cases = [
            ("DEFAULT_GROUP", "DEFAULT_GROUP%ufff"),
            ("default_group", "default_group"),
            ("Default_Group", "Default_Group%u81"),
            ("orders.Yaml", "orders.Yaml%u02"),
            ("Ä", "%C3%84"),
        ];
        for (name, expected) in cases {
            assert_eq!(file_name(name), expected, "{name:?}");
        }
        let long = "X".repeat(190);
        assert!(file_name(&long).starts_with("%sha256-"), "a name with its capitals is too long");
    }

    #[test]
    fn hostile_names_become_harmless_entries() {
        let cases = [
            ("", "%empty"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("../../x", "%2E.%2F..%2Fx"),
            ("/etc/passwd", "%2Fetc%2Fpasswd"),
            ("C:\\x", "C%3A%5Cx%u8"),
            (".orders.corrupt-7", "%2Eorders.corrupt-7"),
            ("%2E", "%252E%u8"),
            ("NUL", "%4EUL%ue"),
            ("con.yaml", "%63on.yaml"),
            ("lpt1", "%6Cpt1"),
            ("a\0b", "a%00b"),
            ("a.", "a%2E"),
            ("中", "%E4%B8%AD"),
        ];
        for (name, expected) in cases {
            assert_eq!(file_name(name), expected, "{name:?}");
        }
    }

    #[test]
    fn long_names_become_digests_that_no_name_is_encoded_to() {
        let long = "x".repeat(256);
        let name = file_name(&long);
        assert!(name.starts_with("%sha256-") && name.len() == 72, "{name}");
        assert_ne!(name, file_name(&"x".repeat(255)));
        assert_ne!(name, file_name(&name));
        assert_eq!(file_name(&"x".repeat(200)).len(), 200);
    }

    proptest! {
        #[test]
        fn any_name_is_one_plain_entry_and_has_its_own(one in ".{0,300}", other in ".{0,300}") {
            let name = file_name(&one);
            let parts: Vec<_> = Path::new(&name).components().collect();
            prop_assert_eq!(parts, [Component::Normal(name.as_ref())]);
            prop_assert!(name.len() <= 206 && name.is_ascii() && !name.starts_with('.'));
            prop_assert!(!name.contains(['/', '\\', ':']) && !name.ends_with(['.', ' ']));
            prop_assert_eq!(one == other, name == file_name(&other));
        }

        #[test]
        fn names_that_differ_in_case_alone_stay_apart(one in "[a-cA-C%u.]{0,9}", other in "[a-cA-C%u.]{0,9}") {
            let folded = |name| file_name(name).to_ascii_lowercase();
            prop_assert_eq!(one == other, folded(&one) == folded(&other));
        }
    }
}
