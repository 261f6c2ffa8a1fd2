//! The effects that a session asks for, and the events that it shows.
use std::{sync::Arc, time::Duration};

use super::{
    connecting::proxied::Finding,
    ids::{CallId, ClaimKey, GuardId, LinkId},
    ledger::Revision,
};
use crate::{
    disconnect::{Disconnect, Reason},
    document::DocumentState,
    key::{ConfigKey, ConfigPattern, ServiceKey},
    matched_keys::MatchedKeys,
    resource::Resource,
    server::Server,
    service::Service,
    state::{ClaimState, SessionState},
    storm::{PullHold, PullMode},
    wire::Payload,
    within::Within,
};

/// One thing that the caller is to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Open a connection; report with [`Session::handle_dialled`](super::Session::handle_dialled),
    /// at the latest after [`within.all`](Within::all). Not at the address of `other_than`.
    Dial { link: LinkId, server: Server, other_than: Option<LinkId>, within: Within },
    /// Send a request; report with [`Session::handle_answer`](super::Session::handle_answer), at
    /// the latest after `timeout` without any part of the answer.
    Call { link: LinkId, call: CallId, request: Payload, resource: Resource, timeout: Duration },
    /// Open the stream with `setup` as its first message, then report its messages with
    /// [`Session::handle_push`](super::Session::handle_push), and its end, or that it was not
    /// opened within `timeout`, with
    /// [`Session::handle_stream_ended`](super::Session::handle_stream_ended), or with
    /// [`Session::handle_lost`](super::Session::handle_lost) if the connection has ended.
    OpenStream { link: LinkId, setup: Payload, timeout: Duration },
    /// Close the socket. Nothing about this connection is to be reported any more.
    Close { link: LinkId },
    /// Log in, perhaps because the grant of the last login was refused; report with
    /// [`Session::handle_login`](super::Session::handle_login).
    Login { refused: bool },
    /// Read the list of servers; report with
    /// [`Session::handle_servers`](super::Session::handle_servers).
    FetchServerList,
}

/// One thing that the caller is to show to the client's users.
#[derive(Debug)]
pub(crate) enum Event {
    /// Users' requests go over this connection from now on, or over none.
    Serving(Option<LinkId>),
    /// The connection that served did so no more, and why; how late the session ran, it cannot
    /// know.
    Ended { reason: Reason, record: Disconnect },
    /// The session's state changed.
    State(SessionState),
    /// A watched document's state changed.
    Document(ConfigKey, DocumentState),
    /// The documents that match a watched pattern, in full.
    Matches(ConfigPattern, MatchedKeys),
    /// The server confirms what it has said of these documents.
    Confirmed(Vec<ConfigKey>),
    /// A subscribed service, in full.
    Service(ServiceKey, Service),
    /// The state of a guard's claim, as far as the server has confirmed it.
    Claim(GuardId, ClaimState),
    /// The server holds what was claimed under this key as of this revision, and nothing that was
    /// withdrawn before.
    Settled(ClaimKey, Revision),
    /// The server had lost instances of ours without telling us; they are asserted again. `first`
    /// unless it was so before, and they have not been seen since.
    Lost { service: ServiceKey, first: bool },
    /// The server answers health checks and nothing else. `leaves` unless there is nobody else, and
    /// it holds what a new connection to it might lose; `first` unless that was so of the one
    /// before.
    Unresponsive { server: Arc<str>, leaves: bool, first: bool },
    /// The server refused what is claimed under this key.
    Refused { key: ClaimKey, code: i32, message: Arc<str> },
    /// A message of the server's could not be read.
    Unreadable { kind: String, about: String, why: String },
    /// A list of a service is older than the one before it, by its server's clock: it was
    /// overtaken, and dropped, or is applied because the clock has stepped back.
    Older { service: ServiceKey, by: Duration, is_applied: bool },
    /// A proxy breaks this server's connections, or their streams.
    Proxied { server: Arc<str>, finding: Finding },
    /// Whether the client pulls: whether it asks for watched documents that may have changed; and
    /// whether it has not for so long that somebody should look.
    Pulls { mode: PullMode, is_alarming: bool },
    /// A watched document may have changed, and has waited for a second to be asked for. Its state
    /// may be old until the next answer about it.
    Held(ConfigKey, PullHold),
    /// A watched document is not to be had, and that does not pass by itself.
    Withheld { key: ConfigKey, cause: Arc<str> },
}
