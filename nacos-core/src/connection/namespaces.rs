//! Whether the server knows the namespaces of the client and of its keys: asked once for each,
//! beside the session, and only said.
//!
//! Servers keep what is published or registered in a namespace that nobody has created, and show it
//! nowhere. Mostly its display name was taken for its id.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, watch},
    time::{Duration, sleep, timeout},
};
use tracing::{debug, warn};

use super::{Options, current::Current};
use crate::{
    credentials::below,
    key::Namespace,
    live::Live,
    resource::Resource,
    server::Server,
    time::doubled,
    transport::{Dialer, HttpError, MAX_ANSWER, get, is_no_path},
    wire::namespaces::{Listed, PATHS, parse},
};

/// The namespaces to look for: those that options or keys have named, each once.
#[derive(Debug, Default)]
pub(super) struct Mentioned {
    names: Mutex<MentionedNames>,
    new: Notify,
}

#[derive(Debug, Default)]
struct MentionedNames {
    known: BTreeSet<Namespace>,
    /// Not looked for yet.
    new: Vec<Namespace>,
}

impl Mentioned {
    /// The default namespace is always there. Beyond [`MOST`] names, none is looked for.
    pub(super) fn add(&self, namespace: &Namespace) {
        if namespace.is_default() {
            return;
        }
        let mut names = self.names();
        if names.known.len() < MOST && !names.known.contains(namespace) {
            names.known.insert(namespace.clone());
            names.new.push(namespace.clone());
            drop(names);
            self.new.notify_one();
        }
    }

    /// Waits until there are some that have not been looked for.
    async fn next(&self) -> Vec<Namespace> {
        loop {
            let new = self.take();
            if !new.is_empty() {
                return new;
            }
            self.new.notified().await;
        }
    }

    fn take(&self) -> Vec<Namespace> {
        std::mem::take(&mut self.names().new)
    }

    fn names(&self) -> MutexGuard<'_, MentionedNames> {
        // A panic under the lock costs a line in the log.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for namespaces: which ones, and how to ask for them.
pub(super) struct Look {
    mentioned: Arc<Mentioned>,
    dialer: Dialer,
    context_path: Arc<str>,
    /// Whether the token may be sent: it came over this very port.
    shows_token: bool,
    current: watch::Receiver<Current>,
    servers: Live<Vec<Server>>,
}

impl Look {
    /// None if nobody wants to know.
    pub(super) fn new(
        options: &Options,
        current: watch::Receiver<Current>,
        servers: Live<Vec<Server>>,
    ) -> Option<Self> {
        let (session, access) = (&options.session, &options.access);
        let mentioned = Arc::new(Mentioned::default());
        mentioned.add(&session.config_namespace);
        mentioned.add(&session.naming_namespace);
        options.checks_namespaces.then(|| Self {
            mentioned,
            dialer: options.transport.dialer.clone(),
            context_path: Arc::clone(&access.context_path),
            shows_token: access.logs_in_over_http,
            current,
            servers,
        })
    }

    /// Where keys tell which namespaces they name.
    pub(super) fn mentioned(&self) -> Arc<Mentioned> {
        Arc::clone(&self.mentioned)
    }

    /// Waits for namespaces to look for and for a connection, and asks its server. No failure of
    /// this affects the session; what could not be asked is asked again, ever more rarely.
    pub(super) async fn run(mut self) {
        let (mut wanted, mut listed, mut failures) = (Vec::new(), Vec::new(), 0);
        loop {
            if wanted.is_empty() {
                wanted = self.mentioned.next().await;
            }
            // A namespace that was listed a while ago mostly still is; one that was not may exist
            // by now.
            if missing(&wanted, &listed).is_empty() {
                wanted.clear();
                continue;
            }
            let Some((server, token)) = self.connected().await else { return };
            wanted.extend(self.mentioned.take());
            match self.ask(&server, token.as_deref()).await {
                Said::List(list) => {
                    for (namespace, hint) in missing(&wanted, &list) {
                        warn!(%namespace, %server, "the server does not list this namespace{hint}");
                    }
                    listed = list;
                }
                Said::Nothing => {
                    debug!(%server, "the server does not say which namespaces it has");
                }
                Said::Failed(why) => {
                    debug!(%server, %why, "the server could not be asked which namespaces it has");
                    sleep(doubled(RETRY, failures, RETRY_CAP)).await;
                    failures = failures.saturating_add(1);
                    continue;
                }
            }
            wanted.clear();
            failures = 0;
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

    async fn ask(&self, server: &str, token: Option<&str>) -> Said {
        let known = self.servers.get();
        match known.iter().find(|known| known.to_string() == server) {
            None => Said::Failed("it has left the list of servers".to_owned()),
            Some(known) => timeout(WITHIN, self.list(known, token))
                .await
                .unwrap_or_else(|_| Said::Failed("no answer came in time".to_owned())),
        }
    }

    async fn list(&self, server: &Server, token: Option<&str>) -> Said {
        for path in PATHS {
            let path = format!("{}{path}", below(&self.context_path));
            let headers = token.map(|token| (TOKEN, token));
            let (status, body) = match get(&self.dialer, server, &path, headers, MAX_ANSWER).await {
                Ok(answer) => answer,
                Err(HttpError::StatusZero) => continue,
                Err(error) => return Said::Failed(error.to_string()),
            };
            if let Some(listed) = parse(&body).filter(|_| status.is_success()) {
                return Said::List(listed);
            }
            match status {
                status if is_no_path(status) => {}
                // A server that is starting, or a proxy in front of one that is, or is gone.
                status if status.as_u16() == 429 || status.is_server_error() => {
                    return Said::Failed(status.to_string());
                }
                _ => return Said::Nothing,
            }
        }
        Said::Nothing
    }
}

/// The answer of a server that was asked for its namespaces.
enum Said {
    List(Vec<Listed>),
    /// It has no list for us.
    Nothing,
    /// Nothing yet: it was not reached.
    Failed(String),
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

/// Namespaces that are looked for: as many requests as a client makes for it at most.
const MOST: usize = 32;
const TOKEN: &str = "accessToken";
/// After a failure; twice as long after each that follows.
const RETRY: Duration = Duration::from_secs(60);
const RETRY_CAP: Duration = Duration::from_secs(64 * 60);
/// For all answers together.
const WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use nacos_testkit::TimeLimit;

    use super::*;

    #[tokio::test]
    async fn each_namespace_is_looked_for_once_and_not_very_many_are() {
        TimeLimit::for_test();
        let mentioned = Mentioned::default();
        for _ in 0..3 {
            for id in ["", "public", "a", "b", "a"] {
                mentioned.add(&Namespace::parse(id).expect("valid"));
            }
        }
        let shown: Vec<_> = mentioned.next().await.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a", "b"]);
        for id in 0..10_000 {
            mentioned.add(&Namespace::parse(&format!("n{id}")).expect("valid"));
        }
        assert_eq!(mentioned.next().await.len(), MOST - 2);
        mentioned.add(&Namespace::parse("b").expect("valid"));
        assert_eq!(mentioned.take(), []);
    }

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
