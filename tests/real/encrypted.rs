//! Encrypted documents on real servers: which keep the data keys, and which lose them.
use nacos_core::{
    Document, ErrorKind, Publish, Visibility,
    filter::{AesEncryption, ClearDataKeys},
};
use servers::Product;

use crate::{
    common::{document_becomes, on_each_shared, shared, within_a_minute},
    visit::writes,
};

#[test]
fn encrypted_document_is_cipher_text_on_the_server_and_comes_back() {
    on_each_shared(|product| {
        within_a_minute(async move {
            let server = shared(product);
            let data_id = format!("cipher-aes-{}", std::process::id());
            writes(&data_id);
            let encryption = AesEncryption::new(ClearDataKeys::new());
            let client = server.builder().with_config_filter(encryption).connect().await;
            let client = client.expect("the server is there");
            let configs = client.configs();
            let publish = Publish::new(data_id.as_str(), "库存: 7 & <8>").expect("valid");
            let published = configs.publish(publish).await;
            if product == Product::RNacos {
                let error = published.expect_err("it would lose the key");
                return assert_eq!(error.kind(), ErrorKind::Unsupported);
            }
            let published = published.expect("published");
            let visible = published.visible().await.expect("an answer");
            assert_eq!(visible, Visibility::Visible);

            let blind = server.builder().connect().await.expect("the server is there");
            let stored = blind.configs().get(data_id.as_str()).await.expect("an answer");
            let stored = stored.expect("there");
            assert!(stored.is_encrypted() && stored.encrypted_data_key.is_some());
            assert!(stored.content.chars().all(|c| c.is_ascii_hexdigit()), "{stored:?}");
            let read = configs.get(data_id.as_str()).await.expect("an answer").expect("there");
            assert_eq!((&*read.content, &read.md5), ("库存: 7 & <8>", &stored.md5));

            let watch = configs.watch(data_id.as_str()).expect("valid");
            let appended = |old: Option<&Document>| Some(format!("{}!", old?.content));
            configs.update(data_id.as_str(), appended).await.expect("updated");
            document_becomes(&watch, Some("库存: 7 & <8>!")).await;
            configs.remove(data_id.as_str()).await.expect("removed");
        });
    });
}
