//! The faults that a test can plan for single answers and pushes.

use std::collections::{HashMap, VecDeque};

/// The fault of the next push.
///
/// Applies to everything that is pushed but the setup acknowledgement, probes and resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushFault {
    /// None: it is sent as it should be, and the fault planned next is for a later one.
    None,
    /// It is lost: the server takes it for acknowledged and never repeats it.
    Drop,
    /// It is sent twice, with the same `requestId`.
    Duplicate,
    /// It waits for the next push to the same connection, however long, and leaves after that one.
    Reorder,
}

/// An answer that no server gives on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RawAnswer {
    /// These bytes as the whole body of the response, frame header included.
    Body(Vec<u8>),
    /// These bytes where the protobuf envelope belongs, in a correct frame.
    Envelope(Vec<u8>),
    /// An HTML page with status 502, as a proxy answers that has lost its server.
    Html,
    /// A correct envelope of this type around this text, be it JSON or not.
    Message {
        /// The type in the envelope.
        message_type: String,
        /// The text in the place of the JSON body.
        body: String,
    },
    /// An otherwise correct success whose JSON is padded to this many bytes.
    Oversized(usize),
    /// The stream is reset (`RST_STREAM`, `CANCEL`); the connection lives on.
    Reset,
    /// No answer, ever; the connection lives on.
    Silent,
    /// A gRPC status instead of a message.
    Status {
        /// The number of the gRPC status.
        code: u8,
        /// Its message; kept to visible ASCII.
        message: String,
    },
    /// A frame whose header promises more than the body holds.
    TruncatedFrame,
}

/// The faults that the test has planned.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) withhold_setup_ack: bool,
    /// Whether nothing but what keeps a connection is answered.
    pub(crate) is_mute: bool,
    pub(crate) pushes: VecDeque<PushFault>,
    always: HashMap<String, i32>,
    answers: HashMap<String, VecDeque<Planned>>,
}

/// An answer planned for one request.
#[derive(Debug)]
pub(crate) enum Planned {
    Code(i32),
    Raw(RawAnswer),
}

impl Faults {
    pub(crate) fn plan(&mut self, message_type: &str, answer: Planned) {
        self.answers.entry(message_type.to_owned()).or_default().push_back(answer);
    }

    pub(crate) fn always(&mut self, message_type: &str, code: Option<i32>) {
        match code {
            Some(code) => self.always.insert(message_type.to_owned(), code),
            None => self.always.remove(message_type),
        };
    }

    /// The planned answer to a request of this type; single ones come before standing ones.
    pub(crate) fn take(&mut self, message_type: &str) -> Option<Planned> {
        if self.is_mute && !["ServerCheckRequest", "HealthCheckRequest"].contains(&message_type) {
            return Some(Planned::Raw(RawAnswer::Silent));
        }
        let next = self.answers.get_mut(message_type).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(message_type).copied().map(Planned::Code))
    }
}
