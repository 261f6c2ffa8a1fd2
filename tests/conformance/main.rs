//! One suite, many servers: what each was seen to do stands in `CONFORMANCE.md`, checked in.
//!
//! A *check* does one thing to a server, over the bare wire or with our client, and says in a few
//! words what was observed. It asserts what our client promises everywhere. Each run compares what
//! it has observed with the cell of `CONFORMANCE.md`; `NACOS_CONFORMANCE=write` writes the cells
//! instead. The test server is checked in every run, on a paused clock; real servers where
//! `NACOS_REAL=1` asks for them, and a running one that `NACOS_REAL_ADDR` names; the captures
//! against the columns of the servers they are from.
#[path = "../../nacos-testkit/tests/client/mod.rs"]
mod client;

mod capture;
mod check;
mod document;
mod hold;
mod http;
mod run;
mod subject;
mod themes;
mod trace;
mod wire;
mod witness;

use nacos_testkit::Behaviour;
use servers::{Given, Kind, Product, covers};

use capture::Capture;
use document::{Column, Document, write_asked_for};

#[tokio::test(start_paused = true)]
async fn test_server_like_nacos_2_3() {
    run::on_test_server(Behaviour::Nacos2_3).await.settle(Column::Nacos2_3);
}

#[tokio::test(start_paused = true)]
async fn test_server_like_nacos_2_5() {
    run::on_test_server(Behaviour::Nacos2_5).await.settle(Column::Nacos2_5);
}

#[tokio::test(start_paused = true)]
async fn test_server_like_nacos_3_3() {
    run::on_test_server(Behaviour::Nacos3_3).await.settle(Column::Nacos3_3);
}

#[tokio::test(start_paused = true)]
async fn test_server_like_nacos_3_0() {
    run::on_test_server(Behaviour::Nacos3_0).await.settle(Column::Nacos3_0);
}

#[tokio::test(start_paused = true)]
async fn test_server_like_r_nacos() {
    run::on_test_server(Behaviour::RNacos).await.settle(Column::RNacosTestkit);
}

#[test]
fn java_nacos() {
    if covers(Product::JavaNacos) {
        run::on_real_server(Product::JavaNacos, Column::Java).settle(Column::Java);
    }
}

#[test]
fn r_nacos() {
    if covers(Product::RNacos) {
        run::on_real_server(Product::RNacos, Column::RNacos).settle(Column::RNacos);
    }
}

/// A server that runs already: see `servers::Given`.
#[test]
fn given_server() {
    if let Some(given) = Given::from_env() {
        let observed = run::on_given_server(given);
        observed.is_as_written(match given.kind() {
            Kind::RNacos => Column::RNacos,
            Kind::Nacos2_3 => Column::Java,
            // Of these the test server's word is all there is.
            Kind::Nacos2_5 => Column::Nacos2_5,
            Kind::Nacos3_0 => Column::Nacos3_0,
            Kind::Nacos3_3 => Column::Nacos3_3,
        });
    }
}

#[test]
fn captures_say_the_same_as_the_servers_they_are_from() {
    run::on_capture(&Capture::read("nacos-3.0.3")).settle(Column::Captured);
    for (name, column) in [("nacos-2.3.2", Column::Java), ("r-nacos-0.8.8", Column::RNacos)] {
        run::on_capture(&Capture::read(name)).agree_with(column, hold::CAPTURES);
    }
}

#[test]
fn test_server_does_what_the_real_ones_do() {
    if write_asked_for() {
        return;
    }
    let document = Document::read();
    for (real, testkit) in [
        (Column::Java, Column::Nacos2_3),
        (Column::RNacos, Column::RNacosTestkit),
        (Column::Captured, Column::Nacos3_0),
    ] {
        document.assert_equal(real, testkit, hold::TESTKIT);
    }
}

#[test]
fn document_is_up_to_date() {
    Document::read().assert_up_to_date();
}
