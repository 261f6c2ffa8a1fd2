//! Three instances of the inventory, each with a runtime, a client and a port of its own.
//!
//! Each has a runtime of its own, so that one of them can die as a process dies: all of it at once,
//! in the middle of its work, and without telling anybody.
use examples::inventory::InventoryServer;
use nacos_core::{ClientBuilder, lifecycle::LifecycleReport, lifecycle::Shutdown};
use tokio::{
    net::TcpSocket,
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tonic::service::Routes;

use crate::Result;

/// The name under which the instances are registered.
pub(crate) const SERVICE: &str = "quickstart-inventory";

/// One instance, until it is dropped or killed.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) weight: u32,
    shutdown: Shutdown,
    serving: JoinHandle<Result<LifecycleReport>>,
    runtime: Runtime,
}

impl Instance {
    /// Starts an instance of this weight; it registers once it listens.
    pub(crate) fn start(nacos: ClientBuilder, weight: u32) -> Result<Self> {
        let name = format!("inventory-{weight}");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shutdown = Shutdown::new();
        let serving = runtime.spawn(serve(nacos, name.clone(), weight, shutdown.clone()));
        Ok(Self { name, weight, shutdown, serving, runtime })
    }

    /// Dies: its listener closes, its connections are reset, and Nacos is not told.
    pub(crate) fn kill(self) {
        self.runtime.shutdown_background();
    }

    /// Leaves in order: withdrawn first, then drained.
    pub(crate) async fn leave(self) -> Result<(String, LifecycleReport)> {
        self.shutdown.begin();
        let report = self.serving.await?;
        self.runtime.shutdown_background();
        Ok((self.name, report?))
    }
}

async fn serve(
    nacos: ClientBuilder,
    name: String,
    weight: u32,
    shutdown: Shutdown,
) -> Result<LifecycleReport> {
    let nacos = nacos.app(&name).connect().await?;
    let socket = TcpSocket::new_v4()?;
    // A socket that is closed without lingering resets its connection, as a dead process's does;
    // accepted ones take that over from the listener.
    socket.set_zero_linger()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(1024)?;
    let routes = Routes::new(InventoryServer { instance: name });
    let report = nacos_tonic::serve(listener, routes)
        .with_nacos(&nacos, SERVICE)
        .with_weight(f64::from(weight))
        .with_shutdown(&shutdown)
        .without_signals()
        .await?;
    Ok(report)
}
