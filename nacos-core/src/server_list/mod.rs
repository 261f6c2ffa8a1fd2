//! The list of servers, if the options do not give it: its source, how it is read, and its content.
//!
//! The options say where it is (`options/server_list.rs`), the session says when to read it
//! (`session/connecting/list_refresh.rs`), and the driver logs the result
//! (`connection/driver/server_list.rs`).
mod address_server;
mod listing;
mod read;

use std::{fmt, time::Duration};

pub(crate) use self::{
    address_server::{AddressServer, Details},
    listing::Listing,
    read::read,
};
use crate::server::Server;

/// Where the list of servers is read, and how often.
#[derive(Clone, Debug)]
pub(crate) struct ServerList {
    pub(crate) source: ListSource,
    pub(crate) refresh: Duration,
    /// How far the gRPC port of each server lies above its main port.
    pub(crate) grpc_offset: u16,
}

/// The source of a list of servers.
#[derive(Clone, Debug)]
pub(crate) enum ListSource {
    /// An address server, which answers with one server a line.
    AddressServer(AddressServer),
    /// A name, each address of which is a server.
    Name(Server),
}

impl ListSource {
    /// Which kind of source it is, and where it is, as it is configured: with the query, which may
    /// hold a secret. Parts of the query have no order.
    pub(crate) fn configured(&self) -> (&'static str, String) {
        match self {
            Self::AddressServer(server) => ("endpoint", server.configured()),
            Self::Name(name) => ("dns", name.to_string()),
        }
    }
}

impl fmt::Display for ListSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressServer(server) => write!(f, "the servers that {server} lists"),
            Self::Name(name) => write!(f, "the addresses of {name}"),
        }
    }
}
