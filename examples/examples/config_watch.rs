//! Follows a document: read once, watched from then on, published to, removed.
//!
//! Runs on the embedded server, or on the one that `NACOS_SERVER_ADDR` names.
use nacos_core::{DocumentState, Publish};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (_server, nacos) = examples::nacos().await?;
    let configs = nacos.configs();
    configs.remove("example-limits.yaml").await?;

    let watch = configs.watch("example-limits.yaml")?;
    let publishing = async {
        for limit in [10, 20, 30] {
            let content = format!("limit: {limit}");
            configs.publish(Publish::new("example-limits.yaml", content.as_str())?).await?;
            // Ends when the watch below has seen it: states in between may be skipped.
            let mut seen = watch.live();
            let is_there = |state: &DocumentState| {
                state.document().is_some_and(|document| *document.content == *content)
            };
            seen.wait_for(is_there).await.ok_or("the client was shut down")?;
        }
        configs.remove("example-limits.yaml").await?;
        Ok::<_, Error>(())
    };
    let following = async {
        let mut live = watch.live();
        let mut limits = 0;
        while let Some(state) = live.changed().await {
            match &*state {
                DocumentState::Present(document) => {
                    limits += 1;
                    println!("now {:?}, md5 {}", document.content, document.md5);
                }
                DocumentState::Absent if limits > 0 => {
                    println!("removed");
                    break;
                }
                other => println!("{other:?}"),
            }
        }
        Ok::<_, Error>(())
    };
    tokio::try_join!(publishing, following)?;
    println!("{:?}", nacos.shutdown(std::time::Duration::from_secs(3)).await);
    Ok(())
}
