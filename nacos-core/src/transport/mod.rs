//! Bytes to messages and back: TCP, TLS, HTTP/2, gRPC frames, and HTTP/1 for the few requests that
//! need it.
//!
//! One [`Http2Link`] is one TCP connection, because a server takes the connection for the client.
//! It is never re-opened silently, and it ends when its socket does. The HTTP/2 layer is the `h2`
//! crate itself; nothing above this module may notice.
mod activity;
mod answer;
mod calls;
mod dial;
mod dialer;
mod exchange;
mod first;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod http1;
mod jobs;
mod link;
mod pace;
#[cfg(test)]
mod peers;
mod places;
mod socket;
mod stream;
mod tls;
mod unproven;

use std::time::Duration;

pub use self::tls::TlsVersion;
pub(crate) use self::{
    activity::Limit,
    calls::Caller,
    dialer::{Dialer, Opened},
    http1::{
        Body, Form, HttpError, MAX_ANSWER, encoded, get, get_from, get_list, is_no_path, post_form,
        post_form_to, with_query,
    },
    link::{Headers, Http2Link},
    stream::{Pushes, StreamMessage},
    tls::{ClientFiles, Tls, TlsSettings},
    unproven::Reached,
};
use crate::{call_error::CallError, within::Within};

/// How connections are opened and read.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) dialer: Dialer,
    /// For all servers together.
    pub(crate) connect_timeout: Duration,
    /// Messages of more bytes are not read.
    pub(crate) receive_limit: usize,
}
