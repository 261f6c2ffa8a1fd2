//! The bare wire: requests as they travel, and words for what comes back.
use std::{collections::HashMap, time::Duration};

use serde_json::{Map, Value, json};
use tokio::time::{Interval, interval};

use crate::{
    client::{Client, Down, Failure, setup},
    subject::Subject,
    trace::{self, group},
    witness,
};

/// A connection that a server has registered, and the token for it.
pub(crate) struct Wire {
    pub(crate) client: Client,
    token: Option<String>,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Message { kind: String, body: Value },
    Failed(String),
}

impl Wire {
    /// A connection to the server that lets all clients in.
    pub(crate) async fn to(subject: &Subject) -> Self {
        Self::registered(subject.open.grpc_addr(), subject.token.clone(), &setup()).await
    }

    /// A connection to the server that demands a login.
    pub(crate) async fn to_guarded(subject: &Subject, token: Option<String>) -> Self {
        Self::registered(subject.guarded.grpc_addr(), token, &setup()).await
    }

    /// A connection whose transport is there, and nothing else.
    pub(crate) async fn bare(addr: std::net::SocketAddr) -> Self {
        Self { client: Client::connect(addr).await.expect("the server listens"), token: None }
    }

    pub(crate) async fn registered(
        addr: std::net::SocketAddr,
        token: Option<String>,
        setup: &Value,
    ) -> Self {
        let mut wire = Self { token, ..Self::bare(addr).await };
        wire.ask_unheard("ServerCheckRequest").await.granted();
        wire.client.open().await;
        wire.client.send("ConnectionSetupRequest", setup);
        // Not every server says when it knows the connection.
        let health = async || wire.ask_unheard("HealthCheckRequest").await;
        eventually(async || health().await.code() == 200).await;
        wire
    }

    /// Asks; the fields that every request has are added.
    pub(crate) async fn ask(&self, kind: &str, body: Value) -> Answer {
        self.ask_raw(kind, asked(body)).await
    }

    /// Asks with these headers beside the token.
    pub(crate) async fn ask_with(
        &self,
        kind: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = asked(body);
        trace::asked(kind, &body);
        let answer = self.call_with(kind, body, headers).await;
        if let Answer::Message { kind, body } = &answer {
            witness::heard(kind, body);
        }
        answer
    }

    /// Asks with a body as it is.
    pub(crate) async fn ask_raw(&self, kind: &str, body: String) -> Answer {
        trace::asked(kind, &body);
        let answer = self.call(kind, body).await;
        if let Answer::Message { kind, body } = &answer {
            witness::heard(kind, body);
        }
        answer
    }

    /// Asks as every check begins: such an answer needs no witness.
    async fn ask_unheard(&self, kind: &str) -> Answer {
        self.call(kind, asked(json!({}))).await
    }

    async fn call(&self, kind: &str, body: String) -> Answer {
        self.call_with(kind, body, &[]).await
    }

    async fn call_with(&self, kind: &str, body: String, headers: &[(&str, &str)]) -> Answer {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut headers: HashMap<_, _> = headers.iter().map(owned).collect();
        headers.extend(self.token.clone().map(|token| ("accessToken".to_owned(), token)));
        match self.client.call_with(kind, &headers, body).await {
            Ok((kind, body)) => Answer::Message { kind, body },
            Err(Failure::Reset(code)) => Answer::Failed(format!("stream reset with code {code}")),
            Err(Failure::Status { code, .. }) => Answer::Failed(format!("gRPC status {code}")),
            Err(other) => Answer::Failed(format!("{other:?}")),
        }
    }

    /// The next push, acknowledged; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        let next = tokio::time::timeout(PATIENCE, self.client.next()).await;
        match next.expect("a push that must come") {
            Down::Push { message_type, body } => {
                witness::heard(&message_type, &body);
                // The acknowledgement of a setup is none of those that want to be acknowledged.
                if body.get("requestId").is_some() {
                    self.client.acknowledge(&message_type, &body);
                }
                Some((message_type, body))
            }
            Down::End(_) => None,
        }
    }

    /// The next push of this kind, all others acknowledged on the way.
    pub(crate) async fn push(&mut self, kind: &str) -> Value {
        loop {
            let (found, body) = self.next().await.expect("the stream stays");
            if found == kind {
                return body;
            }
        }
    }

    /// Takes pushes of a service until its instances satisfy `condition`; returns that push.
    pub(crate) async fn view(
        &mut self,
        service: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Value {
        loop {
            let push = self.push("NotifySubscriberRequest").await;
            let info = &push["serviceInfo"];
            if info["name"] == service && condition(info) {
                return info.clone();
            }
        }
    }

    /// Asks for a service until its instances satisfy `condition`; returns the service.
    pub(crate) async fn found(&self, service: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut pace = pace();
        loop {
            pace.tick().await;
            let answer = self.ask("ServiceQueryRequest", query(service)).await;
            let info = answer.field("serviceInfo");
            if condition(&info) {
                return info;
            }
        }
    }

    /// Publishes, and waits until it can be read.
    pub(crate) async fn publish(&self, data_id: &str, content: &str) {
        self.publish_as(data_id, json!({ "content": content })).await;
        self.reads(data_id, content).await;
    }

    /// Publishes with these fields, again where the embedded database of Java Nacos refuses because
    /// others write as well.
    pub(crate) async fn publish_as(&self, data_id: &str, fields: Value) {
        let body = with(&document(data_id), fields);
        eventually(async || {
            let answer = self.ask("ConfigPublishRequest", body.clone()).await;
            let is_busy = answer.said().contains("A lock could not be obtained");
            assert!(answer.code() == 200 || is_busy, "{answer:?}");
            !is_busy
        })
        .await;
    }

    /// Waits until this content is what a query brings.
    pub(crate) async fn reads(&self, data_id: &str, content: &str) {
        eventually(async || {
            let answer = self.ask("ConfigQueryRequest", document(data_id)).await;
            answer.field("content") == content
        })
        .await;
    }

    /// Removes, and waits until that is seen.
    pub(crate) async fn remove(&self, data_id: &str) {
        self.ask("ConfigRemoveRequest", document(data_id)).await.granted();
        eventually(async || self.ask("ConfigQueryRequest", document(data_id)).await.code() == 300)
            .await;
    }

    /// Listens to a document with this digest of what it knows.
    pub(crate) async fn listen(&self, data_id: &str, md5: &str) -> Answer {
        let context = with(&document(data_id), json!({ "md5": md5 }));
        let body = json!({ "listen": true, "configListenContexts": [context] });
        self.ask("ConfigBatchListenRequest", body).await
    }

    pub(crate) async fn subscribe(&self, service: &str) -> Value {
        self.subscribe_to(service, "").await
    }

    pub(crate) async fn subscribe_to(&self, service: &str, clusters: &str) -> Value {
        let body = json!({ "subscribe": true, "clusters": clusters });
        let answer = self.ask("SubscribeServiceRequest", with(&named(service), body)).await;
        answer.granted();
        answer.field("serviceInfo")
    }

    pub(crate) async fn register(&self, service: &str, instance: Value) -> Answer {
        let body = json!({ "type": "registerInstance", "instance": instance });
        self.ask("InstanceRequest", with(&named(service), body)).await
    }

    pub(crate) async fn deregister(&self, service: &str, instance: Value) -> Answer {
        let body = json!({ "type": "deregisterInstance", "instance": instance });
        self.ask("InstanceRequest", with(&named(service), body)).await
    }

    pub(crate) async fn batch(&self, service: &str, instances: Vec<Value>) -> Answer {
        let body = json!({ "type": "batchRegisterInstance", "instances": instances });
        self.ask("BatchInstanceRequest", with(&named(service), body)).await
    }
}

impl Answer {
    /// 200, or the code of the error; 0 where there was no answer.
    pub(crate) fn code(&self) -> i64 {
        match self {
            Self::Message { body, .. } if body["resultCode"] == 200 => 200,
            Self::Message { body, .. } => body["errorCode"].as_i64().unwrap_or_default(),
            Self::Failed(_) => 0,
        }
    }

    /// The names of its fields.
    pub(crate) fn field_names(&self) -> Vec<String> {
        match self {
            Self::Message { body, .. } => {
                body.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
            }
            Self::Failed(_) => Vec::new(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> Value {
        match self {
            Self::Message { body, .. } => body[name].clone(),
            Self::Failed(_) => Value::Null,
        }
    }

    /// For a request that is only the way to what a check is about.
    pub(crate) fn granted(&self) {
        assert_eq!(self.code(), 200, "{self:?}");
    }

    /// `ok`, or how the request was refused.
    pub(crate) fn said(&self) -> String {
        let (kind, body) = match self {
            Self::Failed(how) => return how.clone(),
            Self::Message { kind, body } => (kind, body),
        };
        match (self.code(), body["resultCode"].as_i64()) {
            (200, _) => "ok".to_owned(),
            (code, result) => {
                let message = body["message"].as_str().unwrap_or_default();
                let general = if kind == "ErrorResponse" { "`ErrorResponse` " } else { "" };
                let result = match result {
                    Some(500) | None => String::new(),
                    Some(result) => format!(", result code {result}"),
                };
                format!("{general}{code} \"{}\"{result}", message.trim())
            }
        }
    }
}

/// A body with the fields that every request has.
fn asked(body: Value) -> String {
    with(&json!({ "headers": {}, "requestId": "1" }), body).to_string()
}

/// The first fields of every request for a document.
pub(crate) fn document(data_id: &str) -> Value {
    json!({ "dataId": data_id, "group": group(), "tenant": "" })
}

/// The first fields of every request for a service.
pub(crate) fn named(service: &str) -> Value {
    json!({ "namespace": "public", "serviceName": service, "groupName": group() })
}

pub(crate) fn query(service: &str) -> Value {
    with(&named(service), json!({ "cluster": "", "healthyOnly": false, "udpPort": 0 }))
}

/// An instance as a request has it.
pub(crate) fn instance(port: u16) -> Value {
    json!({
        "instanceId": "", "ip": "127.0.0.1", "port": port, "weight": 1.0, "healthy": true,
        "enabled": true, "ephemeral": true, "clusterName": "DEFAULT", "serviceName": "",
        "metadata": {},
    })
}

/// An instance in which these fields are different.
pub(crate) fn instance_with(port: u16, fields: Value) -> Value {
    with(&instance(port), fields)
}

/// An object, and more fields.
pub(crate) fn with(object: &Value, more: Value) -> Value {
    let mut fields: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    Value::Object(fields)
}

/// The ports of the instances of a service, in order.
pub(crate) fn ports(info: &Value) -> Vec<u64> {
    let hosts = info["hosts"].as_array().into_iter().flatten();
    let mut ports: Vec<u64> = hosts.filter_map(|host| host["port"].as_u64()).collect();
    ports.sort_unstable();
    ports
}

pub(crate) fn has(port: u64) -> impl Fn(&Value) -> bool {
    move |info| ports(info).contains(&port)
}

/// The instance at this port.
pub(crate) fn host(info: &Value, port: u64) -> Value {
    let mut hosts = info["hosts"].as_array().into_iter().flatten();
    hosts.find(|host| host["port"] == port).cloned().unwrap_or_default()
}

/// Asks until it is so. For what no server tells by itself; the pause keeps it from being flooded.
pub(crate) async fn eventually(condition: impl AsyncFn() -> bool) {
    eventually_at(pace(), condition).await;
}

/// The same at another pace, for what takes many seconds.
pub(crate) async fn eventually_at(mut pace: Interval, condition: impl AsyncFn() -> bool) {
    loop {
        pace.tick().await;
        if condition().await {
            return;
        }
    }
}

/// How often is asked for what no server tells by itself.
pub(crate) fn pace() -> Interval {
    interval(Duration::from_millis(10))
}

/// Longer than any server stays silent before it does what it does.
const PATIENCE: Duration = Duration::from_secs(60);
