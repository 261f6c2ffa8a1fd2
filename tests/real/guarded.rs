//! Servers that want to know who asks.
use nacos_core::{ErrorKind, Instance, Publish};
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
fn user_and_password_are_what_it_takes() {
    for product in covered() {
        let running = guarded(product);
        let server = Server { product, addr: running.addr() };
        within_a_minute(async {
            let nacos = connect(&server.builder().credentials("nacos", "nacos")).await;
            nacos
                .configs()
                .publish(Publish::new("d", "1").expect("valid"))
                .await
                .expect("published");
            let guard =
                nacos.naming().register("guarded", Instance::new("127.0.0.1", 1)).expect("valid");
            let _guard = guard.ready().await.expect("registered");

            let wrong = server.builder().credentials("nacos", "wrong").connect().await;
            assert_eq!(wrong.expect_err("denied").kind(), ErrorKind::Denied);
            let nobody = connect(&server.builder()).await;
            let error = nobody.configs().get("d").await.expect_err("denied");
            assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
        });
    }
}
