//! One request over HTTP/1.0, for the side of a server that operators use.
//!
//! By hand, because a wrong password is answered with the status `0` by Java Nacos 2.3.2, which is
//! no status to any library; asynchronous, because the test server lives on the same runtime.
use std::{fmt::Write as _, net::SocketAddr};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::witness;

/// A server's answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks with these parameters in the query, or in a form where there is a method that has one.
pub(crate) async fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    parameters: &[(&str, &str)],
) -> Reply {
    let encoded = encoded(parameters);
    let (target, body) = match method {
        "POST" => (path.to_owned(), encoded),
        _ => (format!("{path}?{encoded}"), String::new()),
    };
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: {addr}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(addr).await.expect("the server listens");
    socket.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.expect("the server answers");
    let answer = String::from_utf8(answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).expect("a status").trim().parse();
    let status = status.expect("a number");
    let said = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    witness::heard(&format!("HTTP {status}"), &said);
    Reply { status, body: body.to_owned() }
}

fn encoded(parameters: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in parameters {
        let between = if text.is_empty() { "" } else { "&" };
        let _ = write!(text, "{between}{name}="); // writing to a String cannot fail
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                let _ = write!(text, "%{byte:02X}"); // writing to a String cannot fail
            }
        }
    }
    text
}
