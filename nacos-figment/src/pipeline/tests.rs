//! The pipeline: which layer wins, and what a report says.
use std::collections::BTreeMap;

use figment::providers::Serialized;
use serde::Deserialize;

use super::*;
use crate::{engine::program_layer, input::env, testing::texts};

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    db: Db,
    #[serde(default)]
    hosts: Vec<Host>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Db {
    url: String,
    max: u16,
    password: String,
    verbose: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Host {
    port: u16,
}

fn pipeline() -> Pipeline<Config> {
    Pipeline { keys: Keys::Nested, below: Vec::new(), above: Vec::new(), checks: Vec::new() }
}

fn run(pipeline: &Pipeline<Config>, given: &[(&str, &str)]) -> Result<Arc<Config>, StageError> {
    pipeline.run(&texts(given), &mut Cache::default()).value
}

fn issue_of(given: &[(&str, &str)]) -> String {
    let error = run(&pipeline(), given).expect_err("invalid");
    assert_eq!(error.issues.len(), 1);
    format!("{}: {}", error.stage, error.issues[0])
}

fn program(json: serde_json::Value) -> Arc<Layer> {
    program_layer("the program", &Serialized::defaults(json)).expect("values")
}

#[test]
fn later_layers_win_leaf_by_leaf() {
    let variables = vec![("P__DB__PASSWORD".into(), "012".into())];
    let pipeline = Pipeline {
        below: vec![program(
            serde_json::json!({"db": {"url": "low", "max": 1, "password": "low"}}),
        )],
        above: vec![
            env::layer("P", variables).expect("valid"),
            program(serde_json::json!({"db": {"verbose": true}})),
        ],
        ..pipeline()
    };
    let config = run(
        &pipeline,
        &[
            ("a.properties", "db.max=2\nhosts[0].port=1\nhosts[1].port=2"),
            ("b.json", r#"{"db.max": 3, "hosts": [{"port": 9}], "db": {"verbose": false}}"#),
        ],
    )
    .expect("valid");
    let Config { db, hosts, .. } = &*config;
    assert_eq!((&*db.url, db.max, &*db.password, db.verbose), ("low", 3, "012", Some(true)));
    assert_eq!(hosts.iter().map(|host| host.port).collect::<Vec<_>>(), [9], "lists are replaced");
}

#[test]
fn target_type_decides_what_text_means() {
    let given = [("a.properties", "db.max=0012\ndb.verbose=yes\ndb.password=0012\nlabels.a.b=1")];
    let error = run(&pipeline(), &given).expect_err("a table is no label");
    assert_eq!(error.issues[0].key, "labels.a");
    let config = run(&pipeline(), &[("a.properties", &given[0].1.replace("a.b", "a"))]);
    let config = config.expect("valid");
    assert_eq!((config.db.max, config.db.verbose, &*config.db.password), (12, Some(true), "0012"));
    assert_eq!(config.labels["a"], "1");
}

#[test]
fn wrong_type_is_reported_with_document_line_and_column_and_without_the_value() {
    let digest = nacos_core::digest;
    let text = "db.url=x\ndb.max=hunter2\n";
    assert_eq!(
        issue_of(&[("a.properties", "db.max=1"), ("b.properties", text)]),
        format!(
            "extract: `db.max`: expected u16, found string, in nacos://public/G/b.properties@{} \
             line 2 column 1",
            digest(text)
        )
    );
    let text = "{\"hosts\": [{\"port\": 1},\n {\"port\": \"hunter2\"}]}";
    assert_eq!(
        issue_of(&[("a.json", text)]),
        format!(
            "extract: `hosts.1.port`: expected u16, found string, in \
             nacos://public/G/a.json@{} line 2 column 11",
            digest(text)
        )
    );
}

#[test]
fn missing_field_is_reported_with_its_key_and_the_table_around_it() {
    let text = "{\"hosts\": [\n {\"prt\": 1}]}";
    let issue = issue_of(&[("a.json", text)]);
    assert!(issue.contains("`hosts.0.port`: is missing"), "{issue}");
    assert!(issue.contains("line 2 column 2"), "{issue}");
}

#[test]
fn number_where_text_is_wanted_gets_a_hint() {
    let issue = issue_of(&[("a.json", r#"{"db": {"password": 424242}}"#)]);
    assert!(issue.contains("quote the value") && !issue.contains("424242"), "{issue}");
}

#[test]
fn variable_is_named_where_it_is_wrong() {
    let variables = vec![("P__DB__MAX".into(), "hunter2".into())];
    let above = vec![env::layer("P", variables).expect("valid")];
    let error = run(&Pipeline { above, ..pipeline() }, &[]).expect_err("invalid");
    let issue = error.issues[0].to_string();
    assert!(issue.contains("environment variable P__DB__MAX"), "{issue}");
    assert!(!issue.contains("hunter2"), "{issue}");
}

#[test]
fn every_unreadable_document_is_reported_at_once() {
    let error = run(&pipeline(), &[("a.json", "{"), ("b", "?"), ("c.json", "[]")]);
    let error = error.expect_err("invalid");
    assert_eq!((error.stage, error.issues.len()), (Stage::Parse, 3));
    assert!(error.issues[1].what.contains("format is unknown"));
}

#[test]
fn published_type_tells_the_format_when_the_name_does_not() {
    let mut given = texts(&[("orders", "db.max=3")]);
    given[0].content_type = Some("properties".into());
    let outcome = pipeline().run(&given, &mut Cache::default());
    assert_eq!(outcome.value.expect("valid").db.max, 3);
}

#[test]
fn required_document_that_is_empty_is_refused() {
    let mut given = texts(&[("a.properties", "# all gone")]);
    given[0].must_not_be_empty = true;
    let error = pipeline().run(&given, &mut Cache::default()).value.expect_err("empty");
    assert!(error.issues[0].what.contains("says nothing"));
}

#[test]
fn unchanged_documents_are_not_parsed_again() {
    let mut cache = Cache::default();
    let first = pipeline().run(&texts(&[("a.json", "{}"), ("b.json", "{\"x\":1}")]), &mut cache);
    let second =
        pipeline().run(&texts(&[("a.json", "{\"y\":1}"), ("b.json", "{\"x\":1}")]), &mut cache);
    let last = |outcome: Outcome<Config>| {
        assert!(outcome.value.is_ok());
        outcome.merged.layers.last().cloned().expect("one says something")
    };
    let (first, second) = (last(first), last(second));
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn violations_are_placed_and_panics_are_caught() {
    let check = |config: &Config| {
        let mut violations = Violations::new();
        violations.add("db.max", format!("too large with {}", config.db.password));
        violations.add("db.url", "is not given");
        Err(violations.into())
    };
    let checks: Vec<Check<Config>> = vec![
        Box::new(check),
        Box::new(|config| if config.db.max > 1 { panic!("told to") } else { Ok(()) }),
        Box::new(|config| Err(format!("no login with {}", config.db.password).into())),
    ];
    let given = [("a.properties", "db.max=70\n\ndb.password=hunter2")];
    let error = run(&Pipeline { checks, ..pipeline() }, &given).expect_err("invalid");
    let issues: Vec<String> = error.issues.iter().map(ToString::to_string).collect();
    assert_eq!(error.stage, Stage::Validate);
    assert!(issues[0].starts_with("`db.max`: too large with [redacted], in nacos://"));
    assert!(issues[0].ends_with("line 1 column 1"), "{issues:?}");
    assert!(issues[1].starts_with("`db.url`: is not given"));
    assert_eq!(issues[2], "the code panicked");
    assert_eq!(issues[3], "no login with [redacted]");
}

#[test]
fn message_of_a_hand_written_deserializer_does_not_repeat_the_value() {
    #[derive(Debug)]
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format!("`{text}` is no good")))
        }
    }
    #[derive(Debug, Deserialize)]
    struct Holder {
        #[serde(rename = "name")]
        _name: Picky,
    }
    let pipeline: Pipeline<Holder> =
        Pipeline { keys: Keys::Nested, below: vec![], above: vec![], checks: vec![] };
    let given = texts(&[("a.properties", "name=hunter2")]);
    let error = pipeline.run(&given, &mut Cache::default()).value.expect_err("no good");
    assert!(error.issues[0].to_string().starts_with("`name`: `[redacted]` is no good"));
}

fn formats() -> Vec<(&'static str, &'static str)> {
    vec![
        ("a.json", r#"{"db": {"max": 7, "password": "hunter2"}, "hosts": [{"port": 1}]}"#),
        ("a.properties", "db.max=7\ndb.password=hunter2\nhosts[0].port=1\n"),
        #[cfg(feature = "toml")]
        ("a.toml", "[db]\nmax = 7\npassword = \"hunter2\"\n[[hosts]]\nport = 1\n"),
        #[cfg(feature = "yaml")]
        ("a.yaml", "db:\n  max: 7\n  password: hunter2\nhosts:\n  - port: 1\n"),
    ]
}

proptest::proptest! {
    /// A slip of the hand: one piece of a valid document is replaced.
    #[test]
    fn no_broken_document_makes_a_report_show_a_secret(
        at in 0_usize..80, removed in 0_usize..4, put in "[ -~\\n\\t]{0,3}",
    ) {
        for (name, text) in formats() {
            let secret = text.find("hunter2").expect("it has one");
            let at = at % text.len();
            // The secret itself stays: a part of it, or what was typed into it, is not the secret.
            if at + removed > secret && at < secret + 7 || at + removed > text.len() {
                continue;
            }
            let broken = format!("{}{put}{}", &text[..at], &text[at + removed..]);
            if let Err(error) = run(&pipeline(), &[(name, &broken)]) {
                let shown = format!("{error:?} {}", error.issues[0]);
                proptest::prop_assert!(!shown.contains("hunter2"), "{}: {}", broken, shown);
            }
        }
    }
}
