//! Servers that want to know who asks.
use nacos_core::{
    ErrorKind, Instance, Publish,
    credentials::{IdentityHeader, StaticToken},
};
use servers::{JavaNacos, Product, RNacos, Running};

use crate::common::{Server, connect, covered, within_a_minute};

fn guarded(product: Product) -> Running {
    let running = match product {
        Product::RNacos => {
            RNacos::builder().credentials("nacos", "nacos").token_ttl_secs(20).start()
        }
        Product::JavaNacos => JavaNacos::builder().authentication().token_ttl_secs(20).start(),
    };
    running.expect("the server starts")
}

#[test]
fn token_from_elsewhere_is_let_in_and_the_header_of_servers_alone_is_not() {
    for product in covered() {
        let running = guarded(product);
        let server = Server { product, addr: running.addr() };
        let token = running.log_in().expect("a login").expect("a token");
        within_a_minute(async {
            let nacos = server.builder().with_credentials(StaticToken::new(token));
            let nacos = connect(&nacos).await;
            nacos
                .configs()
                .publish(Publish::new("d", "1").expect("valid"))
                .await
                .expect("published");
            let guard =
                nacos.naming().register("token", Instance::new("127.0.0.1", 1)).expect("valid");
            let _guard = guard.ready().await.expect("registered");

            let other = server.builder().with_credentials(StaticToken::new("no token"));
            let error = connect(&other).await.configs().get("d").await.expect_err("denied");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));

            let rig = server.builder().with_credentials(IdentityHeader::new("rig", "rig"));
            // Java 2.3.2 looks at it on its main port only.
            let error = connect(&rig).await.configs().get("d").await.expect_err("denied");
            assert_eq!(error.kind(), ErrorKind::Denied);
        });
    }
}
