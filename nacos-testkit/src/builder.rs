//! Building a server.

use std::{io, time::Duration};

use crate::{
    Behaviour, Server,
    shared::{Credentials, OidcClient, Plan},
    timing::Timing,
};

/// Settings of a [`Server`] before its start.
///
/// Without any it imitates [`Behaviour::Nacos3_0`], lets everybody in, and does at once what a real
/// server takes its time for.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    plan: Plan,
    authentication: Option<bool>,
    observed: bool,
    config_dump: Option<Duration>,
    config_notice: Option<Duration>,
    naming_push: Option<Duration>,
}

impl Server {
    /// Starts a server that imitates [`Behaviour::Nacos3_0`] and lets all clients in.
    ///
    /// # Errors
    ///
    /// When no pair of free ports is found.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// A server with settings.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Builder {
    fn new() -> Self {
        Self {
            plan: Plan {
                authentication: false,
                behaviour: Behaviour::default(),
                credentials: None,
                forget_on_stream_end: false,
                oidc: None,
                probe_silence: true,
                reset_limit: None,
                timing: Timing::default(),
                token_ttl: Duration::from_secs(18_000),
            },
            authentication: None,
            observed: false,
            config_dump: None,
            config_notice: None,
            naming_push: None,
        }
    }

    /// The server that is imitated.
    pub fn behaviour(mut self, behaviour: Behaviour) -> Self {
        self.plan.behaviour = behaviour;
        self
    }

    /// Lets in only clients that log in with this name and password; all without it, but for
    /// [`Behaviour::Nacos3_3`], whose user is `nacos` with the password `nacos` then.
    pub fn credentials(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.plan.credentials =
            Some(Credentials { username: username.into(), password: password.into() });
        self
    }

    /// Whether everybody has to log in (`nacos.core.auth.enabled` of a real server), whatever the
    /// behaviour and the credentials say.
    ///
    /// `true` without [`credentials`](Self::credentials) is for the user `nacos` with the password
    /// `nacos`. `false` with credentials is a server that has a user and demands no login;
    /// without them, one that has no user either: 2.5 and 3.x refuse any login then, while requests
    /// without a token are let in.
    pub fn authentication(mut self, demanded: bool) -> Self {
        self.authentication = Some(demanded);
        self
    }

    /// Puts an OIDC provider beside the server, at [`Server::oidc_issuer`], that grants tokens to
    /// this machine client. Requests need one of them, unless
    /// [`authentication`](Self::authentication) says otherwise, and there is no user unless
    /// [`credentials`](Self::credentials) names one.
    ///
    /// [`Behaviour::Nacos3_3`] lets the tokens in, by its specification; the others, which have no
    /// such plugin, refuse them. It is a stand-in: its tokens are no JWTs, and nobody checks their
    /// audience.
    pub fn oidc(mut self, client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        self.plan.oidc = Some(OidcClient { id: client_id.into(), secret: client_secret.into() });
        self
    }

    /// How long a token is good, five hours by default. Clients are told in whole seconds.
    pub fn token_ttl(mut self, ttl: Duration) -> Self {
        self.plan.token_ttl = ttl;
        self
    }

    /// The delay between a change of a service and its push; changes in between are merged.
    pub fn naming_push_delay(mut self, delay: Duration) -> Self {
        self.naming_push = Some(delay);
        self
    }

    /// The delay between the moment a configuration can be read and the notice of it.
    pub fn config_notice_delay(mut self, delay: Duration) -> Self {
        self.config_notice = Some(delay);
        self
    }

    /// How long queries see the old content after a publish was answered (Java's dump). The notice
    /// follows it.
    pub fn config_dump_delay(mut self, delay: Duration) -> Self {
        self.config_dump = Some(delay);
        self
    }

    /// Takes as long for everything as the real server was seen to: merged naming pushes after
    /// 500 ms (r-nacos: at the next half second after that), stale reads for 42 ms after a publish
    /// (Java), the lists of fuzzy watches of services after 1 s (3.x). A delay that is set by its
    /// own method stays as set.
    pub fn observed_timing(mut self) -> Self {
        self.observed = true;
        self
    }

    /// Takes the end of a stream for the end of its connection, as r-nacos does anyway.
    ///
    /// A Java server does not: while its socket is open, a connection whose stream has ended keeps
    /// its instances and gets no pushes.
    pub fn forget_on_stream_end(mut self, forget: bool) -> Self {
        self.plan.forget_on_stream_end = forget;
        self
    }

    /// Whether silent connections are probed and closed, as the real servers do (default: yes).
    pub fn probe_silence(mut self, probe: bool) -> Self {
        self.plan.probe_silence = probe;
        self
    }

    /// Ends a transport whose client resets more than so many streams within 30 s, as servers and
    /// proxies on Netty do, which take that for an attack: 200 is the usual limit there.
    ///
    /// Without it, none ends for their number alone. With any limit, a client that resets more
    /// than 20 streams which this server has not looked at yet is sent away, as by r-nacos:
    /// `GOAWAY` with `ENHANCE_YOUR_CALM` and `too_many_resets`.
    pub fn reset_limit(mut self, limit: usize) -> Self {
        self.plan.reset_limit = Some(limit);
        self
    }

    /// Starts the server on two free ports of 127.0.0.1, on the ambient runtime.
    ///
    /// # Errors
    ///
    /// When no pair of free ports is found.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time.
    pub async fn start(mut self) -> io::Result<Server> {
        let usual =
            if self.observed { Timing::observed(self.plan.behaviour) } else { Timing::default() };
        self.plan.timing = Timing {
            config_dump: self.config_dump.unwrap_or(usual.config_dump),
            config_notice: self.config_notice.unwrap_or(usual.config_notice),
            naming_push: self.naming_push.unwrap_or(usual.naming_push),
            ..usual
        };
        let plan = &mut self.plan;
        let usual =
            plan.credentials.is_some() || plan.oidc.is_some() || plan.behaviour.demands_login();
        plan.authentication = self.authentication.unwrap_or(usual);
        if plan.authentication && plan.credentials.is_none() && plan.oidc.is_none() {
            let nacos = || "nacos".to_owned();
            plan.credentials = Some(Credentials { username: nacos(), password: nacos() });
        }
        Server::open(self.plan).await
    }
}
