//! What every example begins with: a server, and a client of it.
use nacos_core::Client;
use nacos_testkit::Server;

/// The server that `NACOS_SERVER_ADDR` names, or else one in this process; and a client of it.
///
/// The embedded server lives as long as what is returned in its place.
///
/// # Errors
///
/// No server answers there, or an option in the environment cannot be read.
pub async fn nacos() -> Result<(Option<Server>, Client), Box<dyn std::error::Error>> {
    let builder = Client::from_env()?;
    if std::env::var_os("NACOS_SERVER_ADDR").is_some() {
        return Ok((None, builder.connect().await?));
    }
    let server = Server::start().await?;
    println!("no NACOS_SERVER_ADDR: using the embedded server on {}", server.addr());
    let client = builder.server_addr(server.addr().to_string()).connect().await?;
    Ok((Some(server), client))
}
