//! An address server that is spoken to over TLS.
use nacos_core::{Client, ClientBuilder};

use super::{
    authority::Keys,
    refused,
    terminator::{Terminator, Terms},
    text, trusted,
};
use crate::{address_server::AddressServer, support::server};

/// TLS in front of an address server.
async fn before(addresses: &AddressServer, terms: &Terms<'_>) -> Terminator {
    let address = addresses.address.parse().expect("an address");
    Terminator::before_ports([address; 2], terms).await
}

fn client(terminator: &Terminator, host: &str) -> ClientBuilder {
    let port = terminator.main_port();
    Client::builder().endpoint(format!("https://{host}:{port}/nacos/serverlist"))
}

#[tokio::test(start_paused = true)]
async fn list_is_read_over_tls_from_whom_a_private_authority_has_signed() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let addresses = AddressServer::start(&server.addr().to_string()).await;
    let terminator = before(&addresses, &Terms::new(&trusted.loopback())).await;
    let builder = client(&terminator, "localhost").tls_ca_file(&trusted.ca_file);
    let connected = builder.namespace("staging").connect().await.expect("connects");
    connected.configs().get("d").await.expect("an answer");
    let [seen] = terminator.seen().try_into().expect("one connection");
    assert_eq!(seen.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(seen.server_name.as_deref(), Some("localhost"));
    assert_eq!(seen.certificate, None);
    let request = addresses.last_request();
    assert!(request.starts_with("GET /nacos/serverlist?namespace=staging HTTP/1.1"), "{request}");
}

#[tokio::test(start_paused = true)]
async fn address_server_that_demands_a_certificate_gets_that_of_the_client() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let addresses = AddressServer::start(&server.addr().to_string()).await;
    let identity = trusted.loopback();
    let clients = [Some(&trusted.authority); 2];
    let terminator = before(&addresses, &Terms { clients, ..Terms::new(&identity) }).await;
    let builder = client(&terminator, "127.0.0.1").tls_ca_file(&trusted.ca_file);
    let error = refused(builder.clone()).await;
    assert!(error.contains("demands a client certificate"), "{error}");
    assert!(error.contains("/nacos/serverlist"), "{error}");
    assert_eq!(addresses.asked(), 0);

    let own = trusted.authority.issue(&["client"]);
    let paths = own.write(trusted.folder.path(), "client");
    let builder = builder.tls_cert_file(text(&paths.cert)).tls_key_file(text(&paths.key));
    builder.connect().await.expect("connects");
    let shown = terminator.seen().into_iter().find_map(|seen| seen.certificate);
    assert_eq!(shown, Some(own.chain()[0].to_vec()));
}

#[tokio::test(start_paused = true)]
async fn address_server_under_another_name_or_authority_is_refused_before_it_is_asked() {
    let (trusted, stranger) = (trusted(Keys::Ecdsa), super::Authority::new(Keys::Ecdsa));
    let server = server().await;
    let addresses = AddressServer::start(&server.addr().to_string()).await;
    let identity = trusted.authority.issue(&["nacos.example"]);
    let terminator = before(&addresses, &Terms::new(&identity)).await;
    let builder = client(&terminator, "localhost").tls_ca_file(&trusted.ca_file);
    // The name of the servers is no name for it.
    for builder in [builder.clone(), builder.tls_server_name("nacos.example")] {
        let error = refused(builder.endpoint_query("token=hunter2")).await;
        assert!(error.contains("as \"localhost\"") && error.contains("nacos.example"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let identity = stranger.issue(&["localhost"]);
    let terminator = before(&addresses, &Terms::new(&identity)).await;
    let builder = client(&terminator, "localhost").tls_ca_file(&trusted.ca_file);
    let error = refused(builder).await;
    assert!(error.contains("none of the trusted authorities"), "{error}");
    assert_eq!(addresses.asked(), 0);
}
