//! What somebody may have meant by a name that is none.
use super::{OPTIONS, Row, plain};

/// The option whose name comes nearest to `unknown`, as files spell it.
pub(super) fn option(unknown: &str) -> Option<&'static str> {
    let unknown = plain(unknown);
    let names = OPTIONS.iter().map(|row| row.name);
    nearest(names.map(|name| (distance(&plain(name), &unknown), name)), MOST_TYPOS)
}

/// The variable that comes nearest to `name`, if `name` looks like one of ours and is none.
///
/// Less may differ than in a file, where every name is meant for us: for a service called `nacos`
/// Kubernetes sets `NACOS_SERVICE_HOST` and `NACOS_PORT_8848_TCP`.
pub(crate) fn variable(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    if !upper.starts_with("NACOS") {
        return None;
    }
    let also = |row: &Row| row.also.iter().map(|also| also.name.to_owned()).collect::<Vec<_>>();
    let known: Vec<_> =
        OPTIONS.iter().flat_map(|row| also(row).into_iter().chain([row.variable()])).collect();
    if known.iter().any(|known| known == name) {
        return None;
    }
    let distances = known.into_iter().map(|known| {
        let distance = distance(&known.to_ascii_uppercase(), &upper);
        (distance, known)
    });
    nearest(distances, MOST_TYPOS_OF_A_VARIABLE)
}

fn nearest<T: Ord>(distances: impl Iterator<Item = (usize, T)>, most: usize) -> Option<T> {
    distances.min().filter(|(distance, _)| *distance <= most).map(|(_, name)| name)
}

/// How many letters have to be written, left out or changed to make one of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (left, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[left + 1];
            row[left + 1] = changed.min(diagonal + 1).min(row[left] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// What differs by more is another word.
const MOST_TYPOS: usize = 3;
const MOST_TYPOS_OF_A_VARIABLE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_variable_suggests_the_one_that_is_meant() {
        for (misspelt, meant) in [
            ("NACOS_SEVER_ADDR", "NACOS_SERVER_ADDR"),
            ("NACOS_SERVERADDR", "NACOS_SERVER_ADDR"),
            ("nacos_server_addr", "NACOS_SERVER_ADDR"),
            ("NACOS_PASWORD", "NACOS_PASSWORD"),
            ("nacos_remote_client_rpc_tls_enabled", "nacos_remote_client_rpc_tls_enable"),
        ] {
            assert_eq!(variable(misspelt).as_deref(), Some(meant), "{misspelt}");
        }
    }

    #[test]
    fn variables_that_are_known_or_somebody_elses_suggest_nothing() {
        for name in [
            "NACOS_SERVER_ADDR",
            "nacos_remote_client_rpc_tls_enable",
            "SERVER_ADDR",
            "HOME",
            // Kubernetes, of services called `nacos` and `nacos-server`.
            "NACOS_SERVICE_HOST",
            "NACOS_SERVICE_PORT",
            "NACOS_SERVICE_PORT_HTTP",
            "NACOS_PORT",
            "NACOS_PORT_8848_TCP",
            "NACOS_PORT_8848_TCP_ADDR",
            "NACOS_PORT_8848_TCP_PORT",
            "NACOS_PORT_8848_TCP_PROTO",
            "NACOS_SERVER_PORT",
            "NACOS_SERVER_PORT_8848_TCP",
            "NACOS_SERVER_SERVICE_HOST",
            "NACOS_SERVER_SERVICE_PORT",
            // The image of the server.
            "NACOS_SERVERS",
            "NACOS_SERVER_IP",
            "NACOS_APPLICATION_PORT",
            "NACOS_AUTH_ENABLE",
            "NACOS_AUTH_TOKEN",
            "NACOS_AUTH_IDENTITY_KEY",
            "NACOS_AUTH_IDENTITY_VALUE",
            "NACOS_REGISTER_IP",
        ] {
            assert_eq!(variable(name), None, "{name}");
        }
    }
}
