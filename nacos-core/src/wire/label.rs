//! Labels of metrics: the type of a message and its outcome, in words that come from a list.
use super::{Payload, Request, SUCCESS, config, connection, fuzzy, naming, peek::peek};

/// The type of one of our own requests.
pub(crate) fn request_kind(payload: &Payload) -> &'static str {
    known(&REQUESTS, payload)
}

/// The type of a push.
pub(crate) fn push_kind(payload: &Payload) -> &'static str {
    known(&PUSHES, payload)
}

fn known(list: &[&'static str], payload: &Payload) -> &'static str {
    list.iter().find(|known| **known == payload.kind()).unwrap_or(&"other")
}

/// The code of an answer, without reading the rest of it.
pub(crate) fn code(payload: &Payload) -> i32 {
    let json = payload.json();
    let result = peek(json, "resultCode").unwrap_or_default();
    let error = || peek(json, "errorCode").filter(|&code| code != 0);
    if result == SUCCESS { result } else { error().unwrap_or(result) }
}

/// Those that the session sends by itself; users' requests name their type.
const REQUESTS: [&str; 9] = [
    connection::ServerCheckRequest::TYPE,
    connection::HealthCheckRequest::TYPE,
    config::ConfigBatchListenRequest::TYPE,
    config::ConfigQueryRequest::TYPE,
    fuzzy::ConfigFuzzyWatchRequest::TYPE,
    naming::BatchInstanceRequest::TYPE,
    naming::InstanceRequest::TYPE,
    naming::ServiceQueryRequest::TYPE,
    naming::SubscribeServiceRequest::TYPE,
];

const PUSHES: [&str; 10] = [
    "ClientConfigMetricRequest",
    "ClientDetectionRequest",
    "ConfigChangeNotifyRequest",
    "ConfigFuzzyWatchChangeNotifyRequest",
    "ConfigFuzzyWatchSyncRequest",
    "ConnectResetRequest",
    "NamingFuzzyWatchChangeNotifyRequest",
    "NamingFuzzyWatchSyncRequest",
    "NotifySubscriberRequest",
    "SetupAckRequest",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_read_without_the_rest() {
        let code = |json: &str| code(&Payload::new("X", json.as_bytes().to_vec()));
        assert_eq!(code(r#"{"resultCode":200,"errorCode":0,"content":"cut o"#), 200);
        assert_eq!(code(r#"{"content":"a","resultCode":500,"errorCode":403}"#), 403);
        assert_eq!(code(r#"{"errorCode":0,"resultCode":500}"#), 500);
        assert_eq!(code("<html>"), 0);
    }

    #[test]
    fn unknown_types_are_one() {
        assert_eq!(push_kind(&Payload::new("Whatever", Vec::new())), "other");
        assert_eq!(request_kind(&Payload::new("InstanceRequest", Vec::new())), "InstanceRequest");
    }
}
