//! TLS on the gRPC port of Java Nacos, as a client that is not ours sees it.
//!
//! r-nacos has no TLS. These prove the rig and the certificates, so that a client which fails
//! against them has itself to blame.
use std::{fs, io, net::SocketAddr, sync::Arc};

use servers::{JavaNacos, JavaNacosBuilder, Product, covers};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ProtocolVersion, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        version::TLS13,
    },
};

use crate::{
    certificates::{Authority, Identity},
    common::within_a_minute,
};

#[test]
fn java_nacos_speaks_http2_over_tls_13_and_no_plain_text() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let authority = Authority::new("servers");
    let folder = tempfile::tempdir().expect("a directory");
    let server = with_tls(&folder, &authority.server()).start().expect("Java Nacos");
    within_a_minute(async {
        let stranger = handshake(server.grpc_addr(), &Authority::new("others"), None).await;
        stranger.expect_err("signed by nobody whom it trusts");
        let mut stream = handshake(server.grpc_addr(), &authority, None).await.expect("agreed");
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(first_frame(&mut stream).await.expect("an answer"), SETTINGS);
        let mut plain = TcpStream::connect(server.grpc_addr()).await.expect("it listens");
        first_frame(&mut plain).await.expect_err("it wants TLS");
    });
}

#[test]
fn java_nacos_with_mutual_tls_answers_only_whom_its_authority_signed() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let folder = tempfile::tempdir().expect("a directory");
    let trusted = folder.path().join("clients.pem");
    fs::write(&trusted, clients.certificate()).expect("written");
    let options = with_tls(&folder, &authority.server()).grpc_client_ca(&trusted);
    let server = options.start().expect("Java Nacos");
    within_a_minute(async {
        let known = clients.client("known");
        let forged = Authority::new("clients").client("known");
        // With TLS 1.3 a client is done before the server has looked at its certificate: the
        // refusal is the first thing to be read.
        let ask = async |identity: Option<&Identity>| {
            let mut stream = handshake(server.grpc_addr(), &authority, identity).await?;
            first_frame(&mut stream).await
        };
        assert_eq!(ask(Some(&known)).await.expect("an answer"), SETTINGS);
        ask(None).await.expect_err("nobody vouches for it");
        ask(Some(&forged)).await.expect_err("a stranger vouches for it");
    });
}

fn with_tls(folder: &TempDir, identity: &Identity) -> JavaNacosBuilder {
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    fs::write(&chain, &identity.certificate).expect("written");
    fs::write(&key, &identity.key).expect("written");
    JavaNacos::builder().grpc_tls(&chain, &key)
}

async fn handshake(
    to: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
) -> io::Result<TlsStream<TcpStream>> {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.certificate())).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("ring knows it")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity { certificate: chain, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            config.with_client_auth_cert(vec![certificate(chain)], key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::IpAddress(to.ip().into());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Begins HTTP/2, and gives the type of the first frame that comes back.
async fn first_frame(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> io::Result<u8> {
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await?;
    stream.flush().await?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    Ok(head[3])
}

/// A frame's type (RFC 9113, 6.5).
const SETTINGS: u8 = 4;
