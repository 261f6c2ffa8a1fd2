//! The fault proxy, seen from the sockets at both of its ends.

mod ends;
mod links;
mod ports;
mod rig;
mod scripts;
