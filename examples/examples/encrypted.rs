//! Publishes a document that the server and its consoles see as cipher text only, and follows it.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names: Java Nacos, since
//! r-nacos loses the data keys.
use nacos_core::{
    Client, Publish,
    filter::{AesEncryption, ClearDataKeys},
};
use nacos_testkit::Server;

type Error = Box<dyn std::error::Error + Send + Sync>;

const DATABASE: &str = "cipher-aes-example-db.properties";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut builder = Client::from_env()?;
    let mut embedded = None;
    if std::env::var_os("NACOS_SERVER_ADDR").is_none() {
        let server = embedded.insert(Server::start().await?);
        builder = builder.server_addr(server.addr().to_string());
    }
    // The keys of the server project's plugin, in clear beside the document. Yours come from a key
    // service: implement `DataKeys`.
    let encryption = AesEncryption::new(ClearDataKeys::new());
    let nacos = builder.with_config_filter(encryption).connect().await?;
    let configs = nacos.configs();

    let mut watch = configs.watch(DATABASE)?.ready().await?;
    configs.publish(Publish::new(DATABASE, "password = hunter2")?).await?.visible().await?;
    let state = watch.changed().await.ok_or("the client was shut down")?;
    let document = state.document().ok_or("it was just published")?;
    println!("the program sees {:?}", document.content);
    if let Some(server) = &embedded {
        let stored = server.document("", "DEFAULT_GROUP", DATABASE).ok_or("it is stored")?;
        println!("the server has {:?}", stored.content);
    }

    // Read, decrypted, changed, and encrypted anew; the condition is about the cipher text.
    let updated = configs.update(DATABASE, |_| Some("password = hunter3")).await?;
    println!("{:?}", updated.published.ok_or("it was changed")?.visible().await?);
    configs.remove(DATABASE).await?;
    println!("{:?}", nacos.shutdown(std::time::Duration::from_secs(3)).await);
    Ok(())
}
