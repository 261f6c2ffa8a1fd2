//! The client against the test server: one binary, one module per part of the product.
//!
//! Time is paused, so that deadlines and silences take none; what happens is waited for, never
//! slept for. A test's name is the promise that it checks.
mod bad_input;
mod close;
mod config;
mod connect;
mod credentials;
mod leaving;
mod login;
mod naming;
mod reconnect;
mod redaction;
mod signing;
mod support;
mod tidy;
