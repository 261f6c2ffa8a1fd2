//! A server's life, from its first connection to its last.
mod end;

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{Future, IntoFuture},
    pin::{Pin, pin},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};
use tracing::info;

use super::{
    Connections, LifecycleReport, Outcome, RunningServer, Serving, Step,
    registrar::Registrar,
    report::Recorder,
    serving::{Serve, ServeOptions},
    shutdown::Triggers,
};
use crate::{
    client::Client,
    error::{Error, ErrorKind},
};

impl<S: Serve> IntoFuture for Serving<S> {
    type Output = Result<LifecycleReport, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

/// Runs a server to its end. Dropping the future cuts its connections.
async fn run<S: Serve>(serving: Serving<S>) -> Result<LifecycleReport, Error> {
    let Serving { server, lifecycle, service, options } = serving;
    let service = service?;
    let failed = |why: Box<dyn StdError + Send + Sync>| {
        Error::new(ErrorKind::InvalidOption, format!("serve {service}")).because(why)
    };
    let bound = server.local_addr().map_err(|error| failed(error.into()))?;
    // Before anything is served: an ip that cannot be registered never becomes one that can.
    let client = lifecycle.client().clone();
    let instance = options.instance.clone();
    let registrar =
        Registrar::new(client.clone(), service.clone(), bound, &options.address, instance)?
            .with_inputs(options.health.clone(), options.weight_ramp);
    if options.has_signals {
        lifecycle.listen_to_signals();
    }
    let member = lifecycle.join();
    if options.keeps_client {
        member.keep_client();
    }
    let connections = Connections::new();
    let _cut = CutOnDrop(connections.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move {
        // Nothing is ever sent: that the sender goes is the message.
        let _ = stopped.await;
    };
    let mut server = pin!(server.serve(connections.clone(), stopped));
    let common = lifecycle.shutdown().clone();
    let own = options.shutdown.clone().unwrap_or_else(|| common.clone());
    let mut run = Run {
        member,
        client,
        registrar,
        options,
        triggers: Triggers { common, own },
        connections,
        recorder: Recorder::new(service.clone()),
        ends_since: Instant::now(),
        is_heard: true,
    };
    tokio::select! {
        biased;
        // First, so that connections are accepted before Nacos is told.
        ended = &mut server => {
            // It ended unasked.
            ended.map_err(failed)?;
            run.note_instance();
            return Ok(run.recorder.report);
        }
        withdrawn = run.serve_until_withdrawn() => withdrawn?,
    }
    drop(stop);
    run.drain(server).await;
    run.close().await;
    let report = run.recorder.report;
    info!(%report, "the server has ended");
    Ok(report)
}

/// A server that runs. Its end is in [`end`](self::end).
pub(super) struct Run {
    pub(super) member: RunningServer,
    pub(super) client: Client,
    pub(super) registrar: Registrar,
    pub(super) options: ServeOptions,
    pub(super) triggers: Triggers,
    pub(super) connections: Connections,
    pub(super) recorder: Recorder,
    /// When the end was asked for.
    pub(super) ends_since: Instant,
    /// Whether Nacos still answered when it was last asked.
    pub(super) is_heard: bool,
}

impl Run {
    async fn serve_until_withdrawn(&mut self) -> Result<(), Error> {
        let triggers = self.triggers.clone();
        tokio::select! {
            biased;
            // First, so that nothing is begun that is given up at once.
            since = triggers.begun() => self.ends_since = since,
            never = self.serve() => match never? {},
        }
        self.member.stopping();
        self.note_instance();
        match self.recorder.report.steps.last() {
            Some(step) if step.step == Step::Serve => self.recorder.leave(Outcome::Completed),
            // Warming up, registering, or not even that.
            _ => self.recorder.leave(Outcome::Skipped),
        }
        tokio::select! {
            biased;
            () = triggers.hurried() => self.recorder.leave(Outcome::Hurried),
            () = self.withdraw() => {}
        }
        Ok(())
    }

    /// Begins to serve, and keeps an eye on the registration. Ends with an error only.
    async fn serve(&mut self) -> Result<Infallible, Error> {
        self.recorder.enter(Step::WarmUp);
        self.options.warm_up.as_mut().await;
        self.recorder.leave(Outcome::Completed);
        if self.options.is_lazy {
            self.recorder.skip([Step::Register]);
        } else {
            self.recorder.enter(Step::Register);
            self.registrar.register(false).await?;
            // The registrar holds it, so that an end in between withdraws it properly.
            self.registrar.acknowledged().await?;
            self.recorder.leave(Outcome::Completed);
        }
        self.recorder.enter(Step::Serve);
        let Self { member, registrar, options, .. } = self;
        let registered = async {
            if options.is_lazy {
                registrar.register(true).await?;
            }
            Ok(registrar.attend().await)
        };
        tokio::select! {
            biased;
            // First, so that one that begins unhealthy is never shown as ready.
            never = member.ready_while(options.health.clone()) => match never {},
            ended = registered => ended,
        }
    }

    /// Notes what is registered, before it is no more.
    fn note_instance(&mut self) {
        self.recorder.report.instance = self.registrar.instance().cloned();
    }

    pub(super) fn deadline(&self) -> Instant {
        self.ends_since + self.options.deadline
    }

    /// In `limit` from now, but in time to close.
    pub(super) fn within(&self, limit: Duration) -> Instant {
        let last = self.deadline() - CLOSE_RESERVE.min(self.options.deadline);
        Instant::now().checked_add(limit).map_or(last, |limit| limit.min(last))
    }
}

/// Cuts what is left when a server's future is dropped.
struct CutOnDrop(Connections);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// Before the deadline, so that what comes after the drain does not break it.
const CLOSE_RESERVE: Duration = Duration::from_millis(500);
