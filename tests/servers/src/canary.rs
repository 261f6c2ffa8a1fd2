//! One configuration, published and read back over HTTP: proof that a server stores what it
//! acknowledges.

use std::net::SocketAddr;
use std::time::Duration;

use crate::launch::Credentials;
use crate::{Error, ErrorKind, Request};

/// A configuration that no test uses.
#[derive(Clone, Debug)]
pub(crate) struct Canary {
    token: Option<String>,
}

impl Canary {
    pub(crate) fn new(token: Option<String>) -> Self {
        Self { token }
    }

    /// Whether the server says that it took `content`.
    pub(crate) fn publish(&self, to: SocketAddr, content: &str) -> bool {
        let request = self.address(Request::post(PATH)).form("content", content);
        request.send(to, PATIENCE).is_ok_and(|answer| answer.is_ok() && answer.body() == "true")
    }

    /// Whether the server has `content`.
    pub(crate) fn is_readable(&self, from: SocketAddr, content: &str) -> bool {
        let request = self.address(Request::get(PATH));
        request.send(from, PATIENCE).is_ok_and(|answer| answer.is_ok() && answer.body() == content)
    }

    /// Leaves the server as it was.
    pub(crate) fn remove(&self, from: SocketAddr) {
        // A configuration that stays behind under this name is in no test's way.
        let _ = self.address(Request::delete(PATH)).send(from, PATIENCE);
    }

    fn address(&self, request: Request) -> Request {
        let request = request.query("dataId", "canary").query("group", "SERVERS_RIG");
        match &self.token {
            Some(token) => request.query("accessToken", token),
            None => request,
        }
    }
}

/// Logs in and gives the token.
pub(crate) fn log_in(to: SocketAddr, credentials: &Credentials) -> Result<String, Error> {
    log_in_at(to, credentials, "/nacos/v1/auth/users/login")
}

/// The same, at the path that a server has.
pub(crate) fn log_in_at(
    to: SocketAddr,
    credentials: &Credentials,
    path: &str,
) -> Result<String, Error> {
    let answer = Request::post(path)
        .form("username", &credentials.user)
        .form("password", &credentials.password)
        .send(to, PATIENCE)?;
    match answer.text_field("accessToken") {
        Some(token) if answer.is_ok() => Ok(token.to_owned()),
        _ => {
            let text = format_args!("login at {to}: {} {}", answer.status(), answer.body());
            Err(Error::new(ErrorKind::Unanswered, text))
        }
    }
}

const PATH: &str = "/nacos/v1/cs/configs";

/// For one request; a server that starts may take long over its first ones.
const PATIENCE: Duration = Duration::from_secs(3);
