//! The least that a call with tonic costs: its client, an envelope, and nothing else.
//!
//! No JSON is written or read, no deadline kept, no error told from another, nothing reconnected.
//! The connection is registered as an SDK's is, because servers answer no others.
mod envelope;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
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

/// A registered connection that reads one document.
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
        let query = Payload::new(
            "ConfigQueryRequest",
            &json!({ "dataId": data_id, "group": "DEFAULT_GROUP", "tenant": "", "module": "config" }),
        );
        let path = PathAndQuery::from_static("/Request/request");
        let floor = Self { grpc, path, query };
        timeout(PATIENCE, floor.registered()).await??;
        Ok((floor, registered))
    }

    /// Asks until the server knows the connection.
    async fn registered(&self) -> Result<(), Failure> {
        while self.call().await?.kind() == "ErrorResponse" {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn call(&self) -> Result<Payload, Failure> {
        // A clone is what a generated client is called through, too.
        let mut grpc = self.grpc.clone();
        grpc.ready().await?;
        let request = Request::new(self.query.clone());
        let codec = ProstCodec::<Payload, Payload>::default();
        Ok(grpc.unary(request, self.path.clone(), codec).await?.into_inner())
    }
}

impl Reader for Floor {
    async fn read(&self) -> Result<usize, Failure> {
        let answer = self.call().await?;
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
