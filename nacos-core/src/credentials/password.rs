//! Logging in with user and password, over the main port of any server (nacos-protocol 5.1).
use std::{fmt, future::pending, path::PathBuf, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::StatusCode;
use tokio::time::{sleep, timeout};

use super::{Credentials, Grant, GrantContext, GrantError, GrantFuture, Source, grant::Cause};
use crate::{
    secret::Secret,
    server::Server,
    transport::{Form, HttpError, post_form},
    wire::login::LoginAnswer,
};

/// A user and a password, for which servers grant a token that expires.
///
/// Both go into the body of the login and nowhere else. Any server of the list grants a token for
/// all of them: they are asked in a random order, the next one beside a slow one, at the path of 3.x
/// first.
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

    /// Asks the servers until one grants a token or denies the user: the next one when one has
    /// failed, or beside one that is slow.
    async fn log_in(&self, context: &GrantContext) -> Result<Grant, GrantError> {
        let password = self.password.read().await?;
        let fields = [("username", self.username.as_str()), ("password", password.expose())];
        let mut waiting = context.servers.iter();
        let mut asked = FuturesUnordered::new();
        let mut causes = Vec::new();
        loop {
            asked.extend(waiting.next().map(|server| log_in_to(context, server, fields)));
            let beside = async {
                if waiting.len() == 0 {
                    pending::<()>().await;
                } else {
                    sleep(BESIDE).await;
                }
            };
            tokio::select! {
                answer = asked.next() => match answer {
                    Some(Err(GrantError { cause: Cause::Unavailable, why })) => causes.push(why),
                    Some(outcome) => return outcome,
                    None => return Err(GrantError::unavailable(causes.join("; "))),
                },
                () = beside => {}
            }
        }
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
    context: &GrantContext,
    server: &Server,
    fields: [(&str, &str); 2],
) -> Result<Grant, GrantError> {
    let answer = timeout(PER_SERVER, ask(context, server, fields)).await;
    let answer = answer.unwrap_or_else(|_| Err(GrantError::unavailable("no answer in time")));
    answer
        .map_err(|GrantError { cause, why }| GrantError { cause, why: format!("{server}: {why}") })
}

async fn ask(
    context: &GrantContext,
    server: &Server,
    fields: [(&str, &str); 2],
) -> Result<Grant, GrantError> {
    for path in PATHS {
        let path = format!("{}{path}", context.context_path());
        let form = Form::new(fields);
        let (status, body) = match post_form(&context.dialer, server, &path, form).await {
            Ok(answer) => answer,
            // What Java Nacos 2.3 makes of a wrong password (seen: `HTTP/1.1 0`).
            Err(HttpError::StatusZero) => return Err(wrong_password()),
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
                return Err(wrong_password());
            }
            // And of a user that it does not know, or not yet: it reads them every 15 s (seen).
            StatusCode::INTERNAL_SERVER_ERROR if mentions_user(&body) => {
                return Err(GrantError::unknown("the user is not known there"));
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

fn wrong_password() -> GrantError {
    GrantError::denied("the user or the password was refused")
}

fn mentions_user(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("User ") && text.contains("not found")
}

const PATHS: [&str; 2] = ["/v3/auth/user/login", "/v1/auth/users/login"];
/// A server that has not answered by then gets company.
const BESIDE: Duration = Duration::from_millis(250);
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
