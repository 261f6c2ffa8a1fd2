//! Measures the product beside its baselines. See README.md.
use std::{env, io, process::ExitCode};

use benches::{
    Failure,
    args::Args,
    client::client,
    group::{Group, connect, documents, faults, get, hot, pick, register, rival},
    machine::Machine,
    report::Report,
    run::Run,
    serve::serve,
};

mod decode;

// Private parts of nacos-core are measured as they are: its own files, here once more. They
// name each other by paths from the root, so that is where they stand.
macro_rules! product {
    ($($path:literal $name:ident,)*) => {$(
        #[path = $path]
        #[allow(dead_code, unreachable_pub, reason = "of nacos-core's files only a part is used here")]
        mod $name;
    )*};
}
product! {
    "../../nacos-core/src/address.rs" address,
    "../../nacos-core/src/document.rs" document,
    "../../nacos-core/src/error.rs" error,
    "../../nacos-core/src/given.rs" given,
    "../../nacos-core/src/gray.rs" gray,
    "../../nacos-core/src/instance.rs" instance,
    "../../nacos-core/src/key/mod.rs" key,
    "../../nacos-core/src/labels.rs" labels,
    "../../nacos-core/src/link_variable.rs" link_variable,
    "../../nacos-core/src/resource.rs" resource,
    "../../nacos-core/src/room.rs" room,
    "../../nacos-core/src/secret.rs" secret,
    "../../nacos-core/src/service.rs" service,
    "../../nacos-core/src/start_policy.rs" start_policy,
    "../../nacos-core/src/storm.rs" storm,
    "../../nacos-core/src/time.rs" time,
    "../../nacos-core/src/wire/mod.rs" wire,
}

#[allow(dead_code, unreachable_pub, reason = "of nacos-core's files only a part is used here")]
mod session;

fn main() -> ExitCode {
    let address = env::var("NACOS_SERVER_ADDR").ok().filter(|address| !address.is_empty());
    let args = match Args::parse(env::args().skip(1), address).and_then(known) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("{why}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    if args.help {
        println!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let outcome = match &args.client {
        Some(order) => client(order).map(|()| true),
        None if args.serve => serve().map(|()| true),
        None => measure(&args),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The same, if there is such a group for each name.
fn known(args: Args) -> Result<Args, String> {
    match args.groups.iter().find(|name| GROUPS.iter().all(|group| group.name != **name)) {
        Some(unknown) => Err(format!("there is no group {unknown}")),
        None => Ok(args),
    }
}

/// Measures and reports. Says whether everything could be measured.
fn measure(args: &Args) -> Result<bool, Failure> {
    let chosen = |group: &&Group| {
        let named = args.groups.iter().any(|name| name == group.name);
        named || args.groups.is_empty() && !group.on_request
    };
    let run = Run::new(args);
    let machine = Machine::here();
    let (mut rows, mut complete) = (Vec::new(), true);
    for group in GROUPS.iter().filter(chosen) {
        eprintln!("{}: {}", group.name, group.about);
        match (group.measure)(&run) {
            Ok(measured) => rows.extend(measured),
            Err(why) => {
                eprintln!("{} could not be measured: {why}", group.name);
                complete = false;
            }
        }
    }
    let server = run.started().map(|server| server.name().to_owned());
    let report = Report { machine, server, smoke: args.smoke, rows };
    if args.json {
        report.json(&mut io::stdout().lock())?;
        report.table(&mut io::stderr().lock())?;
    } else {
        report.table(&mut io::stdout().lock())?;
    }
    Ok(complete)
}

fn usage() -> String {
    let groups: Vec<_> =
        GROUPS.iter().map(|group| format!("  {:13} {}", group.name, group.about)).collect();
    format!(
        "{USAGE}\nGroups, all of them but `faults`, `rival` and `documents-sdk` unless some are named:\n{}",
        groups.join("\n")
    )
}

const GROUPS: [Group; 11] = [
    get::GROUP,
    connect::GROUP,
    documents::GROUP,
    decode::GROUP,
    session::configs::govern::GROUP,
    hot::GROUP,
    pick::GROUP,
    register::GROUP,
    faults::GROUP,
    rival::GROUP,
    documents::sdk::GROUP,
];

const USAGE: &str = "\
benches [--smoke] [--json] [--rounds N] [--server r-nacos|java|testkit|HOST:PORT] [GROUP ...]

  --smoke    tiny counts: whether it runs, not how fast it is
  --json     lines of JSON on standard output, the table on standard error
  --rounds   rounds of each contest (15)
  --server   what is measured on; NACOS_SERVER_ADDR names a running one, too.
             Otherwise r-nacos if `cargo run -p servers -- install r-nacos` has installed it,
             else the test server in a process of its own
";
