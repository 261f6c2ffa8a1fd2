//! One HTTP/1 request: for logging in at a main port or at an OIDC provider, for lists of what a
//! server holds, and for the list of an address server.
use std::{
    fmt, io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Dialer,
    dialer::ANSWER,
    first::{First, Recorded},
    socket::Socket,
};
use crate::{origin::Origin, secret::Secret, server::Server, wire::connection::CLIENT_VERSION};

/// The fields of a form, URL-encoded. `Debug` shows none: one of them is a password, so they are
/// overwritten when the form is dropped.
pub(crate) struct Form(Zeroizing<Vec<u8>>);

impl Form {
    pub(crate) fn new<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields: Vec<_> = fields.into_iter().collect();
        // Room for the worst at once: what a vector leaves behind when it grows is not overwritten.
        let letters: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut form = Zeroizing::new(Vec::with_capacity(3 * letters + 2 * fields.len()));
        for (name, value) in fields {
            if !form.is_empty() {
                form.push(b'&');
            }
            encode(name, &mut form);
            form.push(b'=');
            encode(value, &mut form);
        }
        Self(form)
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form")
    }
}

/// Why an HTTP request has no answer.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// The answer has the status `0`.
    StatusZero,
    /// The answer is longer than may be read.
    TooLong,
    /// Anything else.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StatusZero => "an answer with the status 0",
            Self::TooLong => "an answer that is too long",
            Self::Failed(why) => why,
        })
    }
}

/// The body of an answer, which may hold a token: where it stands in memory of its own, that is
/// overwritten when it is dropped.
pub(crate) struct Body(Bytes);

impl std::ops::Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Ok(mut bytes) = std::mem::take(&mut self.0).try_into_mut() {
            bytes.zeroize();
        }
    }
}

/// Posts `form` to `path` of the server's main port, and has an answer `within` that time; the
/// caller gives the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn post_form(
    dialer: &Dialer,
    server: &Server,
    path: &str,
    form: Form,
    within: Duration,
) -> Result<(StatusCode, Body), HttpError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, server.to_string())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from_owner(form.0)));
    let request = request.map_err(|error| failed(&error))?;
    let attempts = Attempts::new(request);
    attempts.outcome(dialer.http(server, within, |socket| attempts.attempt(socket)).await)
}

/// Posts `form` to an origin that is no Nacos server, with a header `Authorization` if one is
/// given. The caller gives the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn post_form_to(
    dialer: &Dialer,
    origin: &Origin,
    target: &str,
    form: Form,
    authorization: Option<&Secret>,
) -> Result<(StatusCode, Body), HttpError> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(target)
        .header(header::HOST, origin.short_authority())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::CONNECTION, "close");
    if let Some(authorization) = authorization {
        let mut value = HeaderValue::from_str(authorization.expose())
            .map_err(|_| HttpError::Failed("no header can hold it".to_owned()))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Full::new(Bytes::from_owner(form.0)));
    let attempts = Attempts::new(request.map_err(|error| failed(&error))?);
    attempts.outcome(dialer.origin(origin, |socket| attempts.attempt(socket)).await)
}

/// Gets a document of JSON from an origin that is no Nacos server. The caller gives the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn get_from(
    dialer: &Dialer,
    origin: &Origin,
    target: &str,
) -> Result<(StatusCode, Body), HttpError> {
    let request = getting(target, origin.short_authority(), "application/json");
    let request = request.body(Full::default());
    let attempts = Attempts::new(request.map_err(|error| failed(&error))?);
    attempts.outcome(dialer.origin(origin, |socket| attempts.attempt(socket)).await)
}

/// Gets what stands at `path` of the server's main port, with more headers, an answer of so many
/// bytes at most. The caller gives the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn get<'a>(
    dialer: &Dialer,
    server: &Server,
    path: &str,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
    most: usize,
) -> Result<(StatusCode, Body), HttpError> {
    let mut request = getting(path, server.to_string(), "application/json");
    for (name, value) in more {
        request = request.header(name, value);
    }
    let request = request.body(Full::default()).map_err(|error| failed(&error))?;
    let attempts = Attempts { most, ..Attempts::new(request) };
    attempts.outcome(dialer.http(server, ANSWER, |socket| attempts.attempt(socket)).await)
}

/// Whether this answer says that nothing stands at a path, or not any more: an older path may be
/// asked. Any other answer is the answer.
pub(crate) fn is_no_path(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::GONE
            | StatusCode::NOT_IMPLEMENTED
    )
}

/// The beginning of a request that gets `target` from `host`, on a connection of its own.
fn getting(target: &str, host: impl AsRef<str>, accept: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::GET)
        .uri(target)
        .header(header::HOST, host.as_ref())
        .header(header::ACCEPT, accept)
        .header(header::CONNECTION, "close")
}

/// `path` with a query of these fields, URL-encoded.
pub(crate) fn with_query<'a>(
    path: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let form = Form::new(fields);
    format!("{path}?{}", String::from_utf8_lossy(&form.0))
}

/// `text` as the value of a field of a form.
pub(crate) fn encoded(text: &str) -> Secret {
    // Room for the worst at once, as in a form.
    let mut value = Zeroizing::new(Vec::with_capacity(3 * text.len()));
    encode(text, &mut value);
    Secret::new(str::from_utf8(&value).unwrap_or_default())
}

/// Gets the list from the address server. The caller gives the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn get_list(
    dialer: &Dialer,
    origin: &Origin,
    target: &str,
) -> Result<(StatusCode, Body), HttpError> {
    let request = getting(target, origin.authority(), "text/plain")
        .header(header::USER_AGENT, CLIENT_VERSION)
        .header("Client-Version", CLIENT_VERSION)
        .body(Full::default());
    let request = request.map_err(|error| failed(&error))?;
    let attempts = Attempts::new(request);
    attempts.outcome(dialer.origin(origin, |socket| attempts.attempt(socket)).await)
}

fn failed(error: &dyn fmt::Display) -> HttpError {
    HttpError::Failed(error.to_string())
}

/// One request at the addresses of a name.
struct Attempts {
    request: Request<Full<Bytes>>,
    /// Bytes of an answer.
    most: usize,
    /// Of a server that fails: what to say where no other does better.
    failure: Mutex<Option<Answer>>,
    /// An answer was too long.
    too_long: AtomicBool,
}

type Answer = (StatusCode, Body);

impl Attempts {
    fn new(request: Request<Full<Bytes>>) -> Self {
        Self {
            request,
            most: MAX_ANSWER,
            failure: Mutex::new(None),
            too_long: AtomicBool::new(false),
        }
    }

    /// Asks one address. An answer counts whatever its status is, unless that says that the server
    /// has failed: a proxy without a server behind it would hide the other addresses.
    async fn attempt(&self, socket: Socket) -> io::Result<Result<Answer, HttpError>> {
        match exchange(socket, self.request.clone(), self.most).await {
            Err(error @ HttpError::TooLong) => {
                self.too_long.store(true, Ordering::Relaxed);
                Err(io::Error::other(error.to_string()))
            }
            Err(HttpError::Failed(why)) => Err(io::Error::other(why)),
            Ok(answer) if answer.0.is_server_error() => {
                let status = answer.0;
                let mut failure = self.failure();
                // A server says more about its own errors than a proxy about servers.
                if failure.as_ref().is_none_or(|(former, _)| status < *former) {
                    *failure = Some(answer);
                }
                Err(io::Error::other(format!("answered with {status}")))
            }
            answer => Ok(answer),
        }
    }

    fn outcome(&self, asked: io::Result<Result<Answer, HttpError>>) -> Result<Answer, HttpError> {
        asked.unwrap_or_else(|error| {
            let is_too_long = self.too_long.load(Ordering::Relaxed);
            let error = if is_too_long { HttpError::TooLong } else { failed(&error) };
            self.failure().take().ok_or(error)
        })
    }

    fn failure(&self) -> MutexGuard<'_, Option<Answer>> {
        // The value under the lock is whole at every moment.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends one request over a connection of its own, and reads the answer.
async fn exchange(
    socket: Socket,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<(StatusCode, Body), HttpError> {
    let (socket, first) = Recorded::new(socket);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| failed(&error))?;
    let answered = |error: &hyper::Error| answered(error, &first);
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| answered(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => HttpError::TooLong,
            None => HttpError::Failed("an answer that is cut off".to_owned()),
        })?;
        Ok((status, Body(body.to_bytes())))
    };
    // The connection is driven right here: it needs no task, and ends with this future.
    tokio::pin!(exchange, connection);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The connection may end before the answer has been taken out of it; if there is none, it
        // knows better why.
        ended = &mut connection => match (exchange.await, ended) {
            (Err(_), Err(error)) => Err(answered(&error)),
            (answer, _) => answer,
        },
    }
}

fn answered(error: &hyper::Error, first: &First) -> HttpError {
    if error.is_parse_status() && first.is_status_zero() {
        HttpError::StatusZero
    } else {
        // hyper says what it was doing, and leaves what happened to the source.
        let why = std::error::Error::source(error).map(|why| format!(": {why}"));
        HttpError::Failed(format!("{error}{}", why.unwrap_or_default()))
    }
}

/// Writes a space as `%20`, which means the same everywhere. It writes where there is room already,
/// since a text that grows leaves parts of a password behind.
fn encode(text: &str, form: &mut Vec<u8>) {
    for part in utf8_percent_encode(text, ENCODED) {
        form.extend_from_slice(part.as_bytes());
    }
}

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// A login's answer is some hundred bytes, a line of a list some twenty.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use nacos_testkit::TimeLimit;

    use super::*;

    /// An answer that is of no use and never ends.
    #[tokio::test]
    async fn endless_answer_lets_a_deadline_be_looked_at() {
        TimeLimit::for_test();
        for (head, piece) in [
            ("", "HTTP/1.1 100 Continue\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\n", "a: b\r\n"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "a=b;"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "a: b\r\n"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("bound").to_string();
            let server = Server::parse_list(&address, 0).expect("valid").remove(0);
            let dialer = Dialer::plain();
            let form = Form::new([("username", "nacos")]);
            let answer = post_form(&dialer, &server, "/login", form, ANSWER);
            let endless = async {
                let (mut socket, _) = listener.accept().await.expect("a client");
                let many = piece.repeat(1000);
                let _ = socket.write_all(head.as_bytes()).await;
                while socket.write_all(many.as_bytes()).await.is_ok() {}
                std::future::pending::<()>().await;
            };
            let others = async {
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                // Refused, or still read: either way others have their turn.
                biased;
                () = others => {}
                answer = answer => assert!(answer.is_err(), "{piece} is no answer"),
                () = endless => {}
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn server_that_fails_hides_no_other_address_of_its_name() {
        TimeLimit::for_test();
        for (statuses, expected) in [
            ([503, 200], 200),
            ([500, 403], 403),
            ([502, 500], 500),
            ([500, 502], 500),
            ([404, 200], 404),
            ([503, 503], 503),
        ] {
            let mut addresses = Vec::new();
            let mut servers = Vec::new();
            for status in statuses {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                addresses.push(listener.local_addr().expect("bound"));
                servers.push(async move {
                    let (mut socket, _) = listener.accept().await.expect("a client");
                    let answer = format!("HTTP/1.1 {status} \r\ncontent-length: 0\r\n\r\n");
                    socket.write_all(answer.as_bytes()).await.expect("open");
                    std::future::pending::<()>().await;
                });
            }
            let (dialer, at) = (Dialer::plain(), ("nacos", 8848));
            let attempts = Attempts::new(Request::new(Full::default()));
            let asked = dialer.ask(async { Ok(addresses) }, ANSWER, at, at.0, None, |socket| {
                attempts.attempt(socket)
            });
            let answer = tokio::select! {
                asked = asked => attempts.outcome(asked),
                _ = futures_util::future::join_all(servers) => panic!("they go on"),
            };
            assert_eq!(answer.expect("an answer").0, expected, "of {statuses:?}");
        }
    }

    #[test]
    fn fields_are_encoded_and_never_shown() {
        let form = Form::new([("username", "nacos"), ("password", "a&b=c ü%")]);
        assert_eq!(*form.0, b"username=nacos&password=a%26b%3Dc%20%C3%BC%25");
        assert_eq!(form.0.capacity(), 3 * (8 + 5 + 8 + 9) + 4, "it was never moved");
        assert_eq!(format!("{form:?}"), "Form");
    }
}
