//! Logging in with user and password, over the main port of any server.
use std::{
    collections::hash_map::RandomState, fmt, hash::BuildHasher, path::PathBuf, time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::StatusCode;
use tokio::time::{Instant, timeout};

use super::{
    Credentials, Grant, GrantContext, GrantError, GrantFuture, SecretSource, grant::GrantFailure,
};
use crate::{
    secret::Secret,
    server::Server,
    session::Tried,
    time::sleep_until,
    transport::{Form, HttpError, post_form},
    wire::login::LoginAnswer,
};

/// A user and a password, for which servers grant a token that expires.
///
/// Both go into the body of the login and nowhere else. Any server of the list grants a token for
/// all of them: they are asked in a random order, the next one beside a slow one, at the path of
/// 3.x first. One that refuses may have started a moment ago and not know its users yet, so others
/// are asked as well, up to three that refuse.
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
    password: SecretSource,
    /// By which a password is told from another one.
    hasher: RandomState,
}

impl UserPassword {
    /// This user with this password.
    pub fn new(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::from_source(username.into(), SecretSource::Given(password.into()))
    }

    /// This user with the password that stands in a file, read again at each login.
    pub fn with_password_file(username: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self::from_source(username.into(), SecretSource::File(path.into()))
    }

    pub(crate) fn from_source(username: String, password: SecretSource) -> Self {
        Self { username, password, hasher: RandomState::new() }
    }

    async fn log_in(&self, context: &GrantContext) -> Result<Grant, GrantError> {
        let password = self.password.read().await?;
        let tried = Tried::named(self.hasher.hash_one((&self.username, password.expose())));
        let fields = [("username", self.username.as_str()), ("password", password.expose())];
        match ask_all(context, fields).await {
            Ok(grant) => Ok(grant.granted_for(tried)),
            Err(error) => Err(error.about(tried)),
        }
    }
}

/// Asks the servers until one grants a token: the next one when one has failed or refused, or
/// beside one that is slow.
async fn ask_all(context: &GrantContext, fields: [(&str, &str); 2]) -> Result<Grant, GrantError> {
    let mut waiting = context.servers.iter();
    let mut asked = FuturesUnordered::new();
    let (mut refusals, mut causes) = (Vec::new(), Vec::new());
    while refusals.len() < ENOUGH_REFUSALS {
        asked.extend(waiting.next().map(|server| log_in_to(context, server, fields)));
        let beside = sleep_until((waiting.len() > 0).then(|| Instant::now() + BESIDE));
        tokio::select! {
            answer = asked.next() => match answer {
                Some(Err(error)) if error.cause == GrantFailure::Unavailable => causes.push(error.why),
                // Every server means the same by that.
                Some(Err(error)) if error.cause == GrantFailure::Denied => return Err(explained(error)),
                Some(Err(error)) => refusals.push(error),
                Some(Ok(grant)) => return Ok(grant),
                None => break,
            },
            () = beside => {}
        }
    }
    // A server that may be starting comes first: it may grant the login soon.
    refusals.sort_by_key(|error| error.cause != GrantFailure::Refused);
    let Some(first) = refusals.first() else {
        return Err(GrantError::unavailable(causes.join("; ")));
    };
    let cause = first.cause;
    causes.splice(0..0, refusals.into_iter().map(|error| error.why));
    Err(explained(GrantError::with(cause, causes.join("; "))))
}

/// With what it may mean, and what helps.
fn explained(error: GrantError) -> GrantError {
    let meaning = match error.cause {
        GrantFailure::Denied => PASSWORD_IS_WRONG,
        GrantFailure::Refused => NOT_READY_OR_WRONG,
        GrantFailure::Failed => WRONG_OR_FAILING,
        GrantFailure::Unknown => NOT_KNOWN_YET,
        GrantFailure::Unavailable => return error,
    };
    GrantError { why: format!("{}: {meaning}", error.why), ..error }
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
    let answer = timeout(context.within, ask(context, server, fields)).await;
    let late = || GrantError::unavailable(format!("no answer within {:?}", context.within));
    let answer = answer.unwrap_or_else(|_| Err(late()));
    answer.map_err(|error| GrantError { why: format!("{server}: {}", error.why), ..error })
}

async fn ask(
    context: &GrantContext,
    server: &Server,
    fields: [(&str, &str); 2],
) -> Result<Grant, GrantError> {
    let mut elsewhere = Vec::new();
    for path in PATHS {
        let path = format!("{}{path}", context.context_path());
        let form = Form::new(fields);
        let sent = post_form(&context.dialer, server, &path, form, context.within);
        let (status, body) = match sent.await {
            Ok(answer) => answer,
            // The answer of Java Nacos 2.3 to a wrong password (seen: `HTTP/1.1 0`).
            Err(HttpError::StatusZero) => {
                return Err(GrantError::denied("the login was answered with the status 0"));
            }
            Err(error) => return Err(GrantError::unavailable(error.to_string())),
        };
        let error = match granted(status, &body, fields[0].1) {
            Ok(grant) => return Ok(grant),
            Err(error) => error,
        };
        if is_final(status, &body) {
            return Err(error);
        }
        elsewhere.push(error);
    }
    // No host there is known to be a Nacos server; a wall that lets neither through may be one.
    let cause =
        elsewhere.iter().map(|error| error.cause).find(|cause| *cause == GrantFailure::Refused);
    let mut said: Vec<_> = elsewhere.into_iter().map(|error| error.why).collect();
    said.dedup();
    let why = format!("no login path is known there: {}", said.join(", and then "));
    Err(GrantError::with(cause.unwrap_or(GrantFailure::Unavailable), why))
}

fn granted(status: StatusCode, body: &[u8], user: &str) -> Result<Grant, GrantError> {
    if status != StatusCode::OK {
        let why = format!("the login was answered with {status}");
        return Err(GrantError::with(meaning(status, body, user), why));
    }
    let granted: LoginAnswer = serde_json::from_slice(body)
        .map_err(|_| GrantError::unavailable("the answer to the login is no JSON"))?;
    let token = granted.access_token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| GrantError::unavailable("the login granted no token"))?;
    let ttl = Duration::from_secs(granted.token_ttl.unwrap_or(DEFAULT_TTL));
    Ok(Grant::access_token(token).lifetime(ttl))
}

/// Whether an answer that grants nothing is one to a login, so that the next path is not asked.
///
/// Servers before 3.0 lack the first path, later ones may switch the second off. They say so with
/// 404, 410 or 501; what stands before them says what it likes: 405 (of a path below which there
/// are pages), 400, a redirection to a page, a page of its own with 200 or 403, a code of its own
/// in JSON with 200. Asking a server that has both costs it one more request.
fn is_final(status: StatusCode, body: &[u8]) -> bool {
    match status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => !is_page(body),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::NOT_IMPLEMENTED => false,
        // Of an exception for a path that leads nowhere.
        StatusCode::INTERNAL_SERVER_ERROR => !leads_nowhere(body),
        status => status.is_server_error(),
    }
}

/// The meaning of an answer other than 200 to a login of `user`.
fn meaning(status: StatusCode, body: &[u8], user: &str) -> GrantFailure {
    match status {
        // Of a wrong password, of an unknown user, and of both of one that is right, for as long as
        // the server has not read its users: 3.x does that after its port has opened (seen: 0.4 to
        // 15 s).
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => GrantFailure::Refused,
        // The answer of 2.3 for a user that it does not know, or not yet: it reads them every 15 s
        // (seen).
        StatusCode::INTERNAL_SERVER_ERROR if misses(body, user) => GrantFailure::Unknown,
        // The answer of 3.0 and 3.1 to a wrong password (seen), and for any other exception that
        // has no text.
        StatusCode::INTERNAL_SERVER_ERROR if contains(body, "No message available") => {
            GrantFailure::Failed
        }
        // Their answer at the older path for any exception, be it for a wrong password or for a
        // user that they do not know yet.
        StatusCode::INTERNAL_SERVER_ERROR if contains(body, "Handle API Compatibility failed") => {
            GrantFailure::Refused
        }
        // Any other one is an authentication plugin that fails.
        _ => GrantFailure::Unavailable,
    }
}

/// Whether the server says that it does not know `user`. By its name: a plugin that crashes may
/// miss a table or a class of users. The server writes the text for HTML.
fn misses(body: &[u8], user: &str) -> bool {
    let mut name = String::with_capacity(user.len());
    for letter in user.chars() {
        match letter {
            '&' => name.push_str("&amp;"),
            '<' => name.push_str("&lt;"),
            '>' => name.push_str("&gt;"),
            '"' => name.push_str("&quot;"),
            '\'' => name.push_str("&#39;"),
            letter => name.push(letter),
        }
    }
    [user, &name].iter().any(|name| contains(body, &format!("User {name} not found")))
}

fn leads_nowhere(body: &[u8]) -> bool {
    ["No static resource", "No handler found", "No endpoint"]
        .iter()
        .any(|text| contains(body, text))
}

/// Whether it is a page for people, which no Nacos server sends in answer to a login.
fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'<')
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

const PATHS: [&str; 2] = ["/v3/auth/user/login", "/v1/auth/users/login"];
/// If a server has not answered by then, the next one is asked beside it.
const BESIDE: Duration = Duration::from_millis(250);
/// A password that is wrong is asked of no more servers.
const ENOUGH_REFUSALS: usize = 3;
/// The meanings of refusals, and what helps.
const PASSWORD_IS_WRONG: &str =
    "the password of this user is wrong (`password`, `password_file`, NACOS_PASSWORD)";
const NOT_READY_OR_WRONG: &str = "either the server has just started and does not know its users \
     yet, which passes by itself, or the user or the password is wrong (`username`, `password`, \
     `password_file`; NACOS_USERNAME, NACOS_PASSWORD)";
const WRONG_OR_FAILING: &str = "either the password is wrong, of which servers 3.0 and 3.1 say no \
     more than that (`password`, `password_file`; NACOS_PASSWORD), or authentication fails inside \
     the server, whose log says why";
const NOT_KNOWN_YET: &str = "the user is not known there: either the server has not read it yet, \
     which it does every 15 s, or it is wrong (`username`; NACOS_USERNAME)";
/// The lifetime that servers grant unless told otherwise, in seconds.
const DEFAULT_TTL: u64 = 18_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_mean_nothing_else_is_taken_for_it() {
        let page = |message: &str| format!(r#"{{"status":500,"message":"{message}"}}"#);
        for (status, body, cause) in [
            (403, "Access Denied".to_owned(), GrantFailure::Refused),
            (403, "user not found!".to_owned(), GrantFailure::Refused),
            (403, r#"{"code":10001,"message":"access denied"}"#.to_owned(), GrantFailure::Refused),
            (401, String::new(), GrantFailure::Refused),
            (500, page("No message available"), GrantFailure::Failed),
            (500, "caused: Handle API Compatibility failed;".to_owned(), GrantFailure::Refused),
            (500, "caused: User ann not found;".to_owned(), GrantFailure::Unknown),
            (500, page("plugin crashed"), GrantFailure::Unavailable),
            (500, String::new(), GrantFailure::Unavailable),
            (502, "<html>".to_owned(), GrantFailure::Unavailable),
            (503, "User ann not found".to_owned(), GrantFailure::Unavailable),
            (302, String::new(), GrantFailure::Unavailable),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(meaning(status, body.as_bytes(), "ann"), cause, "{status} {body}");
        }
    }

    #[test]
    fn user_is_unknown_where_the_server_names_it_and_not_where_a_plugin_misses_something() {
        let crash = StatusCode::INTERNAL_SERVER_ERROR;
        for body in [
            "caused: java.sql.SQLException: User table not found in database nacos;",
            "caused: LdapException: User directory 10.0.0.9:389 not found;",
            "caused: class com.acme.User not found: com.acme.User cannot be loaded;",
            "caused: User of annex not found;",
            "caused: User annabel not found;",
        ] {
            let said = meaning(crash, body.as_bytes(), "ann");
            assert_eq!(said, GrantFailure::Unavailable, "{body}");
        }
        for (user, name) in
            [("ann", "ann"), ("o'neil", "o'neil"), ("o'neil <&>", "o&#39;neil &lt;&amp;&gt;")]
        {
            let body = format!("caused: User {name} not found;");
            assert_eq!(meaning(crash, body.as_bytes(), user), GrantFailure::Unknown, "{body}");
        }
    }

    #[test]
    fn next_path_is_asked_where_the_first_one_may_lead_nowhere() {
        let page = "\n<!DOCTYPE html><html>";
        for (status, body, asks_the_next) in [
            (404, "", true),
            (404, page, true),
            (410, r#"{"code":40000,"message":"API deprecated"}"#, true),
            (501, "", true),
            (405, page, true),
            (400, "", true),
            (302, "", true),
            (308, "", true),
            (403, page, true),
            (401, page, true),
            (200, page, true),
            (200, r#"{"code":404}"#, true),
            (200, r#"{"accessToken":""}"#, true),
            (500, "caused: No static resource v3/auth/user/login.;", true),
            (500, "caused: No handler found for POST /nacos/v3/auth/user/login;", true),
            // A server that knows the path means the user, or fails.
            (403, "Access Denied", false),
            (403, r#"{"code":10001,"message":"access denied"}"#, false),
            (403, "", false),
            (401, "", false),
            (500, r#"{"status":500,"message":"No message available"}"#, false),
            (500, "caused: User ann not found;", false),
            (500, page, false),
            (502, page, false),
            (503, "", false),
            (504, "", false),
            (429, "", false),
            (408, "", false),
        ] {
            let code = StatusCode::from_u16(status).expect("a status");
            assert!(granted(code, body.as_bytes(), "ann").is_err());
            assert_eq!(!is_final(code, body.as_bytes()), asks_the_next, "{status} {body}");
        }
    }

    #[test]
    fn both_causes_and_both_remedies_are_named_where_there_are_two() {
        for (cause, named) in [
            (
                GrantFailure::Refused,
                ["started", "passes by itself", "NACOS_USERNAME", "NACOS_PASSWORD"],
            ),
            (
                GrantFailure::Failed,
                ["password is wrong", "NACOS_PASSWORD", "inside the server", "log"],
            ),
            (
                GrantFailure::Unknown,
                ["not read it yet", "every 15 s", "`username`", "NACOS_USERNAME"],
            ),
        ] {
            let error = explained(GrantError::with(cause, "a:8848: no"));
            assert!(error.why.starts_with("a:8848: no: "), "{error}");
            assert!(named.iter().all(|text| error.why.contains(text)), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", UserPassword::new("nacos", "hunter2"));
        assert!(!shown.contains("hunter2") && !shown.contains("nacos"), "{shown}");
    }
}
