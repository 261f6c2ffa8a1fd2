//! Logging in with user and password, over the main port of any server.
use std::{fmt, path::PathBuf, time::Duration};

use http::StatusCode;
use tokio::time::timeout;

use super::{Credentials, Grant, GrantContext, GrantError, GrantFuture, Source, grant::Cause};
use crate::{
    secret::Secret,
    server::Server,
    transport::{Dialer, Form, HttpError, post_form},
    wire::login::LoginAnswer,
};

/// A user and a password, for which servers grant a token that expires.
///
/// Both go into the body of the login and nowhere else. Any server of the list grants a token for
/// all of them: they are asked in turn, in a random order, at the path of 3.x first.
///
/// ```
/// use nacos_core::{Client, credentials::UserPassword};
///
/// let orders = UserPassword::with_password_file("orders", "/run/secrets/nacos-password");
/// let builder = Client::builder().with_credentials(orders);
/// ```
#[derive(Clone)]
pub struct UserPassword {
    username: String,
    password: Source,
}

impl UserPassword {
    /// This user with this password.
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self { username: username.into(), password: Source::Given(password.into()) }
    }

    /// This user with the password that stands in a file, read again at each login.
    pub fn with_password_file(username: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { username: username.into(), password: Source::File(path.into()) }
    }

    pub(crate) fn from_source(username: String, password: Source) -> Self {
        Self { username, password }
    }

    /// Asks each server in turn until one grants a token or denies the user.
    async fn log_in(&self, context: &GrantContext) -> Result<Grant, GrantError> {
        let password = self.password.read().await?;
        let fields = [("username", self.username.as_str()), ("password", password.expose())];
        let mut causes = Vec::new();
        for server in &context.servers {
            match timeout(PER_SERVER, log_in_to(&context.dialer, server, fields)).await {
                Ok(Err(GrantError { cause: Cause::Unavailable, why })) => {
                    causes.push(format!("{server}: {why}"));
                }
                Ok(outcome) => return outcome,
                Err(_) => causes.push(format!("{server}: no answer to the login in time")),
            }
        }
        Err(GrantError::unavailable(causes.join("; ")))
    }
}

impl Credentials for UserPassword {
    fn grant<'a>(&'a self, context: &'a GrantContext) -> GrantFuture<'a> {
        Box::pin(self.log_in(context))
    }
}

/// Shows neither the user nor the password.
impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPassword").finish_non_exhaustive()
    }
}

async fn log_in_to(
    dialer: &Dialer,
    server: &Server,
    fields: [(&str, &str); 2],
) -> Result<Grant, GrantError> {
    for path in PATHS {
        let (status, body) = match post_form(dialer, server, path, Form::new(fields)).await {
            Ok(answer) => answer,
            // What Java Nacos 2.3 makes of a wrong password (seen: `HTTP/1.1 0`).
            Err(HttpError::ImpossibleStatus) => return Err(wrong_password(server)),
            Err(HttpError::Failed(why)) => return Err(GrantError::unavailable(why)),
        };
        match status {
            StatusCode::OK => {
                let granted: LoginAnswer = serde_json::from_slice(&body)
                    .map_err(|_| GrantError::unavailable("the answer to the login is no JSON"))?;
                let token = granted.access_token.filter(|token| !token.is_empty());
                let token =
                    token.ok_or_else(|| GrantError::unavailable("the login granted no token"))?;
                let ttl = Duration::from_secs(granted.token_ttl.unwrap_or(DEFAULT_TTL));
                return Ok(Grant::access_token(token).lifetime(ttl));
            }
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                return Err(wrong_password(server));
            }
            // And of a user that it does not know, or not yet: it reads them every 15 s (seen).
            StatusCode::INTERNAL_SERVER_ERROR if mentions_user(&body) => {
                return Err(GrantError::unknown(format!("{server} does not know the user")));
            }
            // Servers before 3.0 lack the first path; later ones may switch the second off.
            StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED | StatusCode::GONE => {}
            status => {
                let why = format!("the login was answered with {status}");
                return Err(GrantError::unavailable(why));
            }
        }
    }
    Err(GrantError::unavailable("no login path is known there"))
}

fn wrong_password(server: &Server) -> GrantError {
    GrantError::denied(format!("{server} refused the user or the password"))
}

fn mentions_user(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("User ") && text.contains("not found")
}

const PATHS: [&str; 2] = ["/nacos/v3/auth/user/login", "/nacos/v1/auth/users/login"];
/// For dialling, sending and the answer, both paths together.
const PER_SERVER: Duration = Duration::from_secs(2);
/// What servers grant unless told otherwise, in seconds.
const DEFAULT_TTL: u64 = 18_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", UserPassword::new("nacos", "hunter2"));
        assert!(!shown.contains("hunter2") && !shown.contains("nacos"), "{shown}");
    }
}
