//! Every public future can be given to `tokio::spawn`, with closures and borrowed names inside, in
//! code that is generic as well. Compiling is the test.
#![expect(dead_code, reason = "it need not run")]
use futures_util::{StreamExt, future::try_join_all, stream};
use std::{fs, future::Future, path::Path, time::Duration};

use nacos_axum::{Lifecycle, Shutdown};
use nacos_core::{
    Client, ClientBuilder, ClientOptions, ConfigKey, Document, Instance, InvalidName, Live,
    LiveWriter, Publish, Search, ServiceKey,
};
use nacos_figment::{Hot, HotConfig, Import, NacosSource};
use nacos_tonic::Channel;
use nacos_tower::{
    Balance, BoxError, Connect, Endpoint, RetryLayer, SendRequest, ServiceConnection, WeightedP2c,
};
use tower::{Layer, Service};

/// As `tokio::spawn` has it.
fn spawned<T: Send + 'static>(_: impl Future<Output = T> + Send + 'static) {}

/// As a future that is part of a spawned one must be.
fn sent<'a, T>(_: impl Future<Output = T> + Send + 'a) {}

type Outcome = Result<(), BoxError>;

fn client(builder: ClientBuilder, nacos: Client) {
    spawned(builder.connect());
    spawned(async move {
        let nacos = Client::from_env()?.options(ClientOptions::default()).connect().await?;
        let report = nacos.shutdown(Duration::ZERO).await;
        Ok::<_, BoxError>(report)
    });
    spawned(async move {
        let names = ["orders.yaml".to_owned(), "limits.yaml".to_owned()];
        for name in &names {
            nacos.configs().get(name.as_str()).await?;
            nacos.configs().get((name.as_str(), "GROUP")).await?;
            nacos
                .configs()
                .publish(Publish::new(name.as_str(), "limit: 7")?)
                .await?
                .visible()
                .await?;
            let longer = |old: Option<&Document>| Some(format!("{name}{}", old?.content));
            nacos.configs().update(name.as_str(), longer).await?;
            nacos.configs().list(Search::new().data_id_contains(name)).await?;
            nacos.configs().remove(name.as_str()).await?;
            let mut watch = nacos.configs().watch(name.as_str())?.ready().await?;
            watch.changed().await;
            let wanted = name.clone();
            watch.live().wait_for(|state| format!("{state:?}") == wanted).await;
        }
        Outcome::Ok(())
    });
}

fn naming(nacos: Client) {
    spawned(async move {
        let names = ["orders".to_owned()];
        let naming = nacos.naming();
        for name in names.iter().map(String::as_str) {
            naming.query(name).await?;
            naming.list(&"GROUP".parse()?, 1, 10).await?;
            let instance = Instance::new(name, 80);
            naming.register_persistent(name, &instance).await?;
            naming.deregister_persistent(name, &instance).await?;
            let registration = naming.register(name, instance)?.ready().await?;
            registration.deregister().await?;
            let mut subscription = naming.subscribe(name)?.ready().await?;
            subscription.changed().await;
            let live = subscription.live().wait_for(|service| !service.instances.is_empty()).await;
            drop(live);
        }
        Outcome::Ok(())
    });
}

/// Names of any kind and lifetime, in code that knows no more of them.
fn generic<'a, K, S>(
    nacos: &'a Client,
    document: K,
    service: S,
) -> impl Future + Send + use<'a, K, S>
where
    K: TryInto<ConfigKey> + Clone + Send + 'a,
    InvalidName: From<K::Error>,
    S: TryInto<ServiceKey> + Clone + Send + 'a,
    InvalidName: From<S::Error>,
{
    sent(nacos.configs().get(document.clone()));
    sent(nacos.configs().update(document.clone(), |_| Some("limit: 7")));
    async move {
        nacos.configs().get(document.clone()).await?;
        nacos.configs().remove(document).await?;
        nacos.naming().query(service.clone()).await?;
        let instance = Instance::new("10.0.0.1", 80);
        nacos.naming().register_persistent(service.clone(), &instance).await?;
        nacos.naming().deregister_persistent(service.clone(), &instance).await?;
        Channel::new(nacos, service.clone()).await?;
        Channel::builder().policy(WeightedP2c::strict()).connect(nacos, service.clone()).await?;
        nacos_tonic::serve(listener().await?, tonic::service::Routes::default())
            .with_nacos(nacos, service.clone())
            .await?;
        nacos_axum::serve(listener().await?, axum::Router::new())
            .with_nacos(nacos, service)
            .await?;
        Outcome::Ok(())
    }
}

async fn listener() -> std::io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::bind("127.0.0.1:0").await
}

fn live<T>(writer: LiveWriter<T>, mut reader: Live<T>, wanted: T)
where
    T: PartialEq + Send + Sync + 'static,
{
    spawned(async move {
        reader.wait_for(|value| *value == wanted).await;
        reader.changed().await
    });
    spawned(async move { writer.unread().await });
    let connections = nacos_core::lifecycle::Connections::new();
    spawned(async move { connections.closed().await });
}

fn lifecycle(nacos: Client) {
    let shutdown = Shutdown::new();
    let lifecycle = Lifecycle::of(&nacos);
    spawned(async move {
        let names = ["orders".to_owned()];
        for name in &names {
            let app = axum::Router::new().route("/", axum::routing::get(async || "hello"));
            let served = nacos_axum::serve(listener().await?, app)
                .with_nacos(&lifecycle, name.as_str())
                .ready_when(async {})
                .with_shutdown(&shutdown)
                .await?;
            drop(served);
            shutdown.begun().await;
            lifecycle.readiness().wait_for(|readiness| readiness.is_ready()).await;
        }
        Outcome::Ok(())
    });
    spawned(async move {
        let routes = tonic::service::Routes::default();
        nacos_tonic::serve(listener().await?, routes).with_nacos(&nacos, "orders").await?;
        Outcome::Ok(())
    });
}

fn balance<C: SendRequest<()>>(nacos: Client, connector: impl Connect<Connection = C> + Clone) {
    let generic = connector.clone();
    let shared = nacos.clone();
    spawned(async move {
        let names = ["orders".to_owned()];
        for name in &names {
            Balance::builder(generic.clone()).connect(&shared, name.as_str()).await?;
        }
        Outcome::Ok(())
    });
    let shared = nacos.clone();
    spawned(async move {
        let prefix = "http://".to_owned();
        let closure = move |endpoint: Endpoint| {
            let prefix = prefix.clone();
            async move {
                connect(&format!("{prefix}{}", endpoint.address())).await?;
                Ok::<_, BoxError>(ServiceConnection::new(answering::<()>()))
            }
        };
        Balance::builder(closure).connect(&shared, "orders").await?;
        Outcome::Ok(())
    });
    spawned(async move {
        let closure = |endpoint: Endpoint| async move {
            drop(endpoint);
            Ok::<_, BoxError>(ServiceConnection::new(answering()))
        };
        let builder = Balance::builder(connector).connector(closure);
        let mut balance = builder.connect(&nacos, "orders").await?;
        let response = balance.call(http::Request::new(())).await?;
        drop(response);
        let retried = async |endpoint: Endpoint| {
            drop(endpoint);
            Ok::<_, BoxError>(ServiceConnection::new(answering()))
        };
        let balance = Balance::builder(retried).connect(&nacos, "orders").await?;
        let mut retrying = RetryLayer::new().layer(balance);
        let body = http_body_util::Full::<bytes::Bytes>::default();
        let response = retrying.call(http::Request::new(body)).await?;
        drop(response);
        Outcome::Ok(())
    });
}

/// A service whose type cannot be named.
fn answering<B: Send + 'static>() -> impl Service<
    http::Request<B>,
    Response = http::Response<http_body_util::Empty<bytes::Bytes>>,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    tower::service_fn(async |_: http::Request<B>| Ok(http::Response::default()))
}

#[derive(serde::Deserialize)]
struct Config {
    db: String,
}

fn configuration(nacos: Client) {
    let source = NacosSource::new(&nacos).import(Import::app("orders"));
    spawned(async move { source.fetch().await });
    spawned(async move {
        let config: HotConfig<Config> = HotConfig::builder(&nacos)
            .import(Import::app("orders").profile("prod"))
            .validate(|config: &Config| if config.db.is_empty() { Err("no db") } else { Ok(()) })
            .start()
            .await?;
        let url = |db: String| async move { Ok::<_, BoxError>(db.len()) };
        drop(config.dry_run("orders.yaml", "rps: 1").await?);
        let pool: Hot<usize> = config.resource("db", |config| &config.db, url).await?;
        let name = "db".to_owned();
        let suffix = "?tls".to_owned();
        let build = move |db: String| {
            let suffix = suffix.clone();
            async move { connect(&format!("{db}{suffix}")).await }
        };
        config.resource(&name, |config: &Config| &config.db, build).await?;
        config.resource(&name, |config| &config.db, async |db: String| connect(&db).await).await?;
        let opaque = async |db: String| {
            connect(&db).await?;
            Ok::<_, BoxError>(answering::<()>())
        };
        config.resource(&name, |config| &config.db, opaque).await?;
        config.hot().map(|config| &config.db).changes().next().await;
        config.status().wait_for(|status| status.rejection.is_none()).await;
        let pinned = pool.pin();
        std::future::ready(()).await;
        drop(pinned);
        Outcome::Ok(())
    });
}

fn generic_configuration<T>(nacos: Client, part: fn(&T) -> &String, check: fn(&T) -> Outcome)
where
    T: serde::de::DeserializeOwned + serde::Serialize + Default + PartialEq + Send + Sync + 'static,
{
    spawned(async move {
        let builder = HotConfig::<T>::builder(&nacos).defaults(T::default()).env("ORDERS");
        let config = builder.validate(check).start().await?;
        let opaque = async |_| Ok::<_, BoxError>(answering::<()>());
        config.resource("answers", part, opaque).await?;
        config.hot().changes().next().await;
        Outcome::Ok(())
    });
}

async fn connect(url: &str) -> Result<usize, std::io::Error> {
    std::future::ready(Ok(url.len())).await
}

/// Many at once.
fn many(nacos: Client, names: Vec<String>, keys: Vec<ConfigKey>) {
    spawned(async move {
        let (configs, naming) = (nacos.configs(), nacos.naming());
        try_join_all(names.iter().map(|name| configs.get(name.as_str()))).await?;
        try_join_all(names.iter().map(async |name| naming.query(name.as_str()).await)).await?;
        try_join_all(names.iter().map(|name| Channel::new(&nacos, name.as_str()))).await?;
        let mut documents =
            stream::iter(keys.clone()).map(|key| configs.get(key)).buffer_unordered(8);
        while let Some(document) = documents.next().await {
            drop(document?);
        }
        let mut watches = stream::iter(keys)
            .map(async |key| configs.watch(key)?.ready().await)
            .buffer_unordered(8);
        while let Some(watch) = watches.next().await {
            drop(watch?);
        }
        Outcome::Ok(())
    });
}

#[test]
fn every_public_future_is_in_this_file() {
    let mut names = Vec::new();
    for krate in ["nacos-core", "nacos-tower", "nacos-tonic", "nacos-axum", "nacos-figment"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
        public_futures(&root, &mut names);
    }
    assert!(names.len() >= 24, "only {names:?} were found");
    let here = include_str!("futures.rs");
    let missing: Vec<_> = names.iter().filter(|name| !here.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "nobody spawns {missing:?}");
}

/// The names of public functions below `folder` that return a future.
fn public_futures(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            public_futures(&path, names);
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        for function in text.split("    pub ").skip(1) {
            let signature = function.split(" {\n").next().unwrap_or_default();
            let is_async = signature.starts_with("async fn ");
            if is_async || signature.starts_with("fn ") && signature.contains("-> impl Future") {
                let name = signature.trim_start_matches("async ").trim_start_matches("fn ");
                let end = name.find(['<', '(']).unwrap_or_default();
                names.push(name[..end].to_owned());
            }
        }
    }
}
