//! One HTTP/1 request: for logging in at a main port, and for the list of an address server.
use std::{
    fmt::{self, Write},
    future::Future,
    io,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;

use super::{Dialer, socket::Socket};
use crate::{locator::Endpoint, server::Server, wire::connection::CLIENT_VERSION};

/// The fields of a form, URL-encoded. `Debug` shows none: one of them is a password.
pub(crate) struct Form(String);

impl Form {
    pub(crate) fn new<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let fields =
            fields.into_iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        Self(fields.collect::<Vec<_>>().join("&"))
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
    /// The answer has a status that HTTP does not know.
    ImpossibleStatus,
    /// Anything else.
    Failed(String),
}

/// Posts `form` to `path` of the server's main port. The caller gives the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn post_form(
    dialer: &Dialer,
    server: &Server,
    path: &str,
    form: Form,
) -> Result<(StatusCode, Bytes), HttpError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, server.to_string())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(form.0)));
    exchange(dialer.http(server), request).await
}

/// Gets the list from the address server. The caller gives the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
pub(crate) async fn get_list(
    dialer: &Dialer,
    endpoint: &Endpoint,
) -> Result<(StatusCode, Bytes), HttpError> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(endpoint.target())
        .header(header::HOST, endpoint.authority())
        .header(header::ACCEPT, "text/plain")
        .header(header::USER_AGENT, CLIENT_VERSION)
        .header("Client-Version", CLIENT_VERSION)
        .header(header::CONNECTION, "close")
        .body(Full::default());
    exchange(dialer.endpoint(endpoint), request).await
}

/// Sends one request over a connection of its own, and reads the answer.
async fn exchange(
    socket: impl Future<Output = io::Result<Socket>>,
    request: http::Result<Request<Full<Bytes>>>,
) -> Result<(StatusCode, Bytes), HttpError> {
    let failed = |error: &dyn fmt::Display| HttpError::Failed(error.to_string());
    let request = request.map_err(|error| failed(&error))?;
    let socket = socket.await.map_err(|error| failed(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .map_err(|error| failed(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| answered(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body
            .map_err(|_| HttpError::Failed("an answer that is cut off or too long".to_owned()))?;
        Ok((status, body.to_bytes()))
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

fn answered(error: &hyper::Error) -> HttpError {
    if error.is_parse_status() {
        HttpError::ImpossibleStatus
    } else {
        // hyper says what it was doing, and leaves what happened to the source.
        let why = std::error::Error::source(error).map(|why| format!(": {why}"));
        HttpError::Failed(format!("{error}{}", why.unwrap_or_default()))
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A login's answer is some hundred bytes, a line of a list some twenty.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_and_never_shown() {
        let form = Form::new([("username", "nacos"), ("password", "a&b=c ü%")]);
        assert_eq!(form.0, "username=nacos&password=a%26b%3Dc%20%C3%BC%25");
        assert_eq!(format!("{form:?}"), "Form");
    }
}
