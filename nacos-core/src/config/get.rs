//! One reading of a document.
use std::{
    fmt,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use tokio::time::{Instant, sleep};

use crate::{
    connection::{Connection, PATIENCE, Repeat},
    document::Document,
    error::{Doing, Error, ErrorKind},
    filter::Place,
    key::ConfigKey,
    snapshot::Word,
    start_policy::{StartPolicy, TIMEOUT},
    state::SessionState,
    wire::config::ConfigQueryRequest,
};

type Outcome = Result<Option<Document>, Error>;

/// A document that is asked for: a future, which asks once it is polled. Made by
/// [`Configs::get`](crate::Configs::get), which says what it gives.
#[must_use = "nothing is asked for until it is awaited"]
pub struct Get {
    stage: Stage,
}

enum Stage {
    New { connection: Arc<Connection>, key: Result<ConfigKey, Error>, or_snapshot: bool },
    Running(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    Over,
}

impl Get {
    pub(super) fn new(connection: Arc<Connection>, key: Result<ConfigKey, Error>) -> Self {
        Self { stage: Stage::New { connection, key, or_snapshot: false } }
    }

    /// Takes the snapshot on disk if no server answers within 3 s, or at once if none can be
    /// reached; and keeps what a server answers there, for the next time. A snapshot counts if it
    /// is 7 days old at most, or as old as the option `start_policy` lets it be.
    ///
    /// "There is none" is an answer, and so is a refusal: neither is replaced. The result does not
    /// say where it comes from; a [watch](crate::Configs::watch) does. Without the option
    /// `snapshot_dir` this changes nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let server = nacos_testkit::Server::start().await?;
    /// # let nacos = nacos_core::Client::builder().server_addr(server.addr().to_string()).connect().await?;
    /// let limits = nacos.configs().get("limits").or_snapshot().await?;
    /// assert!(limits.is_none());
    /// # Ok(()) }
    /// ```
    pub fn or_snapshot(mut self) -> Self {
        if let Stage::New { or_snapshot, .. } = &mut self.stage {
            *or_snapshot = true;
        }
        self
    }
}

impl Future for Get {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Stage::New { .. } = self.stage
            && let Stage::New { connection, key, or_snapshot } =
                std::mem::replace(&mut self.stage, Stage::Over)
        {
            let key = match key {
                Ok(key) => key,
                Err(error) => return Poll::Ready(Err(error)),
            };
            self.stage = Stage::Running(if or_snapshot {
                Box::pin(async move { get_or_snapshot(&connection, &key).await })
            } else {
                Box::pin(async move { get(&connection, &key).await })
            });
        }
        match &mut self.stage {
            Stage::Running(running) => {
                let outcome = std::task::ready!(running.as_mut().poll(cx));
                self.stage = Stage::Over;
                Poll::Ready(outcome)
            }
            Stage::New { .. } | Stage::Over => {
                panic!("polled after it was over")
            }
        }
    }
}

impl fmt::Debug for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            Stage::New { key: Ok(key), or_snapshot, .. } => f
                .debug_struct("Get")
                .field("key", &format_args!("{key}"))
                .field("or_snapshot", or_snapshot)
                .finish_non_exhaustive(),
            _ => f.debug_struct("Get").finish_non_exhaustive(),
        }
    }
}

/// Looks for an operator's file, and then asks the server.
async fn get(connection: &Connection, key: &ConfigKey) -> Outcome {
    let deadline = connection.deadline();
    match overridden(connection, key, deadline).await {
        Some(document) => Ok(Some(document)),
        None => filtered(connection, key, ask(connection, key, deadline).await?).await,
    }
}

/// A document as the client's filters show it.
pub(super) async fn filtered(
    connection: &Connection,
    key: &ConfigKey,
    document: Option<Document>,
) -> Outcome {
    let (Some(filters), Some(stored)) = (&connection.options.filters, &document) else {
        return Ok(document);
    };
    match filters.after_query(key, stored, Place::Here, None).await {
        Ok(document) => Ok(Some(document)),
        Err(error) => Err(Error::new(error.kind(), Doing("get", key)).because(error)),
    }
}

/// Asks the server.
async fn ask(connection: &Connection, key: &ConfigKey, deadline: Instant) -> Outcome {
    let request = ConfigQueryRequest::new(key);
    match connection.call_until(deadline, Doing("get", key), &request, Repeat::Freely).await? {
        Ok(answer) => answer.into_document(key).map(Some).map_err(|failure| {
            connection.unreadable();
            Error::new(ErrorKind::Protocol, Doing("get", key)).because(failure)
        }),
        Err(refusal) if refusal.says_absent() => Ok(None),
        Err(refusal) => Err(refusal.into_error(Doing("get", key))),
    }
}

/// Asks the server, and then the disk.
async fn get_or_snapshot(connection: &Connection, key: &ConfigKey) -> Outcome {
    let deadline = connection.deadline();
    if let Some(document) = overridden(connection, key, deadline).await {
        return Ok(Some(document));
    }
    // The answer may be as old as the question.
    let asked_at = SystemTime::now();
    let mut asking = pin!(ask(connection, key, deadline));
    let policy = match connection.options.start_policy {
        policy @ (StartPolicy::RemoteThenSnapshot { .. } | StartPolicy::SnapshotFirst { .. }) => {
            policy
        }
        StartPolicy::Remote { .. } | StartPolicy::Offline => StartPolicy::default(),
    };
    let policy = policy.within(connection.options.session.request_timeout);
    let waits = policy.waits().unwrap_or(TIMEOUT);
    let out_of_reach = async {
        let mut state = connection.state();
        // A session that has ended answers the question itself.
        if state.wait_for(SessionState::is_out_of_reach).await.is_none() {
            std::future::pending::<()>().await;
        }
    };
    let answered = tokio::select! {
        biased;
        outcome = &mut asking => Some(outcome),
        () = out_of_reach => None,
        () = sleep(waits) => None,
    };
    let outcome = match answered {
        Some(outcome) => outcome,
        None => match snapshot(connection, key, policy).await {
            Some(document) => return filtered(connection, key, Some(document)).await,
            None => asking.await,
        },
    };
    match outcome {
        Ok(document) => {
            connection.save(key, Word { document: document.clone(), said_at: asked_at });
            filtered(connection, key, document).await
        }
        // The server's word, or an error of the caller's.
        Err(error) if !error.is_retryable() => Err(error),
        Err(error) => match snapshot(connection, key, policy).await {
            Some(document) => filtered(connection, key, Some(document)).await,
            None => Err(error),
        },
    }
}

/// The content of an operator's file that stands in place of the document. A disk that does not
/// answer has none.
async fn overridden(
    connection: &Connection,
    key: &ConfigKey,
    deadline: Instant,
) -> Option<Document> {
    let overrides = connection.options.overrides.clone()?;
    let about = key.clone();
    let until = deadline.min(Instant::now() + PATIENCE);
    match connection.disk_reads.read(until, move || overrides.read(&about)).await? {
        Ok(found) => found.map(|(document, _)| document),
        Err(error) => {
            tracing::warn!(%key, %error, "an operator's file is of no use: the server is asked");
            None
        }
    }
}

/// The document on disk, if it may stand for the server's.
async fn snapshot(
    connection: &Connection,
    key: &ConfigKey,
    policy: StartPolicy,
) -> Option<Document> {
    let snapshots = connection.saver.clone()?;
    let about = key.clone();
    let read = move || snapshots.read(&about).ok().flatten();
    let found = connection.disk_reads.read(Instant::now() + PATIENCE, read).await?;
    let snapshot = found.filter(|found| !found.is_gray())?;
    let age = snapshot.age(SystemTime::now());
    let document = snapshot.document.filter(|_| policy.takes(age))?;
    tracing::warn!(%key, ?age, "no server answers: a document is taken from its snapshot");
    Some(document)
}
