//! Lists of documents, over the main port.
use std::time::Duration;

use nacos_core::{Configs, ErrorKind, Group, Namespace, Publish, Search};
use nacos_testkit::{Behaviour, Server};

use crate::support::{BEHAVIOURS, builder, chain, connected, guarded, server, server_like, start};

async fn found(configs: &Configs, search: Search) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(search);
    while let Some(search) = next {
        let page = configs.list(search).await.expect("a page");
        names.extend(page.documents.iter().map(|it| it.key.to_string()));
        next = page.next;
    }
    names.sort();
    names
}

fn group(name: &str) -> Group {
    Group::parse(name).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn documents_are_listed_page_by_page_on_every_server() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        for n in 0..7 {
            server.publish("", "DEFAULT_GROUP", &format!("d{n}"), "secret");
        }
        server.publish("team-a", "DEFAULT_GROUP", "elsewhere", "secret");
        let configs = connected(&server).await.configs();
        let first = configs.list(Search::new().page_size(3)).await.expect("a page");
        assert_eq!((first.total, first.documents.len()), (7, 3), "{behaviour:?}");
        assert_eq!(first.documents[0].md5.as_deref(), Some(&*nacos_core::digest("secret")));
        let all: Vec<_> = (0..7).map(|n| format!("public/DEFAULT_GROUP/d{n}")).collect();
        assert_eq!(found(&configs, Search::new().page_size(3)).await, all, "{behaviour:?}");
        assert_eq!(found(&configs, Search::new()).await, all);
        let beyond = configs.list(Search::new().page(9)).await.expect("a page");
        assert_eq!((beyond.documents.len(), beyond.next), (0, None));

        let team = Namespace::parse("team-a").expect("valid");
        let theirs = found(&configs, Search::new().in_namespace(team)).await;
        assert_eq!(theirs, ["team-a/DEFAULT_GROUP/elsewhere"]);
    }
}

#[tokio::test(start_paused = true)]
async fn documents_are_found_by_group_and_by_a_part_of_their_name() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        for (group, data_id) in [
            ("SHOP", "orders.yaml"),
            ("SHOP", "my-orders"),
            ("SHOP", "users"),
            ("WORKSHOP", "orders"),
        ] {
            server.publish("", group, data_id, "1");
        }
        let configs = connected(&server).await.configs();
        let orders = Search::new().data_id_contains("orders");
        let all = ["public/SHOP/my-orders", "public/SHOP/orders.yaml", "public/WORKSHOP/orders"];
        assert_eq!(found(&configs, orders.clone()).await, all, "{behaviour:?}");
        assert_eq!(found(&configs, orders.group(group("SHOP"))).await, all[..2], "{behaviour:?}");
        let shop = found(&configs, Search::new().group(group("SHOP"))).await;
        assert_eq!(shop, [all[0], all[1], "public/SHOP/users"]);
        for odd in ["&pageSize=1#", "%", "a b+c", "\0", "../..", "你", "'; DROP TABLE"] {
            let page = configs.list(Search::new().data_id_contains(odd)).await.expect("a page");
            let most = if odd == "%" { 4 } else { 0 };
            assert!(page.documents.len() <= most, "{odd:?}: {page:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn labels_and_applications_are_searched_for_where_servers_know_them() {
    for behaviour in BEHAVIOURS {
        let server = server_like(behaviour).await;
        let configs = connected(&server).await.configs();
        let publish = |data_id| Publish::new(data_id, "1").expect("valid");
        let a = publish("a.json").app("orders").tags("x,y").description("first");
        configs.publish(a).await.expect("published");
        configs.publish(publish("b").app("users").tags("y")).await.expect("published");
        let by_app = configs.list(Search::new().app("orders")).await;
        if behaviour == Behaviour::RNacos {
            let error = by_app.expect_err("it would list both");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            continue;
        }
        let page = by_app.expect("a page");
        let [found_one] = page.documents.as_slice() else { panic!("{page:?}") };
        assert_eq!(found_one.app.as_deref(), Some("orders"));
        assert_eq!(found_one.content_type.as_deref(), Some("json"));
        let is_3 = matches!(behaviour, Behaviour::Nacos3_0 | Behaviour::Nacos3_3);
        assert_eq!(found_one.description.as_deref(), Some("first").filter(|_| is_3));
        let tagged = async |tags: &str| found(&configs, Search::new().tags(tags)).await.len();
        assert_eq!((tagged("x").await, tagged("y").await, tagged("z").await), (1, 2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn list_needs_the_login_that_its_server_demands() {
    for behaviour in BEHAVIOURS {
        let server = guarded(behaviour).await;
        server.publish("", "DEFAULT_GROUP", "d", "1");
        let user = builder(&server).username("nacos").password("s3cret").connect().await;
        let user = user.expect("the server knows it");
        assert_eq!(found(&user.configs(), Search::new()).await.len(), 1, "{behaviour:?}");
        // gRPC and HTTP are both without TLS: a token of any origin may be shown.
        let token = server.issue_token();
        let holder = builder(&server).access_token(token).connect().await.expect("a good token");
        assert_eq!(found(&holder.configs(), Search::new()).await.len(), 1, "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn list_without_a_login_is_denied() {
    // Clients may do everything, and consoles nothing.
    let server =
        start(Server::builder().credentials("nacos", "s3cret").authentication(false)).await;
    let client = connected(&server).await;
    client.configs().publish(Publish::new("d", "1").expect("valid")).await.expect("published");
    let error = client.configs().list(Search::new()).await.expect_err("who asks?");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)), "{error:?}");
    assert!(chain(&error).contains("/v3/admin/cs/config/list"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn main_port_that_nobody_reaches_is_said() {
    let server = server().await;
    let client = connected(&server).await;
    server.close_main_port(true).await.expect("closed");
    let error = client.configs().list(Search::new()).await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error:?}");
    assert!(chain(&error).contains("/v3/admin/cs/config/list"), "{error:?}");
    client.shutdown(Duration::from_secs(1)).await;
    let error = client.configs().list(Search::new()).await.expect_err("it is shut down");
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
}

const V3: &str = "/v3/admin/cs/config/list";
const V1: &str = "/v1/cs/configs";
const PAGE: &str = r#"{"totalCount":1,"pageItems":[{"dataId":"d","group":"g"}]}"#;

#[tokio::test(start_paused = true)]
async fn older_path_is_asked_only_where_there_is_nothing_at_the_newer_one() {
    let server = server().await;
    let configs = connected(&server).await.configs();
    server.answer_at(V1, Some((200, PAGE)));
    for status in [404, 405, 410, 501] {
        server.answer_at(V3, Some((status, "<html>")));
        assert_eq!(found(&configs, Search::new()).await, ["public/g/d"], "{status}");
    }
    for (status, kind) in [
        (200, ErrorKind::Protocol),
        (302, ErrorKind::Protocol),
        (400, ErrorKind::Refused),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (429, ErrorKind::Overloaded),
        (500, ErrorKind::Server),
        (503, ErrorKind::Overloaded),
    ] {
        server.answer_at(V3, Some((status, r#"{"code":7,"message":"said","data":null}"#)));
        let error = configs.list(Search::new()).await.expect_err("no page");
        assert_eq!(error.kind(), kind, "{status}: {error:?}");
        assert!(kind == ErrorKind::Protocol || chain(&error).contains("said"), "{error:?}");
    }
    server.answer_at(V3, None);
    assert!(found(&configs, Search::new()).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn server_without_a_list_is_unsupported_and_both_paths_are_named() {
    let server = server().await;
    let configs = connected(&server).await.configs();
    server.answer_at(V3, Some((404, "")));
    let error = configs.list(Search::new()).await.expect_err("3.0 has switched the other off");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    let text = chain(&error);
    for part in [V3, "404", V1, "410"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn hostile_lists_are_errors_or_cost_what_they_name() {
    let server = server().await;
    let client = builder(&server).receive_limit(100_000).connect().await;
    let client = client.expect("the server is there");
    let configs = client.configs();
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let long =
        format!(r#"{{"totalCount":1,"pageItems":[{{"dataId":"{}"}}]}}"#, "d".repeat(100_000));
    let secret = r#"{"totalCount":1,"pageItems":[{"dataId":"d","group":"g","content":"hunter2"}"#;
    for body in ["", "null", "{}", "<html>", "[]", &nested, &long, secret, r#"{"data":{}}"#] {
        server.answer_at(V3, Some((200, body)));
        let error = configs.list(Search::new()).await.expect_err("no list");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        assert!(!chain(&error).contains("hunter2"), "{error:?}");
    }
    for (body, named) in [
        (r#"{"totalCount":-1,"pageItems":[{"dataId":"d","group":"g"}]}"#, 1),
        (
            r#"{"totalCount":9,"pageItems":[{"dataId":"../../x","group":"g"},{},{"dataId":null}]}"#,
            0,
        ),
        (r#"{"totalCount":1,"pageItems":[{"dataId":"d","group":"g","tenant":"theirs"}]}"#, 0),
        (r#"{"totalCount":0,"pageItems":[]}"#, 0),
    ] {
        server.answer_at(V3, Some((200, body)));
        let page = configs.list(Search::new()).await.expect("a page");
        assert_eq!((page.documents.len(), page.next), (named, None), "{body}");
    }
    assert_eq!(client.stats().get().connects, 1, "the session is intact");
}
