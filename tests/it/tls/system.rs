//! The authorities of the system, where none are given. Which those are is said in the environment,
//! of a process of its own.
use nacos_core::Client;
use nacos_testkit::TimeLimit;

use super::{
    authority::{Authority, Keys},
    terminator::{Terminator, Terms},
    text, trusted,
};
use crate::support::{chain, child, ends_with_its_parent, server};

#[tokio::test]
#[ignore = "another test runs it, in an environment of its own"]
async fn trusts_the_system() {
    TimeLimit::for_test();
    ends_with_its_parent();
    let said = |name: &str| std::env::var(name).expect("set by the other test");
    let offset = said("TLS_GRPC_OFFSET").parse().expect("a number");
    let builder = Client::builder().server_addr(said("TLS_SERVER")).grpc_port_offset(offset);
    match builder.tls(true).connect().await {
        Ok(client) => println!("{:?}", client.configs().get("d").await),
        Err(error) => println!("refused: {}", chain(&error)),
    }
}

#[tokio::test]
async fn authorities_of_the_system_are_trusted_where_none_are_given() {
    let trusted = trusted(Keys::Ecdsa);
    let folder = trusted.folder.path();
    let server = server().await;
    server.publish("", "DEFAULT_GROUP", "d", "content");
    let terminator = Terminator::before(&server, &Terms::new(&trusted.loopback())).await;
    let address = format!("127.0.0.1:{}", terminator.main_port());
    let offset = (terminator.grpc_port() - terminator.main_port()).to_string();
    let connects = async |authorities: &str| {
        let environment = [
            ("TLS_SERVER", &*address),
            ("TLS_GRPC_OFFSET", &offset),
            ("SSL_CERT_FILE", authorities),
        ];
        child("tls::system::trusts_the_system", &environment).await.expect("it runs")
    };
    let printed = connects(&trusted.ca_file).await;
    assert!(printed.contains("content"), "{printed}");
    let stranger = text(&Authority::new(Keys::Ecdsa).write(folder, "stranger"));
    let printed = connects(&stranger).await;
    assert!(printed.contains("refused: ") && printed.contains("none of the trusted"), "{printed}");
    let printed = connects(&text(&folder.join("nowhere.pem"))).await;
    assert!(printed.contains("`tls_ca_file`") && printed.contains("authorities"), "{printed}");
}
