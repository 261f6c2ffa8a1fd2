//! A server with everything it needs to know before it runs.
use std::{
    error::Error as StdError, fmt, future::Future, io, net::SocketAddr, pin::Pin, time::Duration,
};

use tracing::warn;

use super::{Connections, Lifecycle, Shutdown};
use crate::{
    env,
    instance::Instance,
    key::{ClusterName, InvalidName, ServiceKey},
    link_variable::is_link,
    live::Live,
    naming::AddressPolicy,
};

/// A framework's server on a listener that is bound.
pub trait Serve: Send + 'static {
    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system's.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Accepts connections from the first poll on, and makes each of them one of `connections`.
    /// When `stop` ends, drops the listener, asks open connections to end, and returns when they
    /// have.
    ///
    /// # Errors
    ///
    /// Errors after which it can accept no more connections, not those of one connection.
    fn serve(
        self,
        connections: Connections,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send;
}

/// A server that is bound, and not known yet. [`with_nacos`](Self::with_nacos) goes on from here.
#[must_use = "nothing is served before it is given to Nacos and awaited"]
pub struct Bound<S> {
    server: S,
    environment_ip: Option<String>,
}

impl<S: Serve> Bound<S> {
    /// For frameworks' crates: programs use their `serve` function.
    pub fn new(server: S) -> Self {
        Self { server, environment_ip: None }
    }

    /// Like [`new`](Self::new), with the ip to register that the environment names, if it does:
    /// `NACOS_REGISTER_IP`. The environment is read now, and never again.
    pub fn from_env(server: S) -> Self {
        Self::new(server).with_environment_ip(env::register_ip())
    }

    /// The ip to register where the program names none, as the environment has it. The value that
    /// Kubernetes sets for a service, `tcp://10.0.0.1:80`, is none, and warned about. For
    /// frameworks' crates.
    pub fn with_environment_ip(mut self, ip: Option<String>) -> Self {
        let is_link = |ip: &String| {
            let is_link = is_link(ip);
            if is_link {
                warn!(
                    "NACOS_REGISTER_IP is not read: Kubernetes and Docker set such for a service"
                );
            }
            is_link
        };
        self.environment_ip = ip.filter(|ip| !is_link(ip));
        self
    }

    /// Serves as an instance of `service`, in the default group unless it is written
    /// `GROUP@@service`.
    ///
    /// Takes the [`Client`](crate::Client), or the [`Lifecycle`] that several servers join.
    pub fn with_nacos<K>(self, nacos: impl Into<Lifecycle>, service: K) -> Serving<S>
    where
        K: TryInto<ServiceKey>,
        InvalidName: From<K::Error>,
    {
        Serving {
            server: self.server,
            lifecycle: nacos.into(),
            service: service.try_into().map_err(InvalidName::from),
            options: ServeOptions {
                address: AddressPolicy {
                    environment: self.environment_ip,
                    ..AddressPolicy::default()
                },
                ..ServeOptions::default()
            },
        }
    }
}

/// A server that will be registered once it listens, and deregistered before it stops to. Awaiting
/// it runs it to its end; see the [module](super) for what happens when.
///
/// The port that is registered is the listener's, also if it was bound to port 0. The ip is the
/// first of: [`with_ip`](Self::with_ip), what the environment says (`NACOS_REGISTER_IP`, read by
/// the framework's crate), the listener's own unless it listens on all addresses, the local address
/// from which the Nacos server is reached.
///
/// # Errors
///
/// The registration was refused, or not acknowledged in time: the server is not left running
/// without callers. See [`register_lazily`](Self::register_lazily) for the other way. Nothing that
/// happens after the first acknowledgement is an error; what was lost is registered again.
///
/// # Cancel safety
///
/// Dropping the future deregisters in the background, and cuts every connection.
#[must_use = "nothing is served before it is awaited"]
pub struct Serving<S> {
    pub(super) server: S,
    pub(super) lifecycle: Lifecycle,
    pub(super) service: Result<ServiceKey, InvalidName>,
    pub(super) options: ServeOptions,
}

pub(super) struct ServeOptions {
    pub(super) address: AddressPolicy,
    /// The instance to register, but for its address.
    pub(super) instance: Instance,
    pub(super) health: Option<Live<bool>>,
    pub(super) weight_ramp: Duration,
    pub(super) warm_up: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) is_lazy: bool,
    pub(super) has_signals: bool,
    pub(super) keeps_client: bool,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) grace: Duration,
    pub(super) drain: Duration,
    pub(super) deadline: Duration,
}

/// The settings that others see.
impl<S> Serving<S> {
    /// The ip to register. A name is possible if all callers can resolve it.
    pub fn with_ip(mut self, ip: impl Into<String>) -> Self {
        self.options.address.ip = Some(ip.into());
        self
    }

    /// The port to register, where others reach the listener under another one.
    pub fn with_port(mut self, port: u16) -> Self {
        self.options.address.port = Some(port);
        self
    }

    /// The share of the traffic relative to the siblings'. Default: 1.
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.options.instance = self.options.instance.with_weight(weight);
        self
    }

    /// The cluster. Default: `DEFAULT`.
    pub fn with_cluster(mut self, cluster: ClusterName) -> Self {
        self.options.instance = self.options.instance.with_cluster(cluster);
        self
    }

    /// Adds a metadata entry.
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.instance = self.options.instance.with_metadata(key, value);
        self
    }
}

/// The inputs that the registration follows while the server runs.
impl<S> Serving<S> {
    /// Takes no traffic while `health` is false: the instance stays registered and is disabled, so
    /// that consumers call its siblings, and [`Readiness`](super::Readiness) is `Unhealthy`.
    /// Connections are served all the same. Once its writer is gone, the last value stays.
    ///
    /// A change is sent at once: a source that flaps is to be damped before it comes here. An
    /// operator's change of the instance wins over it, as servers have it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// # use nacos_core::lifecycle::{Bound, Connections, Serve};
    /// # struct Nothing(tokio::net::TcpListener);
    /// # impl Serve for Nothing {
    /// #     fn local_addr(&self) -> std::io::Result<std::net::SocketAddr> { self.0.local_addr() }
    /// #     async fn serve(
    /// #         self,
    /// #         _: Connections,
    /// #         stop: impl Future<Output = ()> + Send + 'static,
    /// #     ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> { Ok(stop.await) }
    /// # }
    /// # let bound = Bound::new(Nothing(tokio::net::TcpListener::bind("127.0.0.1:0").await?));
    /// let (health, is_healthy) = nacos_core::live(true);
    /// let serving = bound.with_nacos(&nacos, "orders").with_health(is_healthy);
    /// // Elsewhere: the database is gone, and no request could be answered.
    /// health.publish(false);
    /// # Ok(()) }
    /// ```
    pub fn with_health(mut self, health: Live<bool>) -> Self {
        self.options.health = Some(health);
        self
    }

    /// Begins with a tenth of the weight, and reaches all of it `over` so much time after the first
    /// registration: slow start, for a process that is cold. In five steps at most, each a second
    /// at least, because consumers are told of each. Default: zero, which is no ramp.
    ///
    /// r-nacos takes weight 1 in a change for "not specified"; the last step registers the instance
    /// anew there if that is its full weight.
    pub fn with_weight_ramp(mut self, over: Duration) -> Self {
        self.options.weight_ramp = over;
        self
    }
}

/// When it begins.
impl<S> Serving<S> {
    /// Registers once `warm_up` has ended. Connections are served meanwhile, probes among them.
    pub fn ready_when(mut self, warm_up: impl Future<Output = ()> + Send + 'static) -> Self {
        self.options.warm_up = Box::pin(warm_up);
        self
    }

    /// Does not wait for Nacos: serves, counts as ready, and registers when a server lets it. For
    /// programs that would rather be unknown than not run, with
    /// [`connect_lazy`](crate::ClientBuilder::connect_lazy). A refusal goes to the log only.
    pub fn register_lazily(mut self) -> Self {
        self.options.is_lazy = true;
        self
    }
}

/// How it ends. Each server of a lifecycle has settings of its own, but for the triggers: any of
/// them ends all.
impl<S> Serving<S> {
    /// Another trigger, beside the lifecycle's own.
    pub fn with_shutdown(mut self, shutdown: &Shutdown) -> Self {
        self.options.shutdown = Some(shutdown.clone());
        self
    }

    /// Leaves signals alone. By default SIGTERM and SIGINT (Windows: ctrl-c) end the server.
    pub fn without_signals(mut self) -> Self {
        self.options.has_signals = false;
        self
    }

    /// How much longer it serves once its removal has been observed, so that consumers take it in:
    /// those that subscribe need a moment, those that ask now and then need more. Default: 1 s.
    /// Observation and grace together end after 5 s, or after the grace if that is longer.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.options.grace = grace;
        self
    }

    /// How long open connections have to end by themselves. By default what remains until the
    /// [deadline](Self::with_deadline).
    pub fn with_drain_limit(mut self, limit: Duration) -> Self {
        self.options.drain = limit;
        self
    }

    /// For everything from the signal to the end. Default: 25 s.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = deadline.min(YEAR);
        self
    }

    /// Leaves the client open at the end, for a program that has more to do with it.
    pub fn keep_client(mut self) -> Self {
        self.options.keeps_client = true;
        self
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            address: AddressPolicy::default(),
            instance: Instance::new("", 0),
            health: None,
            weight_ramp: Duration::ZERO,
            warm_up: Box::pin(std::future::ready(())),
            is_lazy: false,
            has_signals: true,
            keeps_client: false,
            shutdown: None,
            grace: GRACE,
            drain: DEADLINE,
            deadline: DEADLINE,
        }
    }
}

impl<S> fmt::Debug for Bound<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Serving<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("service", &self.service.as_ref().map(ToString::to_string))
            .field("lifecycle", &self.lifecycle)
            .finish_non_exhaustive()
    }
}

/// The time that a push takes to be applied by subscribers, with a margin.
const GRACE: Duration = Duration::from_secs(1);
/// Kubernetes kills after 30 s.
const DEADLINE: Duration = Duration::from_secs(25);
/// For ever, in terms of a shutdown; clocks can still be added to it.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
