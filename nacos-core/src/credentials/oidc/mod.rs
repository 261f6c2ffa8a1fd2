//! Tokens of an OIDC provider, granted to a machine.
mod answer;
mod endpoint;

use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::BuildHasher,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use tokio::time::timeout;
use tracing::warn;
use zeroize::Zeroizing;

use self::{answer::Found, endpoint::Endpoint};
use super::{Credentials, Grant, GrantContext, GrantError, GrantFuture, SecretSource};
use crate::{
    secret::Secret,
    session::Tried,
    transport::{Body, Dialer, Form, HttpError, Tls, TlsSettings, encoded, get_from, post_form_to},
    wire::oidc::{AUDIENCE, BASIC, CLIENT_ID, CLIENT_SECRET, GRANT_TYPE, POST, RESOURCE, SCOPE},
};

/// The place where an OIDC provider grants tokens.
///
/// Either is an `https` URL. `http` is for this very host, unless
/// [`allow_http`](OidcClient::allow_http) says otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OidcProvider {
    /// The URL of the issuer, as it writes itself. The token endpoint is the one that the document
    /// at `/.well-known/openid-configuration` below it names; it is looked up again after each
    /// login that has failed.
    Issuer(String),
    /// The URL of the token endpoint, for providers without that document.
    TokenEndpoint(String),
}

/// The place in which a client's secret is sent to the token endpoint (OIDC Core 1.0, 9).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum OidcAuthMethod {
    /// In the body: `client_secret_post`.
    ClientSecretPost,
    /// In a header `Authorization: Basic`: `client_secret_basic`.
    ClientSecretBasic,
}

impl OidcAuthMethod {
    /// The method of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            POST => Some(Self::ClientSecretPost),
            BASIC => Some(Self::ClientSecretBasic),
            _ => None,
        }
    }
}

/// A client id and a secret, for which an OIDC provider grants a token that expires
/// (`client_credentials`, RFC 6749): what servers with the OIDC plugin want, from Nacos 3.2 on.
///
/// The token goes to the servers as the Java client sends it, in two headers: `accessToken`, and
/// `Authorization: Bearer`. A new one is fetched in the last tenth of the lifetime that the
/// provider names (300 s if it names none), and when a server refuses the one in use: once a minute
/// at most. While the provider cannot be reached, the former token serves on.
///
/// ```
/// use nacos_core::{Client, Publish, credentials::{OidcClient, OidcProvider}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = nacos_testkit::Server::builder()
/// #     .behaviour(nacos_testkit::Behaviour::Nacos3_3)
/// #     .oidc("orders", "s3cret")
/// #     .start()
/// #     .await?;
/// # let (address, issuer) = (server.addr().to_string(), server.oidc_issuer());
/// let orders = OidcClient::new(OidcProvider::Issuer(issuer), "orders", "s3cret");
/// let nacos = Client::builder().server_addr(address).with_credentials(orders).connect().await?;
/// nacos.configs().publish(Publish::new("orders.yaml", "limit: 7")?).await?;
/// # Ok(()) }
/// ```
///
/// # The audience
///
/// A server in strict mode, which is the default, lets in a token only if its `aud` or `azp` is the
/// *server's* own client id. So a client with an id of its own needs that audience: from a mapper
/// at the provider, or asked for with [`audience`](Self::audience) or [`resource`](Self::resource),
/// as providers differ. The first refusal of a token logs a warning that says so.
///
/// # Errors
///
/// `invalid_client`, an unknown scope, and whatever else the provider refuses by a code of RFC 6749
/// is a denial, as is a token that is no bearer token. 5xx, 429, `temporarily_unavailable`, a page
/// in place of an answer, a redirection (none is followed), and an answer of more than 64 KiB are
/// failures that may pass. Each request to the provider has 10 s, or as long as `connect` may take.
///
/// The flow was checked against the specification and a stand-in for server and provider. It was
/// *not seen* with a real server of 3.2 or later.
#[derive(Clone)]
pub struct OidcClient {
    provider: OidcProvider,
    client_id: String,
    secret: SecretSource,
    scope: Option<String>,
    audience: Option<String>,
    resource: Option<String>,
    auth_method: Option<OidcAuthMethod>,
    allows_http: bool,
    dialer: Dialer,
    state: Arc<State>,
}

/// The part that clones share.
#[derive(Default)]
struct State {
    found: Mutex<Option<Found>>,
    /// A refusal of a token has been explained.
    has_explained: AtomicBool,
    /// By which a client and its secret are told from others.
    hasher: RandomState,
}

impl OidcClient {
    /// The client of this id, with this secret.
    pub fn new(
        provider: OidcProvider,
        client_id: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> Self {
        Self::from_source(provider, client_id.into(), SecretSource::Given(secret.into()))
    }

    /// The client of this id, with the secret that stands in a file, read again for each token.
    pub fn with_secret_file(
        provider: OidcProvider,
        client_id: impl Into<String>,
        path: impl Into<PathBuf>,
    ) -> Self {
        Self::from_source(provider, client_id.into(), SecretSource::File(path.into()))
    }

    pub(crate) fn from_source(
        provider: OidcProvider,
        client_id: String,
        secret: SecretSource,
    ) -> Self {
        Self {
            provider,
            client_id,
            secret,
            scope: Some(DEFAULT_SCOPE.to_owned()),
            audience: None,
            resource: None,
            auth_method: None,
            allows_http: false,
            dialer: Dialer::new(None, Tls::new(TlsSettings::default())),
            state: Arc::default(),
        }
    }

    /// The scopes to ask for, with blanks between them; `openid` unless told otherwise. With a
    /// blank text the provider decides.
    #[must_use]
    pub fn scope(self, scope: impl Into<String>) -> Self {
        Self { scope: Some(scope.into()).filter(|scope| !scope.trim().is_empty()), ..self }
    }

    /// The audience to ask for, as the parameter `audience`, which several providers read and no
    /// standard has.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// The resource to ask for, as the parameter `resource` (RFC 8707).
    #[must_use]
    pub fn resource(self, resource: impl Into<String>) -> Self {
        Self { resource: Some(resource.into()), ..self }
    }

    /// The place of the secret. Without a word it stands in the body, as the Java client has it,
    /// unless the provider's document names `client_secret_basic` and not `client_secret_post`.
    #[must_use]
    pub fn auth_method(self, method: OidcAuthMethod) -> Self {
        Self { auth_method: Some(method), ..self }
    }

    /// The authorities whose signature on the provider's certificate is trusted, in place of the
    /// system's: a PEM file, read again for each token. The options `tls_…` are about the Nacos
    /// servers, and not about the provider.
    #[must_use]
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        let settings = TlsSettings { ca_file: Some(path.into()), ..TlsSettings::default() };
        Self { dialer: Dialer::new(None, Tls::new(settings)), ..self }
    }

    /// Lets the secret, and the token, travel unencrypted to a provider whose URL says `http://`.
    #[must_use]
    pub fn allow_http(self) -> Self {
        Self { allows_http: true, ..self }
    }

    /// Whether the URL is of use; the error says why not.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.provider {
            OidcProvider::Issuer(url) => Endpoint::of_issuer(url, self.allows_http),
            OidcProvider::TokenEndpoint(url) => Endpoint::parse(url, self.allows_http),
        }
        .map(drop)
    }

    async fn log_in(&self, context: &GrantContext) -> Result<Grant, GrantError> {
        if context.is_refused() && !self.state.has_explained.swap(true, Ordering::Relaxed) {
            warn!("{STRICT_AUDIENCE}");
        }
        let secret = self.secret.read().await?;
        let tried = Tried::named(self.state.hasher.hash_one((&self.client_id, secret.expose())));
        let within = context.within.max(WITHIN);
        let granted = match self.token_endpoint(within).await {
            Ok(found) => self.ask(&found, &secret, within).await,
            Err(error) => Err(error),
        };
        match granted {
            Ok(grant) => Ok(grant.granted_for(tried)),
            Err(error) => {
                *self.found() = None;
                Err(error.about(tried))
            }
        }
    }

    /// The token endpoint: given, known, or looked up.
    async fn token_endpoint(&self, within: Duration) -> Result<Found, GrantError> {
        let issuer = match &self.provider {
            OidcProvider::TokenEndpoint(url) => {
                let endpoint =
                    Endpoint::parse(url, self.allows_http).map_err(GrantError::denied)?;
                return Ok(Found { endpoint, wants_basic: false });
            }
            OidcProvider::Issuer(issuer) => issuer,
        };
        if let Some(found) = self.found().clone() {
            return Ok(found);
        }
        let document = Endpoint::of_issuer(issuer, self.allows_http).map_err(GrantError::denied)?;
        let asked = get_from(&self.dialer, &document.origin, &document.target);
        let found = answer(&document, asked, within).await.and_then(|(status, body)| {
            answer::found(status, &body, issuer, self.allows_http)
                .map_err(|error| at(&document, &error))
        })?;
        *self.found() = Some(found.clone());
        Ok(found)
    }

    async fn ask(
        &self,
        found: &Found,
        secret: &Secret,
        within: Duration,
    ) -> Result<Grant, GrantError> {
        let is_basic = match self.auth_method {
            Some(method) => method == OidcAuthMethod::ClientSecretBasic,
            None => found.wants_basic,
        };
        let mut fields = vec![GRANT_TYPE];
        if !is_basic {
            fields.extend([(CLIENT_ID, &*self.client_id), (CLIENT_SECRET, secret.expose())]);
        }
        let more = [(SCOPE, &self.scope), (AUDIENCE, &self.audience), (RESOURCE, &self.resource)];
        fields.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))));
        let basic = basic(&self.client_id, secret);
        let (endpoint, form) = (&found.endpoint, Form::new(fields));
        let authorization = is_basic.then_some(&basic);
        let asked =
            post_form_to(&self.dialer, &endpoint.origin, &endpoint.target, form, authorization);
        let (status, body) = answer(endpoint, asked, within).await?;
        // In whatever form a provider repeats it.
        let secrets = [secret, &encoded(secret.expose()), &basic];
        answer::granted(status, &body, &secrets).map_err(|error| at(endpoint, &error))
    }

    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        // The value under the lock is whole at every moment.
        self.state.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Credentials for OidcClient {
    fn grant<'a>(&'a self, context: &'a GrantContext) -> GrantFuture<'a> {
        Box::pin(self.log_in(context))
    }
}

/// Shows neither the client nor its provider.
impl fmt::Debug for OidcClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcClient").finish_non_exhaustive()
    }
}

/// The answer of `endpoint`, within that time.
async fn answer(
    endpoint: &Endpoint,
    asked: impl Future<Output = Result<(StatusCode, Body), HttpError>>,
    within: Duration,
) -> Result<(StatusCode, Body), GrantError> {
    let why = match timeout(within, asked).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {within:?}"),
    };
    Err(at(endpoint, &GrantError::unavailable(why)))
}

fn at(endpoint: &Endpoint, error: &GrantError) -> GrantError {
    GrantError { why: format!("{endpoint}: {}", error.why), ..*error }
}

/// The header that shows the secret (RFC 6749, 2.3.1): both parts are encoded as in a form.
fn basic(client_id: &str, secret: &Secret) -> Secret {
    let (id, secret) = (encoded(client_id), encoded(secret.expose()));
    let plain = Zeroizing::new([id.expose(), ":", secret.expose()].concat());
    // Room for all of it at once: what a text leaves behind when it grows is not overwritten.
    let mut header = String::with_capacity(BASIC_SCHEME.len() + 4 * plain.len().div_ceil(3));
    header.push_str(BASIC_SCHEME);
    STANDARD.encode_string(plain.as_bytes(), &mut header);
    Secret::new(header)
}

const BASIC_SCHEME: &str = "Basic ";
/// As the Java client has it.
const DEFAULT_SCOPE: &str = "openid";
/// For one answer of the provider, at least: what the Java client waits for one.
const WITHIN: Duration = Duration::from_secs(10);
const STRICT_AUDIENCE: &str = "a server refuses the token of the OpenID provider, or the right to \
     do this is missing: unless the operator has said otherwise, servers take only tokens whose \
     `aud` or `azp` is the server's own client id: add that audience at the provider, or ask for \
     it (`oidc_audience`, `oidc_resource`)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_of_the_header_are_encoded_before_they_are_joined() {
        let header = basic("a:b", &Secret::new("s&t ü"));
        let decoded = STANDARD.decode(header.expose().trim_start_matches("Basic "));
        assert_eq!(decoded.expect("Base64"), b"a%3Ab:s%26t%20%C3%BC");
    }

    #[test]
    fn debug_shows_no_secret() {
        let provider = OidcProvider::TokenEndpoint("https://idp/hunter2".to_owned());
        let shown = format!("{:?}", OidcClient::new(provider, "hunter2", "hunter2"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
