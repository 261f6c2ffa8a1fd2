//! Where a request goes, as HTTP/2 wants to know it.
use http::{
    HeaderValue, Request, Uri,
    header::USER_AGENT,
    uri::{Authority, Parts, Scheme},
};

/// What an endpoint adds to the requests that it gets.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    authority: Authority,
}

impl Origin {
    pub(super) fn parse(address: &str) -> Result<Self, http::uri::InvalidUri> {
        Ok(Self { authority: address.parse()? })
    }

    /// Makes the address of a request absolute; generated clients know its path only. Returns the
    /// address that it had.
    ///
    /// A client that names an authority knows better (`with_origin`), and keeps it.
    pub(super) fn complete<B>(&self, request: &mut Request<B>) -> Option<Uri> {
        if request.headers().get(USER_AGENT).is_none() {
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        }
        if request.uri().authority().is_some() {
            return None;
        }
        let given = request.uri().clone();
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = given.path_and_query().cloned();
        // A path without a leading slash is the one thing that does not fit. HTTP/2 refuses it.
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        Some(given)
    }
}

const AGENT: &str = concat!("nacos-tonic/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_becomes_absolute_and_can_be_restored() {
        let origin = Origin::parse("[::1]:80").expect("valid");
        let mut request = request("/inventory.Inventory/Reserve?a=1");
        let given = origin.complete(&mut request).expect("was a path");
        assert_eq!(request.uri(), "http://[::1]:80/inventory.Inventory/Reserve?a=1");
        assert_eq!(given, "/inventory.Inventory/Reserve?a=1");
        assert!(request.headers()[USER_AGENT].as_bytes().starts_with(b"nacos-tonic/"));
    }

    #[test]
    fn clients_own_authority_and_agent_stay() {
        let origin = Origin::parse("10.0.0.1:80").expect("valid");
        let mut request = request("https://inventory/a");
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("mine"));
        assert!(origin.complete(&mut request).is_none());
        assert_eq!(request.uri(), "https://inventory/a");
        assert_eq!(request.headers()[USER_AGENT], "mine");
    }

    fn request(uri: &str) -> Request<()> {
        Request::builder().uri(uri).body(()).expect("valid")
    }
}
