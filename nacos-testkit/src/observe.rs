//! Looking at the server: counters, contents, and waiting for either.

use crate::{Document, Instance, Received, Server, control::config_key, state::ServiceKey};

/// Counters. They begin with the start of the server; a restart does not reset them.
impl Server {
    /// Requests of this type that arrived, answered or not; `ConnectionSetupRequest` and other
    /// messages on streams included. Those to the [provider](Self::oidc_issuer) count by method and
    /// path, as `POST /oidc/token`.
    #[must_use]
    pub fn requests(&self, message_type: &str) -> u64 {
        self.shared.read(|state| state.counters.requests(message_type))
    }

    /// The last request of this type, and what came with it.
    #[must_use]
    pub fn last_request(&self, message_type: &str) -> Option<Received> {
        self.shared.read(|state| state.counters.last(message_type))
    }

    /// Acknowledgements of this type that arrived, such as `NotifySubscriberResponse`.
    #[must_use]
    pub fn acks(&self, message_type: &str) -> u64 {
        self.shared.read(|state| state.counters.acks(message_type))
    }

    /// gRPC transports ever accepted.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.shared.read(|state| state.counters.connects)
    }

    /// gRPC streams that clients have reset (`RST_STREAM`).
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.shared.read(|state| state.counters.resets)
    }

    /// Logins that were granted, tokens of the [provider](Self::oidc_issuer) among them.
    #[must_use]
    pub fn logins(&self) -> u64 {
        self.shared.read(|state| state.counters.logins)
    }

    /// Logins that were refused, by the [provider](Self::oidc_issuer) as well, or were answered as
    /// [planned](Self::answer_logins).
    #[must_use]
    pub fn refused_logins(&self) -> u64 {
        self.shared.read(|state| state.counters.refused_logins)
    }

    /// The server's clock, in milliseconds since 1970. [`step_clock`](Self::step_clock) changes it.
    #[must_use]
    pub fn clock_millis(&self) -> i64 {
        self.shared.now_millis()
    }
}

/// Contents. A namespace may be spelled `""` or `"public"`: both are the default one.
impl Server {
    /// Connections that are registered now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.read(|state| state.transports.registered().count())
    }

    /// Pushes that wait for their acknowledgement.
    #[must_use]
    pub fn unacknowledged_pushes(&self) -> usize {
        self.shared.read(|state| {
            state.transports.registered().map(|(_, connection)| connection.pending.len()).sum()
        })
    }

    /// The document stored under a name, without its beta and tag versions.
    #[must_use]
    pub fn document(&self, namespace: &str, group: &str, data_id: &str) -> Option<Document> {
        let key = config_key(namespace, group, data_id);
        self.shared.read(|state| state.configs.stored(&key).cloned())
    }

    /// Connections that listen to a configuration.
    #[must_use]
    pub fn listeners(&self, namespace: &str, group: &str, data_id: &str) -> usize {
        let key = config_key(namespace, group, data_id);
        self.shared.read(|state| {
            state.transports.registered().filter(|(_, it)| it.listens.contains_key(&key)).count()
        })
    }

    /// Every instance that is held of a service, shown to consumers or not, in order of ip, port
    /// and cluster.
    #[must_use]
    pub fn instances(&self, namespace: &str, group: &str, service: &str) -> Vec<Instance> {
        let key = ServiceKey::new(namespace, group, service);
        self.shared.read(|state| state.services.held(&key))
    }

    /// Connections that subscribe to a service.
    #[must_use]
    pub fn subscribers(&self, namespace: &str, group: &str, service: &str) -> usize {
        let key = ServiceKey::new(namespace, group, service);
        self.shared.read(|state| {
            let subscribes = |it: &crate::state::Connection| it.subscriptions.contains_key(&key);
            state.transports.registered().filter(|(_, it)| subscribes(it)).count()
        })
    }

    /// Waits until the condition holds; looks again after whatever happens: a request, an
    /// acknowledgement, a login, a connection that comes or goes, a change of state.
    ///
    /// It has no deadline of its own, and returns at once when the condition holds already.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it only looks.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let server = nacos_testkit::Server::start().await?;
    /// server.publish("", "DEFAULT_GROUP", "app.yaml", "a: 1");
    /// server.until(|server| server.document("", "DEFAULT_GROUP", "app.yaml").is_some()).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.changes();
        while !condition(self) {
            if changes.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}
