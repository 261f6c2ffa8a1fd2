//! All crates at work: `cargo run -p quickstart`.
//!
//! Without an argument it starts a Nacos server of its own; with `NACOS_SERVER_ADDR` it uses that
//! one. Its exit code is 0 only if every promise that it prints was kept.
mod fleet;
mod gateway;
mod load;
mod promises;

use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use nacos_axum::Shutdown;
use nacos_core::{Client, ClientBuilder, Publish, lifecycle::Outcome};
use nacos_figment::{HotConfig, Import};
use nacos_tonic::Channel;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};

use self::{
    fleet::{Instance, SERVICE},
    gateway::Settings,
    load::Connection,
    promises::Promises,
};

type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let began = Instant::now();
    let mut promises = Promises::default();
    match timeout(Duration::from_secs(60), story(&mut promises)).await {
        Ok(Ok(())) if promises.all_held(began.elapsed()) => ExitCode::SUCCESS,
        Ok(Ok(())) => ExitCode::FAILURE,
        Ok(Err(error)) => {
            eprintln!("\nthe story broke off: {error:?}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("\nthe story took longer than a minute");
            ExitCode::FAILURE
        }
    }
}

async fn story(promises: &mut Promises) -> Result<()> {
    Promises::chapter(1, "A server, three instances, a gateway");
    let (_embedded, builder) = server().await?;
    let nacos = builder.clone().app("quickstart-gateway").connect().await?;
    let mut instances = Vec::new();
    for weight in [1, 2, 3] {
        instances.push(Instance::start(builder.clone(), weight)?);
    }
    examples::publish(&nacos, DOCUMENT, "greeting: hello\nmost_pieces: 100\n").await?;
    let config: HotConfig<Settings> =
        HotConfig::builder(&nacos).import(Import::data_id(DOCUMENT).required()).start().await?;
    all_instances_are_known(&nacos, 3).await?;
    let channel = Channel::new(&nacos, SERVICE).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let gateway = listener.local_addr()?;
    let shutdown = Shutdown::new();
    let serving = tokio::spawn({
        let app = gateway::routes(channel, config.hot());
        let serving = nacos_axum::serve(listener, app)
            .with_nacos(&nacos, "quickstart-gateway")
            .with_shutdown(&shutdown);
        async move { serving.await }
    });
    all_of_the_gateway(&nacos).await?;
    Promises::tell(&format!("the gateway serves on http://{gateway}, and is registered"));

    Promises::chapter(2, "Each instance gets its share");
    let tally = load::send(gateway, 3000, 6).await?;
    promises.check(tally.failures.is_empty(), "3000 HTTP requests, none failed");
    let weights: Vec<_> =
        instances.iter().map(|instance| (instance.name.clone(), instance.weight)).collect();
    promises.shares(&tally, &weights);

    Promises::chapter(3, "One instance dies under load");
    kill_under_load(promises, gateway, &mut instances).await?;

    Promises::chapter(4, "The configuration changes while a handler runs");
    change(promises, &nacos, gateway).await?;

    Promises::chapter(5, "A broken configuration changes nothing");
    break_it(promises, &nacos, gateway, &config).await?;

    Promises::chapter(6, "Everybody leaves in order");
    shutdown.begin();
    let report = serving.await??;
    Promises::tell(&report.to_string().replace('\n', "\n   "));
    let orderly = report.steps.iter().all(|step| step.outcome == Outcome::Completed);
    promises.check(orderly, "the gateway was withdrawn, drained and closed");
    let mut leaving: JoinSet<_> = instances.into_iter().map(Instance::leave).collect();
    while let Some(left) = leaving.join_next().await {
        let (name, report) = left??;
        let orderly = report.steps.iter().all(|step| step.outcome == Outcome::Completed);
        promises.check(orderly, &format!("{name} was withdrawn, drained and closed"));
    }
    Ok(())
}

/// The server that `NACOS_SERVER_ADDR` names, or one in this process.
async fn server() -> Result<(Option<nacos_testkit::Server>, ClientBuilder)> {
    let builder = Client::from_env()?;
    if let Some(address) = std::env::var_os("NACOS_SERVER_ADDR") {
        Promises::tell(&format!("using the server at {}", address.display()));
        return Ok((None, builder));
    }
    let server = nacos_testkit::Server::start().await?;
    Promises::tell(&format!("a Nacos server of our own listens on {}", server.addr()));
    let builder = builder.server_addr(server.addr().to_string());
    Ok((Some(server), builder))
}

async fn publish(nacos: &Client, content: &str) -> Result<()> {
    nacos.configs().publish(Publish::new(DOCUMENT, content)?).await?;
    Ok(())
}

async fn all_instances_are_known(nacos: &Client, count: usize) -> Result<()> {
    let inventory = nacos.naming().subscribe(SERVICE)?.ready().await?;
    let known = inventory.live().wait_for(|service| service.callable().count() == count).await;
    let known = known.ok_or("the client was shut down")?;
    for instance in known.callable() {
        Promises::tell(&format!("{} of weight {} is known", instance.address(), instance.weight));
    }
    Ok(())
}

async fn all_of_the_gateway(nacos: &Client) -> Result<()> {
    let gateway = nacos.naming().subscribe("quickstart-gateway")?.ready().await?;
    let known = gateway.live().wait_for(|service| service.callable().count() == 1).await;
    known.map(drop).ok_or_else(|| "the client was shut down".into())
}

async fn kill_under_load(
    promises: &mut Promises,
    gateway: SocketAddr,
    instances: &mut Vec<Instance>,
) -> Result<()> {
    let victim = instances.pop().ok_or("there are instances")?;
    let name = victim.name.clone();
    let killing = async {
        // Some requests later, which is in the middle of them.
        load::send(gateway, 200, 1).await?;
        Promises::tell(&format!(
            "{name} is killed: listener closed, connections reset, nobody told"
        ));
        victim.kill();
        Ok::<_, Error>(())
    };
    let (tally, killed) = tokio::join!(load::send(gateway, 6000, 6), killing);
    let (tally, ()) = (tally?, killed?);
    let failed = tally.failures.len();
    promises.check(failed == 0, &format!("{} requests meanwhile, {failed} failed", 6000));
    if let Some(failure) = tally.failures.first() {
        Promises::tell(failure);
    }
    let after = load::send(gateway, 600, 6).await?;
    let quiet = !after.answers.contains_key(&name) && after.failures.is_empty();
    promises.check(quiet, &format!("600 requests later, {name} is asked no more"));
    Ok(())
}

async fn change(promises: &mut Promises, nacos: &Client, gateway: SocketAddr) -> Result<()> {
    let mut handler = Connection::open(gateway).await?;
    let waiting = async {
        let (_, greeting) = handler.get("/greeting/next").await?;
        Ok::<_, Error>((greeting, Instant::now()))
    };
    let publishing = async {
        // The handler is under way once another request behind it has been answered.
        Connection::open(gateway).await?.get("/greeting").await?;
        let began = Instant::now();
        publish(nacos, "greeting: good morning\nmost_pieces: 50\n").await?;
        Ok::<_, Error>(began)
    };
    let (seen, began) = tokio::join!(waiting, publishing);
    let ((greeting, seen), began): (_, Instant) = (seen?, began?);
    let after = seen.saturating_duration_since(began).as_secs_f64() * 1000.0;
    promises.check(
        greeting == "good morning",
        &format!("a running handler saw the new greeting {after:.1} ms after publishing began"),
    );
    Ok(())
}

async fn break_it(
    promises: &mut Promises,
    nacos: &Client,
    gateway: SocketAddr,
    config: &HotConfig<Settings>,
) -> Result<()> {
    publish(nacos, "greeting: good evening\nmost_pieces: plenty\n").await?;
    let status = config.status().wait_for(|status| status.rejection.is_some()).await;
    let status = status.ok_or("the configuration was closed")?;
    let report = status.rejection.as_ref().map(ToString::to_string).unwrap_or_default();
    Promises::tell(&report.replace('\n', "\n   "));
    promises
        .check(report.contains(DOCUMENT), "the report names the document, the line and the column");
    promises.check(!report.contains("plenty"), "and not the value");
    let (_, greeting) = Connection::open(gateway).await?.get("/greeting").await?;
    promises.check(greeting == "good morning", "the last good configuration keeps serving");
    Ok(())
}

const DOCUMENT: &str = "quickstart-gateway.yaml";
