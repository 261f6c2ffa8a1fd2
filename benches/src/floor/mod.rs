//! The least that a call with tonic costs: its client, an envelope, and nothing else.
//!
//! No JSON is written or read, no deadline kept, no error told from another, nothing reconnected.
//! The connection is registered as an SDK's is, because servers answer no others.
mod envelope;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
use serde::Deserialize;
use serde_json::json;
use tokio::{task::JoinHandle, time::timeout};
use tonic::{
    Request,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use self::envelope::Payload;
use crate::{Failure, group::Reader};

/// A registered connection that reads one document, and publishes others.
#[derive(Clone, Debug)]
pub struct Floor {
    grpc: Grpc<Channel>,
    path: PathAndQuery,
    query: Payload,
}

/// Keeps the stream open that keeps the connection registered.
#[derive(Debug)]
pub struct Registered(JoinHandle<()>);

impl Floor {
    /// Connects, and registers the connection.
    ///
    /// # Errors
    ///
    /// The server is not there, or has not taken the connection within some seconds.
    pub async fn connect(grpc_addr: &str, data_id: &str) -> Result<(Self, Registered), Failure> {
        // The default of tonic, said here because everything depends on it.
        let endpoint = Endpoint::from_shared(format!("http://{grpc_addr}"))?.tcp_nodelay(true);
        let grpc = Grpc::new(endpoint.connect().await?);
        let registered = Registered(tokio::spawn(hold_stream(grpc.clone())));
        let query = query(data_id);
        let path = PathAndQuery::from_static("/Request/request");
        let floor = Self { grpc, path, query };
        timeout(PATIENCE, floor.registered()).await??;
        Ok((floor, registered))
    }

    /// Asks until the server knows the connection.
    async fn registered(&self) -> Result<(), Failure> {
        while self.call(self.query.clone()).await?.kind() == "ErrorResponse" {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Publishes a document.
    ///
    /// # Errors
    ///
    /// The server has not said that it has it.
    pub async fn publish(&self, data_id: &str, content: &str) -> Result<(), Failure> {
        let request = json!({
            "dataId": data_id,
            "group": "DEFAULT_GROUP",
            "tenant": "",
            "module": "config",
            "content": content,
            "additionMap": {},
        });
        self.done(Payload::new("ConfigPublishRequest", &request)).await
    }

    /// Removes a document, if it is there.
    ///
    /// # Errors
    ///
    /// The server has not said that it is gone.
    pub async fn remove(&self, data_id: &str) -> Result<(), Failure> {
        self.done(Payload::new("ConfigRemoveRequest", &key(data_id))).await
    }

    /// Reads any document. Its JSON, as the server wrote it.
    ///
    /// # Errors
    ///
    /// The server does not answer, or not that.
    pub async fn query(&self, data_id: &str) -> Result<Bytes, Failure> {
        let answer = self.call(query(data_id)).await?;
        match answer.kind() {
            "ConfigQueryResponse" => Ok(answer.into_json()),
            other => Err(format!("{other} in place of {data_id}").into()),
        }
    }

    /// Listens to documents of which it has no content, or no longer, in one request.
    ///
    /// # Errors
    ///
    /// The server has not said that it knows.
    pub async fn listen(&self, data_ids: &[String], listen: bool) -> Result<(), Failure> {
        let context = |data_id: &String| json!({ "dataId": data_id, "group": "DEFAULT_GROUP", "tenant": "", "md5": "" });
        let contexts: Vec<_> = data_ids.iter().map(context).collect();
        let request =
            json!({ "listen": listen, "configListenContexts": contexts, "module": "config" });
        self.done(Payload::new("ConfigBatchListenRequest", &request)).await
    }

    /// Sends a request of whose answer no more counts than that it was done.
    async fn done(&self, request: Payload) -> Result<(), Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            result_code: i32,
        }
        let answer = self.call(request).await?;
        match serde_json::from_slice(answer.json()) {
            Ok(Answer { result_code: 200 }) => Ok(()),
            _ => Err(format!("the server refused: {}", answer.kind()).into()),
        }
    }

    async fn call(&self, request: Payload) -> Result<Payload, Failure> {
        // A clone is what a generated client is called through, too.
        let mut grpc = self.grpc.clone();
        grpc.ready().await?;
        let request = Request::new(request);
        let codec = ProstCodec::<Payload, Payload>::default();
        Ok(grpc.unary(request, self.path.clone(), codec).await?.into_inner())
    }
}

impl Reader for Floor {
    async fn read(&self) -> Result<usize, Failure> {
        let answer = self.call(self.query.clone()).await?;
        match answer.kind() {
            "ConfigQueryResponse" => Ok(answer.json().len()),
            other => Err(format!("{other} in place of a document").into()),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn query(data_id: &str) -> Payload {
    Payload::new("ConfigQueryRequest", &key(data_id))
}

/// The fields that name a document.
fn key(data_id: &str) -> serde_json::Value {
    json!({ "dataId": data_id, "group": "DEFAULT_GROUP", "tenant": "", "module": "config" })
}

/// Registers the connection, and reads whatever the server pushes.
async fn hold_stream(mut grpc: Grpc<Channel>) {
    let setup = Payload::new(
        "ConnectionSetupRequest",
        &json!({
            "clientVersion": "floor",
            "tenant": "",
            "labels": { "AppName": "floor", "module": "naming", "source": "sdk" },
            "abilityTable": {},
            "module": "internal",
        }),
    );
    let requests = Request::new(stream::iter([setup]).chain(stream::pending()));
    let path = PathAndQuery::from_static("/BiRequestStream/requestBiStream");
    let codec = ProstCodec::<Payload, Payload>::default();
    // A failure shows in the calls, which the server then refuses.
    if grpc.ready().await.is_ok()
        && let Ok(pushes) = grpc.streaming(requests, path, codec).await
    {
        let mut pushes = pushes.into_inner();
        while let Ok(Some(_)) = pushes.message().await {}
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
