//! The captures: what real servers said in one scripted session, found by step.
use std::path::Path;

use serde_json::Value;

use crate::wire::Answer;

/// A recorded session with one server.
#[derive(Debug)]
pub(crate) struct Capture {
    lines: Vec<Line>,
}

#[derive(Debug)]
pub(crate) struct Line {
    step: String,
    pub(crate) ms: u64,
    pub(crate) conn: String,
    dir: String,
    pub(crate) kind: String,
    pub(crate) body: Value,
}

impl Capture {
    pub(crate) fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wire");
        let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl")));
        let text = text.expect("the captures stand in the repository");
        Self { lines: text.lines().map(Line::parse).collect() }
    }

    /// The answers of a step, in order.
    pub(crate) fn answers(&self, step: &str) -> Vec<Answer> {
        let is_answer = |line: &&Line| ["response", "rpc-error"].contains(&line.dir.as_str());
        let answers: Vec<Answer> = self.step(step).filter(is_answer).map(Line::answer).collect();
        assert!(!answers.is_empty(), "no answer in the step {step}");
        answers
    }

    pub(crate) fn answer(&self, step: &str, number: usize) -> Answer {
        self.answers(step).swap_remove(number)
    }

    /// The pushes of a kind in a step, in order.
    pub(crate) fn pushes(&self, step: &str, kind: &str) -> Vec<&Line> {
        self.step(step).filter(|line| line.dir == "push" && line.kind == kind).collect()
    }

    /// The last push of a service in a step.
    pub(crate) fn view(&self, step: &str) -> &Value {
        let pushes = self.pushes(step, "NotifySubscriberRequest");
        &pushes.last().unwrap_or_else(|| panic!("no push in the step {step}")).body["serviceInfo"]
    }

    pub(crate) fn step<'a>(&'a self, step: &str) -> impl Iterator<Item = &'a Line> + use<'a> {
        let step = step.to_owned();
        self.lines.iter().filter(move |line| line.step == step)
    }

    /// Where streams ended in a step.
    pub(crate) fn ends(&self, step: &str) -> Vec<&Line> {
        self.step(step).filter(|line| line.dir == "end").collect()
    }
}

impl Line {
    fn parse(text: &str) -> Self {
        let line: Value = serde_json::from_str(text).expect("a capture is JSON, line by line");
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Self {
            step: text("step"),
            ms: line["ms"].as_u64().expect("a time"),
            conn: text("conn"),
            dir: text("dir"),
            kind: text("type"),
            body: line["body"].clone(),
        }
    }

    fn answer(&self) -> Answer {
        match (self.dir.as_str(), self.kind.as_str()) {
            ("rpc-error", "StatusCode.RESOURCE_EXHAUSTED") => {
                Answer::Failed("gRPC status 8".to_owned())
            }
            // The recorded client's error for a reset of the stream.
            ("rpc-error", "StatusCode.CANCELLED") => {
                let details = self.body["details"].as_str().unwrap_or_default();
                assert!(details.contains("RST_STREAM with error code 8"), "{details}");
                Answer::Failed("stream reset with code 8".to_owned())
            }
            _ => Answer::Message { kind: self.kind.clone(), body: self.body.clone() },
        }
    }
}
