//! The origin of an answer over HTTP that is no Nacos server.
use crate::address::Scheme;

/// A host and a port, and whether HTTP is spoken there over TLS.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) scheme: Scheme,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The same without the port that the scheme implies, as clients of the web write it: servers
    /// make URLs of what stands in the header `Host`.
    pub(crate) fn short_authority(&self) -> String {
        let implied = match self.scheme {
            Scheme::Http => ":80",
            Scheme::Https => ":443",
        };
        let authority = self.authority();
        authority.strip_suffix(implied).map_or(authority.clone(), str::to_owned)
    }
}
