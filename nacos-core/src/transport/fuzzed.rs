//! Any bytes from a peer: errors at most, never a panic, and never more memory than was sent.
use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use super::{
    answer::decode,
    frame::{Frame, FrameReader},
};
use crate::{
    fuzzed::{captures::Captures, input::Input},
    key::{ConfigKey, ServiceKey},
    server_list::Listing,
    service::Service,
    wire::{
        self, Answer, Failure, Payload,
        config::{
            ConfigChangeBatchListenResponse, ConfigPublishResponse, ConfigQueryResponse,
            ConfigRemoveResponse,
        },
        connection::{HealthCheckResponse, ServerCheckResponse},
        fuzzy::{ConfigFuzzyWatchResponse, NamingFuzzyWatchResponse},
        list::Texts,
        login::LoginAnswer,
        naming::{
            BatchInstanceResponse, InstanceResponse, QueryServiceResponse, ServiceInfo,
            ServiceListResponse, SubscribeServiceResponse,
        },
        push,
    },
};

/// `data` as the body of a response, and as directions for what else a peer might say.
pub(crate) fn decode_anything(data: &[u8]) {
    cut(data);
    list(&String::from_utf8_lossy(data));
    let captures = Captures::all();
    let mut input = Input::new(data);
    list(&lines(&mut input));
    for _ in 0..20 {
        let payload = captures.payload(&mut input);
        read_as_everything(&payload);
        // The same through its own encoding, with a few bytes of it changed.
        let mut frame = super::frame::encode(&payload).to_vec();
        for _ in 0..input.below(4) {
            let at = input.below(frame.len());
            frame[at] = input.byte();
        }
        cut(&frame);
        read_beginning(&frame[..input.below(frame.len())]);
        if input.is_empty() {
            return;
        }
    }
}

/// A possible answer of an address server, out of the parts of such answers.
fn lines(input: &mut Input<'_>) -> String {
    let mut text = String::new();
    for _ in 0..input.below(20) {
        for part in [&SCHEMES[..], &HOSTS, &PORTS, &ENDS] {
            text.push_str(input.one_of(part));
        }
        if input.byte() < 20 {
            text.push_str(&String::from_utf8_lossy(input.bytes(8)));
        }
    }
    text
}

/// A list of servers can be used, told apart and shown, whatever `text` it is read from.
fn list(text: &str) {
    let Listing { servers, unreadable } = Listing::parse(text, 1000, "nacos");
    let mut addresses = BTreeSet::new();
    for server in &servers {
        let host = server.host();
        assert!(!host.is_empty() && host.is_ascii(), "{host:?}");
        assert!(server.port() != 0 && server.grpc_port() == server.port() + 1000);
        assert!(addresses.insert(server.to_string()), "{server} is listed twice");
        let again = Listing::parse(&server.to_string(), 1000, "nacos").servers;
        assert!(matches!(again.as_slice(), [read] if read.is_at(server)), "{server} is another");
    }
    assert!(unreadable.len() <= 8);
    // Escaped, a character may be ten.
    assert!(unreadable.iter().all(|why| why.chars().count() < 1200), "too long to be logged");
}

/// A message of which the rest was not kept.
fn read_beginning(head: &[u8]) {
    let head = Payload::cut(head);
    let _ = push::subject(&head);
    let _ = push::acknowledge(&head);
}

/// A body in pieces of any size, through the frames to the messages.
fn cut(data: &[u8]) {
    let piece = usize::from(data.first().copied().unwrap_or_default()) + 1;
    let mut reader = FrameReader::new(LIMIT);
    for piece in data.chunks(piece) {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(frame) = reader.next(&mut piece) {
            if let Frame::Message(message) = &frame {
                assert!(message.len() <= LIMIT);
            }
            if let Frame::Oversized { head, .. } = &frame {
                assert!(head.len() <= data.len());
                read_beginning(head);
            }
            if let Ok(payload) = decode(frame) {
                read_as_everything(&payload);
            }
        }
        assert!(piece.is_empty(), "a piece that nobody took");
    }
    let _ = reader.is_between_messages();
}

fn read_as_everything(payload: &Payload) {
    answer::<ConfigChangeBatchListenResponse>(payload);
    answer::<ConfigPublishResponse>(payload);
    answer::<ConfigRemoveResponse>(payload);
    answer::<HealthCheckResponse>(payload);
    answer::<ServerCheckResponse>(payload);
    answer::<ConfigFuzzyWatchResponse>(payload);
    answer::<NamingFuzzyWatchResponse>(payload);
    answer::<BatchInstanceResponse>(payload);
    answer::<InstanceResponse>(payload);
    answer::<ServiceListResponse>(payload);
    if let Some(answer) = answer::<ConfigQueryResponse>(payload)
        && let Ok(key) = ConfigKey::try_from("cipher-d")
        && let Ok(document) = answer.into_document(&key)
    {
        assert!(!document.md5.is_empty());
    }
    let key = ServiceKey::try_from("orders").expect("valid");
    if let Some(answer) = answer::<QueryServiceResponse>(payload)
        && let Some(service) = answer.service_info.into_service(key.clone())
    {
        check_service(&service);
    }
    if let Some(answer) = answer::<SubscribeServiceResponse>(payload) {
        check_list(&answer.service_info, &key);
    }
    let _ = wire::parse::<LoginAnswer>(payload);
    match push::read(payload) {
        Ok(push::Push::Service { info, .. }) => check_list(&info, &key),
        Ok(push::Push::ConfigChanged(name)) => drop(name.key()),
        _ => {}
    }
    if let Some(ack) = push::acknowledge(payload) {
        assert!(ack.kind().ends_with("Response") && ack.json().len() < 1024);
    }
}

fn answer<A: Answer>(payload: &Payload) -> Option<A> {
    match wire::decode::<A>(payload) {
        Ok(answer) => Some(answer),
        Err(Failure::Answered(refusal)) => {
            let _ = (refusal.kind(), refusal.says_absent(), refusal.says_being_modified());
            assert!(refusal.to_string().chars().count() < 400, "too long to be logged");
            None
        }
        Err(Failure::Unreadable(why)) => {
            assert!(why.chars().count() < 400, "too long to be logged");
            None
        }
    }
}

/// A list is the same service whatever it is read against.
fn check_list(info: &ServiceInfo<Texts>, key: &ServiceKey) {
    let read = |before| match info.clone().read(key.clone(), before) {
        Ok(list) => list,
        Err(failure) => {
            assert!(failure.to_string().chars().count() < 400, "too long to be logged");
            None
        }
    };
    let _ = (info.name(), info.clone().check());
    let Some(list) = read(None) else { return };
    check_service(&list.service);
    let again = read(Some(&list)).expect("it was readable");
    assert!(Arc::ptr_eq(&again.service.instances, &list.service.instances));
}

/// A service that users see can be used, whatever was sent.
fn check_service(service: &Service) {
    for instance in service.instances.iter() {
        assert!(instance.port != 0 && !instance.ip.is_empty());
        assert!((0.0..=crate::instance::MAX_WEIGHT).contains(&instance.weight));
    }
    assert!(service.instances.is_sorted_by(|a, b| a.identity() < b.identity()));
}

/// Parts of lists of servers, and of what is none.
const SCHEMES: [&str; 5] = ["", "", "https://", "http://", "<br>"];
const HOSTS: [&str; 6] = ["10.0.0.1", "[::1]", "fe80::1%eth0", "nacos-0.nacos", "", "a b"];
const PORTS: [&str; 7] = ["", "", ":8848", ":80", ":0", ":64535", ":64536"];
const ENDS: [&str; 8] = ["\n", "\n", "\r\n", ",", ";", " # ", "/\n", "@"];
/// Of the messages that are kept.
const LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    #[test]
    fn no_bytes_of_a_peer_are_a_panic() {
        crate::fuzzed::cases::for_any_input(2000, super::decode_anything);
    }
}
