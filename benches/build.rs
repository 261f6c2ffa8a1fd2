//! Remembers which compiler builds this, for the head of every report.
use std::{env, process::Command};

fn main() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo::rustc-env=BUILT_BY={}", version.as_deref().unwrap_or("an unknown compiler"));
    println!("cargo::rerun-if-changed=build.rs");
}
