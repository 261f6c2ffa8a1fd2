//! TLS to the servers: which are trusted, which are refused, and that the refusal says why.
#[path = "../../tls/authority.rs"]
mod authority;
mod endpoint;
mod files;
mod system;
mod terminator;

use std::{error::Error as _, time::Duration};

use nacos_core::{Client, ClientBuilder, ErrorKind, Publish, TlsVersion};
use nacos_testkit::{Server, TimeLimit};
use tempfile::TempDir;
use tokio::{net::TcpListener, time::Instant};
use tracing::Level;

use self::{
    authority::{Authority, Identity, Keys},
    terminator::{BOTH, NEW, OLD, Terminator, Terms},
};
use crate::{
    logs::Log,
    support::{self, server, soon},
};

/// An authority whose root stands in a file, and a folder for more.
struct Trusted {
    authority: Authority,
    folder: TempDir,
    ca_file: String,
}

fn trusted(keys: Keys) -> Trusted {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new(keys);
    let ca_file = text(&authority.write(folder.path(), "ca"));
    Trusted { authority, folder, ca_file }
}

impl Trusted {
    fn loopback(&self) -> Identity {
        self.authority.issue(&["127.0.0.1", "localhost"])
    }
}

fn text(path: &std::path::Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Why it is refused, which is known within a second.
async fn refused(builder: ClientBuilder) -> String {
    let began = Instant::now();
    let error = builder.connect().await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    assert!(Instant::now() - began < Duration::from_secs(1), "as soon as it is known");
    format!("{error}: {}", error.source().expect("has a cause"))
}

#[tokio::test(start_paused = true)]
async fn session_and_login_go_over_tls_with_chains_of_either_kind() {
    for keys in [Keys::Ecdsa, Keys::Rsa] {
        for versions in [OLD, NEW] {
            let trusted = trusted(keys);
            let server = support::start(Server::builder().credentials("nacos", "secret")).await;
            let identity = trusted.loopback();
            let terms = Terms { versions, ..Terms::new(&identity) };
            let terminator = Terminator::before(&server, &terms).await;
            let builder = terminator.builder("", "localhost").credentials("nacos", "secret");
            let builder = builder.tls(true).tls_ca_file(&trusted.ca_file);
            let client = builder.connect().await.expect("connects");
            let publish = Publish::new("d", "1").expect("valid");
            client.configs().publish(publish).await.expect("published");
            let document = client.configs().get("d").await.expect("an answer");
            assert_eq!(&*document.expect("is there").content, "1");
            let mut spoken: Vec<_> = terminator.seen().into_iter().map(|seen| seen.alpn).collect();
            spoken.sort();
            assert_eq!(spoken, ["h2", "http/1.1"].map(|name| Some(name.to_owned())));
            assert_eq!(server.logins(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn scheme_of_the_address_is_enough() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let terminator = Terminator::before(&server, &Terms::new(&trusted.loopback())).await;
    let builder = terminator.builder("https://", "127.0.0.1").tls_ca_file(&trusted.ca_file);
    builder.connect().await.expect("connects");
    assert_eq!(terminator.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn login_stays_plain_only_where_the_address_says_so() {
    let trusted = trusted(Keys::Ecdsa);
    let server = support::start(Server::builder().credentials("nacos", "secret")).await;
    let terminator = Terminator::before(&server, &Terms::new(&trusted.loopback())).await;
    // Only gRPC is under TLS there, as on a Java server: the main port is the server's own.
    let main = server.addr();
    let client = |scheme: &str| {
        Client::builder()
            .server_addr(format!("{scheme}{main}"))
            .grpc_port_offset(terminator.grpc_port() - main.port())
            .tls(true)
            .tls_ca_file(&trusted.ca_file)
            .credentials("nacos", "secret")
    };
    client("http://").connect().await.expect("connects");
    assert_eq!(server.logins(), 1);
    let error = refused(client("")).await;
    assert!(error.contains("login") && error.contains("no TLS"), "{error}");
    assert_eq!(server.logins() + server.refused_logins(), 1, "nothing was sent in clear text");
}

#[tokio::test(start_paused = true)]
async fn password_that_travels_in_clear_text_is_warned_about_wherever_it_stands() {
    let trusted = trusted(Keys::Ecdsa);
    let builder = Client::builder().server_addr("http://127.0.0.1:1").tls(true);
    let builder = builder.tls_ca_file(&trusted.ca_file).username("nacos");
    for builder in [builder.clone().password("hunter2"), builder.password_file("/password")] {
        let warnings = |address: &str| {
            let (log, _guard) = Log::keep();
            let client = builder.clone().server_addr(address).connect_lazy();
            drop(client.expect("valid options"));
            log.at(Level::WARN).concat()
        };
        let said = warnings("http://127.0.0.1:1");
        assert!(said.contains("unencrypted") && !said.contains("hunter2"), "{said:?}");
        assert_eq!(warnings("127.0.0.1:1"), "");
    }
}

#[tokio::test(start_paused = true)]
async fn certificate_for_another_name_is_refused_unless_that_name_is_expected() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let identity = trusted.authority.issue(&["nacos.example"]);
    let terminator = Terminator::before(&server, &Terms::new(&identity)).await;
    for host in ["localhost", "127.0.0.1"] {
        let builder = terminator.builder("", host).tls(true).tls_ca_file(&trusted.ca_file);
        let error = refused(builder.clone()).await;
        let expected = format!("TLS with {host} port {} as {host:?}", terminator.grpc_port());
        assert!(error.contains(&expected) && error.contains("nacos.example"), "{error}");
        assert!(error.contains("tls_server_name"), "{error}");
        builder.tls_server_name("nacos.example").connect().await.expect("that is its name");
    }
    assert_eq!(terminator.seen()[0].server_name.as_deref(), Some("nacos.example"));
}

#[tokio::test(start_paused = true)]
async fn each_address_of_a_name_shows_the_certificate_of_that_name() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let identity = trusted.authority.issue(&["localhost"]);
    let terminator = Terminator::before(&server, &Terms::new(&identity)).await;
    let name = format!("localhost:{}", terminator.main_port());
    let builder = Client::builder().server_dns(name).tls(true).tls_ca_file(&trusted.ca_file);
    let builder = builder.grpc_port_offset(terminator.grpc_port() - terminator.main_port());
    let client = builder.connect().await.expect("connects");
    client.configs().get("d").await.expect("an answer");
    assert_eq!(terminator.seen()[0].server_name.as_deref(), Some("localhost"));
}

#[tokio::test(start_paused = true)]
async fn expired_certificate_is_refused_and_the_error_says_so() {
    for keys in [Keys::Ecdsa, Keys::Rsa] {
        let trusted = trusted(keys);
        let server = server().await;
        let identity = trusted.authority.issue_until(&["127.0.0.1"], 2020);
        let terminator = Terminator::before(&server, &Terms::new(&identity)).await;
        let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
        let error = refused(builder).await;
        assert!(error.contains("has expired") && error.contains("days ago"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn authority_that_nobody_trusts_is_refused() {
    let (trusted, stranger) = (trusted(Keys::Ecdsa), Authority::new(Keys::Ecdsa));
    let server = server().await;
    let identity = stranger.issue(&["127.0.0.1"]);
    let terminator = Terminator::before(&server, &Terms::new(&identity)).await;
    let builder = terminator.builder("", "127.0.0.1").tls(true);
    let error = refused(builder.clone().tls_ca_file(&trusted.ca_file)).await;
    assert!(error.contains("none of the trusted authorities"), "{error}");
    // Nor does the system, if it has authorities at all.
    let error = builder.connect().await.expect_err("refused");
    let cause = error.source().expect("has a cause").to_string();
    match error.kind() {
        ErrorKind::InvalidOption => assert!(cause.contains("authorities"), "{cause}"),
        _ => assert!(cause.contains("none of the trusted authorities"), "{cause}"),
    }
}

#[tokio::test(start_paused = true)]
async fn authority_with_another_key_than_its_namesake_is_refused() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let identity = trusted.authority.namesake().issue(&["127.0.0.1"]);
    let terminator = Terminator::before(&server, &Terms::new(&identity)).await;
    let builder = terminator.builder("", "127.0.0.1").tls(true);
    let error = refused(builder.tls_ca_file(&trusted.ca_file)).await;
    assert!(error.contains("another key than in `tls_ca_file`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn server_that_demands_a_certificate_takes_only_who_has_one() {
    for (keys, versions) in [(Keys::Ecdsa, OLD), (Keys::Ecdsa, NEW), (Keys::Rsa, BOTH)] {
        let (trusted, stranger) = (trusted(keys), Authority::new(Keys::Ecdsa));
        let server = server().await;
        let identity = trusted.loopback();
        let clients = [Some(&trusted.authority); 2];
        let terms = Terms { clients, versions, ..Terms::new(&identity) };
        let terminator = Terminator::before(&server, &terms).await;
        let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
        let shows = |authority: &Authority, name: &str| {
            let paths = authority.issue(&["client"]).write(trusted.folder.path(), name);
            builder.clone().tls_cert_file(text(&paths.cert)).tls_key_file(text(&paths.key))
        };

        let error = refused(builder.clone()).await;
        assert!(error.contains("demands a client certificate"), "{versions:?}: {error}");
        assert!(error.contains("TLS with 127.0.0.1"), "{error}");
        let error = refused(shows(&stranger, "stranger")).await;
        assert!(error.contains("does not accept the client certificate"), "{error}");
        let client = shows(&trusted.authority, "client").connect().await.expect("connects");
        client.configs().get("d").await.expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn login_without_the_certificate_that_it_takes_says_so() {
    for versions in [OLD, NEW] {
        let trusted = trusted(Keys::Ecdsa);
        let server = support::start(Server::builder().credentials("nacos", "secret")).await;
        let identity = trusted.loopback();
        let clients = [Some(&trusted.authority), None];
        let terms = Terms { clients, versions, ..Terms::new(&identity) };
        let terminator = Terminator::before(&server, &terms).await;
        let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
        let builder = builder.credentials("nacos", "secret");
        let error = refused(builder).await;
        assert!(error.contains("login") && error.contains("demands a client"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn oldest_version_that_is_allowed_is_kept_to() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let identity = trusted.loopback();
    let old = Terminator::before(&server, &Terms { versions: OLD, ..Terms::new(&identity) }).await;
    let builder = old.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
    let error = refused(builder.clone().tls_min_version(TlsVersion::V1_3)).await;
    assert!(error.contains("tls_min_version"), "{error}");
    builder.tls_min_version(TlsVersion::V1_2).connect().await.expect("connects");

    let new = Terminator::before(&server, &Terms { versions: NEW, ..Terms::new(&identity) }).await;
    let builder = new.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
    builder.tls_min_version(TlsVersion::V1_3).connect().await.expect("connects");
}

#[tokio::test(start_paused = true)]
async fn server_without_tls_is_named_at_once() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let builder = Client::builder().server_addr(server.addr().to_string());
    let error = refused(builder.tls(true).tls_ca_file(&trusted.ca_file)).await;
    assert!(error.contains(&server.addr().to_string()), "{error}");
    assert!(error.contains("is TLS switched on at this port?"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn server_that_goes_away_is_not_taken_for_one_without_tls() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let terminator = Terminator::before(&server, &Terms::new(&trusted.loopback())).await;
    let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
    let client = builder.connect().await.expect("connects");
    let mut state = client.state();
    // Its sockets are closed without a goodbye.
    drop(terminator);
    let lost = soon(state.wait_for(|state| !state.is_connected())).await.expect("the client lives");
    let lost = format!("{lost:?}");
    assert!(lost.contains("closed the connection") && !lost.contains("switched on"), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn protocol_below_tls_is_agreed_upon() {
    let trusted = trusted(Keys::Ecdsa);
    let server = server().await;
    let identity = trusted.loopback();
    let terms = Terms { alpn: [b"http/1.1", b"http/1.1"], ..Terms::new(&identity) };
    let terminator = Terminator::before(&server, &terms).await;
    let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
    let error = refused(builder).await;
    assert!(error.contains("ALPN"), "{error}");
    // A proxy that only takes the TLS off knows nothing of what is below.
    let terminator =
        Terminator::before(&server, &Terms { alpn: [b"", b""], ..Terms::new(&identity) }).await;
    let builder = terminator.builder("", "127.0.0.1").tls(true).tls_ca_file(&trusted.ca_file);
    builder.connect().await.expect("connects");
}

#[tokio::test(start_paused = true)]
async fn handshake_without_an_answer_ends_with_the_connect_timeout() {
    TimeLimit::for_test();
    let trusted = trusted(Keys::Ecdsa);
    // The system accepts for the listener, which never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let began = Instant::now();
    let builder = Client::builder().server_addr(format!("127.0.0.1:{port}")).grpc_port_offset(0);
    let error = builder.tls(true).tls_ca_file(&trusted.ca_file).connect().await;
    assert_eq!(error.expect_err("it never answers").kind(), ErrorKind::Disconnected);
    assert!(Instant::now() - began <= Duration::from_secs(5));
}
