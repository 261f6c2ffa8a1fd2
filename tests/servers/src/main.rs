//! Installs real servers, says which ones this machine can have, or runs one by hand.

mod order;

use std::env;
use std::io::{self, Read};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use order::{Order, Wish};
use servers::{Error, JavaNacos, Product, RNacos, Running};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let order = match Order::parse(&args) {
        Ok(order) => order,
        Err(why) => {
            eprintln!("{why}\n{}", order::USAGE);
            return ExitCode::from(2);
        }
    };
    match handle_command(order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  because: {cause}");
                source = cause.source();
            }
            // Scripts skip on this one.
            if error.is_unavailable() { ExitCode::from(3) } else { ExitCode::FAILURE }
        }
    }
}

fn handle_command(order: Order) -> Result<(), Error> {
    match order {
        Order::Install(product) => {
            install(product)?;
            println!("{product}");
            Ok(())
        }
        Order::List => {
            for product in Product::ALL {
                match product.check() {
                    Ok(()) => println!("{product}"),
                    Err(why) => println!("{product}: not covered, {why}"),
                }
            }
            Ok(())
        }
        Order::Run(wish) => {
            install(wish.product)?;
            let started = Instant::now();
            let nodes = start(&wish)?;
            println!("usable after {} ms", started.elapsed().as_millis());
            for node in nodes.servers() {
                let (http, grpc) = (node.addr(), node.grpc_addr());
                let (name, version) = (node.name(), node.version());
                println!("{name} {version}: http {http}, grpc {grpc}, start {}", node.starts());
            }
            println!("stops when standard input ends, or after {} minutes", wish.minutes);
            wait_for_end(Duration::from_secs(60 * wish.minutes));
            Ok(())
        }
    }
}

fn install(product: Product) -> Result<(), Error> {
    let missing = product.check().is_err();
    if missing {
        eprintln!("installing {product}, once for this user; this takes minutes");
    }
    let started = Instant::now();
    product.install()?;
    if missing {
        eprintln!("installed {product} in {} s", started.elapsed().as_secs());
    }
    Ok(())
}

/// The servers that were started.
enum Nodes {
    Cluster(servers::Cluster),
    Single(Box<Running>),
}

impl Nodes {
    fn servers(&self) -> &[Running] {
        match self {
            Self::Cluster(cluster) => cluster.nodes(),
            Self::Single(server) => std::slice::from_ref(server),
        }
    }
}

fn start(wish: &Wish) -> Result<Nodes, Error> {
    match wish.product {
        Product::JavaNacos => start_java_nacos(wish),
        Product::RNacos => start_r_nacos(wish),
    }
}

fn start_java_nacos(wish: &Wish) -> Result<Nodes, Error> {
    let mut options = JavaNacos::builder();
    if wish.authenticates {
        options = options.authentication();
    }
    if let Some(seconds) = wish.token_ttl_secs {
        options = options.token_ttl_secs(seconds);
    }
    if let Some((chain, key)) = &wish.tls {
        options = options.grpc_tls(chain, key);
    }
    if let Some(authorities) = &wish.client_ca {
        options = options.grpc_client_ca(authorities);
    }
    if wish.nodes > 1 {
        return options.start_cluster(wish.nodes).map(Nodes::Cluster);
    }
    options.start().map(Box::new).map(Nodes::Single)
}

fn start_r_nacos(wish: &Wish) -> Result<Nodes, Error> {
    let mut options = RNacos::builder();
    if wish.authenticates {
        options = options.credentials("nacos", "nacos");
    }
    if let Some(seconds) = wish.token_ttl_secs {
        options = options.token_ttl_secs(seconds);
    }
    if wish.nodes > 1 {
        return options.start_cluster(wish.nodes).map(Nodes::Cluster);
    }
    options.start().map(Box::new).map(Nodes::Single)
}

/// Returns when standard input ends, and at the latest after `limit`: nothing started by hand runs
/// for ever. An interrupt ends this process at once, and its servers with it.
fn wait_for_end(limit: Duration) {
    let (ended, end) = mpsc::channel();
    // Ends with the process.
    thread::spawn(move || {
        let mut ignored = [0; 256];
        while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
        // The other side may have reached its limit.
        let _ = ended.send(());
    });
    // Either way it is over.
    let _ = end.recv_timeout(limit);
}
