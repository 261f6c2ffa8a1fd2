//! Options that contradict each other are refused here, before anything is sent.
use std::{sync::Arc, time::Duration};

use super::{
    Certificates, ClientOptions, access,
    instance_id::instance_id,
    server_list::{self, ServerPlace},
    tls,
};
use crate::{
    connection::{self, access::Options as AccessOptions},
    credentials::Credentials,
    error::{Error, ErrorKind},
    key::{InvalidName, Namespace},
    labels::Labels,
    server::Server,
    server_list::ServerList,
    session::{self, Patience, PullOptions},
    snapshot::{OverrideDir, SnapshotDir, scope_of},
    time::LONGEST,
    transport,
};

/// The options of a connection, with every default filled in. `own` credentials take the place of
/// those that `options` name, valid or not. Blocks while certificates are read.
pub(crate) fn check(
    options: ClientOptions,
    own: Option<Arc<dyn Credentials>>,
) -> Result<connection::Options, Error> {
    let (options, certificates) = prepare(options, own)?;
    certificates.map_or(Ok(()), |certificates| certificates.read())?;
    Ok(options)
}

/// The same without the certificates, which the caller reads.
pub(crate) fn prepare(
    options: ClientOptions,
    own: Option<Arc<dyn Credentials>>,
) -> Result<(connection::Options, Option<Certificates>), Error> {
    let (config_namespace, naming_namespace) = namespaces(&options)?;
    let logs_in_over_http = own.is_none() && options.username.is_some();
    let ServerPlace { servers, list, path } = server_list::servers(&options, &naming_namespace)?;
    let (dialer, certificates) = tls::dialer(&options, &servers, list.as_ref())?;
    let access = AccessOptions {
        credentials: own.map_or_else(|| access::check(&options), |own| Ok(Some(own)))?,
        context_path: access::context_path(&options, path)?,
        logs_in_over_http,
    };
    let transport = transport::Options {
        dialer,
        connect_timeout: options.connect_timeout.unwrap_or(CONNECT_TIMEOUT).min(LONGEST),
        receive_limit: options.receive_limit.unwrap_or(RECEIVE_LIMIT),
    };
    let snapshots = snapshots(&options, &servers, list.as_ref(), &access.context_path);
    let pulls = pulls(&options);
    let session = session::Options {
        config_namespace,
        naming_namespace,
        app: options.app.unwrap_or_else(|| "unknown".to_owned()),
        labels: labels(options.app_labels.as_deref())?,
        client_id: format!("{:016x}", fastrand::u64(..)),
        has_credentials: access.credentials.is_some(),
        keeps_rights: logs_in_over_http || access.credentials.is_none(),
        require_login: options.require_login.unwrap_or(false),
        request_timeout: options.request_timeout.unwrap_or(REQUEST_TIMEOUT).min(LONGEST),
        refresh: list.as_ref().map(|list| list.refresh),
        patience: Patience {
            quiet: (options.health_check_interval.unwrap_or(DEFAULT.quiet))
                .clamp(Duration::from_millis(100), LONGEST),
            suspect: (options.suspect_after.unwrap_or(DEFAULT.suspect))
                .clamp(Duration::from_millis(10), LONGEST),
        },
        pulls,
        // Below that, a server that is gone would be asked in a hot loop.
        backoff_cap: options.backoff_cap.unwrap_or(BACKOFF_CAP).clamp(MIN_BACKOFF_CAP, LONGEST),
    };
    let options = connection::Options {
        servers,
        server_list: list,
        session,
        transport,
        access,
        max_metadata: options.max_metadata.unwrap_or(MAX_METADATA),
        max_publish: options.max_publish.unwrap_or(MAX_PUBLISH),
        checks_namespaces: options.check_namespaces.unwrap_or(true),
        dedicated_thread: options.dedicated_thread.unwrap_or(false),
        snapshots,
        overrides: options
            .override_dir
            .filter(|path| !path.trim().is_empty())
            .map(OverrideDir::new),
        start_policy: options.start_policy.unwrap_or_default(),
        filters: None,
        filter_timeout: options
            .filter_timeout
            .unwrap_or(FILTER_TIMEOUT)
            .clamp(LEAST_FILTER_TIMEOUT, LONGEST),
    };
    Ok((options, certificates))
}

/// Where documents are kept: in a folder of the cluster, so that one never feeds another.
fn snapshots(
    options: &ClientOptions,
    servers: &[Server],
    list: Option<&ServerList>,
    context_path: &str,
) -> Option<SnapshotDir> {
    let given = |text| Option::as_deref(text).filter(|text: &&str| !text.trim().is_empty());
    let directory = given(&options.snapshot_dir)?;
    let scope = match (given(&options.snapshot_scope), list.map(|list| &list.source)) {
        (Some(scope), _) => scope.to_owned(),
        (None, Some(source)) => {
            let (kind, place) = source.configured();
            scope_of(kind, vec![place], context_path)
        }
        (None, None) => {
            scope_of("servers", servers.iter().map(Server::to_string).collect(), context_path)
        }
    };
    Some(SnapshotDir::new(directory, &scope))
}

fn labels(given: Option<&str>) -> Result<Labels, Error> {
    Labels::parse(given.unwrap_or_default()).map_err(|why| super::invalid("app_labels", why))
}

/// How the queries for watched documents are governed.
fn pulls(options: &ClientOptions) -> PullOptions {
    let given = options.instance_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let default = PullOptions::new(given.map_or_else(instance_id, str::to_owned));
    let after = options.read_only_after.map(|after| u32::try_from(after).unwrap_or(u32::MAX));
    let probe = options.read_only_probe.unwrap_or(default.probe).clamp(LEAST_PROBE, LONGEST);
    let probe_cap = options.read_only_probe_cap.unwrap_or(default.probe_cap).clamp(probe, LONGEST);
    PullOptions {
        burst: options.pull_burst,
        rate: options.pull_rate,
        stagger: options.pull_stagger.unwrap_or(default.stagger).min(LONGEST),
        mass_outage: options.mass_outage.unwrap_or(default.mass_outage).min(LONGEST),
        mass_drops: options.mass_drops.unwrap_or(default.mass_drops).min(LONGEST),
        alarm_after: options.pull_alarm_after.unwrap_or(default.alarm_after).min(LONGEST),
        read_only_after: after.unwrap_or(default.read_only_after),
        probe,
        probe_cap,
        instance_id: default.instance_id,
    }
}

/// The namespace of documents, and that of services.
fn namespaces(options: &ClientOptions) -> Result<(Namespace, Namespace), Error> {
    let namespace = |own: &Option<String>| {
        let id = own.as_ref().or(options.namespace.as_ref()).map_or("", String::as_str);
        Namespace::parse(id).map_err(|invalid: InvalidName| {
            Error::new(ErrorKind::InvalidName, "read the namespace").because(invalid)
        })
    };
    let config_namespace = namespace(&options.config_namespace)?;
    let naming_namespace = namespace(&options.naming_namespace)?;
    if config_namespace != naming_namespace {
        tracing::warn!(
            %config_namespace,
            %naming_namespace,
            "documents and services are in different namespaces"
        );
    }
    Ok((config_namespace, naming_namespace))
}

const DEFAULT: Patience = Patience::DEFAULT;
const BACKOFF_CAP: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FILTER_TIMEOUT: Duration = Duration::from_secs(5);
/// Below that, nearly every call of a filter would fail at once.
const LEAST_FILTER_TIMEOUT: Duration = Duration::from_millis(10);
const LEAST_PROBE: Duration = Duration::from_secs(1);
const MAX_METADATA: usize = 1024;
const MAX_PUBLISH: usize = 10 * 1024 * 1024;
const MIN_BACKOFF_CAP: Duration = Duration::from_millis(250);
const RECEIVE_LIMIT: usize = 64 * 1024 * 1024;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn options(fields: &[(&str, &str)]) -> ClientOptions {
        let mut options = ClientOptions::default();
        for (name, value) in fields {
            options.set(name, crate::given::Given::Text((*value).to_owned())).expect("readable");
        }
        options
    }

    #[test]
    fn filters_have_neither_no_time_nor_all() {
        let least = LEAST_FILTER_TIMEOUT;
        for (given, bounded) in [("0s", least), ("1s", least * 100), ("9999999999s", LONGEST)] {
            let given = options(&[("server_addr", "localhost"), ("filter_timeout", given)]);
            assert_eq!(check(given, None).expect("valid").filter_timeout, bounded);
        }
    }

    #[test]
    fn patience_is_neither_none_nor_endless() {
        let patience = |quiet, suspect| {
            let given = options(&[
                ("server_addr", "localhost"),
                ("health_check_interval", quiet),
                ("suspect_after", suspect),
            ]);
            let patience = check(given, None).expect("valid").session.patience;
            (patience.quiet, patience.suspect)
        };
        let ms = Duration::from_millis;
        assert_eq!(patience("1s", "100ms"), (ms(1000), ms(100)));
        assert_eq!(patience("0s", "0s"), (ms(100), ms(10)));
        assert_eq!(patience("9999999999s", "9999999999s"), (LONGEST, LONGEST));
    }

    #[test]
    fn pulls_are_governed_within_bounds() {
        let pulls = |fields: &[(&str, &str)]| {
            let local = ("server_addr", "localhost");
            check(options(&[&[local], fields].concat()), None).expect("valid").session.pulls
        };
        let [one, other] = [pulls(&[]), pulls(&[])];
        assert_ne!(one.instance_id, other.instance_id);
        assert_eq!((one.burst, one.rate, one.read_only_after), (None, None, 5));
        let given = pulls(&[
            ("instance_id", "orders-1"),
            ("pull_stagger", "0s"),
            ("read_only_after", "0"),
            ("read_only_probe", "1ms"),
            ("read_only_probe_cap", "1ms"),
        ]);
        assert_eq!((&*given.instance_id, given.stagger), ("orders-1", Duration::ZERO));
        assert_eq!(given.read_only_after, 0);
        assert_eq!((given.probe, given.probe_cap), (LEAST_PROBE, LEAST_PROBE));
        let given = pulls(&[
            ("instance_id", "  "),
            ("mass_outage", "4s"),
            ("mass_drops", "20s"),
            ("pull_alarm_after", "5m"),
        ]);
        assert!(given.instance_id.contains('-'), "a blank name is none");
        let seconds = Duration::from_secs;
        assert_eq!((given.mass_outage, given.mass_drops), (seconds(4), seconds(20)));
        assert_eq!(given.alarm_after, seconds(300));
    }

    #[test]
    fn contradicting_options_are_refused_before_anything_is_sent() {
        let kind =
            |fields: &[(&str, &str)]| check(options(fields), None).expect_err("invalid").kind();
        assert_eq!(kind(&[]), ErrorKind::InvalidOption);
        assert_eq!(kind(&[("server_addr", "a b")]), ErrorKind::InvalidOption);
        let local = ("server_addr", "localhost");
        assert_eq!(kind(&[local, ("username", "nacos")]), ErrorKind::InvalidOption);
        assert_eq!(kind(&[local, ("password", "secret")]), ErrorKind::InvalidOption);
        assert_eq!(kind(&[local, ("namespace", "a b")]), ErrorKind::InvalidName);
        assert_eq!(kind(&[local, ("app_labels", "zone")]), ErrorKind::InvalidOption);
        let both = options(&[local, ("username", "nacos"), ("password", "secret")]);
        assert!(check(both, None).is_ok());
    }

    #[test]
    fn path_behind_an_address_is_the_context_path_and_contradicts_no_other() {
        let path = |fields: &[(&str, &str)]| {
            let checked = check(options(fields), None).map_err(|error| format!("{error:?}"))?;
            Ok::<_, String>(checked.access.context_path.to_string())
        };
        let behind = ("server_addr", "http://a:8848/env/,b:8848");
        assert_eq!(path(&[("server_addr", "a")]).expect("valid"), "nacos");
        assert_eq!(path(&[behind]).expect("valid"), "env");
        assert_eq!(path(&[behind, ("context_path", "/env")]).expect("valid"), "env");
        assert_eq!(path(&[("server_dns", "a/env")]).expect("valid"), "env");
        let error = path(&[behind, ("context_path", "nacos")]).expect_err("which one?");
        for part in ["context_path", "server_addr", "`/env`"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn snapshots_are_kept_by_cluster_and_only_where_a_directory_is_given() {
        let path = |fields: &[(&str, &str)]| {
            let snapshots = check(options(fields), None).expect("valid").snapshots?;
            Some(snapshots.path().display().to_string())
        };
        let (local, directory) = (("server_addr", "a,b"), ("snapshot_dir", "/state"));
        assert_eq!(path(&[local]), None);
        assert_eq!(path(&[local, ("snapshot_dir", "")]), None);
        let blue = path(&[local, directory]).expect("given");
        assert!(blue.starts_with("/state/") && blue.len() == 19, "{blue}");
        assert_eq!(path(&[("server_addr", "b:8848;a:8848"), directory]), Some(blue.clone()));
        for other in [("server_addr", "a,c"), ("endpoint", "a"), ("server_dns", "a")] {
            assert_ne!(path(&[other, directory]), Some(blue.clone()));
        }
        assert_ne!(path(&[local, directory, ("context_path", "env")]), Some(blue));
        let endpoint = |query| {
            let given = ("endpoint_query", query);
            path(&[("endpoint", "jmenv"), directory, given])
        };
        assert_ne!(endpoint("cluster=blue"), endpoint("cluster=green"));
        assert_eq!(endpoint("a=1&b=2"), endpoint("b=2&a=1"));
        // Of another name, the snapshots of users are lost: these stay for good.
        for (fields, expected) in [
            (&[("server_addr", "b.example:8848,A.example"), directory][..], "/state/31b8a8101516"),
            (
                &[("server_addr", "10.0.0.1:8848"), directory, ("context_path", "env")],
                "/state/17b5871d73b9",
            ),
            (&[("endpoint", "jmenv"), directory, ("endpoint_query", "x=1")], "/state/d6a7260d8a6c"),
            (&[("server_dns", "nacos-headless"), directory], "/state/6be3303d1db2"),
        ] {
            assert_eq!(path(fields).as_deref(), Some(expected), "{fields:?}");
        }
        let scoped = path(&[local, directory, ("snapshot_scope", "../prod")]);
        assert_eq!(scoped.as_deref(), Some("/state/%2E.%2Fprod"));
    }

    #[test]
    fn special_namespaces_beat_the_common_one() {
        let fields = [
            ("server_addr", "localhost"),
            ("namespace", "common"),
            ("naming_namespace", "services"),
        ];
        let checked = check(options(&fields), None).expect("valid").session;
        assert_eq!(checked.config_namespace.as_str(), "common");
        assert_eq!(checked.naming_namespace.as_str(), "services");
    }

    #[test]
    fn hostile_durations_are_bounded() {
        for (given, cap) in [(Duration::ZERO, MIN_BACKOFF_CAP), (Duration::MAX, LONGEST)] {
            let mut options = options(&[("server_addr", "localhost")]);
            options.backoff_cap = Some(given);
            options.request_timeout = Some(given);
            let checked = check(options, None).expect("valid").session;
            assert_eq!(checked.backoff_cap, cap);
            assert!(checked.request_timeout <= LONGEST);
        }
    }
}
