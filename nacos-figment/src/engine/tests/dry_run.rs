//! Dry runs: the outcome of a publish, without it.
use super::*;

#[tokio::test(start_paused = true)]
async fn dry_run_tells_the_value_and_the_resources_that_a_publish_would_make_and_makes_none() {
    let documents = [("a.json", Some(r#"{"n": 1, "db": "one"}"#)), ("b.json", Some(r#"{"n": 2}"#))];
    let (documents, config) = start(spec(), &documents).await.expect("valid");
    let built = |db: String| async move { Ok::<_, std::io::Error>(db) };
    let pool = config.resource("db", |config| &config.db, built).await.expect("built");
    let limit = config.resource("n", |config| &config.n, async |n| Ok::<_, std::io::Error>(n));
    drop(limit.await.expect("built"));

    let outcome = config.dry_run(("a.json", "G"), r#"{"n": 7, "db": "two"}"#).await;
    let outcome = outcome.expect("valid");
    let expected = Config { n: 2, db: "two".to_owned() };
    assert_eq!((outcome.generation, &*outcome.value), (4, &expected), "b overrides a");
    assert_eq!(outcome.rebuilt, [Arc::from("db")], "nobody reads the other resource");
    assert_eq!((config.hot().generation(), pool.load().as_str()), (3, "one"));

    let same = config.dry_run(("b.json", "G"), r#"{"n": 2 }"#).await.expect("valid");
    assert_eq!(same.rebuilt, [] as [Arc<str>; 0]);
    let unchanged = config.dry_run(("b.json", "G"), r#"{"n": 2}"#).await.expect("valid");
    assert_eq!(unchanged.generation, 3, "a publish of what is in force changes nothing");
    assert!(!format!("{outcome:?}").contains("two"), "no value is shown: {outcome:?}");

    // The same, published.
    documents.publish(0, r#"{"n": 7, "db": "two"}"#);
    generation(&config, 4).await;
    assert_eq!((&*config.hot().load(), pool.load().as_str()), (&expected, "two"));
}

#[tokio::test(start_paused = true)]
async fn dry_run_of_what_would_be_rejected_says_why_and_where_and_rejects_nothing() {
    let spec = Spec { checks: vec![Box::new(small)], ..spec() };
    let (_documents, config) =
        start(spec, &[("a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    for (content, stage) in [
        ("{", Stage::Parse),
        ("{\n\"n\": \"many\"}", Stage::Extract),
        (r#"{"n": 10}"#, Stage::Validate),
    ] {
        let error = config.dry_run(("a.json", "G"), content).await.expect_err("rejected");
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
        let rejection = error.rejection().expect("it is one");
        assert_eq!((rejection.kept, rejection.stage), (1, stage));
        assert!(rejection.to_string().contains("a.json"), "{rejection}");
    }
    assert_eq!(config.status().get().rejection, None);
    assert_eq!(config.hot().generation(), 1);
}

#[tokio::test(start_paused = true)]
async fn dry_run_is_of_a_document_that_is_imported_be_it_absent_or_not() {
    let (_documents, config) =
        start(spec(), &[("a.json", Some(r#"{"n": 1}"#)), ("b.json", None)]).await.expect("valid");
    let outcome = config.dry_run(("b.json", "G"), r#"{"n": 3}"#).await.expect("valid");
    assert_eq!(outcome.value.n, 3);
    for other in ["c.json", "b.json"] {
        let error = config.dry_run(other, "{}").await.expect_err("in another group, or unknown");
        assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error:?}");
    }
    let error = config.dry_run("no name/", "{}").await.expect_err("no name");
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn dry_run_of_a_document_that_nobody_decrypts_is_rejected_as_a_publish_is() {
    let (documents, config) =
        start(spec(), &[("a.json", Some(r#"{"n": 1}"#))]).await.expect("valid");
    let mut cipher = Document::new("4a76b0b5", "text");
    cipher.encrypted_data_key = Some("the key".into());
    documents.set(0, DocumentState::Present(cipher));
    let error = config.dry_run(("a.json", "G"), r#"{"n": 2}"#).await.expect_err("unreadable");
    assert_eq!(error.rejection().expect("it is one").stage, Stage::Collect);
}

/// The end of a removed document is an event that a dry run must not take away.
#[tokio::test(start_paused = true)]
async fn removal_that_a_dry_run_is_the_first_to_see_is_followed() {
    let documents = &[("a.json", Some(r#"{"n": 1}"#)), ("b.json", Some(r#"{"n": 2}"#))];
    let (documents, config) = start(spec(), documents).await.expect("valid");
    documents.set(1, DocumentState::Absent);
    pass(Duration::from_millis(2999)).await;
    assert_eq!(config.hot().load().n, 2, "it may come back");
    for _ in 0..100 {
        let outcome = config.dry_run(("a.json", "G"), r#"{"n": 1}"#).await.expect("valid");
        pass(Duration::from_micros(100)).await;
        if outcome.value.n == 1 {
            break;
        }
    }
    generation(&config, 2).await;
    assert_eq!(config.hot().load().n, 1);
}

fn small(config: &Config) -> Result<(), Box<dyn Error + Send + Sync>> {
    if config.n > 9 { Err("too large".into()) } else { Ok(()) }
}
