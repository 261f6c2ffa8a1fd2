//! Fuzzy watches (3.x): patterns instead of names.

use std::collections::BTreeSet;

use super::{Call, Outcome, Refusal};
use crate::{
    fuzzy_watch::is_full,
    state::{Event, Pattern, Watched, object},
};

pub(super) fn configs(call: &mut Call<'_>) -> Outcome {
    watch(call, Watched::Configs)
}

pub(super) fn services(call: &mut Call<'_>) -> Outcome {
    watch(call, Watched::Services)
}

fn watch(call: &mut Call<'_>, watched: Watched) -> Outcome {
    let text = call.fields.needed_text("groupKeyPattern")?;
    let known = call.fields.list("receivedGroupKeys")?;
    let initial = call.fields.flag("initializing", false)?;
    let kind = call.fields.needed_text("watchType")?;
    let Some(pattern) = Pattern::parse(&text) else {
        return Err(Refusal::typed(400, format!("invalid pattern {text}")));
    };
    let too_many_matches = is_full(call.state, watched, &pattern);
    let too_many = kind == "WATCH" && too_many_patterns(call, watched, &text);
    let Some(connection) = call.state.transports.connection(call.connection) else {
        return Ok(object([]));
    };
    let installed = match watched {
        Watched::Configs => &mut connection.config_watches,
        Watched::Services => &mut connection.service_watches,
    };
    match kind.as_str() {
        "WATCH" if too_many => return Err(Refusal::typed(50_310, "too many patterns")),
        "WATCH" => installed.insert(text.clone(), pattern),
        // Any other word about configurations is taken, and does nothing.
        "CANCEL_WATCH" => {
            installed.remove(&text);
            return Ok(object([]));
        }
        _ if watched == Watched::Configs => return Ok(object([])),
        _ => {
            installed.remove(&text);
            return Ok(object([]));
        }
    };
    let connection = call.connection;
    call.events.push(Event::WatchStarted { connection, watched, pattern: text, known, initial });
    if too_many_matches {
        return Err(Refusal::typed(50_311, "too many matches"));
    }
    Ok(object([]))
}

/// The limit counts distinct patterns over all clients; one that is installed already is free.
fn too_many_patterns(call: &Call<'_>, watched: Watched, text: &str) -> bool {
    let mut patterns: BTreeSet<&str> = BTreeSet::new();
    for (_, connection) in call.state.transports.registered() {
        let installed = match watched {
            Watched::Configs => &connection.config_watches,
            Watched::Services => &connection.service_watches,
        };
        patterns.extend(installed.keys().map(String::as_str));
    }
    patterns.len() >= call.state.watch_limits.patterns && !patterns.contains(text)
}
