//! Reading the list of servers.
use tokio::{
    net::lookup_host,
    time::{Duration, timeout},
};

use crate::{
    locator::{Endpoint, Listing, Locator, Source},
    server::Server,
    transport::{Dialer, HttpError, get_list},
};

/// Asks whoever knows the servers, once.
///
/// # Errors
///
/// Says who was asked, and why there is no list.
pub(super) async fn locate(dialer: &Dialer, locator: &Locator) -> Result<Listing, String> {
    let listing = match &locator.source {
        Source::Endpoint(endpoint) => fetch(dialer, endpoint, locator.grpc_offset).await,
        Source::Name(name) => resolve(name).await,
    };
    listing.map_err(|why| format!("{}: {why}", locator.source))
}

async fn fetch(dialer: &Dialer, endpoint: &Endpoint, grpc_offset: u16) -> Result<Listing, String> {
    let (status, body) = match timeout(WITHIN, get_list(dialer, endpoint)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(HttpError::Failed(why))) => return Err(why),
        Ok(Err(HttpError::ImpossibleStatus)) => return Err("an answer that is no HTTP".to_owned()),
        Err(_) => return Err("no answer in time".to_owned()),
    };
    if !status.is_success() {
        return Err(format!("answered with {status}"));
    }
    let listing = Listing::parse(&String::from_utf8_lossy(&body), grpc_offset);
    match (listing.servers.is_empty(), listing.unreadable.first()) {
        (true, Some(why)) => Err(format!("the answer is no list of servers: {why}")),
        (true, None) => Err("the list is empty".to_owned()),
        (false, _) => Ok(listing),
    }
}

async fn resolve(name: &Server) -> Result<Listing, String> {
    match timeout(WITHIN, lookup_host((name.host(), name.port()))).await {
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
