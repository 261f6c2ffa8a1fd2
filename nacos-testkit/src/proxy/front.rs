//! A port of the proxy: open, or closed so that connections are refused.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::net::{TcpListener, TcpSocket};

use crate::{
    line::Gate,
    tasks::{self, Spawner, Task},
};

use super::shared::Shared;

/// One port, and the server behind it. Dropping it closes the port at once.
#[derive(Debug)]
pub(super) struct Front {
    addr: SocketAddr,
    upstream: SocketAddr,
    state: Mutex<FrontState>,
}

#[derive(Debug)]
enum FrontState {
    Accepting {
        gate: Arc<Gate>,
        _task: Task,
    },
    /// Bound but not listening, so that connections are refused and no other process gets the
    /// port; `None` when one already had.
    Refusing(Option<TcpSocket>),
}

impl Front {
    pub(super) fn open(
        listener: TcpListener,
        upstream: SocketAddr,
        shared: &Arc<Shared>,
        tasks: &Spawner,
    ) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let state = Mutex::new(accepting(listener, upstream, shared, tasks));
        Ok(Self { addr, upstream, state })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn refuse(&self) {
        let mut state = self.state();
        if let FrontState::Accepting { gate, .. } = &*state {
            gate.close(); // the port must be free before it can be bound again
            *state = FrontState::Refusing(self.reserve());
        }
    }

    pub(super) fn accept(&self, shared: &Arc<Shared>, tasks: &Spawner) -> io::Result<()> {
        let mut state = self.state();
        let FrontState::Refusing(reserved) = &mut *state else { return Ok(()) };
        let socket = reserved.take().map_or_else(|| bound(self.addr), Ok)?;
        let listening = socket.set_reuseaddr(true).and_then(|()| socket.listen(BACKLOG));
        *state = match listening {
            Ok(listener) => accepting(listener, self.upstream, shared, tasks),
            Err(error) => {
                *reserved = self.reserve();
                return Err(error);
            }
        };
        Ok(())
    }

    fn reserve(&self) -> Option<TcpSocket> {
        let reserved = bound(self.addr).and_then(|socket| {
            // With it, others who set it too could bind the port.
            socket.set_reuseaddr(false)?;
            Ok(socket)
        });
        match reserved {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::debug!(addr = %self.addr, %error, "port is closed, but not reserved");
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, FrontState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let FrontState::Accepting { gate, .. } = &*self.state() {
            gate.close();
        }
    }
}

fn accepting(
    listener: TcpListener,
    upstream: SocketAddr,
    shared: &Arc<Shared>,
    tasks: &Spawner,
) -> FrontState {
    let gate = Gate::new(listener);
    let admitting = admit(Arc::clone(&gate), upstream, Arc::clone(shared), tasks.clone());
    FrontState::Accepting { gate, _task: tasks::spawn(admitting) }
}

/// Accepts connections until the gate is closed. They do not end with it.
async fn admit(gate: Arc<Gate>, upstream: SocketAddr, shared: Arc<Shared>, tasks: Spawner) {
    while let Some(accepted) = gate.accept().await {
        match accepted {
            Ok((client, _)) => {
                if let Some(connection) = shared.admit(client) {
                    tasks.spawn(connection.carry(upstream, Arc::clone(&shared)));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "connection not accepted");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// A socket at a port which connections that have ended, or live on, may still use.
fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Any free port.
pub(super) async fn free_port() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

const BACKLOG: u32 = 1024;
