//! Several servers that share their data.

use std::time::{Duration, Instant};

use crate::canary::Canary;
use crate::standing::Standing;
use crate::wait::until;
use crate::{Error, ErrorKind, Product, Running};

/// A cluster of real servers, each of which can be killed, frozen and restarted by itself.
#[derive(Debug)]
#[must_use = "the servers are killed when this is dropped"]
pub struct Cluster {
    nodes: Vec<Running>,
}

impl Cluster {
    /// Takes servers that were told of each other, and waits until they agree.
    pub(crate) fn form(nodes: Vec<Running>) -> Result<Self, Error> {
        let mut cluster = Self { nodes };
        cluster.settle()?;
        Ok(cluster)
    }

    /// Waits until all nodes are up, know each other, and have what one of them publishes: after
    /// one has come back, too.
    ///
    /// A node of r-nacos that was killed comes back now and then with the members of its first
    /// moments, and keeps to them until it is started once more (0.8.8, one kill in fifty): that is
    /// done here, as an operator would.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unready`] when they never agree; the text says what is missing.
    pub fn settle(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut missing = String::new();
            let asked_until = deadline.min(Instant::now() + CATCHES_UP);
            let agreed = until(asked_until, || self.agree().map_err(|why| missing = why).ok());
            if agreed.is_some() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let text = format_args!("the nodes of a cluster never agreed: {missing}");
                return Err(Error::new(ErrorKind::Unready, text));
            }
            if let Some(node) = self.forgetful() {
                self.nodes[node].restart()?;
            }
        }
    }

    /// The servers, in the order in which they were started.
    pub fn nodes(&self) -> &[Running] {
        &self.nodes
    }

    /// The servers, to do something to them.
    pub fn nodes_mut(&mut self) -> &mut [Running] {
        &mut self.nodes
    }

    /// Which node leads, as the nodes that answer see it. `None` while they have no leader or
    /// differ.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let standings = self.nodes.iter().filter_map(|node| Standing::of(node, &self.nodes));
        let mut seen = standings.map(|standing| standing.leader);
        let first = seen.next()??;
        seen.all(|leader| leader == Some(first)).then_some(first)
    }

    /// A node that has forgotten the others, though it has caught up with the leader.
    fn forgetful(&self) -> Option<usize> {
        self.nodes.iter().position(|node| {
            let seen = Standing::of(node, &self.nodes);
            node.product() == Product::RNacos
                && seen.is_some_and(|seen| seen.members < self.nodes.len())
        })
    }

    /// Whether every node knows every other one, and what one publishes; if not, what is missing.
    fn agree(&self) -> Result<(), String> {
        for node in &self.nodes {
            let seen = Standing::of(node, &self.nodes)
                .ok_or_else(|| format!("{} is silent", node.addr()))?;
            if seen.leader.is_none() || seen.members != self.nodes.len() {
                return Err(format!("{} sees {seen:?}", node.addr()));
            }
        }
        let Some(first) = self.nodes.first() else { return Ok(()) };
        let token = first.log_in().map_err(|error| error.to_string())?;
        let canary = Canary::new(token);
        if !canary.publish(first.addr(), CONTENT) {
            return Err("nothing can be published".to_owned());
        }
        for node in &self.nodes {
            let visible = || canary.is_readable(node.addr(), CONTENT).then_some(());
            until(Instant::now() + SPREAD, visible)
                .ok_or_else(|| format!("{} does not see what was published", node.addr()))?;
        }
        canary.remove(first.addr());
        Ok(())
    }
}

const CONTENT: &str = "chorus";

/// For one publish to reach all nodes.
const SPREAD: Duration = Duration::from_secs(2);

/// For a node to catch up with the others: a second, or some on a busy machine.
const CATCHES_UP: Duration = Duration::from_secs(8);

/// For all nodes to have joined and caught up.
const PATIENCE: Duration = Duration::from_secs(60);
