//! Starting Java Nacos with its embedded database, alone or as a cluster.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::panic;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::install::JavaHome;
use crate::launch::{Credentials, Door, Launch, Plan};
use crate::readiness::Readiness;
use crate::running::Site;
use crate::{Cluster, Error, Product, Running};

/// Nacos itself: ten seconds to start, twenty for three of them, half a gigabyte each, and the
/// behaviour that counts.
///
/// It cannot be kept to the loopback interface as a whole: HTTP is, but it opens its gRPC and raft
/// ports on all of them.
#[derive(Clone, Copy, Debug)]
pub struct JavaNacos;

impl JavaNacos {
    /// Options for a server, without authentication and TLS at first.
    #[must_use]
    pub fn builder() -> JavaNacosBuilder {
        JavaNacosBuilder { authenticates: false, heap_mib: None, properties: Vec::new() }
    }
}

/// Options of a Java Nacos server or cluster.
#[derive(Clone, Debug)]
pub struct JavaNacosBuilder {
    authenticates: bool,
    heap_mib: Option<u32>,
    properties: Vec<(String, OsString)>,
}

impl JavaNacosBuilder {
    /// Demands a login; the user and the password are `nacos`.
    #[must_use]
    pub fn authentication(mut self) -> Self {
        self.authenticates = true;
        self
    }

    /// How long a token is good for; five hours otherwise.
    #[must_use]
    pub fn token_ttl_secs(self, seconds: u32) -> Self {
        let name = "nacos.core.auth.plugin.nacos.token.expire.seconds";
        self.property(name, &seconds.to_string())
    }

    /// Serves gRPC over TLS only, with a certificate chain and its key (PKCS #8) in PEM files.
    #[must_use]
    pub fn grpc_tls(self, chain: &Path, key: &Path) -> Self {
        let tls = |name: &str| format!("nacos.remote.server.rpc.tls.{name}");
        self.property(&tls("enableTls"), "true")
            // Plain text would be served beside it otherwise.
            .property(&tls("compatibility"), "false")
            .file(&tls("certChainFile"), chain)
            .file(&tls("certPrivateKey"), key)
    }

    /// Demands a certificate of every gRPC client that one of these, in a PEM file, has signed.
    #[must_use]
    pub fn grpc_client_ca(self, authorities: &Path) -> Self {
        let tls = |name: &str| format!("nacos.remote.server.rpc.tls.{name}");
        self.property(&tls("mutualAuthEnable"), "true")
            .file(&tls("trustCollectionCertFile"), authorities)
    }

    /// The heap of each server; otherwise 512 MiB for one alone, 384 for each of several.
    #[must_use]
    pub fn heap_mib(mut self, size: u32) -> Self {
        self.heap_mib = Some(size);
        self
    }

    /// Any other property of the server.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.into()));
        self
    }

    /// Starts a server and waits until it is usable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when it is not installed, or the
    /// machine has no `java`. [`ErrorKind::Unready`](crate::ErrorKind::Unready) when it did not
    /// come up.
    pub fn start(&self) -> Result<Running, Error> {
        let installed = JavaHome::find()?;
        self.start_at(&installed, Site::choose(Product::JavaNacos)?, Role::Alone)
    }

    /// Starts `nodes` servers as one cluster, all at once, and waits until they agree.
    ///
    /// # Errors
    ///
    /// Those of [`start`](Self::start), for each of them and for all together.
    pub fn start_cluster(&self, nodes: u16) -> Result<Cluster, Error> {
        let installed = &JavaHome::find()?;
        // All of them first: each must know where the others will be.
        let sites: Vec<_> =
            (0..nodes).map(|_| Site::choose(Product::JavaNacos)).collect::<Result<_, _>>()?;
        let members: Vec<_> = sites.iter().map(|site| site.ports.main().to_string()).collect();
        let role = Role::Member { all: &members.join(",") };
        // At once: none stores anything before more than half of them have elected a leader.
        let nodes = thread::scope(|scope| {
            let start = |site| scope.spawn(move || self.start_at(installed, site, role));
            let starts: Vec<_> = sites.into_iter().map(start).collect();
            let end = |start: thread::ScopedJoinHandle<'_, _>| match start.join() {
                Ok(outcome) => outcome,
                Err(panicked) => panic::resume_unwind(panicked),
            };
            starts.into_iter().map(end).collect::<Result<Vec<_>, _>>()
        })?;
        Cluster::form(nodes)
    }

    fn start_at(&self, installed: &JavaHome, site: Site, role: Role<'_>) -> Result<Running, Error> {
        let (main, grpc) = (site.ports.main(), site.ports.grpc());
        let launch = self.launch(installed, site.folder.path(), main, role);
        let credentials = self
            .authenticates
            .then(|| Credentials { user: "nacos".to_owned(), password: "nacos".to_owned() });
        let door = Door { main, grpc, credentials };
        let product = Product::JavaNacos;
        Running::start(site, Plan { product, launch, door, readiness: READINESS, tries: TRIES })
    }

    /// A property that names a file. Without the scheme it would be looked for on the class path.
    fn file(mut self, name: &str, path: &Path) -> Self {
        let mut value = OsString::from("file:");
        value.push(path);
        self.properties.push((name.to_owned(), value));
        self
    }

    fn launch(
        &self,
        installed: &JavaHome,
        folder: &Path,
        main: SocketAddr,
        role: Role<'_>,
    ) -> Launch {
        let mut args = self.machine(role);
        let mut set = |name: &str, value: &OsStr| {
            let mut arg = OsString::from(format!("-D{name}="));
            arg.push(value);
            args.push(arg);
        };
        match role {
            Role::Alone => set("nacos.standalone", "true".as_ref()),
            Role::Member { all } => {
                set("nacos.standalone", "false".as_ref());
                set("embeddedStorage", "true".as_ref());
                // As `conf/cluster.conf` would say it, which a second try would find removed.
                set("nacos.member.list", all.as_ref());
            }
        }
        // All that it writes goes where we remove it.
        for name in ["nacos.home", "user.home", "java.io.tmpdir"] {
            set(name, folder.as_os_str());
        }
        set("server.port", main.port().to_string().as_ref());
        set("server.address", main.ip().to_string().as_ref());
        set("nacos.server.ip", main.ip().to_string().as_ref());
        // It gives up after 3 s otherwise ("Login timeout exceeded", "Nacos failed to start"), in
        // which a busy machine has not made the embedded database.
        set("db.pool.config.connectionTimeout", "60000".as_ref());
        // Base64 of 32 bytes. Demanded even without a login; guards nothing that lasts.
        let secret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        set("nacos.core.auth.plugin.nacos.token.secret.key", secret.as_ref());
        set("nacos.core.auth.server.identity.key", "rig".as_ref());
        set("nacos.core.auth.server.identity.value", "rig".as_ref());
        if self.authenticates {
            // Either alone leaves every door open.
            set("nacos.core.auth.system.type", "nacos".as_ref());
            set("nacos.core.auth.enabled", "true".as_ref());
        }
        for (name, value) in &self.properties {
            set(name, value);
        }
        args.extend(["-cp".into(), class_path(&installed.jars), "com.alibaba.nacos.Nacos".into()]);
        Launch {
            program: installed.java.clone(),
            args,
            env: Vec::new(),
            folders: &["conf", "logs"],
        }
    }

    /// Options of the virtual machine.
    fn machine(&self, role: Role<'_>) -> Vec<OsString> {
        let (usual, thrift): (_, &[&str]) = match role {
            Role::Alone => (512, &[]),
            // Three of them on two cores are up in 19 s with the quick compiler only, in 43 s
            // without, and each is 130 MB smaller.
            Role::Member { .. } => (384, &["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]),
        };
        let heap = self.heap_mib.unwrap_or(usual);
        let limits = ["Xms", "Xmx"].map(|limit| format!("-{limit}{heap}m").into());
        limits.into_iter().chain(thrift.iter().map(Into::into)).collect()
    }
}

/// A server's part among others.
#[derive(Clone, Copy, Debug)]
enum Role<'a> {
    Alone,
    Member { all: &'a str },
}

/// All jars, with the newer hessian before all others.
///
/// The dependencies hold two hessians; behind the older one the newer lacks `getClassFactory`.
fn class_path(jars: &[PathBuf]) -> OsString {
    let is_first = |jar: &&PathBuf| {
        let name = jar.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| name.starts_with("hessian-4"))
    };
    let first = jars.iter().filter(is_first);
    let others = jars.iter().filter(|jar| !is_first(jar));
    let separator = if cfg!(windows) { ";" } else { ":" };
    let all: Vec<&OsStr> = first.chain(others).map(|jar| jar.as_os_str()).collect();
    all.join(OsStr::new(separator))
}

const READINESS: Readiness = Readiness {
    health: "/nacos/v2/console/health/readiness",
    fatal: "Nacos failed to start",
    // 10 to 26 s on two idle cores, and up to 15 s more until it knows its user.
    patience: Duration::from_secs(150),
};

/// No race is known, but a busy machine has more than one way to lose a start.
const TRIES: u32 = 2;

#[cfg(test)]
mod tests {
    use std::env;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn everything_it_writes_goes_into_its_directory() {
        let args = args(&JavaNacos::builder());
        for name in ["nacos.home", "user.home", "java.io.tmpdir"] {
            assert!(args.contains(&format!("-D{name}=/folder")), "{args:?}");
        }
        assert!(args.contains(&"-Dserver.address=127.0.0.1".to_owned()));
        assert!(args.contains(&"-Dserver.port=20000".to_owned()));
        assert!(args.contains(&"-Xmx512m".to_owned()));
    }

    #[test]
    fn authentication_is_two_properties() {
        let switch = "-Dnacos.core.auth.enabled=true".to_owned();
        let system = "-Dnacos.core.auth.system.type=nacos".to_owned();
        let open = args(&JavaNacos::builder());
        assert!(!open.contains(&switch) && !open.contains(&system));
        let closed = args(&JavaNacos::builder().authentication().token_ttl_secs(20));
        assert!(closed.contains(&switch) && closed.contains(&system));
        assert!(closed.iter().any(|arg| arg.ends_with("token.expire.seconds=20")));
    }

    #[test]
    fn tls_names_files_as_files_and_refuses_plain_text() {
        let options = JavaNacos::builder().grpc_tls(Path::new("/c.pem"), Path::new("/k.pem"));
        let args = args(&options.grpc_client_ca(Path::new("/ca.pem")));
        let has = |end: &str| args.iter().any(|arg| arg.ends_with(end));
        assert!(has("tls.enableTls=true") && has("tls.compatibility=false"), "{args:?}");
        assert!(has("certChainFile=file:/c.pem") && has("certPrivateKey=file:/k.pem"), "{args:?}");
        assert!(has("trustCollectionCertFile=file:/ca.pem") && has("mutualAuthEnable=true"));
    }

    #[test]
    fn newer_hessian_comes_first() {
        let jars = ["/l/a.jar", "/l/hessian-3.3.6.jar", "/l/hessian-4.0.63.jar", "/l/z.jar"];
        let path = class_path(&jars.map(PathBuf::from));
        let parts: Vec<PathBuf> = env::split_paths(&path).collect();
        let wanted = ["/l/hessian-4.0.63.jar", "/l/a.jar", "/l/hessian-3.3.6.jar", "/l/z.jar"];
        assert_eq!(parts, wanted.map(PathBuf::from));
    }

    #[test]
    fn member_knows_all_members_and_is_not_alone() {
        let all = "127.0.0.1:20000,127.0.0.1:20002,127.0.0.1:20004";
        let args = args_as(&JavaNacos::builder(), Role::Member { all });
        assert!(args.contains(&format!("-Dnacos.member.list={all}")), "{args:?}");
        assert!(args.contains(&"-Dnacos.standalone=false".to_owned()));
        assert!(args.contains(&"-DembeddedStorage=true".to_owned()));
        assert!(args.contains(&"-Xmx384m".to_owned()));
    }

    fn args(options: &JavaNacosBuilder) -> Vec<String> {
        args_as(options, Role::Alone)
    }

    fn args_as(options: &JavaNacosBuilder, role: Role<'_>) -> Vec<String> {
        let installed = JavaHome { java: "/bin/java".into(), jars: vec!["/l/a.jar".into()] };
        let main = (Ipv4Addr::LOCALHOST, 20_000).into();
        let launch = options.launch(&installed, Path::new("/folder"), main, role);
        launch.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect()
    }
}
