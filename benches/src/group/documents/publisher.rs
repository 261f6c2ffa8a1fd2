//! The one who publishes: bare tonic, so that no client under test waits for itself.
use std::{
    cell::Cell,
    future::{self, Ready},
    net::{SocketAddr, ToSocketAddrs},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{runtime::Runtime, time::sleep};

use super::name;
use crate::{
    Failure,
    floor::{Floor, Registered},
    meter::millis,
    run::{Flavor, on},
    server::Server,
};

/// Publishes documents whose first word is a number, each time another one.
pub(super) struct Publisher<'a> {
    server: &'a Server,
    runtime: Runtime,
    floor: Floor,
    value: Cell<u64>,
    _registered: Registered,
}

impl<'a> Publisher<'a> {
    pub(super) fn start(server: &'a Server) -> Result<Self, Failure> {
        let (runtime, address) = (Flavor::TwoWorkers.runtime()?, server.grpc_addr()?);
        let connecting = async move { Floor::connect(&address, "nacos-rs-benches").await };
        let (floor, registered) = on(&runtime, connecting)?;
        // Servers drop who says nothing for some twenty seconds. It ends with the runtime.
        let idle = floor.clone();
        runtime.spawn(async move {
            while idle.query("nacos-rs-benches").await.is_ok() {
                sleep(PAUSE).await;
            }
        });
        Ok(Self { server, runtime, floor, value: Cell::new(0), _registered: registered })
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The server's main address.
    pub(super) fn addr(&self) -> &str {
        self.server.addr()
    }

    /// The same, looked up.
    pub(super) fn socket_addr(&self) -> Result<SocketAddr, Failure> {
        let first = self.addr().to_socket_addrs()?.next();
        first.ok_or_else(|| format!("{} is no address", self.addr()).into())
    }

    /// Publishes `count` documents, as fast as that goes. Their new value, and when it began.
    pub(super) fn publish(
        &self,
        documents: &'static str,
        count: usize,
    ) -> Result<(u64, Instant), Failure> {
        let value = self.next();
        let floor = self.floor.clone();
        let publishing = async move {
            let began = Instant::now();
            let content = content(value);
            let all = (0..count).map(|number| {
                let (floor, content) = (&floor, &content);
                async move { floor.publish(&name(documents, number), content).await }
            });
            stream::iter(all).buffer_unordered(IN_FLIGHT).try_for_each(|()| ready()).await?;
            Ok((value, began))
        };
        on(&self.runtime, publishing)
    }

    /// Queries `count` documents in the same way.
    pub(super) fn query(&self, documents: &'static str, count: usize) -> Result<(), Failure> {
        let floor = self.floor.clone();
        let querying = async move {
            let all = (0..count).map(|number| {
                let floor = &floor;
                async move { floor.query(&name(documents, number)).await }
            });
            stream::iter(all).buffer_unordered(IN_FLIGHT).try_for_each(|_| ready()).await
        };
        on(&self.runtime, querying)
    }

    /// Lets the server know of `count` watches. Milliseconds until it does; then they are over.
    pub(super) fn listen(&self, documents: &'static str, count: usize) -> Result<f64, Failure> {
        let floor = self.floor.clone();
        let listening = async move {
            let names: Vec<_> = (0..count).map(|number| name(documents, number)).collect();
            let began = Instant::now();
            floor.listen(&names, true).await?;
            let known = millis(began.elapsed());
            // Or it would be told of all changes from now on.
            floor.listen(&names, false).await?;
            Ok(known)
        };
        on(&self.runtime, listening)
    }

    /// Publishes one document, and queries it until it shows. When that began and when it ended.
    pub(super) fn publish_and_query(
        &self,
        documents: &'static str,
    ) -> Result<(Instant, Instant), Failure> {
        let (floor, value) = (self.floor.clone(), self.next());
        let doing = async move {
            let (began, name, sought) = (Instant::now(), name(documents, 0), value.to_string());
            floor.publish(&name, &content(value)).await?;
            while !shows(&floor.query(&name).await?, &sought) {
                if began.elapsed().as_secs() > 10 {
                    return Err("what was published does not show".into());
                }
            }
            Ok((began, Instant::now()))
        };
        on(&self.runtime, doing)
    }

    pub(super) fn remove(&self, documents: &'static str, count: usize) -> Result<(), Failure> {
        let floor = self.floor.clone();
        let removing = async move {
            let all = (0..count).map(|number| {
                let floor = &floor;
                async move { floor.remove(&name(documents, number)).await }
            });
            stream::iter(all).buffer_unordered(IN_FLIGHT).try_for_each(|()| ready()).await
        };
        on(&self.runtime, removing)
    }

    fn next(&self) -> u64 {
        let value = self.value.get() + 1;
        self.value.set(value);
        value
    }
}

fn ready() -> Ready<Result<(), Failure>> {
    future::ready(Ok(()))
}

/// A content of 1 KiB that begins with `value`.
fn content(value: u64) -> String {
    format!("{value:<1024}")
}

/// Whether that word is in the content that the JSON of an answer has.
fn shows(answer: &[u8], word: &str) -> bool {
    let start = format!("\"content\":\"{word} ");
    answer.windows(start.len()).any(|part| part == start.as_bytes())
}

/// Requests at a time.
const IN_FLIGHT: usize = 64;
const PAUSE: Duration = Duration::from_secs(5);
