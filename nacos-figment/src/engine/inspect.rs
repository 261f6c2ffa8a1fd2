//! The report of a configuration for operators, without content.
use std::sync::Arc;

use nacos_core::{
    Error, Live,
    inspect::{Action, Inspect, Tree},
};
use tokio::sync::mpsc;

use super::Command;
use crate::{
    hot::Root,
    report::{Freshness, Rejection, StaleDocument, Status},
};

/// The report of one configuration.
pub(crate) struct ConfigInspect<T> {
    pub(crate) name: Arc<str>,
    pub(crate) root: Arc<Root>,
    pub(crate) status: Live<Status>,
    pub(crate) revision: Live<u64>,
    /// Also keeps the channel open while only `Hot`s are left.
    pub(crate) commands: mpsc::Sender<Command<T>>,
}

impl<T: Send + Sync> Inspect for ConfigInspect<T> {
    fn name(&self) -> String {
        format!("config:{}", self.name)
    }

    fn report(&self) -> Tree {
        let status = self.status.get();
        let version = self.root.share();
        let overridden = match &status.freshness {
            Freshness::Overridden { paths } => &paths[..],
            _ => &[],
        };
        let overridden = overridden.iter().map(|path| Tree::from(path.display().to_string()));
        let stale = status.freshness.stale().iter().map(stale_tree);
        let sources = version.sources.iter().map(|source| {
            let md5 = source.md5.as_deref().map_or(Tree::Nothing, Tree::from);
            Tree::branch([("name", Tree::from(&*source.name)), ("md5", md5)])
        });
        let rejection = status.rejection.as_deref().map_or(Tree::Nothing, rejection_tree);
        Tree::branch([
            ("generation", version.generation.into()),
            ("freshness", status.freshness.word().into()),
            ("stale", Tree::List(stale.collect())),
            ("overridden", Tree::List(overridden.collect())),
            ("sources", Tree::List(sources.collect())),
            ("resources", version.resources.len().into()),
            ("rejection", rejection),
        ])
    }

    /// Knows `reload`.
    fn act(&self, action: &Action) -> Result<(), Error> {
        if action.name != "reload" {
            return NoActions(self).act(action);
        }
        // Full: then it is busy, and looks again anyway. Closed: there is nothing to reload.
        let _ = self.commands.try_send(Command::Reload);
        Ok(())
    }

    fn changed(&self) -> Option<Live<u64>> {
        Some(self.revision.clone())
    }
}

/// Answers as one that knows no action.
struct NoActions<'a, T>(&'a ConfigInspect<T>);

impl<T: Send + Sync> Inspect for NoActions<'_, T> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn report(&self) -> Tree {
        Tree::Nothing
    }
}

fn stale_tree(stale: &StaleDocument) -> Tree {
    Tree::branch([
        ("name", Tree::from(&*stale.name)),
        ("why", stale.why.to_string().into()),
        ("cause", Tree::from(&*stale.cause)),
    ])
}

fn rejection_tree(rejection: &Rejection) -> Tree {
    let issues = rejection.issues.iter().map(|issue| Tree::from(issue.to_string()));
    Tree::branch([
        ("stage", Tree::from(rejection.stage.name())),
        ("transient", rejection.is_transient().into()),
        ("attempts", u64::from(rejection.attempts).into()),
        ("issues", Tree::List(issues.collect())),
        ("omitted", rejection.omitted.into()),
    ])
}
