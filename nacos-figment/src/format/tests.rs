//! Formats: what is read, and how the rest is refused.
use figment::value::{Dict, Num, Value};

use super::{Content, Format};
use crate::{
    pipeline::{Keys, Nested, nest},
    report::Issue,
};

fn read(format: Format, text: &str) -> Result<Nested, Box<Issue>> {
    match format.parse(text)? {
        Some(root) => {
            let Content::Table(entries) = root.content else { panic!("the root is a table") };
            nest(entries, root.at, Keys::Nested)
        }
        None => Ok(Nested::default()),
    }
}

fn dict(format: Format, text: &str) -> Dict {
    read(format, text).expect("valid").dict
}

fn refused(format: Format, text: &str) -> (String, Option<(u32, u32)>) {
    let issue = read(format, text).expect_err("invalid");
    let at = issue.place.as_ref().and_then(|place| place.position);
    (issue.to_string(), at.map(|at| (at.line, at.column)))
}

fn value<'a>(dict: &'a Dict, path: &str) -> &'a Value {
    let mut keys = path.split('.');
    let first = keys.next().and_then(|key| dict.get(key)).expect("the key exists");
    keys.fold(first, |value, key| value.as_dict().and_then(|dict| dict.get(key)).expect("exists"))
}

fn all() -> Vec<(Format, &'static str)> {
    vec![
        (Format::Json, r#"{"db": {"max": 7, "name": "orders"}, "a.b": true}"#),
        (Format::Properties, "db.max=7\ndb.name: orders\r\na.b true\n"),
        #[cfg(feature = "toml")]
        (Format::Toml, "\"a.b\" = true\n[db]\nmax = 7\nname = \"orders\"\n"),
        #[cfg(feature = "yaml")]
        (Format::Yaml, "db:\n  max: 7\n  name: orders\na.b: true\n"),
    ]
}

#[test]
fn keys_with_dots_are_nested_in_every_format() {
    for (format, text) in all() {
        let dict = dict(format, text);
        let max = value(&dict, "db.max").to_num_lossy().and_then(Num::to_u128_lossy);
        assert_eq!(max, Some(7), "{format}");
        assert_eq!(value(&dict, "db.name").as_str(), Some("orders"), "{format}");
        assert_eq!(value(&dict, "a.b").to_bool_lossy(), Some(true), "{format}");
    }
}

#[test]
fn byte_order_mark_and_blank_text_mean_nothing() {
    for (format, text) in all() {
        assert_eq!(dict(format, &format!("\u{feff}{text}")), dict(format, text), "{format}");
        assert!(dict(format, " \r\n\t\n").is_empty(), "{format}");
    }
    assert!(dict(Format::Properties, "# nothing\n! here").is_empty());
    assert!(dict(Format::Json, "{}").is_empty());
}

#[test]
fn key_given_twice_is_refused_with_its_position() {
    let (what, at) = refused(Format::Json, "{\"a\": \"hunter2\",\n \"a\": \"hunter3\"}");
    assert_eq!((what.contains("`a`: is given twice"), at), (true, Some((2, 7))), "{what}");
    let (what, at) = refused(Format::Properties, "a.b=hunter2\n\n  a.b=hunter3");
    assert_eq!((what.contains("`a.b`: is given twice"), at), (true, Some((3, 3))), "{what}");
    let (what, at) = refused(Format::Properties, "a=hunter2\na.b=hunter3");
    assert_eq!((what.contains("a value here and a table"), at), (true, Some((2, 1))), "{what}");
}

#[test]
fn wrong_syntax_is_refused_with_its_position_and_without_the_text() {
    let (what, at) = refused(Format::Json, "{\"a\": 1,\n \"pw\": hunter2}");
    assert!(!what.contains("hunter") && at.is_some_and(|at| at.0 == 2), "{what}");
    let (what, at) = refused(Format::Properties, "a=1\npw=\\u00hunter2");
    assert!(!what.contains("hunter") && at == Some((2, 1)), "{what}");
    for (format, _) in all() {
        let (what, _) = refused(format, "<html><body>502 hunter2 \\uzz {</body></html>");
        assert!(what.contains("HTML") && !what.contains("hunter"), "{format}: {what}");
    }
}

#[test]
fn positions_are_those_of_values() {
    for (format, text, expected) in [
        (Format::Json, "{\"a\": [1, {\"b\": \"x:y\\\"\"},\n 3], \"c\": null}", [2, 2]),
        (Format::Properties, "a[0]=1\na[1].b=x\\\n  y\na[2]=3\n", [4, 1]),
        #[cfg(feature = "toml")]
        (Format::Toml, "a = [1, {b = \"x\"},\n3]\n", [2, 1]),
        #[cfg(feature = "yaml")]
        (Format::Yaml, "a:\n  - 1\n  - b: x\n  - 3\n", [4, 5]),
    ] {
        let positions = read(format, text).expect("valid").positions;
        let at = positions.find(&["a", "2"]).and_then(|place| place.at).expect("known");
        assert_eq!([at.line, at.column], expected, "{format}");
    }
}

#[test]
fn elements_by_number_become_a_list() {
    let dict = dict(Format::Properties, "a[1].b=two\na[0].b=one\nm[x.y]=1");
    let list: Vec<Value> = value(&dict, "a").clone().into_array().expect("a list");
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].as_dict().and_then(|one| one.get("b")?.as_str()), Some("one"));
    for gap in ["a[0]=1\na[2]=2", "a[1]=1", "a[0]=1\na.b=2"] {
        read(Format::Properties, gap).expect_err(gap);
    }
}

#[test]
fn relaxed_keys_fold_and_clash() {
    let nest_relaxed = |text: &str| {
        let root = Format::Properties.parse(text).expect("valid").expect("not empty");
        let Content::Table(entries) = root.content else { panic!("the root is a table") };
        nest(entries, root.at, Keys::Relaxed)
    };
    let dict = nest_relaxed("db.max-connections=7\nmaxIdleTime=8").expect("valid").dict;
    assert_eq!(value(&dict, "db.max_connections").as_str(), Some("7"));
    assert_eq!(value(&dict, "max_idle_time").as_str(), Some("8"));
    nest_relaxed("max-idle=1\nmaxIdle=2").expect_err("two spellings of one key");
}

#[test]
fn properties_are_those_of_java_in_utf8() {
    let dict = dict(
        Format::Properties,
        "a = x \\\n     y\nb\\ c:1\nname=\u{540d}\\u540d\\uD83D\\uDE00\nempty\ntab=\\t|\\\\\npath=C:\\\\x\n",
    );
    let text = |key: &str| dict.get(key).and_then(Value::as_str);
    assert_eq!(text("a"), Some("x y"));
    assert_eq!(text("b c"), Some("1"));
    assert_eq!(text("name"), Some("\u{540d}\u{540d}\u{1f600}"));
    assert_eq!(text("empty"), Some(""));
    assert_eq!(text("tab"), Some("\t|\\"));
    assert_eq!(text("path"), Some("C:\\x"));
}

#[test]
fn depth_is_limited_in_every_format() {
    let deep = "[".repeat(100_000);
    refused(Format::Json, &format!("{{\"a\": {deep}"));
    refused(Format::Properties, &format!("{}=1", vec!["a"; 100_000].join(".")));
    #[cfg(feature = "toml")]
    {
        refused(Format::Toml, &format!("a = {deep}"));
        refused(Format::Toml, &format!("{}=1", vec!["a"; 100_000].join(".")));
    }
    #[cfg(feature = "yaml")]
    {
        refused(Format::Yaml, &format!("a: {deep}"));
        refused(Format::Yaml, &format!("{}: 1", vec!["a"; 100].join(".").repeat(2)));
    }
}

#[cfg(feature = "toml")]
mod toml {
    use super::*;

    #[test]
    fn dates_are_text() {
        let dict = dict(Format::Toml, "at = 2024-05-06T07:08:09Z\nday = 2024-05-06");
        assert_eq!(value(&dict, "at").as_str(), Some("2024-05-06T07:08:09Z"));
        assert_eq!(value(&dict, "day").as_str(), Some("2024-05-06"));
    }

    #[test]
    fn duplicates_and_infinities_are_refused() {
        let (what, at) = refused(Format::Toml, "a = 1\na = \"hunter2\"");
        assert!(!what.contains("hunter") && at.is_some_and(|at| at.0 == 2), "{what}");
        assert_eq!(refused(Format::Toml, "a = 1\nb = inf").1, Some((2, 5)));
    }
}

#[cfg(feature = "yaml")]
mod yaml {
    use super::*;

    #[test]
    fn what_would_not_be_written_back_stays_text() {
        let text = "zip: 012345\nversion: 1.10\non: yes\nplus: +5\nneg: -05\nTrue: TRUE\nnum: 12\n\
                    float: 1.5\nhex: 0x1F\nbool: true\nquoted: \"12\"\nday: 2024-05-06\n\
                    anchor: &a 1.50\nalias: *a\n";
        let dict = dict(Format::Yaml, text);
        for (key, expected) in [
            ("zip", "012345"),
            ("version", "1.10"),
            ("on", "yes"),
            ("plus", "+5"),
            ("neg", "-05"),
            ("True", "TRUE"),
            ("quoted", "12"),
            ("day", "2024-05-06"),
            ("anchor", "1.50"),
            ("alias", "1.50"),
        ] {
            assert_eq!(value(&dict, key).as_str(), Some(expected), "{key}");
        }
        assert_eq!(value(&dict, "num").to_u128(), Some(12));
        assert_eq!(value(&dict, "hex").to_u128(), Some(31));
        assert_eq!(value(&dict, "float").to_f64(), Some(1.5));
        assert_eq!(value(&dict, "bool").to_bool(), Some(true));
    }

    #[test]
    fn merge_keys_and_nulls_are_understood() {
        let dict = dict(Format::Yaml, "base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  y: 3\nnone: ~\n");
        assert_eq!(value(&dict, "own.x").to_u128(), Some(1));
        assert_eq!(value(&dict, "own.y").to_u128(), Some(3));
        assert!(matches!(value(&dict, "none"), Value::Empty(..)));
    }

    #[test]
    fn keys_are_names_whatever_they_look_like() {
        let dict = dict(Format::Yaml, "8080: a\non: b\ntrue: c\n\"x y\": d\n");
        let keys: Vec<&str> = dict.keys().map(String::as_str).collect();
        assert_eq!(keys, ["8080", "on", "true", "x y"]);
        refused(Format::Yaml, "~: a");
        refused(Format::Yaml, "? [a]\n: b\n");
    }

    #[test]
    fn comments_alone_are_nothing() {
        for text in ["# nothing\n", "---\n", "--- # x\n...\n", "~", "{}"] {
            assert!(dict(Format::Yaml, text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn syntax_errors_name_the_line_and_quote_nothing() {
        for (text, line) in [
            ("a: 1\npassword: hunter2\n  b: hunter2\n", 3),
            ("a: 1\npassword: \"hunter2\n", 2),
            ("a: 1\npassword: hunter2\npassword: hunter2\n", 3),
            ("a: 1\npassword: *hunter2\n", 2),
            ("a: {\n\tpassword: [hunter2\n", 2),
            ("a: 1\nb: .nan\n", 2),
        ] {
            let (what, at) = refused(Format::Yaml, text);
            assert!(!what.contains("hunter"), "{what}");
            assert!(at.is_some_and(|at| at.0 >= line), "{text:?}: {what} {at:?}");
        }
    }

    #[test]
    fn second_document_list_at_the_root_and_bombs_are_refused() {
        refused(Format::Yaml, "a: 1\n---\na: 2\n");
        refused(Format::Yaml, "- a\n- b\n");
        refused(Format::Yaml, "just text");
        let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (one, other) in "abcdefgh".chars().zip("bcdefghi".chars()) {
            let aliases = vec![format!("*{one}"); 9].join(",");
            laughs = [laughs, format!("{other}: &{other} [{aliases}]\n")].concat();
        }
        refused(Format::Yaml, &laughs);
    }

    #[test]
    fn ordinary_documents_of_any_size_pass() {
        let entry = |number| format!("k{number}: {{a: {number}, b: [1, 2]}}\n");
        let text: String = (0..40_000).map(entry).collect();
        assert_eq!(dict(Format::Yaml, &text).len(), 40_000);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[ -~\\n\\t]{0,200}") {
        for (format, _) in all() {
            let _ = read(format, &text);
        }
    }

    #[test]
    fn text_that_json_writes_is_read_back(key in "[a-z]{1,8}", text in ".{0,40}") {
        let json = serde_json::json!({ &key: &text }).to_string();
        let dict = dict(Format::Json, &json);
        proptest::prop_assert_eq!(value(&dict, &key).as_str(), Some(&*text));
    }
}
