//! The form of a snapshot: one line that says what it is, then the content as it came.
//!
//! ```text
//! NACOSSNAP1 <crc32 of the header> <header as JSON>\n<content>
//! ```
//!
//! A file is believed only if it is, byte for byte, what [`encode`] makes of what was read from it:
//! a reader that forgave a blank, a digit in another case or an unknown field would take some
//! damaged files for whole ones.
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{Snapshot, crc32::crc32};
use crate::{document::Document, gray::Gray, key::ConfigKey};

/// Everything about a snapshot but its content.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    scope: Text<'a>,
    namespace: &'a str,
    group: &'a str,
    data_id: &'a str,
    seq: u64,
    /// Milliseconds since 1970, as all times here.
    saved_at: u64,
    /// The server confirmed that there is no such document.
    removed: bool,
    md5: Text<'a>,
    last_modified: Option<u64>,
    content_type: Text<'a>,
    encrypted_data_key: Option<Text<'a>>,
    gray: Option<Text<'a>>,
    len: u64,
    crc: u32,
}

/// A text that a server chose: its escapes have to be undone when it is read.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// Why a file is no snapshot of the document that was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flaw {
    /// It does not begin as snapshots do, or ends within its first line.
    NoHeader,
    /// A later version of this client may have written it.
    OtherVersion,
    /// The header is damaged.
    Header,
    /// It is of another document, or of another cluster.
    OtherKey,
    /// The content is shorter or longer than it was.
    Length,
    /// The content is damaged.
    Content,
    /// It is a link, a folder, or larger than any document.
    NoFile,
}

/// The bytes of the file; `None` if what is said about the content is longer than any server says.
pub(super) fn encode(scope: &str, key: &ConfigKey, snapshot: &Snapshot) -> Option<Vec<u8>> {
    let document = snapshot.document.as_ref();
    let content = document.map_or(&b""[..], |document| document.content.as_bytes());
    let text = |text: &'_ str| Text(text.to_owned().into());
    let header = Header {
        scope: text(scope),
        namespace: key.tenant(),
        group: key.group().as_str(),
        data_id: key.data_id().as_str(),
        seq: snapshot.seq,
        saved_at: millis(snapshot.saved_at),
        removed: document.is_none(),
        md5: document.map(|document| text(&document.md5)).unwrap_or_default(),
        last_modified: document.and_then(|document| document.last_modified).map(millis),
        content_type: document.map(|document| text(&document.content_type)).unwrap_or_default(),
        encrypted_data_key: document
            .and_then(|document| document.encrypted_data_key.as_deref())
            .map(text),
        gray: document
            .and_then(|document| document.gray.as_ref())
            .map(|gray| Text(gray.to_string().into())),
        len: content.len() as u64,
        crc: crc32(content),
    };
    // Texts and numbers alone, which always have a form in JSON.
    let json = serde_json::to_string(&header).ok()?;
    let line = line(&json);
    if line.len() > LONGEST_HEADER {
        return None;
    }
    let mut bytes = Vec::with_capacity(line.len() + content.len());
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(content);
    Some(bytes)
}

/// The snapshot of `key` in these bytes.
///
/// # Errors
///
/// Why it is none, and the number that the header gives it if the header is whole: the next one
/// must have a higher one all the same.
pub(super) fn decode(
    bytes: &[u8],
    scope: &str,
    key: &ConfigKey,
) -> Result<Snapshot, (Flaw, Option<u64>)> {
    let (header, content) = split(bytes).map_err(|flaw| (flaw, None))?;
    let flawed = |flaw| (flaw, Some(header.seq));
    let is_of_key = (header.namespace, header.group, header.data_id)
        == (key.tenant(), key.group().as_str(), key.data_id().as_str());
    if header.scope.0 != scope || !is_of_key {
        return Err((Flaw::OtherKey, None));
    }
    if content.len() as u64 != header.len {
        return Err(flawed(Flaw::Length));
    }
    if crc32(content) != header.crc {
        return Err(flawed(Flaw::Content));
    }
    let content = std::str::from_utf8(content).map_err(|_| flawed(Flaw::Content))?;
    let shared = |text: &Text<'_>| Arc::<str>::from(&*text.0);
    let gray = header.gray.as_ref().map(|name| Gray::named(&name.0).ok_or(flawed(Flaw::Header)));
    let gray = gray.transpose()?;
    let document = (!header.removed).then(|| Document {
        content: content.into(),
        md5: shared(&header.md5),
        content_type: shared(&header.content_type),
        last_modified: header.last_modified.and_then(time),
        encrypted_data_key: header.encrypted_data_key.as_ref().map(shared),
        is_cipher: key.data_id().is_cipher(),
        gray,
    });
    let saved_at = time(header.saved_at).ok_or(flawed(Flaw::Header))?;
    let snapshot = Snapshot { document, seq: header.seq, saved_at };
    // Nothing may be lost on the way: a removed document has no content, and times are times.
    match encode(scope, key, &snapshot) {
        Some(again) if again == bytes => Ok(snapshot),
        _ => Err(flawed(Flaw::Header)),
    }
}

/// Whether this is the beginning of a file of a document: of one that is there, as far as the
/// header says so.
pub(super) fn is_of_document(start: &[u8]) -> bool {
    split(start).is_ok_and(|(header, _)| !header.removed)
}

/// The header of a file, and the content behind it.
fn split(bytes: &[u8]) -> Result<(Header<'_>, &[u8]), Flaw> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let is_other = bytes.starts_with(FAMILY) && !MAGIC.starts_with(bytes);
        return Err(if is_other { Flaw::OtherVersion } else { Flaw::NoHeader });
    };
    let start = &bytes[..bytes.len().min(LONGEST_HEADER)];
    let end = start.iter().position(|byte| *byte == b'\n').ok_or(Flaw::NoHeader)?;
    let (first, content) = bytes.split_at(end + 1);
    let first = std::str::from_utf8(first).map_err(|_| Flaw::Header)?;
    let json = rest.get(CRC_DIGITS + 1..end - MAGIC.len()).ok_or(Flaw::Header)?;
    let json = std::str::from_utf8(json).map_err(|_| Flaw::Header)?;
    if line(json) != first {
        return Err(Flaw::Header);
    }
    Ok((serde_json::from_str(json).map_err(|_| Flaw::Header)?, content))
}

fn line(json: &str) -> String {
    let crc = crc32(json.as_bytes());
    format!("NACOSSNAP1 {crc:08x} {json}\n")
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHeader => "it is no snapshot, or was cut off",
            Self::OtherVersion => "another version of this client wrote it",
            Self::Header => "its header is damaged",
            Self::OtherKey => "it is of another document or cluster",
            Self::Length => "its content was cut off, or something was added",
            Self::Content => "its content is damaged",
            Self::NoFile => "it is no plain file, or larger than any document",
        })
    }
}

/// Any bytes as a file: an error at most. One that is believed is what is written again.
#[cfg(any(test, fuzzing))]
pub(super) fn decode_anything(data: &[u8]) {
    let key = ConfigKey::try_from(("orders.yaml", "ORDERS")).expect("valid");
    let check = |bytes: &[u8]| {
        if let Ok(snapshot) = decode(bytes, "blue", &key) {
            assert_eq!(encode("blue", &key, &snapshot).as_deref(), Some(bytes));
        }
    };
    check(data);
    // The same as a header whose checksum is right, before content that may be.
    let (json, content) = data.split_at(data.len() / 2);
    check(&[line(&String::from_utf8_lossy(json)).as_bytes(), content].concat());
    // A file that is right, with a few bytes of it changed.
    let mut input = crate::fuzzed::input::Input::new(data);
    let text = |input: &mut crate::fuzzed::input::Input<'_>, most| {
        Arc::<str>::from(String::from_utf8_lossy(input.bytes(most)))
    };
    let mut document = Document::new(text(&mut input, 64), text(&mut input, 9));
    document.md5 = text(&mut input, 40);
    document.encrypted_data_key = (input.byte() % 2 == 1).then(|| text(&mut input, 9));
    document.last_modified = time(input.number() >> input.below(64));
    let saved_at = time(input.number() >> input.below(64)).unwrap_or(UNIX_EPOCH);
    document.gray = (input.byte() % 2 == 1).then(|| Gray::Tag(text(&mut input, 9)));
    let document = (input.byte() > 63).then_some(document);
    let snapshot = Snapshot { document, seq: input.number(), saved_at };
    let mut bytes = encode("blue", &key, &snapshot).expect("a short header");
    assert_eq!(decode(&bytes, "blue", &key).as_ref(), Ok(&snapshot));
    for _ in 0..=input.below(3) {
        let at = input.below(bytes.len());
        bytes[at] ^= input.byte();
    }
    check(&bytes);
    check(&bytes[..input.below(bytes.len())]);
}

/// All files of this form, and those of later versions.
const FAMILY: &[u8] = b"NACOSSNAP";
const MAGIC: &[u8] = b"NACOSSNAP1 ";
const CRC_DIGITS: usize = 8;
/// Names, a digest, a type and a key: some 500 bytes where servers behave.
pub(super) const LONGEST_HEADER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzed::cases::for_any_input;

    fn key() -> ConfigKey {
        ConfigKey::try_from(("orders.yaml", "ORDERS")).expect("valid")
    }

    fn snapshot() -> Snapshot {
        let mut document = Document::new("limit: 7 # grüße\n", "yaml");
        document.last_modified = time(1_700_000_000_123);
        document.encrypted_data_key = Some("a \"key\"\n".into());
        let saved_at = time(1_700_000_001_456).expect("a time");
        Snapshot { document: Some(document), seq: 41, saved_at }
    }

    fn bytes() -> Vec<u8> {
        encode("blue", &key(), &snapshot()).expect("a short header")
    }

    /// A file of each kind: of a document, of a gray version, and of one that is removed.
    fn kinds() -> [Vec<u8>; 3] {
        let mut gray = snapshot();
        gray.document.as_mut().expect("there").gray = Some(Gray::Tag("blue \"1\"".into()));
        let removed = Snapshot { document: None, ..snapshot() };
        [snapshot(), gray, removed].map(|it| encode("blue", &key(), &it).expect("a short header"))
    }

    #[test]
    fn file_is_one_readable_line_and_the_content_as_it_came() {
        let mut snapshot = snapshot();
        let document = snapshot.document.as_mut().expect("there");
        document.encrypted_data_key = None;
        let bytes = encode("blue", &key(), &snapshot).expect("a short header");
        let expected = r#"NACOSSNAP1 e31bd54d {"scope":"blue","namespace":"","group":"ORDERS","data_id":"orders.yaml","seq":41,"saved_at":1700000001456,"removed":false,"md5":"9069574fb9fae2a53695a0456a251c21","last_modified":1700000000123,"content_type":"yaml","encrypted_data_key":null,"gray":null,"len":19,"crc":3298282883}
limit: 7 # grüße
"#;
        assert_eq!(String::from_utf8(bytes).expect("text"), expected);
    }

    #[test]
    fn snapshot_is_read_as_it_was_written() {
        let mut gray = snapshot();
        gray.document.as_mut().expect("there").gray = Some(Gray::Tag("blue \"1\"".into()));
        let removed = Snapshot { document: None, ..snapshot() };
        for snapshot in [snapshot(), gray, removed] {
            let bytes = encode("blue", &key(), &snapshot).expect("a short header");
            assert_eq!(decode(&bytes, "blue", &key()), Ok(snapshot));
        }
    }

    #[test]
    fn file_that_is_cut_off_anywhere_or_has_a_zeroed_end_is_refused() {
        for bytes in kinds() {
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length], "blue", &key()).is_err(), "{length} bytes");
                let mut zeroed = bytes.clone();
                zeroed[length..].fill(0);
                assert!(decode(&zeroed, "blue", &key()).is_err(), "zeroes after {length} bytes");
            }
            assert!(decode(&[&bytes[..], b"\n"].concat(), "blue", &key()).is_err());
        }
    }

    #[test]
    fn file_with_any_bit_flipped_is_refused() {
        for bytes in kinds() {
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&flipped, "blue", &key()).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn file_of_another_key_or_cluster_is_refused() {
        let other = ConfigKey::try_from(("orders.json", "ORDERS")).expect("valid");
        let staging = key().in_namespace("staging".parse().expect("valid"));
        for (scope, key) in [("blue", other), ("green", key()), ("blue", staging)] {
            assert_eq!(decode(&bytes(), scope, &key), Err((Flaw::OtherKey, None)));
        }
    }

    #[test]
    fn damaged_content_keeps_the_number_of_a_whole_header() {
        let mut bytes = bytes();
        bytes.truncate(bytes.len() - 1);
        assert_eq!(decode(&bytes, "blue", &key()), Err((Flaw::Length, Some(41))));
        *bytes.last_mut().expect("some") ^= 1;
        bytes.push(b'\n');
        assert_eq!(decode(&bytes, "blue", &key()), Err((Flaw::Content, Some(41))));
    }

    #[test]
    fn form_of_a_later_version_is_told_from_damage() {
        assert_eq!(decode(b"NACOSSNAP2 x", "blue", &key()), Err((Flaw::OtherVersion, None)));
        assert_eq!(decode(b"NACOSSNAP", "blue", &key()), Err((Flaw::NoHeader, None)));
    }

    #[test]
    fn header_of_a_hostile_server_is_bounded() {
        let mut snapshot = snapshot();
        let document = snapshot.document.as_mut().expect("there");
        document.content_type = "x".repeat(LONGEST_HEADER).into();
        assert_eq!(encode("blue", &key(), &snapshot), None);
    }

    #[test]
    fn no_bytes_of_a_snapshot_fuzzed_are_a_panic() {
        for_any_input(400, decode_anything);
    }
}
