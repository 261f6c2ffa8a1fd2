//! The subject of a request, for credentials that sign it.
use crate::key::{ConfigKey, ServiceKey};

/// The subject of a request, for credentials that sign each request: see
/// [`Grant::signed_by`](crate::credentials::Grant::signed_by).
///
/// Keys name their namespace: it has been filled in before anything is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Resource {
    /// One document.
    Document(ConfigKey),
    /// Several documents, or documents by pattern: no single one can be named.
    Documents,
    /// One service.
    Service(ServiceKey),
    /// The list of services, or services by pattern: no single one can be named.
    Services,
    /// The connection itself: server and health checks. Servers let every client do that, so these
    /// requests are never signed.
    Connection,
}
