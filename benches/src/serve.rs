//! The test server as a process: started by [`server`](crate::server), ends with its parent.
use std::io::{self, Read};

use crate::{Failure, run::Flavor};

/// Serves until standard input ends, which it does when the parent is gone. Says its address on a
/// line of standard output first.
///
/// # Errors
///
/// There is no free pair of ports.
pub fn serve() -> Result<(), Failure> {
    let runtime = Flavor::TwoWorkers.runtime()?;
    let server = runtime.block_on(nacos_testkit::Server::start())?;
    println!("{}", server.addr());
    // The server's tasks run on the workers; this thread has nothing to do but wait.
    io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
