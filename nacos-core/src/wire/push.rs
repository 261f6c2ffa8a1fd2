//! The messages that a server sends on the stream, and how each is acknowledged.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Failure, Payload,
    config::DocumentName,
    fuzzy::{FuzzyChange, FuzzySync, Watched},
    list::Texts,
    naming::ServiceInfo,
    or_default, parse,
    peek::{peek, peek_in},
};
use crate::key::{ConfigKey, Namespace, ServiceKey};

/// A message of the server's on the stream.
#[derive(Clone, Debug)]
pub(crate) enum Push {
    /// The connection is registered; these are the server's abilities.
    SetupAck(BTreeMap<String, bool>),
    /// Asks whether this client is still there.
    ClientDetection,
    /// Asks to move to another server, to this one if there is an address.
    ConnectReset(Option<Redirect>),
    /// A document changed. A hint only: it carries no content.
    ConfigChanged(DocumentName),
    /// A service, in full; Java servers leave out the namespace.
    Service { namespace: Option<Namespace>, info: ServiceInfo<Texts> },
    /// Asks which documents this client holds; [answered](super::metrics), not acknowledged.
    ClientConfigMetric,
    /// Which documents or services match a fuzzy watch.
    FuzzySync(Watched, FuzzySync),
    /// A document or service that a fuzzy watch matches came or went.
    FuzzyChange(Watched, FuzzyChange),
    /// A type that this client does not know.
    Unknown,
}

/// The server to move to. Its main port, not the gRPC one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redirect {
    pub(crate) ip: String,
    pub(crate) port: Option<u16>,
}

/// Reads a push. Its acknowledgement does not depend on whether that works.
pub(crate) fn read(payload: &Payload) -> Result<Push, Failure> {
    Ok(match payload.kind() {
        // That it came is what counts.
        "SetupAckRequest" => {
            Push::SetupAck(parse::<SetupAck>(payload).unwrap_or_default().abilities())
        }
        "ClientDetectionRequest" => Push::ClientDetection,
        "ConnectResetRequest" => Push::ConnectReset(parse::<ConnectReset>(payload)?.redirect()),
        "ConfigChangeNotifyRequest" => Push::ConfigChanged(parse(payload)?),
        "NotifySubscriberRequest" => {
            let push = parse::<NotifySubscriber>(payload)?;
            let namespace = push.namespace.and_then(|id| Namespace::parse(&id).ok());
            Push::Service { namespace, info: push.service_info }
        }
        QUESTION => Push::ClientConfigMetric,
        SYNC => Push::FuzzySync(Watched::Documents, parse(payload)?),
        CHANGE => Push::FuzzyChange(Watched::Documents, parse(payload)?),
        "NamingFuzzyWatchSyncRequest" => Push::FuzzySync(Watched::Services, parse(payload)?),
        "NamingFuzzyWatchChangeNotifyRequest" => {
            Push::FuzzyChange(Watched::Services, parse(payload)?)
        }
        _ => Push::Unknown,
    })
}

/// The subject of a push that cannot be read, as far as its beginning tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    /// A service, as far as it is known which; without its namespace, which Java servers leave out.
    Service(Option<ServiceKey>),
    /// A document, without its namespace.
    Document(Option<ConfigKey>),
    /// Documents that match a pattern.
    Matches,
    /// Unknown: its beginning does not tell.
    Anything,
    /// Nothing of which a client keeps something.
    Nothing,
}

/// See [`Subject`].
pub(crate) fn subject(payload: &Payload) -> Subject {
    let json = payload.json();
    match payload.kind() {
        "NotifySubscriberRequest" => {
            let part = |name| peek_in::<String>(json, &["serviceInfo", name]);
            let name = part("name").zip(part("groupName"));
            Subject::Service(name.and_then(|name| ServiceKey::try_from((&*name.0, &*name.1)).ok()))
        }
        "ConfigChangeNotifyRequest" => {
            let name = peek(json, "dataId").zip(peek(json, "group"));
            let name: Option<(String, String)> = name;
            Subject::Document(name.and_then(|name| ConfigKey::try_from((&*name.0, &*name.1)).ok()))
        }
        SYNC | CHANGE => Subject::Matches,
        "" => Subject::Anything,
        _ => Subject::Nothing,
    }
}

/// Whether a push is a question: it gets an answer, no acknowledgement.
pub(crate) fn is_question(payload: &Payload) -> bool {
    payload.kind() == QUESTION
}

/// The acknowledgement that a push asks for; none for questions, and for those without a
/// `requestId`.
///
/// Unknown pushes are acknowledged too: a server repeats a push until it is acknowledged, and after
/// fifty tries ends the connection.
pub(crate) fn acknowledge(payload: &Payload) -> Option<Payload> {
    if is_question(payload) { None } else { answer(payload, None) }
}

/// The answer to a push that has a `requestId`.
pub(super) fn answer(
    payload: &Payload,
    metrics: Option<&BTreeMap<&str, String>>,
) -> Option<Payload> {
    // Servers put it in front of whatever is large, and what follows it does not matter.
    // A longer one is no counter, and would be sent back as it is.
    let usable = |id: &String| !id.is_empty() && id.len() <= MAX_REQUEST_ID;
    let request_id = peek(payload.json(), "requestId").filter(usable)?;
    let stem = payload.kind().strip_suffix("Request")?;
    let ack = Acknowledgement { result_code: 200, error_code: 0, request_id: &request_id, metrics };
    Some(Payload::new(&format!("{stem}Response"), serde_json::to_vec(&ack).ok()?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Acknowledgement<'a> {
    result_code: i32,
    error_code: i32,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a BTreeMap<&'a str, String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SetupAck {
    #[serde(deserialize_with = "or_default")]
    ability_table: BTreeMap<String, Option<bool>>,
}

impl SetupAck {
    fn abilities(self) -> BTreeMap<String, bool> {
        self.ability_table.into_iter().filter_map(|(name, on)| Some((name, on?))).collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConnectReset {
    #[serde(deserialize_with = "or_default")]
    server_ip: String,
    #[serde(deserialize_with = "or_default")]
    server_port: String,
}

impl ConnectReset {
    fn redirect(self) -> Option<Redirect> {
        let port = self.server_port.parse().ok();
        (!self.server_ip.is_empty()).then_some(Redirect { ip: self.server_ip, port })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NotifySubscriber {
    namespace: Option<String>,
    #[serde(deserialize_with = "or_default")]
    service_info: ServiceInfo<Texts>,
}

/// The only push that asks for more than an acknowledgement.
const QUESTION: &str = "ClientConfigMetricRequest";
const SYNC: &str = "ConfigFuzzyWatchSyncRequest";
const CHANGE: &str = "ConfigFuzzyWatchChangeNotifyRequest";
/// Servers count in decimal.
const MAX_REQUEST_ID: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn push(kind: &str, json: &str) -> Payload {
        Payload::new(kind, json.as_bytes().to_vec())
    }

    #[test]
    fn unknown_push_is_acknowledged_by_the_stem_of_its_name() {
        let ack =
            acknowledge(&push("NoveltyRequest", r#"{"requestId":"7","x":1}"#)).expect("an ack");
        assert_eq!(ack.kind(), "NoveltyResponse");
        assert_eq!(ack.json(), br#"{"resultCode":200,"errorCode":0,"requestId":"7"}"#);
    }

    #[test]
    fn push_without_request_id_asks_for_no_acknowledgement() {
        for json in ["{}", r#"{"requestId":null}"#, r#"{"requestId":""}"#, "garbage"] {
            assert_eq!(acknowledge(&push("SetupAckRequest", json)), None, "{json}");
        }
    }

    #[test]
    fn unreadable_push_is_still_acknowledged() {
        let payload = push("NotifySubscriberRequest", r#"{"requestId":"9","serviceInfo":"html"}"#);
        assert!(read(&payload).is_err());
        assert!(acknowledge(&payload).is_some());
    }

    #[test]
    fn beginning_of_a_push_tells_what_it_is_about() {
        let service = ServiceKey::try_from(("orders", "PAY")).expect("valid");
        let document = ConfigKey::try_from(("d", "PAY")).expect("valid");
        let (notice, change) = ("NotifySubscriberRequest", "ConfigChangeNotifyRequest");
        for (kind, json, subject) in [
            (
                notice,
                r#"{"requestId":"1","serviceInfo":{"name":"orders","groupName":"PAY","hosts":[{"#,
                Subject::Service(Some(service)),
            ),
            (notice, r#"{"requestId":"1","serviceInfo":{"name":"ord"#, Subject::Service(None)),
            (notice, r#"{"serviceInfo":7}"#, Subject::Service(None)),
            (change, r#"{"dataId":"d","group":"PAY","x":"#, Subject::Document(Some(document))),
            (change, r#"{"dataId":7,"group":"PAY"}"#, Subject::Document(None)),
            ("NoveltyRequest", "{", Subject::Nothing),
            ("", "", Subject::Anything),
        ] {
            assert_eq!(super::subject(&push(kind, json)), subject, "{kind} {json}");
        }
    }

    #[test]
    fn setup_is_acknowledged_whatever_its_table_holds() {
        for json in
            [r#"{"abilityTable":{"lock":true,"x":null}}"#, r#"{"abilityTable":7}"#, "<html>"]
        {
            assert!(
                matches!(read(&push("SetupAckRequest", json)), Ok(Push::SetupAck(_))),
                "{json}"
            );
        }
    }

    #[test]
    fn reset_names_a_server_or_none() {
        let reset = |json| match read(&push("ConnectResetRequest", json)) {
            Ok(Push::ConnectReset(redirect)) => redirect,
            other => panic!("{other:?}"),
        };
        assert_eq!(reset(r#"{"requestId":"1"}"#), None);
        let redirect = Redirect { ip: "10.0.0.2".to_owned(), port: Some(8848) };
        assert_eq!(reset(r#"{"serverIp":"10.0.0.2","serverPort":"8848"}"#), Some(redirect));
    }

    #[test]
    fn push_is_acknowledged_wherever_its_id_stands_and_whatever_follows_it() {
        let acknowledged = |json: &str| {
            let push = Payload::new("NotifySubscriberRequest", json.as_bytes().to_vec());
            acknowledge(&push).map(|ack| String::from_utf8_lossy(ack.json()).into_owned())
        };
        let expected = r#"{"resultCode":200,"errorCode":0,"requestId":"7"}"#;
        for json in [
            r#"{"requestId":"7","serviceInfo":{}}"#,
            r#"{"serviceInfo":{"hosts":[{"requestId":"8"}]},"requestId":"7"}"#,
            r#"{"requestId":"7","serviceInfo":{"hosts":["#,
            r#"{"\u0072equestId":"7"}"#,
        ] {
            assert_eq!(acknowledged(json).as_deref(), Some(expected), "{json}");
        }
        for json in ["", "[]", "{", r#"{"requestId":7}"#, r#"{"a":tru,"requestId":"7"}"#] {
            assert_eq!(acknowledged(json), None, "{json}");
        }
    }
}
