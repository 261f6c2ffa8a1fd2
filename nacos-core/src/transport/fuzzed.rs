//! Whatever bytes a peer sends: errors at most, never a panic, and never more memory than was sent.
use bytes::Bytes;

use super::{
    answer::decode,
    frame::{Frame, FrameReader},
};
use crate::{
    fuzzed::{Captures, Input},
    key::ServiceKey,
    wire::{
        self, Answer, Failure, Payload,
        config::{
            ConfigChangeBatchListenResponse, ConfigPublishResponse, ConfigQueryResponse,
            ConfigRemoveResponse,
        },
        connection::{HealthCheckResponse, ServerCheckResponse},
        fuzzy::{ConfigFuzzyWatchResponse, NamingFuzzyWatchResponse},
        login::LoginAnswer,
        naming::{
            BatchInstanceResponse, InstanceResponse, QueryServiceResponse, ServiceListResponse,
            SubscribeServiceResponse,
        },
        push,
    },
};

/// `data` as the body of a response, and as directions for what else a peer might say.
pub(crate) fn decode_anything(data: &[u8]) {
    cut(data);
    let captures = Captures::all();
    let mut input = Input::new(data);
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
        && let Ok(document) = answer.into_document()
    {
        assert!(!document.md5.is_empty());
    }
    let key = ServiceKey::try_from("orders").expect("valid");
    if let Some(answer) = answer::<QueryServiceResponse>(payload) {
        check_service(answer.service_info, key.clone());
    }
    if let Some(answer) = answer::<SubscribeServiceResponse>(payload) {
        check_service(answer.service_info, key.clone());
    }
    let _ = wire::parse::<LoginAnswer>(payload);
    match push::read(payload) {
        Ok(push::Push::Service { info, .. }) => check_service(info, key),
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

/// What users see of a service can be used, whatever was sent.
fn check_service(info: wire::naming::ServiceInfo, key: ServiceKey) {
    let _ = info.name();
    let Some(service) = info.into_service(key) else { return };
    for instance in service.instances.iter() {
        assert!(instance.port != 0 && !instance.ip.is_empty());
        assert!((0.0..=crate::instance::MAX_WEIGHT).contains(&instance.weight));
    }
    assert!(service.instances.is_sorted_by(|a, b| a.identity() < b.identity()));
}

/// Of the messages that are kept.
const LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    #[test]
    fn no_bytes_of_a_peer_are_a_panic() {
        crate::fuzzed::for_any_input(2000, super::decode_anything);
    }
}
