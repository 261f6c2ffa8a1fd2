//! The wire types that nacos-core has checked in, against what their declaration says.

use std::fs;
use std::path::{Path, PathBuf};

use codegen::Schema;
use prost_build::{Config, Module};

#[test]
fn checked_in_types_are_what_a_compiler_makes() {
    let checked_in = schema([checked_in()]).expect("readable");
    assert_eq!(checked_in, compiled());
    assert_eq!(checked_in.len(), 3, "Metadata, Payload and Any");
}

/// A comparison that cannot fail would be worth nothing.
#[test]
fn every_difference_on_the_wire_is_noticed() {
    let right = compiled();
    for (from, to) in [
        ("tag = \"3\"", "tag = \"4\""),
        ("tag = \"7\"", "tag = \"17\""),
        ("prost(string, tag = \"8\")", "prost(bytes = \"vec\", tag = \"8\")"),
        ("prost(string, tag = \"8\")", "prost(string, optional, tag = \"8\")"),
        ("map = \"string, string\"", "map = \"string, bytes\""),
        ("bytes = \"bytes\"", "string"),
        ("Option<Any>", "Option<Metadata>"),
        ("client_ip:", "address:"),
        ("struct Any", "struct Whatever"),
    ] {
        let source = checked_in();
        assert!(source.contains(from), "{from} is there to be changed");
        let wrong = schema([source.replacen(from, to, 1)]);
        assert_ne!(wrong.as_ref(), Ok(&right), "{from} became {to}");
    }
}

#[test]
fn what_is_not_on_the_wire_makes_no_difference() {
    let right = schema([checked_in()]).expect("readable");
    for (from, to) in [
        ("pub(crate) struct", "pub struct"),
        ("#[prost(bytes = \"bytes\", tag = \"2\")]", "/// Why.\n#[prost(tag = \"2\", bytes)]"),
        ("map = \"string, string\"", "btree_map = \"string,string\""),
        ("Option<Any>", "Option<Box<crate::wire::Any>>"),
    ] {
        let source = checked_in();
        assert!(source.contains(from), "{from} is there to be changed");
        assert_eq!(schema([source.replacen(from, to, 1)]).as_ref(), Ok(&right), "{to}");
    }
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    for bad in [
        "struct",
        "#[derive(prost::Message)] struct A { #[prost(string)] untagged: String }",
        "#[derive(prost::Message)] struct A { bare: String }",
        "#[derive(prost::Message)] struct A { #[prost(string, tag = \"x\")] a: String }",
        "#[derive(Message)] struct A {} #[derive(Message)] struct A {}",
        "#[derive(Message)] struct A { #[prost(string, tag = \"1\")] a: String,
                                       #[prost(string, tag = \"1\")] b: String }",
    ] {
        assert!(schema([bad.to_owned()]).is_err(), "{bad}");
    }
}

/// A path is the other half of what the declaration says.
#[test]
fn core_calls_the_declared_methods() {
    let mut sources = String::new();
    read_all(&core().join("src"), &mut sources);
    let declared = protox::compile([PROTO], [core().join("proto")]).expect("a declaration");
    let mut paths = Vec::new();
    for file in &declared.file {
        for service in &file.service {
            // The package is empty, and so has no dot.
            assert_eq!(file.package(), "");
            let methods = service.method.iter();
            paths.extend(methods.map(|method| format!("/{}/{}", service.name(), method.name())));
        }
    }
    assert_eq!(paths, ["/Request/request", "/BiRequestStream/requestBiStream"]);
    for path in paths {
        assert!(sources.contains(&format!("\"{path}\"")), "nacos-core never calls {path}");
    }
}

/// The schema of what prost-build generates, `google.protobuf.Any` included.
fn compiled() -> Schema {
    let declared = protox::compile([PROTO], [core().join("proto")]).expect("a declaration");
    let files = declared.file.into_iter();
    let modules =
        files.map(|file| (Module::from_protobuf_package_name(file.package()), file)).collect();
    let sources = Config::new().compile_well_known_types().generate(modules).expect("generated");
    schema(sources.into_values()).expect("readable")
}

fn schema(sources: impl IntoIterator<Item = String>) -> Result<Schema, String> {
    let mut schema = Schema::default();
    sources.into_iter().try_for_each(|source| schema.read(&source))?;
    Ok(schema)
}

fn checked_in() -> String {
    fs::read_to_string(core().join("src/wire/payload.rs")).expect("the checked-in types")
}

fn read_all(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
}

fn core() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nacos-core")
}

const PROTO: &str = "nacos_grpc.proto";
