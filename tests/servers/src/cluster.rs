//! Several servers that share their data.

use std::time::{Duration, Instant};

use crate::canary::Canary;
use crate::wait::until;
use crate::{Error, ErrorKind, Request, Running};

/// A cluster of real servers, each of which can be killed, frozen and restarted by itself.
#[derive(Debug)]
#[must_use = "the servers are killed when this is dropped"]
pub struct Cluster {
    nodes: Vec<Running>,
}

impl Cluster {
    /// Takes servers that were told of each other, and waits until they agree.
    pub(crate) fn form(nodes: Vec<Running>) -> Result<Self, Error> {
        let cluster = Self { nodes };
        let mut missing = String::new();
        let agreed =
            until(Instant::now() + PATIENCE, || cluster.agree().map_err(|why| missing = why).ok());
        agreed.map(|()| cluster).ok_or_else(|| {
            let text = format_args!("the nodes of a cluster never agreed: {missing}");
            Error::new(ErrorKind::Unready, text)
        })
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
        let mut seen = self.nodes.iter().filter_map(standing).map(|standing| standing.leader);
        let first = seen.next()??;
        seen.all(|leader| leader == Some(first)).then(|| first.checked_sub(1))?
    }

    /// Whether every node knows every other one, and what one publishes; if not, what is missing.
    fn agree(&self) -> Result<(), String> {
        for node in &self.nodes {
            let seen = standing(node).ok_or_else(|| format!("{} is silent", node.addr()))?;
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

/// What one node says about its cluster.
#[derive(Debug, Eq, PartialEq)]
struct Standing {
    /// The leader's number, from 1.
    leader: Option<usize>,
    members: usize,
}

fn standing(node: &Running) -> Option<Standing> {
    let mut request = Request::get("/nacos/v1/raft/metrics");
    // Behind the login, unlike `/metrics`.
    if let Some(token) = node.log_in().ok()? {
        request = request.query("accessToken", &token);
    }
    Standing::parse(request.send(node.addr(), PROBE).ok()?.body())
}

impl Standing {
    fn parse(metrics: &str) -> Option<Self> {
        let after = |name: &str| metrics.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest);
        let leader = after("current_leader")?.split([',', '}']).next()?.trim();
        let members = after("members")?.trim().strip_prefix('[')?.split(']').next()?;
        let members = members.split(',').filter(|member| !member.trim().is_empty()).count();
        Some(Self { leader: leader.parse().ok(), members })
    }
}

const CONTENT: &str = "chorus";

/// For one probe.
const PROBE: Duration = Duration::from_secs(2);

/// For one publish to reach all nodes.
const SPREAD: Duration = Duration::from_secs(2);

/// For all nodes to have joined and caught up.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_is_read_from_metrics() {
        let seen = r#"{"id":1,"state":"Leader","current_term":1,"current_leader":2,
            "membership_config":{"members":[1, 2,3],"members_after_consensus":null}}"#;
        assert_eq!(Standing::parse(seen), Some(Standing { leader: Some(2), members: 3 }));
    }

    #[test]
    fn node_without_leader_or_members_is_read_too() {
        let seen = r#"{"current_leader":null,"membership_config":{"members":[]}}"#;
        assert_eq!(Standing::parse(seen), Some(Standing { leader: None, members: 0 }));
    }

    #[test]
    fn what_is_no_metrics_says_nothing() {
        for bad in ["", "{}", "no", r#"{"current_leader":1}"#, r#""current_leader":1,"members":1"#]
        {
            assert_eq!(Standing::parse(bad), None, "{bad}");
        }
    }
}
