//! Users who may do some things only: which right a real server wants for which request.
use std::{
    error::Error as _,
    time::{Duration, Instant},
};

use nacos_core::{ClaimState, Client, Error, ErrorKind, Instance, Publish};
use nacos_testkit::{Behaviour, Server as TestServer};
use servers::{Product, RNacos, Request, Running, covers};
use tokio::task::block_in_place;

use crate::{
    common::{Server, connect, document_becomes, eventually, soon, within},
    guarded::{administer, guarded},
};

/// Which requests a right lets in, with those of the test server beside it.
#[test]
fn rights_of_java_nacos_let_in_what_they_name_and_no_more() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let named = || (0..).map(|number| format!("matrix{number}")).zip(RIGHTS);
    for (user, (_, rights, _)) in named() {
        create(&user);
        for right in rights {
            grant(&user, right, "rw");
        }
    }
    within(Duration::from_secs(180), async {
        for (user, (namespace, rights, expected)) in named() {
            let nacos = client(&user, namespace).await;
            assert_eq!(let_in(&nacos).await, expected, "{rights:?} in {namespace}");
            drop(nacos);
            let imitation = TestServer::builder().behaviour(Behaviour::Nacos2_3);
            let imitation = imitation.start().await.expect("a port");
            imitation.limit_rights(Some(rights));
            let nacos = Server { addr: imitation.addr() }.builder().namespace(namespace);
            let nacos = connect(&nacos).await;
            assert_eq!(let_in(&nacos).await, expected, "imitated: {rights:?} in {namespace}");
        }
    });
}

/// For services, reading and writing are told apart.
#[test]
fn right_to_read_subscribes_and_right_to_write_registers() {
    if !covers(Product::JavaNacos) {
        return;
    }
    let all = ":ORDERS:*";
    for action in ["r", "w"] {
        create(action);
        grant(action, all, action);
    }
    within(Duration::from_secs(60), async {
        let reader = client("r", "public").await;
        assert_eq!(let_in(&reader).await, ["get", "query", "subscribe"]);
        let writer = client("w", "public").await;
        assert_eq!(let_in(&writer).await, ["publish", "register"]);
    });
}

/// A user who may read one group is told which right is missing, and is let in with just that one.
#[test]
fn right_that_a_refused_listen_names_lets_it_in_once_it_is_granted() {
    if !covers(Product::JavaNacos) {
        return;
    }
    // 30 s ± 20 % until a poll, up to 15 s until the server reads rights again, and up to 72 s
    // until the client asks again.
    within(Duration::from_secs(240), async {
        tokio::join!(
            let_in_with_what_is_named("public", ":ORDERS:config/*"),
            let_in_with_what_is_named("team-a", "team-a:ORDERS:config/*"),
        );
    });
}

async fn let_in_with_what_is_named(namespace: &str, right: &str) {
    let user = format!("limited-{namespace}");
    create(&user);
    grant(&user, right, "rw");
    let nacos = client(&user, namespace).await;
    let configs = nacos.configs();
    let document = ("followed", "ORDERS");
    let publish = async |content| {
        let publish = Publish::new(document, content).expect("valid");
        configs.publish(publish).await.expect("published");
    };
    publish("1").await;
    // Java answers a publish before it shows the document.
    let is_readable = async || configs.get(document).await.expect("readable").is_some();
    soon("the document", eventually(is_readable)).await;

    let error = configs.watch(document).expect("valid").ready().await.expect_err("refused");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
    let text = chain(&error);
    assert!(text.contains("poll_when_refused"), "{text}");
    let missing = text.split('`').nth(1).expect("a right").to_owned();

    let waiting = configs.watch(document).expect("valid");
    let polled = configs.watch(document).expect("valid").poll_when_refused();
    let polled = polled.ready().await.expect("readable");
    assert_eq!(polled.state().document().map(|document| &*document.content), Some("1"));
    publish("2").await;
    let began = Instant::now();
    document_becomes(&polled, Some("2")).await;
    println!("{namespace}: a poll has seen the change after {:?}", began.elapsed());
    assert!(matches!(*polled.claim().get(), ClaimState::Refused { code: 403, .. }));
    drop(polled);

    grant(&user, &missing, "r");
    let began = Instant::now();
    let held = |claim: &ClaimState| *claim == ClaimState::Held;
    waiting.claim().wait_for(held).await.expect("the client lives");
    println!("{namespace}: `{missing}` is in effect after {:?}", began.elapsed());
    soon("the document", document_becomes(&waiting, Some("2"))).await;
    publish("3").await;
    soon("a push", document_becomes(&waiting, Some("3"))).await;
}

#[test]
fn user_without_any_right_is_told_of_a_right_and_of_no_login() {
    if !covers(Product::JavaNacos) {
        return;
    }
    create("nobody");
    within(Duration::from_secs(60), async {
        let nacos = client("nobody", "public").await;
        assert_eq!(let_in(&nacos).await, NOTHING);
        let watch = nacos.configs().watch(ORDERS).expect("valid");
        let service = nacos.naming().subscribe(("s", "ORDERS")).expect("valid");
        for error in [
            nacos.configs().get(ORDERS).await.expect_err("denied"),
            watch.ready().await.expect_err("denied"),
            service.ready().await.expect_err("denied"),
        ] {
            assert_eq!((error.kind(), error.code()), (ErrorKind::Denied, Some(403)));
            let text = chain(&error);
            assert!(text.contains("authorization failed"), "{text}");
            assert!(!text.contains("login") && !text.contains("config/*"), "{text}");
        }
        assert!(nacos.state().get().is_connected());
        assert_eq!(nacos.stats().get().connects, 1);
    });
}

/// r-nacos gives a user namespaces, and a role that may write or not.
#[test]
fn namespaces_of_a_user_of_r_nacos_let_in_everything_there_and_nothing_elsewhere() {
    if !covers(Product::RNacos) {
        return;
    }
    let console = Console::start();
    for (number, (role, namespaces, _)) in NAMESPACES.into_iter().enumerate() {
        console.user("add", &number.to_string(), role, namespaces);
    }
    within(Duration::from_secs(120), async {
        for (number, (role, namespaces, expected)) in NAMESPACES.into_iter().enumerate() {
            for (namespace, expected) in ["public", "team-a"].into_iter().zip(expected) {
                let nacos = console.client(&number.to_string(), namespace).await;
                let seen = let_in(&nacos).await;
                assert_eq!(seen, expected, "{role:?}, {namespaces:?} in {namespace}");
                if role == VISITOR {
                    continue;
                }
                let imitation = TestServer::builder().behaviour(Behaviour::RNacos);
                let imitation = imitation.credentials("ann", "ann").start().await.expect("a port");
                imitation.limit_rights(Some(namespaces));
                let nacos = Server { addr: imitation.addr() }.builder().namespace(namespace);
                let nacos = connect(&nacos.credentials("ann", "ann")).await;
                let seen = let_in(&nacos).await;
                assert_eq!(seen, expected, "imitated: {namespaces:?} in {namespace}");
            }
        }
    });
}

/// It leaves out of a listen what the user may not read, and says nothing: the document seems to be
/// absent, and the listen to be granted.
#[test]
fn document_that_r_nacos_withholds_is_denied_until_the_namespace_is_given() {
    if !covers(Product::RNacos) {
        return;
    }
    let console = Console::start();
    console.user("add", "ann", DEVELOPER, &["team-a"]);
    within(Duration::from_secs(180), async {
        let admin = console.client("nacos", "public").await;
        let publish = async |content| {
            let publish = Publish::new(ORDERS, content).expect("valid");
            admin.configs().publish(publish).await.expect("published");
        };
        publish("1").await;
        let nacos = console.client("ann", "public").await;
        let error = nacos.configs().watch(ORDERS).expect("valid").ready().await;
        let error = error.expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let text = chain(&error);
        assert!(text.contains("NO_NAMESPACE_PERMISSION") && !text.contains("login"), "{text}");

        let watch = nacos.configs().watch(ORDERS).expect("valid");
        console.user("update", "ann", DEVELOPER, &["team-a", ""]);
        let began = Instant::now();
        document_becomes(&watch, Some("1")).await;
        // A token has the rights that the user had at the login.
        println!("the namespace is given after {:?}", began.elapsed());
        // Listened to, not only read once; a poll would come half a minute later.
        let held = |claim: &ClaimState| *claim == ClaimState::Held;
        watch.claim().wait_for(held).await.expect("the client lives");
        for content in ["2", "3"] {
            let began = Instant::now();
            publish(content).await;
            document_becomes(&watch, Some(content)).await;
            println!("`{content}` is seen after {:?}", began.elapsed());
        }
    });
}

/// The requests that this user is let in for, of all that are made about a document and a service
/// of one group.
async fn let_in(nacos: &Client) -> Vec<&'static str> {
    let (configs, naming) = (nacos.configs(), nacos.naming());
    let service = ("s", "ORDERS");
    let published = configs.publish(Publish::new(ORDERS, "1").expect("valid")).await;
    let watch = configs.watch(ORDERS).expect("valid");
    let mut claim = watch.claim();
    let answered =
        claim.wait_for(|claim| matches!(claim, ClaimState::Held | ClaimState::Refused { .. }));
    let listens = *soon("a listen", answered).await.expect("the client lives") == ClaimState::Held;
    let guard = naming.register(service, Instance::new("127.0.0.1", 1)).expect("valid");
    [
        ("publish", is_let_in(published)),
        ("get", is_let_in(configs.get(ORDERS).await)),
        ("listen", listens),
        ("register", is_let_in(guard.ready().await)),
        ("query", is_let_in(naming.query(service).await)),
        ("subscribe", is_let_in(naming.subscribe(service).expect("valid").ready().await)),
    ]
    .into_iter()
    .filter_map(|(request, let_in)| let_in.then_some(request))
    .collect()
}

fn is_let_in<T>(answer: Result<T, Error>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::Denied => false,
        Err(error) => panic!("neither let in nor denied: {}", chain(&error)),
    }
}

/// An error with all its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Creates a user, whose name is the password, with a role of that name, on the server that all
/// tests share that need a login.
fn create(user: &str) {
    administer("users", &[("username", user), ("password", user)]);
    administer("roles", &[("role", user), ("username", user)]);
}

/// Lets this user do it (`r`, `w` or `rw`) as soon as the server reads rights: every 15 s, and when
/// it is asked about a role for the first time.
fn grant(user: &str, right: &str, action: &str) {
    administer("permissions", &[("role", user), ("resource", right), ("action", action)]);
}

/// A client of this user, as soon as the server knows the user.
async fn client(user: &str, namespace: &str) -> Client {
    let request = Request::post("/nacos/v1/auth/users/login");
    let request = request.form("username", user).form("password", user);
    let log_in = || guarded(Product::JavaNacos).ask(&request).expect("an answer").is_ok();
    soon("a login", eventually(async || block_in_place(log_in))).await;
    let addr = guarded(Product::JavaNacos).addr();
    let builder = Server { addr }.builder().namespace(namespace).credentials(user, user);
    connect(&builder).await
}

/// An r-nacos of its own, with its console.
struct Console {
    running: Running,
    token: String,
}

impl Console {
    fn start() -> Self {
        let builder = RNacos::builder().credentials("nacos", "nacos").token_ttl_secs(15);
        let running = builder.console().start().expect("the server starts");
        let login = Request::post("/rnacos/api/console/login/login");
        // The password in base64.
        let login = login.form("username", "nacos").form("password", "bmFjb3M=");
        let answer = login.send(running.console_addr(), PATIENCE).expect("an answer");
        let token = answer.text_field("token").expect("a token").to_owned();
        Self { running, token }
    }

    /// Adds or updates a user, whose name is the password.
    fn user(&self, act: &str, name: &str, role: &str, namespaces: &[&str]) {
        let body = serde_json::json!({
            "username": name, "nickname": name, "password": name, "enable": true, "roles": role,
            "namespacePrivilegeParam": {
                "whitelistIsAll": false, "whitelist": namespaces,
                "blacklistIsAll": false, "blacklist": [],
            },
        });
        let request = Request::post(&format!("/rnacos/api/console/v2/user/{act}"));
        let request = request.header("Token", &self.token).json(&body.to_string());
        let answer = request.send(self.running.console_addr(), PATIENCE).expect("an answer");
        assert!(answer.body().contains("\"success\":true"), "{}", answer.body());
    }

    async fn client(&self, user: &str, namespace: &str) -> Client {
        let builder = Server { addr: self.running.addr() }.builder().namespace(namespace);
        connect(&builder.credentials(user, user)).await
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

/// A role of r-nacos, a user's namespaces, and what they let in, in `public` and in `team-a`.
const NAMESPACES: [(&str, Words, [Words; 2]); 5] = [
    (DEVELOPER, &["team-a"], [LISTEN, EVERYTHING]),
    (DEVELOPER, &[""], [EVERYTHING, LISTEN]),
    // The default namespace has no name there.
    (DEVELOPER, &["public"], [LISTEN, LISTEN]),
    (DEVELOPER, &[], [LISTEN, LISTEN]),
    (VISITOR, &["team-a"], [LISTEN, &["get", "listen", "register", "query", "subscribe"]]),
];
const DEVELOPER: &str = "1";
const VISITOR: &str = "2";
/// It refuses no listen.
const LISTEN: &[&str] = &["listen"];

/// A document and its group, which users compete for.
const ORDERS: (&str, &str) = ("d", "ORDERS");

type Words = &'static [&'static str];

/// A client's namespace, a user's rights to read and write, and what they let in.
const RIGHTS: [(&str, Words, Words); 14] = [
    ("public", &[":ORDERS:config/*"], &["publish", "get"]),
    ("public", &["public:ORDERS:config/*", "public:*:config/*"], NOTHING),
    ("public", &[":*:config/*"], &["publish", "get", "listen"]),
    ("public", &[":[*]:config/[*]"], &["listen"]),
    ("public", &[":ORDERS:config/*", ":[*]:config/[*]"], &["publish", "get", "listen"]),
    ("public", &[":ORDERS:naming/*"], SERVICES),
    ("public", &["public:ORDERS:naming/*"], NOTHING),
    ("public", &["*:*:*"], EVERYTHING),
    ("team-a", &["team-a:ORDERS:config/*"], &["publish", "get"]),
    ("team-a", &["team-a:*:config/*"], &["publish", "get", "listen"]),
    ("team-a", &["team-a:[*]:config/[*]"], &["listen"]),
    ("team-a", &["team-a:ORDERS:naming/*"], SERVICES),
    ("team-a", &[":*:*"], NOTHING),
    ("team-a", &["*:*:*"], EVERYTHING),
];
const NOTHING: &[&str] = &[];
const SERVICES: &[&str] = &["register", "query", "subscribe"];
const EVERYTHING: &[&str] = &["publish", "get", "listen", "register", "query", "subscribe"];
