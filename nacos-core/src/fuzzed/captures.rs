//! Payloads of real servers, whole and mutilated.
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::input::Input;
use crate::wire::Payload;

/// Recorded messages of real servers, and variations of them.
#[derive(Debug)]
pub(crate) struct Captures(Vec<(String, Value)>);

impl Captures {
    /// Read once: a fuzzer asks for them thousands of times a second.
    pub(crate) fn all() -> &'static Self {
        static ALL: LazyLock<Captures> = LazyLock::new(Captures::read);
        &ALL
    }

    fn read() -> Self {
        let captures = [
            include_str!("../../../tests/fixtures/wire/nacos-2.3.2.jsonl"),
            include_str!("../../../tests/fixtures/wire/nacos-3.0.3.jsonl"),
            include_str!("../../../tests/fixtures/wire/r-nacos-0.8.8.jsonl"),
        ];
        let lines = captures.into_iter().flat_map(str::lines).map(|line| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            (line["type"].as_str().unwrap_or_default().to_owned(), line["body"].clone())
        });
        Self(lines.collect())
    }

    /// One of them, as it was, mutilated, or nothing like it.
    pub(crate) fn payload(&self, input: &mut Input<'_>) -> Payload {
        let (kind, body) = &self.0[input.below(self.0.len())];
        let mut body = body.clone();
        for _ in 0..input.below(4) {
            mutilate(&mut body, input);
        }
        let mut json = serde_json::to_vec(&body).expect("JSON");
        match input.byte() {
            0..=20 => json.truncate(input.below(json.len() + 1)),
            21..=40 if !json.is_empty() => {
                let at = input.below(json.len());
                json[at] = input.byte();
            }
            41..=50 => json = input.bytes(300).to_vec(),
            51..=55 => json = b"<html>502</html>".to_vec(),
            // Deeper than serde_json reads.
            56..=58 => json = [vec![b'['; 5000], vec![b']'; 5000]].concat(),
            _ => {}
        }
        // Sometimes under another's name.
        let kind = match input.byte() {
            0..=20 => self.0[input.below(self.0.len())].0.as_str(),
            21..=25 => "",
            26..=30 => "NoveltyRequest",
            _ => kind.as_str(),
        };
        match input.byte() {
            0..=3 => Payload { metadata: None, body: None },
            _ => Payload::new(kind, json),
        }
    }
}

/// Makes one node of `value` something else.
fn mutilate(value: &mut Value, input: &mut Input<'_>) {
    let deeper = input.byte() < 200;
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let at = input.below(map.len());
            let Some(key) = map.keys().nth(at).cloned() else { return };
            match input.byte() {
                0..=30 => drop(map.remove(&key)),
                31..=40 => drop(map.insert("novelty".to_owned(), json!({"a": [1]}))),
                _ => map.values_mut().nth(at).into_iter().for_each(|value| mutilate(value, input)),
            }
        }
        Value::Array(values) if deeper && !values.is_empty() => {
            let at = input.below(values.len());
            match input.byte() {
                0..=30 => drop(values.remove(at)),
                31..=60 => values.push(values[at].clone()),
                _ => mutilate(&mut values[at], input),
            }
        }
        value => *value = odd(input),
    }
}

/// A value that may not fit its field.
fn odd(input: &mut Input<'_>) -> Value {
    let text = String::from_utf8_lossy(input.bytes(20)).into_owned();
    match input.below(16) {
        0 => Value::Null,
        1 => json!(input.number()),
        2 => json!(-1_i64 - i64::from(input.byte())),
        3 => json!(i64::MIN),
        4 => json!(u64::MAX),
        5 => json!(1e308),
        6 => json!(0.1),
        7 => json!(""),
        8 => json!([]),
        9 => json!({}),
        10 => json!(true),
        11 => json!("@@"),
        12 => json!(u64::from(u16::MAX) + 1),
        13 => json!([null, {"ip": null}, 7]),
        14 => json!("ü".repeat(2000)),
        _ => json!(text),
    }
}
