//! Real servers start only where they were asked for.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::thread;

use crate::{Given, Product};

/// Whether a test may count on `product`. If not, says on standard error which test is skipped and
/// why.
///
/// `NACOS_REAL=1` asks for real servers; the plain test run does not, since it has to pass on a
/// machine that has nothing but Rust. With it, Java Nacos is still skipped where `java` or `mvn` is
/// missing. r-nacos is not: it can be had wherever there is Rust. A test that misses what could be
/// installed fails. Where `NACOS_REAL_ADDR` names a server that runs already, nothing is started.
#[must_use]
pub fn covers(product: Product) -> bool {
    if Given::from_env().is_some() {
        say_skipped(&"it needs servers of its own; NACOS_REAL_ADDR names one that runs already");
        return false;
    }
    if env::var_os("NACOS_REAL").is_none_or(|value| value != "1") {
        say_skipped(&"it starts real servers; `bash .ci/run real` installs and runs them");
        return false;
    }
    match product.obstacle() {
        Some(why) => {
            say_skipped(&why);
            false
        }
        None => true,
    }
}

/// Says on standard error that this test is skipped, or a part of it, and why.
///
/// Not with `eprintln!`, which the test harness swallows when the test then passes.
pub fn say_skipped(why: &dyn Display) {
    let test = thread::current();
    // The harness names its threads after the tests.
    let name = test.name().unwrap_or("a test");
    // A closed standard error has no reader.
    let _ = writeln!(io::stderr(), "skipped {name}: {why}");
}
