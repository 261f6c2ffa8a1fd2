//! Whether the server knows the client's namespaces: asked once, beside the session, and only said.
//!
//! Servers keep what is published or registered in a namespace that nobody has created, and show it
//! nowhere. Mostly its display name was taken for its id.
use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Duration, timeout},
};
use tracing::{debug, warn};

use super::{Options, current::Current};
use crate::{
    credentials::below,
    key::Namespace,
    live::Live,
    resource::Resource,
    server::Server,
    transport::{Dialer, get},
    wire::namespaces::{Listed, PATHS, parse},
};

/// What to look for, and how to ask.
pub(super) struct Look {
    wanted: Vec<Namespace>,
    dialer: Dialer,
    context_path: Arc<str>,
    /// Whether the token may be sent: it came over this very port.
    shows_token: bool,
    current: watch::Receiver<Current>,
    servers: Live<Vec<Server>>,
}

impl Look {
    /// None if there is nothing to look for: the default namespace is always there.
    pub(super) fn new(
        options: &Options,
        current: watch::Receiver<Current>,
        servers: Live<Vec<Server>>,
    ) -> Option<Self> {
        let (session, access) = (&options.session, &options.access);
        let mut wanted = vec![session.config_namespace.clone(), session.naming_namespace.clone()];
        wanted.dedup();
        wanted.retain(|namespace| !namespace.is_default());
        (options.checks_namespaces && !wanted.is_empty()).then(|| Self {
            wanted,
            dialer: options.transport.dialer.clone(),
            context_path: Arc::clone(&access.context_path),
            shows_token: access.logs_in_over_http,
            current,
            servers,
        })
    }

    /// Waits for the first connection, and asks its server. No failure of this affects the session.
    pub(super) async fn run(mut self) {
        let Some((server, token)) = self.connected().await else { return };
        let known = self.servers.get();
        let Some(server) = known.iter().find(|known| known.to_string() == *server) else { return };
        match timeout(WITHIN, self.list(server, token.as_deref())).await {
            Ok(Some(listed)) => {
                for (namespace, hint) in missing(&self.wanted, &listed) {
                    warn!(%namespace, %server, "the server does not list this namespace{hint}");
                }
            }
            Ok(None) => debug!(%server, "the server does not say which namespaces it has"),
            Err(_) => debug!(%server, "the server did not say in time which namespaces it has"),
        }
    }

    /// The server that serves, and the token if it may be shown.
    async fn connected(&mut self) -> Option<(Arc<str>, Option<String>)> {
        let current = self.current.wait_for(|current| current.serving.is_some()).await.ok()?;
        let serving = current.serving.as_ref()?;
        let grant = serving.grant.as_ref().filter(|_| self.shows_token);
        let headers = grant.map(|grant| grant.headers_for(|| Resource::Connection));
        let token = headers.and_then(|mut headers| headers.remove(TOKEN));
        Some((Arc::clone(&serving.server), token))
    }

    async fn list(&self, server: &Server, token: Option<&str>) -> Option<Vec<Listed>> {
        for path in PATHS {
            let path = format!("{}{path}", below(&self.context_path));
            let headers = token.map(|token| (TOKEN, token));
            let (status, body) = get(&self.dialer, server, &path, headers).await.ok()?;
            if let Some(listed) = parse(&body).filter(|_| status.is_success()) {
                return Some(listed);
            }
        }
        None
    }
}

/// The namespaces that are not listed, each with what may be meant.
fn missing<'a>(wanted: &'a [Namespace], listed: &[Listed]) -> Vec<(&'a Namespace, String)> {
    let is_listed = |id: &str| listed.iter().any(|listed| listed.namespace == id);
    let missing = wanted.iter().filter(|namespace| !is_listed(namespace.as_str()));
    let hint = |namespace: &Namespace| {
        let shown = listed.iter().find(|listed| listed.show_name == namespace.as_str());
        shown.map_or_else(String::new, |shown| {
            // Somebody else's text.
            format!(": it is the display name of {:?}", crate::error::clip(&shown.namespace, 64))
        })
    };
    missing.map(|namespace| (namespace, hint(namespace))).collect()
}

const TOKEN: &str = "accessToken";
/// For all answers together.
const WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_name_that_was_taken_for_an_id_has_the_id_beside_it() {
        let listed = |namespace: &str, show_name: &str| Listed {
            namespace: namespace.to_owned(),
            show_name: show_name.to_owned(),
        };
        let listed =
            [listed("", "public"), listed("0f3a", "staging"), listed("prod", "Production")];
        let wanted: Vec<Namespace> =
            ["staging", "prod", "nowhere"].map(|id| Namespace::parse(id).expect("valid")).into();
        let missing = missing(&wanted, &listed);
        let shown: Vec<_> = missing.iter().map(|(id, hint)| format!("{id}{hint}")).collect();
        assert_eq!(shown, ["staging: it is the display name of \"0f3a\"", "nowhere"]);
    }
}
