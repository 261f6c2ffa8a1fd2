//! Reading the list of servers.
use tokio::{
    net::lookup_host,
    time::{Duration, timeout},
};

use super::{AddressServer, ListSource, Listing, ServerList};
use crate::{
    address::Scheme,
    server::Server,
    transport::{Dialer, HttpError, get_list},
};

/// Asks the source of the list for the servers, once.
///
/// # Errors
///
/// Says who was asked, and why there is no list.
pub(crate) async fn read(
    dialer: &Dialer,
    list: &ServerList,
    context_path: &str,
) -> Result<Listing, String> {
    let listing = match &list.source {
        ListSource::AddressServer(server) => {
            fetch(dialer, server, list.grpc_offset, context_path).await
        }
        ListSource::Name(name) => resolve(name).await,
    };
    listing.map_err(|why| format!("{}: {why}", list.source))
}

async fn fetch(
    dialer: &Dialer,
    server: &AddressServer,
    grpc_offset: u16,
    context_path: &str,
) -> Result<Listing, String> {
    let (status, body) =
        match timeout(WITHIN, get_list(dialer, &server.origin, &server.target())).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(HttpError::StatusZero)) => return Err("an answer that is no HTTP".to_owned()),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer in time".to_owned()),
        };
    if !status.is_success() {
        return Err(format!("answered with {status}"));
    }
    let mut listing = Listing::parse(&String::from_utf8_lossy(&body), grpc_offset, context_path);
    if server.origin.scheme == Scheme::Http {
        // A host in between could take TLS from the login.
        listing = listing.without_http();
    }
    match (listing.servers.is_empty(), listing.unreadable.first()) {
        (true, Some(why)) => Err(format!("the answer is no list of servers: {why}")),
        (true, None) => Err("the list is empty".to_owned()),
        (false, _) => Ok(listing),
    }
}

async fn resolve(name: &Server) -> Result<Listing, String> {
    match timeout(NAME_WITHIN, lookup_host((name.host(), name.port()))).await {
        Ok(Ok(addresses)) => {
            let listing = Listing::resolved(name, addresses);
            if listing.servers.is_empty() {
                return Err("the name has no address".to_owned());
            }
            Ok(listing)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// For one answer; `connect` has five seconds unless told otherwise.
const WITHIN: Duration = Duration::from_secs(3);
/// For one look-up: resolvers wait five seconds for a name server that is gone before they ask the
/// next one.
const NAME_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use nacos_testkit::TimeLimit;

    use super::*;
    use crate::{
        server_list::Details,
        transport::{Tls, TlsSettings},
    };

    #[tokio::test]
    async fn list_that_came_in_clear_text_takes_tls_from_no_login() {
        TimeLimit::for_test();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let answer = async {
            let (mut socket, _) = listener.accept().await.expect("a client");
            let _ = socket.read(&mut [0; 1024]).await.expect("a request");
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\nhttp://10.0.0.1\n";
            socket.write_all(answer).await.expect("sent");
        };
        let dialer = Dialer::new(Some(true), Tls::new(TlsSettings::default()));
        let server = AddressServer::parse(&address, Details::default()).expect("valid");
        let (listing, ()) = tokio::join!(fetch(&dialer, &server, 1000, "nacos"), answer);
        let servers = listing.expect("a list").servers;
        assert_eq!(servers.len(), 1);
        assert!(servers.iter().all(|server| dialer.secures_http(server)), "the option says `tls`");
    }
}
