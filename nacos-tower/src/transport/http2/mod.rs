//! HTTP/2 in clear text, with prior knowledge: one connection to an endpoint, driven by one task.
mod body;
mod connection;
mod connector;
mod driver;
mod origin;

pub use self::{
    body::{Http2Body, Http2Error},
    connection::Http2Connection,
    connector::Http2Connector,
};
