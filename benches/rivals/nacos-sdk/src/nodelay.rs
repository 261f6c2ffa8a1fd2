//! `TCP_NODELAY` for the sockets of this process, which the client does not set and lets nobody
//! set. Linux only.
use std::{fs, io, net::TcpStream};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Sets it on every TCP socket that is open now.
pub fn set() -> io::Result<()> {
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut done = 0;
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let is_socket = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|number| number.parse().ok());
        if let (true, Some(number)) = (is_socket, number) {
            // Another descriptor of the same socket, whose options are the socket's.
            let same = pidfd_getfd(&this, number, PidfdGetfdFlags::empty())?;
            // It fails on those that are not TCP.
            done += u32::from(TcpStream::from(same).set_nodelay(true).is_ok());
        }
    }
    if done == 0 { Err(io::Error::other("the client has no socket")) } else { Ok(()) }
}
