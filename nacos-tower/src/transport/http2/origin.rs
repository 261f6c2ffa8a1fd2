//! The origin of an endpoint, which HTTP/2 wants in the URI of a request.
use http::{
    HeaderValue, Request, Uri,
    header::USER_AGENT,
    uri::{Authority, Parts, Scheme},
};

/// The parts that an endpoint adds to its requests.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    authority: Authority,
    user_agent: HeaderValue,
}

impl Origin {
    pub(super) fn parse(
        address: &str,
        user_agent: HeaderValue,
    ) -> Result<Self, http::uri::InvalidUri> {
        Ok(Self { authority: address.parse()?, user_agent })
    }

    /// Makes the URI of a request absolute, where it is only a path. Returns the URI that it had.
    ///
    /// A request that names an authority keeps it.
    pub(super) fn complete<B>(&self, request: &mut Request<B>) -> Option<Uri> {
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_becomes_absolute_and_can_be_restored() {
        let origin = Origin::parse("[::1]:80", agent()).expect("valid");
        let mut request = request("/inventory.Inventory/Reserve?a=1");
        let given = origin.complete(&mut request).expect("was a path");
        assert_eq!(request.uri(), "http://[::1]:80/inventory.Inventory/Reserve?a=1");
        assert_eq!(given, "/inventory.Inventory/Reserve?a=1");
        assert_eq!(request.headers()[USER_AGENT], "ours");
    }

    #[test]
    fn clients_own_authority_and_agent_stay() {
        let origin = Origin::parse("10.0.0.1:80", agent()).expect("valid");
        let mut request = request("https://inventory/a");
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("mine"));
        assert!(origin.complete(&mut request).is_none());
        assert_eq!(request.uri(), "https://inventory/a");
        assert_eq!(request.headers()[USER_AGENT], "mine");
    }

    fn agent() -> HeaderValue {
        HeaderValue::from_static("ours")
    }

    fn request(uri: &str) -> Request<()> {
        Request::builder().uri(uri).body(()).expect("valid")
    }
}
