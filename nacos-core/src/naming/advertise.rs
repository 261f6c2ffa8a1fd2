//! Which address of a server is advertised: registered, for others to call.
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{UdpSocket, lookup_host},
    time::timeout,
};

use crate::{
    error::{Error, ErrorKind},
    instance::check_ip,
};

/// The settings that decide about the address, before a Nacos server is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressPolicy {
    /// The ip that the program names.
    pub(crate) ip: Option<String>,
    /// The ip that the environment names.
    pub(crate) environment: Option<String>,
    /// The port that others use, if it is not the listener's.
    pub(crate) port: Option<u16>,
}

/// Where an advertised ip comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AddressSource {
    Option,
    Environment,
    Listener,
    /// Packets to the Nacos server leave from it.
    Route,
}

impl AddressPolicy {
    /// The ip to advertise for a listener at `bound`; none if only the [route](local_ip_towards) to
    /// the Nacos server can tell.
    ///
    /// # Errors
    ///
    /// The ip that was asked for cannot be called, such as `0.0.0.0`, or is neither an ip nor a
    /// name.
    pub(crate) fn ip(&self, bound: SocketAddr) -> Result<Option<(String, AddressSource)>, Error> {
        let named =
            [(&self.ip, AddressSource::Option), (&self.environment, AddressSource::Environment)];
        for (ip, source) in named {
            if let Some(ip) = ip {
                check_ip(ip).map_err(|why| {
                    let doing = format!("register the ip {ip:?}");
                    Error::new(ErrorKind::InvalidOption, doing).because(why)
                })?;
                return match ip.parse::<IpAddr>() {
                    Ok(address) => Ok(Some((address.to_canonical().to_string(), source))),
                    // Servers take any text, and clients that resolve names exist.
                    Err(_) => Ok(Some((ip.clone(), source))),
                };
            }
        }
        let ip = bound.ip().to_canonical();
        Ok((!ip.is_unspecified()).then(|| (ip.to_string(), AddressSource::Listener)))
    }
}

/// The local address from which packets to `server`, a `host:port`, leave. Takes some seconds at
/// most, whatever resolves its name.
pub(crate) async fn local_ip_towards(server: &str) -> io::Result<IpAddr> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the name was not resolved in time");
    timeout(RESOLVE_LIMIT, leaving_towards(server)).await.map_err(late)?
}

async fn leaving_towards(server: &str) -> io::Result<IpAddr> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(server).await? {
        match leaving_for(address).await {
            Ok(ip) if ip.is_unspecified() => {}
            Ok(ip) => return Ok(ip.to_canonical()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn leaving_for(address: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Sends nothing: it makes the system choose a route, and with it the local address.
    socket.connect(address).await?;
    Ok(socket.local_addr()?.ip())
}

/// As long as a resolver waits for its first server.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use nacos_testkit::TimeLimit;

    use super::*;

    const BOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7)), 80);
    const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 80);

    #[test]
    fn option_wins_over_environment_over_listener() {
        let mut policy = AddressPolicy::default();
        let ip = |policy: &AddressPolicy| policy.ip(BOUND).expect("valid").expect("specified");
        assert_eq!(ip(&policy), ("10.0.0.7".to_owned(), AddressSource::Listener));
        policy.environment = Some("10.0.0.8".to_owned());
        assert_eq!(ip(&policy), ("10.0.0.8".to_owned(), AddressSource::Environment));
        policy.ip = Some("orders.example".to_owned());
        assert_eq!(ip(&policy), ("orders.example".to_owned(), AddressSource::Option));
    }

    #[test]
    fn unspecified_address_is_never_registered() {
        let mut policy = AddressPolicy::default();
        assert_eq!(policy.ip(UNSPECIFIED).expect("valid"), None);
        policy.environment = Some("0.0.0.0".to_owned());
        assert_eq!(policy.ip(BOUND).expect_err("refused").kind(), ErrorKind::InvalidOption);
        for ip in ["224.0.0.1", "10.0.0.1:80", "http://10.0.0.1", " 10.0.0.1"] {
            let policy = AddressPolicy { ip: Some(ip.to_owned()), ..AddressPolicy::default() };
            assert_eq!(policy.ip(BOUND).expect_err(ip).kind(), ErrorKind::InvalidOption, "{ip}");
        }
    }

    #[test]
    fn mapped_address_is_registered_as_what_it_is() {
        let bound = "[::ffff:10.0.0.7]:80".parse().expect("an address");
        let (ip, _) = AddressPolicy::default().ip(bound).expect("valid").expect("specified");
        assert_eq!(ip, "10.0.0.7");
    }

    #[tokio::test]
    async fn route_to_a_local_server_leaves_from_loopback() {
        TimeLimit::for_test();
        assert!(local_ip_towards("127.0.0.1:8848").await.expect("a route").is_loopback());
    }
}
