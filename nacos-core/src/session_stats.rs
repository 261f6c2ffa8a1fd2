//! The numbers of a session.
use std::{sync::Arc, time::Duration};

use crate::disconnect::Disconnect;

/// How a session is doing, in numbers. All counts are since the client was built, unless named as
/// present.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Connections that a server registered.
    pub connects: u64,
    /// Connections that ended though the client wanted them.
    pub losses: u64,
    /// Pushes that came.
    pub pushes: u64,
    /// Messages that could not be read, or were over the receive limit.
    pub unreadable: u64,
    /// Lists of services that were dropped, because one that their server made later had overtaken
    /// them.
    pub overtaken: u64,
    /// Lists of services whose server's clock had stepped back since the list before. They are
    /// applied.
    pub clock_steps: u64,
    /// Registrations that were repeated because the server did not show them any more, though it
    /// had acknowledged them: it lost them without telling the client, or an operator has disabled
    /// an instance.
    pub reasserted: u64,
    /// Views of services at present that are [held](crate::Service::held).
    pub held: usize,
    /// The servers answer health checks, and none of several requests in a row: others are tried,
    /// ever more rarely. Over with the first answer.
    pub unresponsive: bool,
    /// Claims at present: registered services, subscriptions, watched documents.
    pub claims: usize,
    /// Claims that are to be sent, or are under way: neither held by the server, nor refused.
    pub unsettled: usize,
    /// How late the session's last timer was. Long after the workers of its runtime were blocked:
    /// see [`dedicated_thread`](crate::ClientBuilder::dedicated_thread).
    pub lag: Duration,
    /// The damage that a proxy that knows HTTP/2 was seen to do to connections or their streams, in
    /// words that say what to change; stays once it was seen.
    pub proxy: Option<Arc<str>>,
    /// How the last connections that served have ended, the newest last; eight at most.
    pub disconnects: Arc<[Disconnect]>,
}
