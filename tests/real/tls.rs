//! Java Nacos with gRPC under TLS. Its main port stays plain, and the address says so.
#[path = "../tls/authority.rs"]
mod authority;

use std::{error::Error as _, path::Path};

use nacos_core::{ClientBuilder, ErrorKind, Instance, Publish, TlsVersion};
use servers::{JavaNacos, Product, covers};
use tempfile::TempDir;

use self::authority::{Authority, Keys, Paths};
use crate::common::{Server, connect, document_becomes, eventually, within_a_minute};

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn with(builder: &ClientBuilder, paths: &Paths) -> ClientBuilder {
    builder.clone().tls_cert_file(text(&paths.cert)).tls_key_file(text(&paths.key))
}

async fn refused(builder: ClientBuilder) -> String {
    let error = builder.connect().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    error.source().expect("has a cause").to_string()
}

/// A document and an instance, there and back.
async fn works(builder: &ClientBuilder, name: &'static str) {
    let nacos = connect(builder).await;
    let watch = nacos.configs().watch(name).expect("valid").ready().await.expect("an answer");
    nacos.configs().publish(Publish::new(name, "1").expect("valid")).await.expect("published");
    document_becomes(&watch, Some("1")).await;
    let guard = nacos.naming().register(name, Instance::new("127.0.0.1", 1)).expect("valid");
    let _guard = guard.ready().await.expect("registered");
    eventually(async || {
        nacos.naming().query(name).await.expect("an answer").callable().count() == 1
    })
    .await;
}

#[test]
fn java_is_spoken_to_over_tls_and_its_certificate_checked() {
    if !covers(Product::JavaNacos) {
        return;
    }
    for keys in [Keys::Ecdsa, Keys::Rsa] {
        let folder = TempDir::new().expect("a folder");
        let authority = Authority::new(keys);
        let ca = text(&authority.write(folder.path(), "ca"));
        let stranger = text(&Authority::new(Keys::Ecdsa).write(folder.path(), "stranger"));
        let paths = authority.issue(&["127.0.0.1"]).write(folder.path(), "server");
        let running = JavaNacos::builder().authentication().grpc_tls(&paths.cert, &paths.key);
        let running = running.start().expect("the server starts");
        let server = Server { addr: running.addr() };
        within_a_minute(async {
            let plain = server.builder().credentials("nacos", "nacos");
            let builder = plain.clone().server_addr(format!("http://{}", server.addr)).tls(true);
            let trusting = builder.clone().tls_ca_file(&ca);
            works(&trusting, "tls").await;
            works(&trusting.clone().tls_min_version(TlsVersion::V1_3), "tls-1.3").await;

            let cause = refused(builder.tls_ca_file(&stranger)).await;
            assert!(cause.contains("none of the trusted authorities"), "{cause}");
            let cause = refused(trusting.tls_server_name("nacos.example")).await;
            assert!(cause.contains("\"nacos.example\"") && cause.contains("127.0.0.1"), "{cause}");
            let cause = refused(plain).await;
            assert!(cause.contains("speaks TLS only if told to"), "{cause}");
        });
    }
}

#[test]
fn java_that_demands_a_certificate_takes_only_who_has_one() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new(Keys::Ecdsa);
    let ca = authority.write(folder.path(), "ca");
    let paths = authority.issue(&["127.0.0.1"]).write(folder.path(), "server");
    let known = authority.issue(&["client"]).write(folder.path(), "known");
    let unknown = Authority::new(Keys::Ecdsa).issue(&["client"]).write(folder.path(), "unknown");
    let running = JavaNacos::builder().grpc_tls(&paths.cert, &paths.key).grpc_client_ca(&ca);
    let running = running.start().expect("the server starts");
    let addr = format!("http://{}", running.addr());
    let server = Server { addr: running.addr() };
    within_a_minute(async {
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let builder = server.builder().server_addr(&addr).tls(true).tls_ca_file(text(&ca));
            let builder = builder.tls_min_version(version);
            works(&with(&builder, &known), "mutual").await;
            let cause = refused(builder.clone()).await;
            assert!(cause.contains("demands a client certificate"), "{cause}");
            let cause = refused(with(&builder, &unknown)).await;
            assert!(cause.contains("does not accept the client certificate"), "{cause}");
        }
    });
}
