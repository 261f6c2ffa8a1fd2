//! HTTP/2 in clear text, with prior knowledge: one connection to an endpoint, driven by one task.
mod body;
mod connection;
mod connector;
mod driver;
mod given_up;
mod origin;
mod outgoing;
mod reach;
#[cfg(test)]
mod tests;

pub use self::{
    body::{Http2Body, Http2Error},
    connection::{Http2Connection, Http2Future},
    connector::Http2Connector,
};
