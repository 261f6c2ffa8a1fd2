//! An axum service: registered once it listens, withdrawn before it drains.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names. It ends by itself; a
//! real service ends on SIGTERM.
use axum::{Router, routing::get};
use nacos_axum::Shutdown;
use tokio::net::TcpListener;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (_server, nacos) = examples::nacos().await?;
    let mut orders = nacos.naming().subscribe("example-axum")?.ready().await?;
    let shutdown = Shutdown::new();

    let app = Router::new().route("/", get(|| async { "hello" }));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let serving = async {
        let serving = nacos_axum::serve(listener, app).with_nacos(&nacos, "example-axum");
        serving.with_shutdown(&shutdown).await.map_err(Error::from)
    };
    let watching = async {
        while orders.service().callable().next().is_none() {
            orders.changed().await.ok_or("the client was shut down")?;
        }
        for instance in orders.service().callable() {
            println!("others call it at {}", instance.address());
        }
        shutdown.begin();
        Ok::<_, Error>(())
    };
    let (report, ()) = tokio::try_join!(serving, watching)?;
    println!("{report}");
    Ok(())
}
