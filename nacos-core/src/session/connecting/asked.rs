//! The subjects of requests about the connection itself.

/// The subject of a request about the connection itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::session) enum Asked {
    ServerCheck,
    SetupProbe,
    /// How the server names the connection now.
    Name,
    HealthCheck,
    /// Whether we are let in without a token.
    Admission(Question),
}

/// The subject of the question whether a login is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::session) enum Question {
    Service,
    Document,
}
