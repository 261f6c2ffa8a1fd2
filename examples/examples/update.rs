//! Changes a document as it stands, waits until it shows, and lists what there is.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use nacos_core::{Condition, Document, Publish, Search};

type Error = Box<dyn std::error::Error + Send + Sync>;

const VISITS: &str = "example-visits.properties";

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (_server, nacos) = examples::nacos().await?;
    let configs = nacos.configs();
    let publish = Publish::new(VISITS, "visits = 0")?.app("example").description("a counter");
    // Stored is not yet shown: Java Nacos shows the old content for up to 90 ms.
    println!("{:?}", configs.publish(publish).await?.visible().await?);

    let one_more = |old: Option<&Document>| {
        let visits: u32 = old?.content.rsplit(' ').next()?.parse().ok()?;
        Some(format!("visits = {}", visits + 1))
    };
    let mut last = None;
    for _ in 0..3 {
        let updated = configs.update(VISITS, one_more).await?;
        // `Unknown` on r-nacos, where another client's change may have been overwritten.
        if updated.condition == Condition::Unknown {
            println!("this server may ignore conditions");
        }
        last = updated.published;
    }
    last.ok_or("nothing was published")?.visible().await?;

    let mut next = Some(Search::new().data_id_contains("example-visits"));
    while let Some(search) = next {
        let page = configs.list(search).await?;
        for document in page.documents {
            println!("{}: {:?}", document.key, configs.get(&document.key).await?);
        }
        next = page.next;
    }
    configs.remove(VISITS).await?;
    println!("{:?}", nacos.shutdown(std::time::Duration::from_secs(3)).await);
    Ok(())
}
