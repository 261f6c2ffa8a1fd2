//! The client against the test server: one binary, one module per part of the product.
//!
//! Time is paused, so that deadlines and silences take none; where it cannot be (`dedicated`, child
//! processes), what happens is waited for, never slept for. A test's name is the promise that it
//! checks.
mod address_server;
mod bad_input;
mod bounds;
mod cancelled;
mod circles;
mod clocks;
mod close;
mod config;
mod connect;
mod credentials;
mod dedicated;
mod disconnects;
mod grace;
mod http2_proxies;
mod large_push;
mod least_privilege;
mod leaving;
mod limited;
mod login;
mod logs;
mod naming;
mod neighbours;
mod one_bad_request;
mod options;
mod proxied;
mod reconnect;
mod redaction;
mod refused;
mod self_check;
mod servers;
mod signing;
mod snapshot_files;
mod snapshots;
mod spans;
mod support;
mod telemetry;
mod tidy;
mod tls;
mod unreachable_login;
mod unresponsive;
mod user_code;
mod without_login;
mod words;
