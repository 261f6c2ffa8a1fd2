//! Starting r-nacos, alone or as a cluster.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::install::r_nacos_program;
use crate::launch::{Credentials, Door, Launch, Plan};
use crate::ports;
use crate::readiness::Readiness;
use crate::running::Site;
use crate::{Cluster, Error, Product, Running};

/// r-nacos: small, quick to start, and unlike Java Nacos in many ways.
#[derive(Clone, Copy, Debug)]
pub struct RNacos;

impl RNacos {
    /// Options for a server, without authentication at first.
    #[must_use]
    pub fn builder() -> RNacosBuilder {
        RNacosBuilder { console: false, credentials: None, settings: Vec::new() }
    }
}

/// Options of an r-nacos server or cluster.
#[derive(Clone, Debug)]
pub struct RNacosBuilder {
    console: bool,
    credentials: Option<Credentials>,
    settings: Vec<(String, OsString)>,
}

impl RNacosBuilder {
    /// Demands a login, with this user as the only one.
    #[must_use]
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), password.to_owned());
        self.credentials = Some(Credentials { user, password });
        self
    }

    /// Serves the console, in which users are administered, at [`Running::console_addr`].
    #[must_use]
    pub fn console(mut self) -> Self {
        self.console = true;
        self
    }

    /// How long a token is good for; an hour otherwise.
    #[must_use]
    pub fn token_ttl_secs(self, seconds: u32) -> Self {
        self.setting("RNACOS_API_LOGIN_TIMEOUT", &seconds.to_string())
    }

    /// Any other `RNACOS_…` variable of its environment.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// Starts one server and waits until it is usable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when it is not installed.
    /// [`ErrorKind::Unready`](crate::ErrorKind::Unready) when no start of several was good.
    pub fn start(&self) -> Result<Running, Error> {
        self.start_as(Role::Alone)
    }

    /// Starts `nodes` servers as one raft cluster, one after the other, and waits until they agree.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start), for each of them and for all together.
    pub fn start_cluster(&self, nodes: u16) -> Result<Cluster, Error> {
        let first = self.start_as(Role::First)?;
        let leader = first.grpc_addr();
        let others = (2..=nodes).map(|number| self.start_as(Role::Joining { number, leader }));
        Cluster::form([Ok(first)].into_iter().chain(others).collect::<Result<_, _>>()?)
    }

    fn start_as(&self, role: Role) -> Result<Running, Error> {
        let program = r_nacos_program()?;
        let site = Site::choose(Product::RNacos)?;
        let plan = self.plan(&program, site.ports.main(), site.ports.grpc(), role);
        Running::start(site, plan)
    }

    fn plan(&self, program: &Path, main: SocketAddr, grpc: SocketAddr, role: Role) -> Plan {
        let launch = self.launch(program, main, grpc, role);
        let door = Door { main, grpc, credentials: self.credentials.clone() };
        Plan { product: Product::RNacos, launch, door, readiness: READINESS, tries: TRIES }
    }

    fn launch(&self, program: &Path, main: SocketAddr, grpc: SocketAddr, role: Role) -> Launch {
        let mut env = Vec::new();
        let mut set = |name: &str, value: &str| env.push((name.to_owned(), value.into()));
        set("RUST_LOG", "warn");
        set("RNACOS_SDK_HOST", &main.ip().to_string());
        set("RNACOS_HTTP_PORT", &main.port().to_string());
        set("RNACOS_GRPC_PORT", &grpc.port().to_string());
        let console = if self.console { ports::console(main).port() } else { 0 };
        set("RNACOS_HTTP_CONSOLE_PORT", &console.to_string());
        set("RNACOS_CONSOLE_HOST", &main.ip().to_string());
        // A test cannot read pictures.
        set("RNACOS_CONSOLE_ENABLE_CAPTCHA", "false");
        set("RNACOS_DATA_DIR", "data");
        set("RNACOS_RAFT_NODE_ADDR", &grpc.to_string());
        match role {
            Role::Alone => {}
            Role::First => {
                set("RNACOS_RAFT_NODE_ID", "1");
                set("RNACOS_RAFT_AUTO_INIT", "true");
            }
            Role::Joining { number, leader } => {
                set("RNACOS_RAFT_NODE_ID", &number.to_string());
                set("RNACOS_RAFT_JOIN_ADDR", &leader.to_string());
            }
        }
        if let Some(Credentials { user, password }) = &self.credentials {
            set("RNACOS_ENABLE_OPEN_API_AUTH", "true");
            set("RNACOS_INIT_ADMIN_USERNAME", user);
            set("RNACOS_INIT_ADMIN_PASSWORD", password);
            // Tests log in more often than people do.
            set("RNACOS_API_LOGIN_ONE_MINUTE_LIMIT", "10000");
        }
        env.extend(self.settings.iter().cloned());
        Launch { program: program.to_path_buf(), args: Vec::new(), env, folders: &["data"] }
    }
}

/// A server's part among others.
#[derive(Clone, Copy, Debug)]
enum Role {
    Alone,
    First,
    Joining { number: u16, leader: SocketAddr },
}

const READINESS: Readiness = Readiness {
    health: "/metrics",
    // A first start races with itself and may lose the actor that applies what raft has agreed
    // on; it then acknowledges publishes and stores nothing.
    fatal: "panicked",
    patience: Duration::from_secs(10),
};

/// One first start in seven is lost on an idle machine, every second one on a busy machine; a lost
/// one costs 10 ms.
const TRIES: u32 = 40;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn single_server_listens_on_loopback_only_and_knows_no_user() {
        let launch = launch(&RNacos::builder(), Role::Alone);
        assert_eq!(value(&launch, "RNACOS_SDK_HOST"), Some("127.0.0.1"));
        assert_eq!(value(&launch, "RNACOS_HTTP_PORT"), Some("20000"));
        assert_eq!(value(&launch, "RNACOS_GRPC_PORT"), Some("21000"));
        assert_eq!(value(&launch, "RNACOS_HTTP_CONSOLE_PORT"), Some("0"));
        assert_eq!(value(&launch, "RNACOS_ENABLE_OPEN_API_AUTH"), None);
        assert_eq!(value(&launch, "RNACOS_RAFT_NODE_ID"), None);
    }

    #[test]
    fn credentials_switch_authentication_on() {
        let options = RNacos::builder().credentials("ann", "secret").token_ttl_secs(20);
        let launch = launch(&options, Role::Alone);
        assert_eq!(value(&launch, "RNACOS_ENABLE_OPEN_API_AUTH"), Some("true"));
        assert_eq!(value(&launch, "RNACOS_INIT_ADMIN_USERNAME"), Some("ann"));
        assert_eq!(value(&launch, "RNACOS_INIT_ADMIN_PASSWORD"), Some("secret"));
        assert_eq!(value(&launch, "RNACOS_API_LOGIN_TIMEOUT"), Some("20"));
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn console_is_served_on_loopback_where_it_is_asked_for() {
        let launch = launch(&RNacos::builder().console(), Role::Alone);
        assert_eq!(value(&launch, "RNACOS_HTTP_CONSOLE_PORT"), Some("19000"));
        assert_eq!(value(&launch, "RNACOS_CONSOLE_HOST"), Some("127.0.0.1"));
    }

    #[test]
    fn first_node_founds_the_cluster_and_the_others_join_it() {
        let first = launch(&RNacos::builder(), Role::First);
        assert_eq!(value(&first, "RNACOS_RAFT_AUTO_INIT"), Some("true"));
        assert_eq!(value(&first, "RNACOS_RAFT_JOIN_ADDR"), None);
        let leader = (Ipv4Addr::LOCALHOST, 21_500).into();
        let other = launch(&RNacos::builder(), Role::Joining { number: 3, leader });
        assert_eq!(value(&other, "RNACOS_RAFT_NODE_ID"), Some("3"));
        assert_eq!(value(&other, "RNACOS_RAFT_JOIN_ADDR"), Some("127.0.0.1:21500"));
        assert_eq!(value(&other, "RNACOS_RAFT_AUTO_INIT"), None);
    }

    fn launch(options: &RNacosBuilder, role: Role) -> Launch {
        let [main, grpc] = [20_000, 21_000].map(|port| (Ipv4Addr::LOCALHOST, port).into());
        options.launch(Path::new("/bin/rnacos"), main, grpc, role)
    }

    fn value<'a>(launch: &'a Launch, name: &str) -> Option<&'a str> {
        let (_, value) = launch.env.iter().find(|(known, _)| known == name)?;
        value.to_str()
    }
}
