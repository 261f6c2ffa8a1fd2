//! The parts that the examples share: a server and a client of it, and a gRPC service to call.
pub mod inventory;

use nacos_core::{Client, DocumentState, Publish};
use nacos_testkit::Server;

/// The server that `NACOS_SERVER_ADDR` names, or else one in this process; and a client of it.
///
/// The embedded server lives as long as what is returned in its place.
///
/// # Errors
///
/// No server answers there, or an option in the environment cannot be read.
pub async fn nacos() -> Result<(Option<Server>, Client), Box<dyn std::error::Error + Send + Sync>> {
    let builder = Client::from_env()?;
    if std::env::var_os("NACOS_SERVER_ADDR").is_some() {
        return Ok((None, builder.connect().await?));
    }
    let server = Server::start().await?;
    println!("no NACOS_SERVER_ADDR: using the embedded server on {}", server.addr());
    let client = builder.server_addr(server.addr().to_string()).connect().await?;
    Ok((Some(server), client))
}

/// Publishes a document, and waits until it can be read: Java servers take some 90 ms for that.
///
/// # Errors
///
/// The server refused it, or cannot be reached.
pub async fn publish(
    nacos: &Client,
    data_id: &str,
    content: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let watch = nacos.configs().watch(data_id)?;
    nacos.configs().publish(Publish::new(data_id, content)?).await?;
    let published = |state: &DocumentState| match state {
        DocumentState::Present(document) => *document.content == *content,
        _ => false,
    };
    let seen = watch.live().wait_for(published).await;
    seen.map(drop).ok_or_else(|| "the client was shut down".into())
}
