//! The option or variable that an unknown name may mean.
use super::{OPTIONS, Row, plain};
use crate::link_variable::is_set_by_kubernetes;

/// The option whose name comes nearest to `unknown`, as files spell it.
pub(super) fn option(unknown: &str) -> Option<&'static str> {
    let unknown = plain(unknown);
    let tried = TRIED.iter().chain(NUMBERS).find(|(name, _)| *name == unknown);
    let ours = tried.and_then(|(_, ours)| OPTIONS.iter().find(|row| row.variable() == *ours));
    if let Some(row) = ours {
        return Some(row.name);
    }
    let names = OPTIONS.iter().map(|row| row.name);
    nearest(names.filter_map(|name| {
        let plain = plain(name);
        let typos = distance(&plain, &unknown);
        (typos <= most_typos(plain.len().min(unknown.len()))).then_some((typos, name))
    }))
}

/// How many letters may be wrong in a name of `letters`: any three are three away from any others,
/// and a short name is another word sooner than a long one.
fn most_typos(letters: usize) -> usize {
    match letters {
        0 | 1 => 0,
        2..6 => 1,
        6..9 => 2,
        _ => 3,
    }
}

/// The variable that comes nearest to `name`, if `name` looks like one of ours and is none.
///
/// Less may differ than in a file, where every name is meant for us: for a service called `nacos`
/// Kubernetes sets `NACOS_SERVICE_HOST` and `NACOS_PORT_8848_TCP`.
pub(crate) fn variable(name: &str, value: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let is_ours = ["NACOS", "SPRING_CLOUD_NACOS", "SPRING.CLOUD.NACOS"];
    if !is_ours.iter().any(|prefix| upper.starts_with(prefix)) {
        return None;
    }
    let also = |row: &Row| row.also.iter().map(|also| also.name.to_owned()).collect::<Vec<_>>();
    let known: Vec<_> =
        OPTIONS.iter().flat_map(|row| also(row).into_iter().chain([row.variable()])).collect();
    let is_known = known.iter().any(|known| known == name) || name == REGISTER_IP;
    if is_known || is_set_by_kubernetes(name, value) {
        return None;
    }
    if let Some(ours) = tried(name, value) {
        return Some(ours);
    }
    if !upper.starts_with("NACOS") {
        return None;
    }
    // The prefix is no part of the word that is misspelt.
    let letters = |name: &str| {
        let plain = plain(name);
        plain.strip_prefix("nacos").unwrap_or(&plain).len()
    };
    nearest(known.into_iter().filter_map(|known| {
        let typos = distance(&known.to_ascii_uppercase(), &upper);
        let most = most_typos(letters(&known).min(letters(name))).min(MOST_TYPOS_OF_A_VARIABLE);
        (typos <= most).then_some((typos, known))
    }))
}

/// Our variable for a name that people try, because others have it or one would guess it.
fn tried(name: &str, value: &str) -> Option<String> {
    let plain = plain(name);
    let rest = PREFIXES.iter().find_map(|prefix| plain.strip_prefix(prefix))?;
    let of_part = |part: &str| -> Option<&str> { rest.strip_prefix(part) };
    // Documents and services have namespaces of their own, and nothing else.
    for (part, ours) in [
        ("config", "NACOS_CONFIG_NAMESPACE"),
        ("naming", "NACOS_NAMING_NAMESPACE"),
        ("discovery", "NACOS_NAMING_NAMESPACE"),
    ] {
        if of_part(part).is_some_and(|rest| NAMESPACE.contains(&rest)) {
            return Some(ours.to_owned());
        }
    }
    let parts = ["client", "config", "naming", "discovery"];
    let bare = parts.iter().find_map(|part| of_part(part)).filter(|bare| !bare.is_empty());
    for rest in [Some(rest), bare].into_iter().flatten() {
        // A number that a platform does not set: that would be a URL.
        if NUMBERS.iter().any(|(name, _)| *name == rest) && value.trim().parse::<u16>().is_err() {
            continue;
        }
        let all = TRIED.iter().chain(NUMBERS);
        if let Some((_, ours)) = all.clone().find(|(name, _)| *name == rest) {
            return Some((*ours).to_owned());
        }
        // Ours, behind another client's prefix; a variable of the server's own image is not that.
        let row = OPTIONS.iter().find(|row| self::plain(row.name) == rest);
        let said = self::plain(&row.map(Row::variable).unwrap_or_default());
        if let Some(row) = row
            && said != plain
        {
            return Some(row.variable());
        }
    }
    None
}

fn nearest<T: Ord>(distances: impl Iterator<Item = (usize, T)>) -> Option<T> {
    distances.min().map(|(_, name)| name)
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

/// Read where a server of ours is registered, by the crates of the frameworks.
const REGISTER_IP: &str = "NACOS_REGISTER_IP";
/// In front of the names that users try.
const PREFIXES: &[&str] = &["springcloudnacos", "nacos"];
const NAMESPACE: &[&str] = &["namespace", "namespaceid", "tenant", "tenantid"];
/// Names that users try, without their prefix, and ours.
const TRIED: &[(&str, &str)] = &[
    ("addr", "NACOS_SERVER_ADDR"),
    ("address", "NACOS_SERVER_ADDR"),
    ("addresses", "NACOS_SERVER_ADDR"),
    ("addrs", "NACOS_SERVER_ADDR"),
    ("host", "NACOS_SERVER_ADDR"),
    ("hosts", "NACOS_SERVER_ADDR"),
    ("server", "NACOS_SERVER_ADDR"),
    ("serveraddress", "NACOS_SERVER_ADDR"),
    ("serveraddresses", "NACOS_SERVER_ADDR"),
    ("serveraddrs", "NACOS_SERVER_ADDR"),
    ("serverhost", "NACOS_SERVER_ADDR"),
    ("serverlist", "NACOS_SERVER_ADDR"),
    ("serveraddrlist", "NACOS_SERVER_ADDR"),
    ("serveradress", "NACOS_SERVER_ADDR"),
    ("serveruri", "NACOS_SERVER_ADDR"),
    ("serverurl", "NACOS_SERVER_ADDR"),
    ("uri", "NACOS_SERVER_ADDR"),
    ("url", "NACOS_SERVER_ADDR"),
    ("endpointurl", "NACOS_ENDPOINT"),
    ("namespaceid", "NACOS_NAMESPACE"),
    ("servernamespace", "NACOS_NAMESPACE"),
    ("namespacename", "NACOS_NAMESPACE"),
    ("ns", "NACOS_NAMESPACE"),
    ("tenant", "NACOS_NAMESPACE"),
    ("tenantid", "NACOS_NAMESPACE"),
    // Names that begin with `auth` are mostly the server's.
    ("authuser", "NACOS_USERNAME"),
    ("authusername", "NACOS_USERNAME"),
    ("authpassword", "NACOS_PASSWORD"),
    ("login", "NACOS_USERNAME"),
    ("serverusername", "NACOS_USERNAME"),
    ("user", "NACOS_USERNAME"),
    ("userid", "NACOS_USERNAME"),
    ("pass", "NACOS_PASSWORD"),
    ("passwd", "NACOS_PASSWORD"),
    ("pwd", "NACOS_PASSWORD"),
    ("serverpassword", "NACOS_PASSWORD"),
    ("userpassword", "NACOS_PASSWORD"),
    ("bearertoken", "NACOS_ACCESS_TOKEN"),
    ("token", "NACOS_ACCESS_TOKEN"),
    ("tokenfile", "NACOS_ACCESS_TOKEN_FILE"),
    ("accesskeyid", "NACOS_ACCESS_KEY"),
    ("ak", "NACOS_ACCESS_KEY"),
    ("accesskeysecret", "NACOS_SECRET_KEY"),
    ("accesssecret", "NACOS_SECRET_KEY"),
    ("sk", "NACOS_SECRET_KEY"),
    ("region", "NACOS_SIGNATURE_REGION"),
    ("regionid", "NACOS_SIGNATURE_REGION"),
    ("application", "NACOS_APP"),
    ("applicationname", "NACOS_APP"),
    ("appname", "NACOS_APP"),
    ("context", "NACOS_CONTEXT_PATH"),
    ("servercontextpath", "NACOS_CONTEXT_PATH"),
    ("connectiontimeout", "NACOS_CONNECT_TIMEOUT"),
    ("timeout", "NACOS_REQUEST_TIMEOUT"),
    ("timeoutms", "NACOS_REQUEST_TIMEOUT"),
    ("enabletls", "NACOS_TLS"),
    ("https", "NACOS_TLS"),
    ("ssl", "NACOS_TLS"),
    ("tlsenable", "NACOS_TLS"),
    ("tlsenabled", "NACOS_TLS"),
    ("usetls", "NACOS_TLS"),
    ("cacert", "NACOS_TLS_CA_FILE"),
    ("cafile", "NACOS_TLS_CA_FILE"),
    ("tlsca", "NACOS_TLS_CA_FILE"),
    ("tlscacert", "NACOS_TLS_CA_FILE"),
    ("tlscert", "NACOS_TLS_CERT_FILE"),
    ("tlskey", "NACOS_TLS_KEY_FILE"),
    ("clientip", REGISTER_IP),
    ("ip", REGISTER_IP),
    ("localip", REGISTER_IP),
    ("instanceip", REGISTER_IP),
];
/// The same, where Kubernetes sets the same name to something else.
const NUMBERS: &[(&str, &str)] = &[
    ("port", "NACOS_SERVER_ADDR"),
    ("serverport", "NACOS_SERVER_ADDR"),
    ("grpcport", "NACOS_GRPC_PORT_OFFSET"),
    ("grpcoffset", "NACOS_GRPC_PORT_OFFSET"),
    ("portoffset", "NACOS_GRPC_PORT_OFFSET"),
];
/// A variable that differs by more is another word, and may well be another program's.
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
            ("NACOS_TLSS", "NACOS_TLS"),
            ("NACOS_ENDPOINTS", "NACOS_ENDPOINT"),
            ("NACOS_ENDPIONT", "NACOS_ENDPOINT"),
        ] {
            assert_eq!(variable(misspelt, "v").as_deref(), Some(meant), "{misspelt}");
        }
    }

    #[test]
    fn short_name_with_two_other_letters_is_another_word() {
        for name in ["NACOS_OPS", "NACOS_ENV", "NACOS_DNS", "NACOS_API_X", "NACOS_TSL"] {
            assert_eq!(variable(name, "v"), None, "{name}");
        }
        for name in ["ops", "test", "tabs", "acl", "x"] {
            assert_eq!(option(name), None, "{name}");
        }
        assert_eq!(option("aps"), Some("app"));
        assert_eq!(option("endpiont"), Some("endpoint"));
        assert_eq!(option("sever_adr"), Some("server_addr"));
    }

    /// All that Kubernetes sets for a service that is called almost like an option.
    #[test]
    fn variables_of_a_service_are_no_misspelt_option() {
        for service in ["ENDPOINTS", "ENDPOINT", "SERVER_ADDRESS", "TLSS", "CLIENT", "CONFIG"] {
            for (rest, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "8848"),
                ("SERVICE_PORT_HTTP", "8848"),
                ("PORT", "tcp://10.0.0.1:8848"),
                ("PORT_8848_TCP", "tcp://10.0.0.1:8848"),
                ("PORT_8848_TCP_ADDR", "10.0.0.1"),
                ("PORT_8848_TCP_PORT", "8848"),
                ("PORT_8848_TCP_PROTO", "tcp"),
            ] {
                let name = format!("NACOS_{service}_{rest}");
                assert_eq!(variable(&name, value), None, "{name}");
            }
        }
        // A user's own word is a misspelt one.
        assert_eq!(variable("NACOS_ENDPOINTS_PORT", "80").as_deref(), Some("NACOS_ENDPOINT_PORT"));
    }

    #[test]
    fn name_that_people_try_has_ours_beside_it() {
        for (tried, meant) in [
            ("NACOS_NAMESPACE_ID", "NACOS_NAMESPACE"),
            ("NACOS_CLIENT_NAMESPACE", "NACOS_NAMESPACE"),
            ("NACOS_TENANT", "NACOS_NAMESPACE"),
            ("NACOS_CONFIG_NAMESPACE_ID", "NACOS_CONFIG_NAMESPACE"),
            ("NACOS_DISCOVERY_NAMESPACE", "NACOS_NAMING_NAMESPACE"),
            ("SPRING_CLOUD_NACOS_DISCOVERY_NAMESPACE", "NACOS_NAMING_NAMESPACE"),
            ("NACOS_CLIENT_USERNAME", "NACOS_USERNAME"),
            ("NACOS_AUTH_USERNAME", "NACOS_USERNAME"),
            ("NACOS_USER_NAME", "NACOS_USERNAME"),
            ("NACOS_USER", "NACOS_USERNAME"),
            ("NACOS_CLIENT_PASSWORD", "NACOS_PASSWORD"),
            ("NACOS_PWD", "NACOS_PASSWORD"),
            ("NACOS_SERVER_ADDRESS", "NACOS_SERVER_ADDR"),
            ("NACOS_SERVER_ADDRESSES", "NACOS_SERVER_ADDR"),
            ("NACOS_ADDR", "NACOS_SERVER_ADDR"),
            ("NACOS_HOST", "NACOS_SERVER_ADDR"),
            ("NACOS_SERVER", "NACOS_SERVER_ADDR"),
            ("NACOS_SERVER_URI", "NACOS_SERVER_ADDR"),
            ("NACOS_SERVER_ADRESS", "NACOS_SERVER_ADDR"),
            ("NACOS_SERVER_NAMESPACE", "NACOS_NAMESPACE"),
            ("NACOS_SERVER_USERNAME", "NACOS_USERNAME"),
            ("NACOS_SERVER_PASSWORD", "NACOS_PASSWORD"),
            ("NACOS_TOKEN", "NACOS_ACCESS_TOKEN"),
            ("NACOS_URL", "NACOS_SERVER_ADDR"),
            ("NACOS_CONFIG_SERVER_ADDR", "NACOS_SERVER_ADDR"),
            ("SPRING_CLOUD_NACOS_CONFIG_SERVER_ADDR", "NACOS_SERVER_ADDR"),
            ("spring.cloud.nacos.server-addr", "NACOS_SERVER_ADDR"),
            ("nacos.server-addr", "NACOS_SERVER_ADDR"),
            ("NACOS_APP_NAME", "NACOS_APP"),
            ("NACOS_TIMEOUT", "NACOS_REQUEST_TIMEOUT"),
            ("NACOS_CLIENT_IP", "NACOS_REGISTER_IP"),
            ("NACOS_CLIENT_LOCAL_IP", "NACOS_REGISTER_IP"),
            ("NACOS_TLS_ENABLED", "NACOS_TLS"),
        ] {
            assert_eq!(variable(tried, "v").as_deref(), Some(meant), "{tried}");
        }
        // Kubernetes sets this to a URL, people to a number.
        assert_eq!(variable("NACOS_PORT", "8848").as_deref(), Some("NACOS_SERVER_ADDR"));
        for (name, ours) in TRIED.iter().chain(NUMBERS) {
            let known = OPTIONS.iter().any(|row| row.variable() == *ours) || *ours == REGISTER_IP;
            assert!(known, "{ours} is no variable of ours");
            assert!(OPTIONS.iter().all(|row| plain(row.name) != *name), "{name} is an option");
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
            assert_eq!(variable(name, "tcp://10.0.0.1:8848"), None, "{name}");
        }
    }
}
