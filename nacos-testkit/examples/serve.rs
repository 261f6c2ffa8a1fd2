//! A test server in a process of its own, for whatever is not written in Rust:
//! `cargo run -p nacos-testkit --example serve -- 3.0 [USER PASSWORD]`.
//!
//! Prints where it serves, takes as long for everything as a real one, and ends with its standard
//! input.

use std::{
    io::{self, Read},
    thread,
};

use nacos_testkit::{Behaviour, Server};
use tokio::sync::oneshot;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let behaviour = match words.next().as_deref() {
        Some("2.3") => Behaviour::Nacos2_3,
        Some("2.5") => Behaviour::Nacos2_5,
        Some("3.0") => Behaviour::Nacos3_0,
        Some("3.3") => Behaviour::Nacos3_3,
        Some("r-nacos") => Behaviour::RNacos,
        _ => return Err(io::Error::other("which one: 2.3, 2.5, 3.0, 3.3 or r-nacos?")),
    };
    let mut builder = Server::builder().behaviour(behaviour).observed_timing();
    if let (Some(user), Some(password)) = (words.next(), words.next()) {
        builder = builder.credentials(user, password);
    }
    let server = builder.start().await?;
    println!("{}", server.addr());
    let (ended, end) = oneshot::channel();
    // Ends with the process.
    thread::spawn(move || {
        let mut ignored = [0; 256];
        while matches!(io::stdin().read(&mut ignored), Ok(1..)) {}
        ended.send(())
    });
    // Either way it is over.
    let _ = end.await;
    Ok(())
}
