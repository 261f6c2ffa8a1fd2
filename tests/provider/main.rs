//! TLS is made with the cryptography that the process has installed.
//!
//! A binary of its own with a single test, because a process installs its provider once.
#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../tls/authority.rs"]
mod authority;

use std::sync::Arc;

use nacos_core::Client;
use nacos_testkit::TimeLimit;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        CipherSuite, ServerConfig,
        crypto::{CryptoProvider, ring},
    },
};

use authority::{Authority, Keys};

#[tokio::test]
async fn tls_takes_the_provider_that_the_process_has_installed() {
    TimeLimit::for_test();
    let mut marked = ring::default_provider();
    // The last that ring would choose by itself.
    marked.cipher_suites.retain(|suite| suite.suite() == MARK);
    assert_eq!(marked.cipher_suites.len(), 1);
    CryptoProvider::install_default(marked).expect("the first one");

    let (authority, folder) = (Authority::new(Keys::Ecdsa), TempDir::new().expect("a folder"));
    let identity = authority.issue(&["127.0.0.1"]);
    // The server takes whatever the client likes best.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(identity.chain(), identity.key())
        .expect("an identity");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let ca_file = authority.write(folder.path(), "ca");
    let _client = Client::builder()
        .server_addr(format!("https://{address}"))
        .grpc_port_offset(0)
        .tls_ca_file(ca_file.to_str().expect("UTF-8"))
        .connect_lazy()
        .expect("valid options");
    let (socket, _) = listener.accept().await.expect("a client");
    let stream = acceptor.accept(socket).await.expect("TLS");
    let chosen = stream.get_ref().1.negotiated_cipher_suite().expect("one").suite();
    assert_eq!(chosen, MARK);
}

const MARK: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
