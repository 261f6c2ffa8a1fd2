//! The headers and signatures that credentials grant, and requests carry.
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

#[cfg(feature = "ram")]
use super::sign::Key;
use super::{Resource, headers::RequestHeaders};
use crate::{secret::Secret, session::Tried, transport::Headers};

/// The headers and signatures with which servers let requests in, and how long they are good.
///
/// `Debug` shows the headers' names, never their values.
///
/// ```
/// use std::time::Duration;
///
/// use nacos_core::credentials::Grant;
///
/// let grant = Grant::access_token("eyJhbGciOi").lifetime(Duration::from_secs(18_000));
/// assert!(format!("{grant:?}").contains("accessToken"));
/// assert!(!format!("{grant:?}").contains("eyJ"));
/// ```
#[derive(Clone, Default)]
pub struct Grant {
    headers: Vec<(String, Secret)>,
    lifetime: Option<Duration>,
    signer: Option<Signer>,
    tried: Tried,
}

/// The key or the function that signs each request.
#[derive(Clone)]
enum Signer {
    #[cfg(feature = "ram")]
    Ram(Arc<Key>),
    Custom(Arc<Sign>),
}

type Sign = dyn Fn(&Resource, SystemTime, &mut RequestHeaders<'_>) + Send + Sync;

impl Grant {
    /// Carries nothing, for ever.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries `token` as servers with users want it: in the header `accessToken`.
    #[must_use]
    pub fn access_token(token: impl Into<Secret>) -> Self {
        Self::new().header("accessToken", token)
    }

    /// Every request carries this header too. Servers tell upper and lower case apart.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// After this the credentials are to be asked again; they are, at a random point of the last
    /// tenth, so that a thousand clients that started together do not log in together. Below five
    /// seconds it counts as five. Without one they are asked again only if a server refuses this.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Every request is signed by `sign`, which is given what the request is about, the time, and
    /// the headers to add to. Requests about the connection itself are not signed.
    ///
    /// Called on the task that makes the request, or on one of its own, so that it delays nothing
    /// else; it should not block all the same. A request whose signing panics is not sent.
    ///
    /// ```
    /// use nacos_core::credentials::{Grant, Resource};
    ///
    /// let grant = Grant::new().signed_by(|resource, _time, headers| {
    ///     if let Resource::Document(key) = resource {
    ///         headers.insert("x-group", key.group().as_str());
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn signed_by(
        mut self,
        sign: impl Fn(&Resource, SystemTime, &mut RequestHeaders<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.signer = Some(Signer::Custom(Arc::new(sign)));
        self
    }

    #[cfg(feature = "ram")]
    pub(super) fn signed_with(mut self, key: Key) -> Self {
        self.signer = Some(Signer::Ram(Arc::new(key)));
        self
    }

    /// The credential that this was granted for.
    pub(super) fn granted_for(mut self, tried: Tried) -> Self {
        self.tried = tried;
        self
    }

    pub(crate) fn tried(&self) -> Tried {
        self.tried
    }

    pub(crate) fn expires_after(&self) -> Option<Duration> {
        self.lifetime
    }

    /// Whether requests that carry `other` carry the same as those that carry this. Two functions
    /// cannot be compared, so they count as different.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let signer = match (&self.signer, &other.signer) {
            (None, None) => true,
            #[cfg(feature = "ram")]
            (Some(Signer::Ram(one)), Some(Signer::Ram(other))) => one == other,
            (Some(Signer::Custom(one)), Some(Signer::Custom(other))) => Arc::ptr_eq(one, other),
            #[cfg_attr(not(feature = "ram"), allow(unreachable_patterns, reason = "one signer"))]
            _ => false,
        };
        signer && self.headers == other.headers
    }

    /// Whether a user's function signs.
    pub(crate) fn runs_foreign_code(&self) -> bool {
        matches!(self.signer, Some(Signer::Custom(_)))
    }

    /// The headers of one request that is about to be sent.
    pub(crate) fn headers_for(&self, resource: impl FnOnce() -> Resource) -> Headers {
        let headers = self.headers.iter();
        let mut headers: Headers =
            headers.map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        if let Some(signer) = &self.signer {
            let resource = resource();
            if resource != Resource::Connection {
                signer.sign(&resource, SystemTime::now(), &mut RequestHeaders(&mut headers));
            }
        }
        headers
    }
}

impl Signer {
    fn sign(&self, resource: &Resource, at: SystemTime, headers: &mut RequestHeaders<'_>) {
        match self {
            #[cfg(feature = "ram")]
            Self::Ram(key) => key.sign(resource, at, headers),
            Self::Custom(sign) => sign(resource, at, headers),
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Grant")
            .field("headers", &names)
            .field("lifetime", &self.lifetime)
            .field("signs", &self.signer.is_some())
            .finish_non_exhaustive()
    }
}

/// Why nothing was granted. Shown in logs and errors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrantError {
    pub(crate) cause: GrantFailure,
    pub(crate) why: String,
    /// The credential that it is about.
    pub(crate) tried: Tried,
}

/// The cause of a [`GrantError`], by what helps against it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum GrantFailure {
    /// Nothing, until an operator changes something.
    Denied,
    /// Perhaps nothing: servers say the same until they have read their users.
    Refused,
    /// Most likely nothing: servers say the same of a wrong password, and when they fail.
    Failed,
    /// Perhaps nothing: 2.3 reads its users some time after its start.
    Unknown,
    /// Ask again.
    Unavailable,
}

impl GrantError {
    /// The secret is wrong, or the user may not log in: asking again would change nothing.
    pub fn denied(why: impl fmt::Display) -> Self {
        Self::with(GrantFailure::Denied, why)
    }

    /// The secret is wrong, or the server does not know it yet, because it is starting: asking
    /// again soon may help.
    pub fn refused(why: impl fmt::Display) -> Self {
        Self::with(GrantFailure::Refused, why)
    }

    /// No server could be asked: it may be granted later.
    pub fn unavailable(why: impl fmt::Display) -> Self {
        Self::with(GrantFailure::Unavailable, why)
    }

    pub(super) fn with(cause: GrantFailure, why: impl fmt::Display) -> Self {
        Self { cause, why: why.to_string(), tried: Tried::default() }
    }

    pub(super) fn about(self, tried: Tried) -> Self {
        Self { tried, ..self }
    }
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for GrantError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::ConfigKey;

    fn document() -> Resource {
        Resource::Document(ConfigKey::try_from("d").expect("valid"))
    }

    #[test]
    fn debug_shows_names_of_headers_and_no_value() {
        let grant = Grant::access_token("hunter2").header("other", "hunter2");
        let shown = format!("{grant:?} {:?}", RequestHeaders(&mut grant.headers_for(document)));
        assert!(shown.contains("accessToken") && shown.contains("other"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn grants_are_the_same_if_requests_carry_the_same() {
        let long = Grant::access_token("a").lifetime(Duration::from_secs(9));
        assert!(Grant::access_token("a").is_same(&long));
        assert!(!Grant::access_token("a").is_same(&Grant::access_token("b")));
        let signed = Grant::new().signed_by(|_, _, _| {});
        assert!(signed.is_same(&signed.clone()));
        assert!(!signed.is_same(&Grant::new().signed_by(|_, _, _| {})));
        assert!(!signed.is_same(&Grant::new()));
    }

    #[test]
    fn requests_about_the_connection_are_not_signed() {
        let grant = Grant::access_token("a").signed_by(|_, _, headers| headers.insert("s", "1"));
        assert_eq!(grant.headers_for(document).len(), 2);
        assert_eq!(grant.headers_for(|| Resource::Connection).len(), 1);
    }
}
