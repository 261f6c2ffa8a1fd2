//! Does what the session asks for: each of its requests is a job beside the others.
use std::sync::Arc;

use tokio::{
    sync::oneshot,
    time::{Duration, Instant, timeout, timeout_at},
};

use super::{
    super::access::{SessionHeaders, forget, log_in, login_timeout},
    Driver, JobReport, Open, now,
};
use crate::{
    call_error::CallError,
    credentials::{Grant, GrantContext},
    session::{Addresses, Effect, LinkId},
    tasks, telemetry,
    time::doubled,
    transport::{Caller, Limit, Opened, Pushes},
    wire::label,
};

impl Driver {
    pub(super) fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { link, server, other_than, within } => {
                let other_than = match other_than.and_then(|other| self.links.get(&other)) {
                    Some(Open::Up { reached, .. }) => Some(reached.address()),
                    _ => None,
                };
                let (owner, mut abandoned) = oneshot::channel();
                self.links.insert(link, Open::Dialling { _owner: owner });
                let (dialer, limit) = (self.transport.dialer.clone(), self.transport.receive_limit);
                self.jobs.push(Box::pin(async move {
                    tokio::select! {
                        biased;
                        // Nobody wants to know.
                        _ = &mut abandoned => JobReport::Dialled(link, Err("closed".to_owned())),
                        opened = dialer.grpc(&server, other_than, within, limit) => {
                            JobReport::Dialled(link, opened.map_err(|error| error.to_string()))
                        }
                    }
                }));
            }
            Effect::Call { link, call, request, resource, timeout: within } => {
                let Some(Open::Up { link, .. }) = self.links.get(&link) else {
                    let gone = Err(CallError::NotSent("the connection is closed".to_owned()));
                    self.jobs.push(Box::pin(std::future::ready(JobReport::Answered(call, gone))));
                    return;
                };
                let link = link.clone();
                let headers = SessionHeaders::new(self.grant.as_ref(), resource);
                let alone = self.dedicated_thread;
                self.jobs.push(Box::pin(async move {
                    let began = Instant::now();
                    let kind = label::request_kind(&request);
                    let limit = Limit { idle: within, deadline: began + within.max(CALL_DEADLINE) };
                    let answer = match headers.by(limit.deadline, alone).await {
                        Ok(headers) => {
                            let call = link.call(Caller::Session, request, headers, limit);
                            let answer = timeout_at(limit.deadline, call).await;
                            answer.unwrap_or(Err(CallError::Timeout))
                        }
                        Err(error) => Err(error),
                    };
                    let code = match &answer {
                        Ok(payload) => telemetry::code_label(label::code(payload)),
                        Err(error) => error.label(),
                    };
                    telemetry::requested(kind, code, Instant::now() - began);
                    JobReport::Answered(call, answer)
                }));
            }
            Effect::OpenStream { link: id, setup, timeout: within } => {
                if let Some(Open::Up { link, .. }) = self.links.get(&id) {
                    let link = link.clone();
                    self.jobs.push(Box::pin(async move {
                        let opened = timeout(within, link.open_stream(setup)).await;
                        JobReport::StreamOpened(id, opened.unwrap_or(Err(CallError::Timeout)))
                    }));
                }
            }
            // The end waits until what it closes is closed.
            Effect::Close { .. } if self.session.is_closed() => {}
            // Dropping it ends the dialling, or the task of the connection, and closes the socket.
            Effect::Close { link } => drop(self.links.remove(&link)),
            Effect::FetchServerList => self.fetch_server_list(),
            Effect::Login { refused } => {
                let (dialer, credentials) =
                    (self.transport.dialer.clone(), self.access.credentials.clone());
                let mut servers = (*self.readers.servers.get()).clone();
                fastrand::shuffle(&mut servers);
                let context_path = Arc::clone(&self.access.context_path);
                let within = self.login_within();
                let all = login_timeout(self.transport.connect_timeout);
                let context = GrantContext { servers, dialer, refused, context_path, within };
                let (alone, place) = (self.dedicated_thread, Arc::clone(&self.asking));
                self.jobs.push(Box::pin(async move {
                    JobReport::LoggedIn(log_in(credentials, context, all, alone, place).await)
                }));
            }
        }
    }

    /// How long one server is waited for: at first as long as `connect` is, and twice as long after
    /// each login that nobody answered. Machines that start together are slow together.
    fn login_within(&self) -> Duration {
        let first = self.transport.connect_timeout.max(LOGIN_AT_LEAST);
        doubled(first, self.slow_logins, login_timeout(self.transport.connect_timeout))
    }

    /// Lets go of what requests carry no more, where that delays nobody: a signer of the user's
    /// goes with it.
    pub(super) fn forget(&mut self, grant: Option<Arc<Grant>>) {
        if let Some(grant) = grant.filter(|grant| grant.runs_foreign_code()) {
            let alone = self.dedicated_thread;
            self.jobs.push(Box::pin(async move {
                forget(grant, alone).await;
                JobReport::Forgotten
            }));
        }
    }

    pub(super) fn dialled(&mut self, id: LinkId, outcome: Result<Opened, String>) {
        if !self.links.contains_key(&id) {
            // Closed meanwhile: dropping the outcome closes the socket.
            return;
        }
        let outcome = outcome.map(|Opened { link, work, reached, has_others }| {
            let (alive, ended) = oneshot::channel();
            // In a task of its own: nothing that the driver does can delay a health check's bytes.
            let work = tasks::spawn(async move {
                // The driver may have forgotten the connection, and then needs no reason.
                let _ = alive.send(work.await);
            });
            self.links.insert(id, Open::Up { link, work, reached, users: Arc::default() });
            self.jobs.push(Box::pin(async move {
                let why = ended.await.unwrap_or_else(|_| "the connection was closed".to_owned());
                JobReport::Ended(id, why)
            }));
            if has_others { Addresses::More } else { Addresses::One }
        });
        self.session.handle_dialled(now(), id, outcome);
    }

    pub(super) fn read_on(&mut self, id: LinkId, mut pushes: Pushes) {
        self.jobs.push(Box::pin(async move {
            let push = pushes.next().await;
            JobReport::Pushed(id, pushes, push)
        }));
    }
}

/// For one server, however little time there is to connect.
const LOGIN_AT_LEAST: Duration = Duration::from_secs(2);
/// For one request of the session's own whose answer keeps arriving: a list or a document may be
/// large, and the network slow.
const CALL_DEADLINE: Duration = Duration::from_secs(60);
