//! As much HTTP as it takes to ask a server on this machine something: one request, one answer.
//!
//! HTTP/1.0, so that no server answers in chunks or keeps the connection open. Absent: TLS,
//! redirects, and any server that is not ours.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::{Error, ErrorKind};

/// A request to the HTTP side of a server: readiness, login, administration.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    target: String,
    headers: String,
    body: String,
    body_type: &'static str,
}

impl Request {
    /// Reads `path`, which may carry a query.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Posts to `path`.
    #[must_use]
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// Deletes `path`.
    #[must_use]
    pub fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    /// Adds a parameter to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        push_pair(&mut self.target, name, value);
        self
    }

    /// Adds a parameter to the body, which is a form then.
    #[must_use]
    pub fn form(mut self, name: &str, value: &str) -> Self {
        if !self.body.is_empty() {
            self.body.push('&');
        }
        push_pair(&mut self.body, name, value);
        self
    }

    /// Sends this JSON as the body.
    #[must_use]
    pub fn json(mut self, body: &str) -> Self {
        self.body_type = "application/json";
        body.clone_into(&mut self.body);
        self
    }

    /// Adds a header. Neither part may hold a line break.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let one_line = |text: &str| text.replace(['\r', '\n'], " ");
        // Writing into a string cannot fail.
        let _ = write!(self.headers, "{}: {}\r\n", one_line(name), one_line(value));
        self
    }

    /// Asks, and waits for the whole answer; all of it may take `patience`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unanswered`] when no server listens, the time is up, or what came is not HTTP.
    pub fn send(&self, to: SocketAddr, patience: Duration) -> Result<Answer, Error> {
        let failed = |error: io::Error| {
            let path = self.target.split('?').next().unwrap_or_default();
            let text = format_args!("{} http://{to}{path}", self.method);
            Error::new(ErrorKind::Unanswered, text).because(error)
        };
        self.exchange(to, Instant::now() + patience).map_err(failed)
    }

    fn new(method: &'static str, path: &str) -> Self {
        let (headers, body) = (String::new(), String::new());
        let body_type = "application/x-www-form-urlencoded";
        Self { method, target: path.to_owned(), headers, body, body_type }
    }

    fn exchange(&self, to: SocketAddr, deadline: Instant) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&to, left(deadline)?)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(left(deadline)?))?;
        stream.write_all(self.head(to).as_bytes())?;
        stream.write_all(self.body.as_bytes())?;
        let mut answer = Vec::new();
        let mut piece = [0; 16 * 1024];
        loop {
            // Anew for every piece: a server that trickles must not outlast the deadline.
            stream.set_read_timeout(Some(left(deadline)?))?;
            match stream.read(&mut piece) {
                Ok(0) => return Answer::parse(&answer),
                Ok(length) => answer.extend(piece.iter().take(length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if answer.len() > LONGEST {
                return Err(broken("an answer longer than any Nacos document"));
            }
        }
    }

    fn head(&self, to: SocketAddr) -> String {
        let Self { method, target, headers, body, body_type } = self;
        let form =
            if body.is_empty() { String::new() } else { format!("Content-Type: {body_type}\r\n") };
        let length = body.len();
        format!(
            "{method} {target} HTTP/1.0\r\nHost: {to}\r\n{form}{headers}Content-Length: {length}\r\n\r\n"
        )
    }
}

/// A server's answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 200.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == 200
    }

    /// The first header of that name, in whatever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The value of the first `"name":"value"` in a JSON body, for values that need no unescaping,
    /// as tokens and versions do.
    #[must_use]
    pub fn text_field(&self, name: &str) -> Option<&str> {
        let (_, after) = self.body.split_once(&format!("\"{name}\""))?;
        let after = after.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
        after.split_once('"').map(|(value, _)| value)
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .ok_or_else(|| broken("no end of the headers"))?;
        let (head, body) = bytes.split_at(end);
        let body = body.get(4..).unwrap_or_default();
        let head = str::from_utf8(head).map_err(|_| broken("headers that are not text"))?;
        let mut lines = head.split("\r\n");
        let status = status(lines.next().unwrap_or_default())?;
        let headers = lines.map(header).collect::<io::Result<Vec<_>>>()?;
        let mut answer = Self { status, headers, body: String::new() };
        if answer.header("transfer-encoding").is_some() {
            return Err(broken("chunks, which HTTP/1.0 does not have"));
        }
        let body = match answer.header("content-length") {
            None => body,
            Some(length) => length
                .parse()
                .ok()
                .and_then(|length| body.get(..length))
                .ok_or_else(|| broken("a body that is not as long as announced"))?,
        };
        let body = str::from_utf8(body).map_err(|_| broken("a body that is not text"))?;
        body.clone_into(&mut answer.body);
        Ok(answer)
    }
}

fn status(line: &str) -> io::Result<u16> {
    let mut words = line.split(' ');
    let version = words.next().unwrap_or_default();
    words
        .next()
        .filter(|code| version.starts_with("HTTP/1.") && code.len() == 3)
        // `parse` alone would also take a sign.
        .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| broken("no status line"))
}

fn header(line: &str) -> io::Result<(String, String)> {
    let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn push_pair(to: &mut String, name: &str, value: &str) {
    push_encoded(to, name);
    to.push('=');
    push_encoded(to, value);
}

fn push_encoded(to: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

/// Never zero: the system takes a timeout of zero for none at all.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// The longest body seen of any server is 12 MB.
const LONGEST: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use nacos_testkit::TimeLimit;

    use super::*;

    #[test]
    fn answer_with_length_ends_there() {
        let answer = parse("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a:b\r\n\r\nokrest");
        let answer = answer.expect("an answer");
        assert!(answer.is_ok());
        assert_eq!((answer.body(), answer.header("x")), ("ok", Some("a:b")));
    }

    #[test]
    fn answer_without_length_or_reason_ends_with_the_connection() {
        let answer = parse("HTTP/1.0 403 \r\n\r\nno").expect("an answer");
        assert_eq!((answer.status(), answer.body()), (403, "no"));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for bad in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 70000 OK\r\n\r\n",
            "HTTP/1.1 +20 OK\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n\xff").is_err());
        assert!(Answer::parse(b"HTTP/1.1 200 \xff\r\n\r\n").is_err());
    }

    #[test]
    fn every_truncation_of_an_answer_is_an_error() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";
        for length in 0..whole.len() {
            let part = whole.get(..length).expect("shorter");
            assert!(Answer::parse(part).is_err(), "{length}");
        }
        assert!(Answer::parse(whole).is_ok());
    }

    #[test]
    fn field_of_a_json_body_is_found_or_not() {
        let answer = |body: &str| parse(&format!("HTTP/1.0 200 OK\r\n\r\n{body}")).expect("answer");
        let found = answer(r#"{"a":1, "accessToken" : "x.y", "b":"c"}"#);
        assert_eq!(found.text_field("accessToken"), Some("x.y"));
        for without in
            ["", "{}", r#"{"accessToken":null}"#, r#"{"accessToken":"x"#, r#""accessToken""#]
        {
            assert_eq!(answer(without).text_field("accessToken"), None, "{without}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let request = Request::post("/p?a=b").query("c d", "ü&").form("e", "f=g").form("h", "");
        assert_eq!(request.target, "/p?a=b&c%20d=%C3%BC%26");
        assert_eq!(request.body, "e=f%3Dg&h=");
    }

    #[test]
    fn body_is_sent_with_its_type() {
        let to = (Ipv4Addr::LOCALHOST, 1).into();
        assert!(Request::post("/p").json("{}").head(to).contains("Type: application/json\r\n"));
        assert!(Request::post("/p").form("a", "b").head(to).contains("x-www-form-urlencoded"));
        assert!(!Request::post("/p").head(to).contains("Content-Type"));
    }

    #[test]
    fn header_cannot_smuggle_a_second_one() {
        let request = Request::get("/").header("a", "b\r\nc: d");
        assert_eq!(request.headers, "a: b  c: d\r\n");
    }

    #[test]
    fn request_and_answer_cross_a_socket() {
        let _limit = TimeLimit::start();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let to = listener.local_addr().expect("its address");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut seen = [0; 512];
            let length = stream.read(&mut seen).expect("a request");
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhi").expect("an answer");
            String::from_utf8_lossy(seen.get(..length).unwrap_or_default()).into_owned()
        });
        let answer = Request::get("/metrics").send(to, Duration::from_secs(30)).expect("an answer");
        assert_eq!(answer.body(), "hi");
        let seen = server.join().expect("the server");
        assert!(seen.starts_with("GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:"), "{seen}");
    }

    #[test]
    fn silent_server_costs_the_patience_and_no_more() {
        let error = ask_silence(&Request::get("/"));
        assert_eq!(error.kind(), ErrorKind::Unanswered);
    }

    #[test]
    fn password_in_a_query_stays_out_of_errors() {
        let error = ask_silence(&Request::get("/login").query("password", "secret"));
        assert!(error.to_string().ends_with("/login"), "{error}");
    }

    fn ask_silence(request: &Request) -> Error {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let to = silent.local_addr().expect("its address");
        request.send(to, Duration::from_millis(20)).expect_err("nothing to hear")
    }

    fn parse(text: &str) -> io::Result<Answer> {
        Answer::parse(text.as_bytes())
    }
}
