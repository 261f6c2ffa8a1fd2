//! How what was said in several places becomes the options of one client.
use super::*;
use crate::{credentials::StaticToken, server_list::ListSource};

/// A builder made from an environment of exactly these.
fn in_environment(variables: &[(&str, &str)]) -> ClientBuilder {
    let environment = Box::new(env::of(variables).expect("readable"));
    ClientBuilder { environment, ..ClientBuilder::new() }
}

fn checked(builder: ClientBuilder) -> connection::Options {
    builder.check().unwrap_or_else(|error| panic!("{error:?}"))
}

#[test]
fn servers_named_in_code_beat_those_of_the_environment() {
    let environment = in_environment(&[
        ("NACOS_ENDPOINT", "http://jmenv/list"),
        ("NACOS_ENDPOINT_QUERY", "token=t"),
    ]);
    let options = checked(environment.clone().server_addr("a:1"));
    assert_eq!((options.server_names().as_str(), options.server_list.is_none()), ("a:1", true));
    let options = checked(environment.clone().server_dns("nacos"));
    assert!(matches!(options.server_list.expect("a name").source, ListSource::Name(_)));
    let options = checked(environment);
    assert!(matches!(
        options.server_list.expect("an endpoint").source,
        ListSource::AddressServer(_)
    ));
    let options = checked(in_environment(&[("NACOS_SERVER_ADDR", "b:1")]).server_addr("a:1"));
    assert_eq!(options.server_names(), "a:1");
}

#[test]
fn namespace_in_code_beats_every_namespace_of_the_environment() {
    let environment = in_environment(&[
        ("NACOS_SERVER_ADDR", "a"),
        ("NACOS_CONFIG_NAMESPACE", "prod"),
        ("ALIBABA_ALIWARE_NAMESPACE", "theirs"),
    ]);
    let namespaces = |builder: ClientBuilder| {
        let options = checked(builder);
        let text = |namespace: &crate::Namespace| namespace.as_str().to_owned();
        (text(&options.session.config_namespace), text(&options.session.naming_namespace))
    };
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(namespaces(environment.clone()), pair("prod", "theirs"));
    assert_eq!(namespaces(environment.clone().namespace("dev")), pair("dev", "dev"));
    assert_eq!(namespaces(environment.naming_namespace("dev")), pair("prod", "dev"));
}

#[test]
fn credentials_in_code_beat_those_of_another_kind_in_the_environment() {
    let environment = in_environment(&[
        ("NACOS_SERVER_ADDR", "a"),
        ("NACOS_ACCESS_TOKEN_FILE", "/token"),
        ("NACOS_APP", "orders"),
    ]);
    let options = checked(environment.clone().credentials("nacos", "nacos"));
    let who = format!("{:?}", options.access.credentials);
    assert!(who.contains("UserPassword"), "{who}");
    assert_eq!(options.session.app, "orders", "what is not contradicted stays");
    let who = format!("{:?}", checked(environment.access_token("t")).access.credentials);
    assert!(who.contains("StaticToken") && !who.contains("/token"), "{who}");
}

#[test]
fn tls_switched_off_in_code_beats_all_that_the_environment_says_about_it() {
    let environment = in_environment(&[
        ("NACOS_SERVER_ADDR", "a"),
        ("nacos_remote_client_rpc_tls_enable", "true"),
        ("nacos_remote_client_rpc_tls_trustAll", "true"),
        ("NACOS_TLS_CA_FILE", "/there/is/no/such/file"),
    ]);
    assert!(environment.clone().check().is_err());
    let options = checked(environment.tls(false));
    assert!(!options.transport.dialer.secures_grpc(&options.servers[0]));
}

#[test]
fn options_of_a_file_stand_between_code_and_the_environment() {
    let file = r#"{"serverAddr": "file", "app": "file", "request-timeout": "3s"}"#;
    let file = serde_json::from_str(file).expect("readable");
    let builder = in_environment(&[
        ("NACOS_ENDPOINT", "jmenv"),
        ("NACOS_APP", "environment"),
        ("NACOS_SUSPECT_AFTER", "2s"),
    ]);
    let options = checked(builder.options(file).app("code"));
    assert_eq!(
        (options.server_names().as_str(), options.session.app.as_str()),
        ("file:8848", "code")
    );
    assert_eq!(options.session.request_timeout, Duration::from_secs(3));
    assert_eq!(options.session.patience.suspect, Duration::from_secs(2));
}

#[test]
fn own_credentials_take_the_place_of_what_options_say_right_or_wrong() {
    let builder = ClientBuilder::new().server_addr("a");
    for builder in [
        builder.clone().username("nobody knows the password"),
        builder.clone().username("nacos").access_token("a"),
        builder.access_key("only half of it"),
    ] {
        assert!(builder.clone().check().is_err());
        let checked = builder.with_credentials(StaticToken::new("a")).check().expect("valid");
        assert!(format!("{:?}", checked.access.credentials).contains("StaticToken"));
    }
}

#[test]
fn address_of_a_platforms_form_under_a_users_name_is_named_with_its_cause() {
    let platform =
        [("ALIBABA_ALIWARE_ENDPOINT_URL", "jmenv"), ("NACOS_ENDPOINT_PORT", "tcp://10.0.0.1:8080")];
    for (name, value) in [
        ("NACOS_SERVER_ADDR", "tcp://10.0.0.1:8848"),
        ("NACOS_ENDPOINT", "tcp://10.0.0.1:8848"),
        ("NACOS_SERVER_DNS", "tcp://10.0.0.1:8848"),
        ("serverAddr", "udp://[fd00::1]:8848"),
        ("ALIBABA_ALIWARE_ENDPOINT_URL", "tcp://10.0.0.1:8080"),
    ] {
        let beside: Vec<_> = platform.into_iter().filter(|_| name.starts_with("NACOS")).collect();
        let environment = in_environment(&[&beside[..], &[(name, value)]].concat());
        let error = chain(&environment.clone().check().expect_err(name));
        let scheme = value.split_once(':').expect("it has one").0;
        for part in [name, &format!("`{scheme}`")] {
            assert!(error.contains(part), "no {part}: {error}");
        }
        // A program that names a server in code asks for no other.
        assert_eq!(checked(environment.server_addr("a:1")).server_names(), "a:1");
    }
    let theirs = [("ALIBABA_ALIWARE_ENDPOINT_URL", "tcp://10.0.0.1:8080")];
    let named = in_environment(&[&theirs[..], &[("NACOS_SERVER_ADDR", "a:1")]].concat());
    assert_eq!(checked(named).server_names(), "a:1");
}

#[test]
fn other_address_that_cannot_be_read_is_named_by_its_variable_too() {
    let error = |builder: ClientBuilder| chain(&builder.check().expect_err("no address"));
    let environment = in_environment(&[("NACOS_SERVER_ADDR", "a b")]);
    assert!(error(environment.clone()).contains("the variable NACOS_SERVER_ADDR"));
    let code = error(environment.server_addr("a b"));
    assert!(!code.contains("NACOS_SERVER_ADDR") && code.contains("`server_addr`"), "{code}");
}

#[test]
fn what_was_not_read_is_named_where_no_server_is() {
    let link = "tcp://10.0.0.1:8080";
    for name in ["NACOS_ENDPOINT_PORT", "ALIBABA_ALIWARE_ENDPOINT_PORT"] {
        let error = chain(&in_environment(&[(name, link)]).check().expect_err("no server"));
        assert!(error.contains(name) && error.contains("Kubernetes"), "{error}");
    }
    let file = r#"{ "port": "tcp://10.0.0.1:8848", "service_host": "10.0.0.1" }"#;
    let file: ClientOptions = serde_json::from_str(file).expect("readable");
    let builder = ClientBuilder::new().options(file);
    let error = chain(&builder.clone().check().expect_err("no server"));
    for name in ["`port`", "`service_host`", "Kubernetes"] {
        assert!(error.contains(name), "no {name}: {error}");
    }
    assert_eq!(checked(builder.server_addr("a:1")).server_names(), "a:1");
    let nothing = chain(&ClientBuilder::new().check().expect_err("no server"));
    assert!(!nothing.contains("Kubernetes"), "{nothing}");
}

fn chain(error: &Error) -> String {
    use std::error::Error as _;
    format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default())
}
