//! Tests of the options.
use std::fmt::Write as _;

use super::*;

fn read(json: &str) -> Result<ClientOptions, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn keys_are_read_in_every_case() {
    for key in ["server_addr", "server-addr", "serverAddr", "SERVER_ADDR"] {
        let options = read(&format!(r#"{{"{key}": "a:1", "app": null}}"#)).expect(key);
        assert_eq!(options.server_addr.as_deref(), Some("a:1"));
        assert_eq!(options.app, None);
    }
}

#[test]
fn unknown_key_suggests_the_nearest() {
    for (key, meant) in [
        ("addr", "`server_addr`"),
        ("url", "`server_addr`"),
        ("host", "`server_addr`"),
        ("server_list", "`server_addr`"),
        ("user", "`username`"),
        ("pass", "`password`"),
        ("tenant", "`namespace`"),
    ] {
        let error = read(&format!(r#"{{"{key}": "a"}}"#)).expect_err("unknown");
        assert!(error.contains(meant), "{key}: {error}");
    }
    for key in ["ip", "ops", "ssl"] {
        let error = read(&format!(r#"{{"{key}": "a"}}"#)).expect_err("unknown");
        assert!(!error.contains("did you mean `app`"), "{key}: {error}");
    }
    let error = read(r#"{"sever_adr": "a"}"#).expect_err("unknown");
    assert!(error.contains("did you mean `server_addr`?"), "{error}");
    let error = read(r#"{"something_else_entirely": "a"}"#).expect_err("unknown");
    assert!(!error.contains("did you mean"), "{error}");
}

#[test]
fn value_that_cannot_be_read_is_named_and_not_shown() {
    for key in ["connect_timeout", "grpc_port_offset", "receive_limit"] {
        let error = read(&format!(r#"{{"{key}": "hunter2"}}"#)).expect_err(key);
        assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_a_platform_sets_for_a_service_is_no_option_of_any_layer() {
    let server = r#""server_addr": "a:1""#;
    let expected = read(&format!("{{{server}}}")).expect("valid");
    for (what, keys) in [
        ("the only key", r#""endpoint_port": "tcp://10.0.0.1:8080""#),
        ("in another case", r#""endpointPort": "TCP://10.0.0.1:8080""#),
        (
            "a service called `nacos`, with two ports",
            r#""service_host": "10.0.0.1", "service_port": 8848, "service_port_http": 8848,
               "service_port_grpc": "9848", "port": "tcp://10.0.0.1:8848",
               "port_8848_tcp": "tcp://10.0.0.1:8848", "port_8848_tcp_proto": "tcp",
               "port_8848_tcp_port": 8848, "port_8848_tcp_addr": "10.0.0.1",
               "port_53_udp": "udp://10.0.0.1:53", "port_53_udp_proto": "udp",
               "port_7_sctp": "sctp://10.0.0.1:7", "port_7_sctp_addr": "10.0.0.1""#,
        ),
        (
            "a service called `nacos-server`, in capitals",
            r#""SERVER_SERVICE_HOST": "10.0.0.1", "SERVER_PORT": "tcp://10.0.0.1:8848",
               "SERVER_PORT_8848_TCP_ADDR": "10.0.0.1", "SERVER_SERVICE_PORT": 8848"#,
        ),
        (
            "a service called `nacos-endpoint`",
            r#""endpoint_port_8080_tcp": "tcp://10.0.0.1:8080", "endpoint_service_port": 8080,
               "endpoint_port": "tcp://10.0.0.1:8080""#,
        ),
        (
            "a container that is linked as `nacos`",
            r#""port": "tcp://172.17.0.5:8848", "name": "/orders/nacos", "env_MODE": "x""#,
        ),
    ] {
        let options = read(&format!("{{{keys}, {server}}}"));
        assert_eq!(options, Ok(expected.clone()), "{what}");
    }
    for nobodys in [
        r#""service_host": "10.0.0.1""#,
        r#""port": "8848""#,
        r#""port_8848_tcp_addr": "10.0.0.1""#,
        r#""other_service_host": "10.0.0.1", "port": "tcp://10.0.0.1:8848""#,
        r#""server": "tcp://10.0.0.1:8848""#,
        r#""app_port": "tcp://nacos""#,
    ] {
        let error = read(&format!("{{{nobodys}, {server}}}")).expect_err(nobodys);
        assert!(error.contains("there is no option"), "{error}");
    }
    for (ours, cause) in [
        (r#""grpc_port_offset": "udp://[fd00::1]:8080""#, "an address and no number"),
        (r#""max_metadata": "tcp://10.0.0.1:8080""#, "an address and no number"),
    ] {
        let error = read(&format!("{{{ours}, {server}}}")).expect_err(ours);
        assert!(error.contains(cause), "{error}");
    }
    for ours in ["server_addr", "endpoint", "server_dns"] {
        let options = read(&format!(r#"{{"{ours}": "tcp://10.0.0.1:8848"}}"#)).expect(ours);
        assert_ne!(options, ClientOptions::default(), "no platform sets {ours}");
    }
    let error = read(r#"{"endpoint_port": "http"}"#).expect_err("no port, and no service");
    assert!(error.contains("endpoint_port"), "{error}");
}

#[test]
fn option_under_two_names_is_refused() {
    let error = read(r#"{"serverAddr": "a", "server_addr": "b"}"#).expect_err("which one?");
    assert!(error.contains("`serverAddr`") && error.contains("`server_addr`"), "{error}");
}

#[test]
fn empty_text_is_not_given() {
    let keys: Vec<_> = OPTIONS.iter().map(|row| format!(r#""{}": """#, row.name)).collect();
    let options = read(&format!("{{{}}}", keys.join(","))).expect("nothing is given");
    assert_eq!(options, ClientOptions::default());
    let below = read(r#"{"username": "nacos"}"#).expect("valid");
    let options = read(r#"{"username": ""}"#).expect("valid").or(below);
    assert_eq!(options.username.as_deref(), Some("nacos"));
}

#[test]
fn debug_shows_no_secret() {
    let options = read(r#"{"username": "nacos", "password": "hunter2"}"#).expect("valid");
    let shown = format!("{options:?}");
    assert!(!shown.contains("hunter2") && shown.contains("password"), "{shown}");
    for (key, value) in [
        ("endpoint", "http://jmenv/list?token=hunter2"),
        ("server_addr", "http://nacos:hunter2@a"),
        ("access_key", "hunter2"),
    ] {
        let shown = format!("{:?}", read(&format!(r#"{{"{key}": "{value}"}}"#)).expect(key));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn every_name_is_read_from_files_and_from_the_environment() {
    for row in OPTIONS {
        let value = match row.kind {
            "number" | "bytes" => "7",
            "`true` or `false`" => "true",
            "`1.2` or `1.3`" => "1.3",
            kind if kind.contains("`client_secret_basic`") => "client_secret_basic",
            kind if kind.contains("`snapshot_first`") => "snapshot_first",
            "text" | "text, a secret" => "a",
            _ => "7s",
        };
        let expected = |value: &str| {
            let mut options = ClientOptions::default();
            (row.set)(&mut options, Given::Text(value.to_owned())).expect(row.name);
            options
        };
        let mut names = vec![(row.name, row.variable(), value.to_owned(), expected(value))];
        for Also { name, unit } in row.also {
            let (value, same) = match *unit {
                "" => (value, value.to_owned()),
                unit => ("7", format!("7{unit}")),
            };
            names.push((name, (*name).to_owned(), value.to_owned(), expected(&same)));
        }
        for (key, variable, value, expected) in names {
            let file = read(&format!(r#"{{"{key}": "{value}"}}"#));
            assert_eq!(file.as_ref(), Ok(&expected), "{key}");
            let environment = crate::env::of(&[(&variable, &value)]).expect(&variable);
            assert_eq!(environment, expected, "{variable}");
        }
    }
}

#[test]
fn every_name_is_its_own() {
    let mut all = Vec::new();
    for row in OPTIONS {
        let names = row.also.iter().map(|also| also.name).chain([row.name]).map(plain);
        all.extend(names.collect::<BTreeSet<_>>());
    }
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

/// Write it anew with `NACOS_WRITE=1 cargo test -p nacos-core --lib documented`.
#[test]
fn the_table_is_documented() {
    let mut text = "# Options\n\n| option | variable | value | default | meaning |\n".to_owned();
    text.push_str("| --- | --- | --- | --- | --- |\n");
    for row in OPTIONS {
        let Row { name, kind, default, .. } = row;
        let (variable, docs) = (row.variable(), row.docs.concat());
        let also = |Also { name, unit }: &Also| match *unit {
            "" => format!("`{name}`"),
            unit => format!("`{name}` (a number, in {unit})"),
        };
        let also = match row.also.iter().map(also).collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => none,
            also => format!(" Also read as {also}."),
        };
        writeln!(text, "| `{name}` | `{variable}` | {kind} | {default} |{docs}{also} |")
            .expect("a string takes everything");
    }
    text.push_str("\n## Names that are not read\n\n");
    text.push_str("The Java and Go clients have these names, which this client does not read: in a file each is an error\n");
    text.push_str("that says why, and in the environment it is ignored. The variables `username`, `password`, `namespace`,\n");
    text.push_str("`endpoint`, `accessKey` and `secretKey` are not read: a program that sets them may mean another product.\n\n");
    for group in foreign::FOREIGN {
        let names: Vec<_> = group.names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(text, "- {}: {}.", names.join(", "), group.why)
            .expect("a string takes everything");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/OPTIONS.md");
    if std::env::var_os("NACOS_WRITE").is_some() {
        std::fs::write(path, &text).expect("writable");
    }
    assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "OPTIONS.md is stale");
}
