//! Logging in with user and password, over the main port of any server (nacos-protocol 5.1).
use std::{fmt, time::Duration};

use http::StatusCode;
use tokio::time::timeout;

use crate::{
    credentials::Credentials,
    server::Server,
    session::LoginFailure,
    transport::{Dialer, Form, HttpError, post_form},
    wire::login::LoginAnswer,
};

/// A token and how long it is good for. `Debug` shows no token.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) ttl: Duration,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// Asks each server in turn until one grants a token or denies the user.
pub(super) async fn log_in(
    dialer: &Dialer,
    servers: Vec<Server>,
    credentials: Credentials,
) -> Result<Token, LoginFailure> {
    let mut causes = Vec::new();
    for server in &servers {
        match timeout(PER_SERVER, log_in_to(dialer, server, &credentials)).await {
            Ok(Ok(token)) => return Ok(token),
            Ok(Err(LoginFailure::Unreachable(why))) => causes.push(format!("{server}: {why}")),
            Ok(Err(refused)) => return Err(refused),
            Err(_) => causes.push(format!("{server}: no answer to the login in time")),
        }
    }
    Err(LoginFailure::Unreachable(causes.join("; ")))
}

async fn log_in_to(
    dialer: &Dialer,
    server: &Server,
    credentials: &Credentials,
) -> Result<Token, LoginFailure> {
    let unreachable = LoginFailure::Unreachable;
    for path in PATHS {
        let form = Form::new(credentials.fields());
        let (status, body) = match post_form(dialer, server, path, form).await {
            Ok(answer) => answer,
            // What Java Nacos 2.3 makes of a wrong password (seen: `HTTP/1.1 0`).
            Err(HttpError::ImpossibleStatus) => return Err(wrong_password(server)),
            Err(HttpError::Failed(why)) => return Err(unreachable(why)),
        };
        match status {
            StatusCode::OK => {
                let granted: LoginAnswer = serde_json::from_slice(&body)
                    .map_err(|_| unreachable("the answer to the login is no JSON".to_owned()))?;
                let text = granted.access_token.filter(|token| !token.is_empty());
                let text =
                    text.ok_or_else(|| unreachable("the login granted no token".to_owned()))?;
                let ttl = Duration::from_secs(granted.token_ttl.unwrap_or(DEFAULT_TTL));
                return Ok(Token { text, ttl });
            }
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                return Err(wrong_password(server));
            }
            // And of a user that it does not know, or not yet: it reads them every 15 s (seen).
            StatusCode::INTERNAL_SERVER_ERROR if mentions_user(&body) => {
                return Err(LoginFailure::UnknownUser(format!("{server} does not know the user")));
            }
            // Servers before 3.0 lack the first path; later ones may switch the second off.
            StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED | StatusCode::GONE => {}
            status => return Err(unreachable(format!("the login was answered with {status}"))),
        }
    }
    Err(unreachable("no login path is known there".to_owned()))
}

fn wrong_password(server: &Server) -> LoginFailure {
    LoginFailure::Denied(format!("{server} refused the user or the password"))
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
