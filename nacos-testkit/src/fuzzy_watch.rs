//! The pushes of fuzzy watches (3.x): what a pattern matches, and what comes and goes.

use serde_json::{Value, json};

use crate::{
    shared::Shared,
    state::{
        ConfigKey, ConnectionKey, Event, Expected, Pattern, ServiceKey, State, Watched, object,
    },
};

impl Shared {
    /// Sends a watcher the difference between what its pattern matches and what it knows.
    pub(crate) fn start_watch(
        &self,
        connection: ConnectionKey,
        watched: Watched,
        text: &str,
        known: &[String],
        initial: bool,
    ) {
        let Some(pattern) = Pattern::parse(text) else { return };
        let nothing = self.change(|state| {
            let matching = matching(state, watched, &pattern);
            let words = Words::of(watched);
            let added = matching.iter().filter(|key| !known.contains(key)).map(|k| (k, words.add));
            // At the limit the set may lack some, so that nobody is told of those that are gone.
            let is_full = is_full(state, watched, &pattern);
            let gone = known.iter().filter(|key| !is_full && !matching.contains(key));
            let gone = gone.map(|k| (k, words.delete));
            let contexts: Vec<Value> = added
                .chain(gone)
                .map(|(key, change)| json!({ words.key: key, "changedType": change }))
                .collect();
            let batches = contexts.chunks(words.batch);
            let total = batches.len();
            for (index, batch) in batches.enumerate() {
                let sync = if initial { INIT } else { DIFF };
                let fields = object([
                    ("syncType", json!(sync)),
                    ("groupKeyPattern", json!(text)),
                    ("contexts", json!(batch)),
                    ("totalBatch", json!(total)),
                    ("currentBatch", json!(index + 1)),
                    ("module", json!(words.module)),
                ]);
                let expected = if initial {
                    Expected::Watch { watched, pattern: text.to_owned() }
                } else {
                    Expected::Nothing
                };
                self.push(state, connection, words.sync, fields, expected);
            }
            contexts.is_empty()
        });
        if nothing && initial {
            let pattern = text.to_owned();
            self.set_off(vec![Event::WatchListed { connection, watched, pattern }]);
        }
    }

    /// Tells a watcher that its initial list is complete.
    pub(crate) fn finish_watch(&self, to: ConnectionKey, watched: Watched, pattern: &str) {
        let words = Words::of(watched);
        let mut fields = object([
            ("syncType", json!(FINISH)),
            ("groupKeyPattern", json!(pattern)),
            ("totalBatch", json!(0)),
            ("currentBatch", json!(0)),
            ("module", json!(words.module)),
        ]);
        if watched == Watched::Services {
            // Unlike that of configurations, this end looks like a batch of nothing.
            fields.extend(object([
                ("contexts", json!([])),
                ("totalBatch", json!(1)),
                ("currentBatch", json!(1)),
            ]));
        }
        self.change(|state| self.push(state, to, words.sync, fields, Expected::Nothing));
    }

    /// Tells watchers that a configuration has come or gone.
    pub(crate) fn config_counted(&self, key: &ConfigKey, exists: bool) {
        if !self.behaviour().is_3() {
            return;
        }
        let change = if exists { "CONFIG_CHANGED" } else { "DELETE_CONFIG" };
        self.change(|state| {
            let most = state.watch_limits.matches;
            // One more than fits is dropped without a word.
            let is_told = |pattern: &Pattern| {
                let keys = state.configs.keys().filter(|key| pattern.matches_config(key));
                pattern.matches_config(key) && (!exists || keys.count() <= most)
            };
            for to in watchers(state, Watched::Configs, is_told) {
                let fields = object([
                    ("groupKey", json!(key.to_group_key())),
                    ("changeType", json!(change)),
                    ("module", json!("config")),
                ]);
                let message_type = "ConfigFuzzyWatchChangeNotifyRequest";
                self.push(state, to, message_type, fields, Expected::Nothing);
            }
        });
    }

    /// Tells watchers that a service has come or gone.
    pub(crate) fn service_counted(&self, key: &ServiceKey, exists: bool) {
        if !self.behaviour().is_3() {
            return;
        }
        let change = if exists { "ADD_SERVICE" } else { "DELETE_SERVICE" };
        self.change(|state| {
            for to in watchers(state, Watched::Services, |pattern| pattern.matches_service(key)) {
                let fields = object([
                    ("syncType", json!("FUZZY_WATCH_RESOURCE_CHANGED")),
                    ("serviceKey", json!(key.to_service_key())),
                    ("changedType", json!(change)),
                    ("module", json!("naming")),
                ]);
                let message_type = "NamingFuzzyWatchChangeNotifyRequest";
                self.push(state, to, message_type, fields, Expected::Nothing);
            }
        });
    }
}

/// In what the two kinds of watch differ on the wire.
struct Words {
    sync: &'static str,
    module: &'static str,
    key: &'static str,
    add: &'static str,
    delete: &'static str,
    batch: usize,
}

impl Words {
    fn of(watched: Watched) -> Self {
        match watched {
            Watched::Configs => Self {
                sync: "ConfigFuzzyWatchSyncRequest",
                module: "config",
                key: "groupKey",
                add: "ADD_CONFIG",
                delete: "DELETE_CONFIG",
                batch: 20,
            },
            Watched::Services => Self {
                sync: "NamingFuzzyWatchSyncRequest",
                module: "naming",
                key: "serviceKey",
                add: "ADD_SERVICE",
                delete: "DELETE_SERVICE",
                batch: 10,
            },
        }
    }
}

/// Whether a pattern matches as much as is watched.
pub(crate) fn is_full(state: &State, watched: Watched, pattern: &Pattern) -> bool {
    matching(state, watched, pattern).len() >= state.watch_limits.matches
}

/// The keys that a pattern matches, up to the limit, in their text form.
fn matching(state: &State, watched: Watched, pattern: &Pattern) -> Vec<String> {
    let most = state.watch_limits.matches;
    match watched {
        Watched::Configs => {
            let keys = state.configs.keys().filter(|key| pattern.matches_config(key));
            keys.take(most).map(ConfigKey::to_group_key).collect()
        }
        Watched::Services => {
            let keys = state.services.keys().filter(|key| pattern.matches_service(key));
            keys.take(most).map(ServiceKey::to_service_key).collect()
        }
    }
}

fn watchers(
    state: &State,
    watched: Watched,
    matches: impl Fn(&Pattern) -> bool,
) -> Vec<ConnectionKey> {
    let concerned = |connection: &crate::state::Connection| match watched {
        Watched::Configs => connection.config_watches.values().any(&matches),
        Watched::Services => connection.service_watches.values().any(&matches),
    };
    state.transports.registered().filter(|(_, it)| concerned(it)).map(|(key, _)| key).collect()
}

const INIT: &str = "FUZZY_WATCH_INIT_NOTIFY";
const DIFF: &str = "FUZZY_WATCH_DIFF_SYNC_NOTIFY";
const FINISH: &str = "FINISH_FUZZY_WATCH_INIT_NOTIFY";
