//! Where the servers are: given, listed by an address server, or the addresses of a name.
use std::time::Duration;

use super::{ClientOptions, invalid, unreadable_variable};
use crate::{
    error::Error,
    key::Namespace,
    secret::Secret,
    server::Server,
    server_list::{AddressServer, Details, ListSource, ServerList},
    time::LONGEST,
};

/// Where the servers are.
#[derive(Debug)]
pub(super) struct ServerPlace {
    /// Those that are given; none if their list is read.
    pub(super) servers: Vec<Server>,
    /// Where their list is read.
    pub(super) list: Option<ServerList>,
    /// The option whose addresses name the path below which servers answer HTTP, and that path.
    pub(super) path: Option<(&'static str, String)>,
}

/// The servers that are given, or where their list is read.
pub(super) fn servers(
    options: &ClientOptions,
    namespace: &Namespace,
) -> Result<ServerPlace, Error> {
    let grpc_offset = options.grpc_port_offset.unwrap_or(GRPC_PORT_OFFSET);
    let given = |text| Option::as_deref(text).filter(|text: &&str| !text.trim().is_empty());
    let mut path = None;
    let source =
        match (given(&options.server_addr), given(&options.endpoint), given(&options.server_dns)) {
            (Some(addresses), None, None) => {
                without_details(options, "server_addr")?;
                let (servers, path) = named(options, "server_addr", addresses, grpc_offset)?;
                return Ok(ServerPlace { servers, list: None, path });
            }
            (None, Some(text), None) => {
                ListSource::AddressServer(endpoint(text, options, namespace)?)
            }
            (None, None, Some(text)) => {
                without_details(options, "server_dns")?;
                let (given, behind) = named(options, "server_dns", text, grpc_offset)?;
                path = behind;
                match given.as_slice() {
                    [name] => ListSource::Name(name.clone()),
                    _ => return Err(refused(options, "server_dns", "it is more than one name")),
                }
            }
            (None, None, None) => {
                let why = "no server is named, nor is there an `endpoint` that lists them: set the \
                           option, or the variable NACOS_SERVER_ADDR and use `from_env`";
                let not_read = options.origin.not_read();
                return Err(invalid("server_addr", format!("{why}{not_read}")));
            }
            (Some(_), Some(_), _) => return Err(both("server_addr", "endpoint")),
            (Some(_), None, Some(_)) => return Err(both("server_addr", "server_dns")),
            (None, Some(_), Some(_)) => return Err(both("endpoint", "server_dns")),
        };
    let refresh = options.endpoint_refresh.unwrap_or(REFRESH).clamp(MIN_REFRESH, LONGEST);
    let list = Some(ServerList { source, refresh, grpc_offset });
    Ok(ServerPlace { servers: Vec::new(), list, path })
}

/// The details of an address server contradict `source`, which names the servers.
/// `endpoint_refresh` is no such detail: it holds for a name, too.
fn without_details(options: &ClientOptions, source: &str) -> Result<(), Error> {
    let given = [
        ("endpoint_port", options.endpoint_port.is_some()),
        ("endpoint_context_path", options.endpoint_context_path.is_some()),
        ("endpoint_cluster_name", options.endpoint_cluster_name.is_some()),
        ("endpoint_query", options.endpoint_query.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((detail, _)) => Err(both(source, detail)),
        None => Ok(()),
    }
}

fn both(one: &str, other: &str) -> Error {
    invalid(other, format!("it is given beside `{one}`, and only one of them can be meant"))
}

type Named = (Vec<Server>, Option<(&'static str, String)>);

fn named(
    options: &ClientOptions,
    option: &'static str,
    addresses: &str,
    grpc_offset: u16,
) -> Result<Named, Error> {
    let (servers, path) = Server::parse_with_path(addresses, grpc_offset)
        .map_err(|why| refused(options, option, &why))?;
    if servers.is_empty() {
        let why =
            "no server is named: it takes `host:port`, as the variable NACOS_SERVER_ADDR does";
        let why = if option == "server_addr" { why } else { "no server is named" };
        return Err(refused(options, option, why));
    }
    Ok((servers, path.map(|path| (option, path))))
}

fn endpoint(
    text: &str,
    options: &ClientOptions,
    namespace: &Namespace,
) -> Result<AddressServer, Error> {
    let details = Details {
        port: options.endpoint_port,
        context_path: options.endpoint_context_path.as_deref(),
        cluster_name: options.endpoint_cluster_name.as_deref(),
        namespace: if namespace.is_default() { "" } else { namespace.as_str() },
        query: options.endpoint_query.as_ref().map(Secret::expose),
    };
    AddressServer::parse(text, details).map_err(|why| refused(options, "endpoint", &why))
}

/// The error for an address, which names the variable that it was read from.
fn refused(options: &ClientOptions, option: &str, why: &str) -> Error {
    match options.origin.variable(option) {
        Some(variable) => unreadable_variable(variable, why),
        None => invalid(option, why),
    }
}

const GRPC_PORT_OFFSET: u16 = 1000;
const MIN_REFRESH: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn check(fields: &[(&str, &str)]) -> Result<(Vec<Server>, Option<ServerList>), String> {
        let mut options = ClientOptions::default();
        for (name, value) in fields {
            options.set(name, crate::given::Given::Text((*value).to_owned())).expect("readable");
        }
        let place = servers(&options, &"staging".parse().expect("valid")).map_err(|error| {
            format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
        })?;
        Ok((place.servers, place.list))
    }

    #[test]
    fn servers_are_given_or_listed_or_resolved() {
        let (servers, list) = check(&[("server_addr", "a,b")]).expect("valid");
        assert_eq!((servers.len(), list.is_none()), (2, true));
        let (servers, list) =
            check(&[("endpoint", "jmenv"), ("grpc_port_offset", "7")]).expect("valid");
        let list = list.expect("an endpoint");
        assert_eq!((servers.len(), list.grpc_offset, list.refresh), (0, 7, REFRESH));
        let ListSource::AddressServer(server) = list.source else { panic!("an endpoint") };
        assert_eq!(server.target(), "/nacos/serverlist?namespace=staging");
        let (_, list) = check(&[("server_dns", "nacos-headless")]).expect("valid");
        let source = list.expect("a name").source;
        assert_eq!(source.to_string(), "the addresses of nacos-headless:8848");
    }

    #[test]
    fn sources_that_contradict_each_other_are_both_named() {
        for pair in
            [["server_addr", "endpoint"], ["endpoint", "server_dns"], ["server_addr", "server_dns"]]
        {
            let error = check(&pair.map(|name| (name, "a"))).expect_err("two sources");
            assert!(pair.iter().all(|name| error.contains(name)), "{error}");
        }
        let error = check(&[("server_addr", " ")]).expect_err("no source");
        for name in ["server_addr", "endpoint", "NACOS_SERVER_ADDR"] {
            assert!(error.contains(name), "{error}");
        }
        assert!(check(&[("server_dns", "a,b")]).is_err());
    }

    #[test]
    fn details_of_an_address_server_that_is_not_asked_are_refused() {
        for source in ["server_addr", "server_dns"] {
            for detail in [
                "endpoint_port",
                "endpoint_context_path",
                "endpoint_cluster_name",
                "endpoint_query",
            ] {
                let error = check(&[(source, "a"), (detail, "1")]).expect_err("unused");
                assert!(error.contains(source) && error.contains(detail), "{error}");
            }
            assert!(check(&[(source, "a"), ("endpoint_refresh", "1m")]).is_ok());
        }
    }

    #[test]
    fn hostile_refreshes_are_bounded() {
        for (given, bounded) in [("0s", MIN_REFRESH), ("99999999h", LONGEST)] {
            let (_, list) =
                check(&[("endpoint", "a"), ("endpoint_refresh", given)]).expect("valid");
            assert_eq!(list.expect("an endpoint").refresh, bounded);
        }
    }
}
