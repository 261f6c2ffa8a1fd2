//! One node's view of its cluster.

use std::time::Duration;

use crate::{Product, Request, Running};

/// The leader and the number of members, as one node sees them.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    /// The leader's place among the nodes, from 0.
    pub(crate) leader: Option<usize>,
    pub(crate) members: usize,
}

impl Standing {
    /// The standing as `node` sees it, if it answers.
    pub(crate) fn of(node: &Running, nodes: &[Running]) -> Option<Self> {
        let path = match node.product() {
            Product::JavaNacos => "/nacos/v1/core/cluster/nodes",
            Product::RNacos => "/nacos/v1/raft/metrics",
        };
        let mut request = Request::get(path);
        // Behind the login, unlike the health of a node.
        if let Some(token) = node.log_in().ok()? {
            request = request.query("accessToken", &token);
        }
        let answer = request.send(node.addr(), PROBE).ok()?;
        match node.product() {
            Product::JavaNacos => {
                let ports: Vec<u16> = nodes.iter().map(|node| node.addr().port()).collect();
                Self::of_java_nacos(answer.body(), node.addr().port(), &ports)
            }
            Product::RNacos => Self::of_r_nacos(answer.body()),
        }
    }

    /// From r-nacos' metrics, where nodes have numbers from 1.
    fn of_r_nacos(metrics: &str) -> Option<Self> {
        let after = |name: &str| metrics.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest);
        let leader = after("current_leader")?.split([',', '}']).next()?.trim();
        let members = after("members")?.trim().strip_prefix('[')?.split(']').next()?;
        let members = members.split(',').filter(|member| !member.trim().is_empty()).count();
        let place = |number: usize| number.checked_sub(1);
        Some(Self { leader: leader.parse().ok().and_then(place), members })
    }

    /// From Java Nacos' list of nodes, each with what it last said about every raft group.
    ///
    /// The leader is that of the documents' group; it counts only while all groups have one.
    fn of_java_nacos(list: &str, own: u16, ports: &[u16]) -> Option<Self> {
        let members = list.matches("\"state\":\"UP\"").count();
        // A node's entry about itself is new; those about the others are seconds old.
        let (_, entry) = list.split_once(&format!("\"port\":{own},"))?;
        let entry = entry.split("\"port\":").next()?;
        let raft_port = |rest: &str| -> Option<u16> {
            let named = rest.strip_prefix('"')?.split('"').next()?;
            named.rsplit(':').next()?.parse().ok()
        };
        let groups = entry.matches("\"raftGroupMember\":").count();
        let led = entry.split("\"leader\":").skip(1).filter_map(raft_port).count();
        let documents = entry.split_once("\"nacos_config\":").map_or("", |(_, rest)| rest);
        let leader = documents
            .split_once("\"leader\":")
            .and_then(|(_, rest)| raft_port(rest))
            .filter(|_| led == groups)
            .and_then(|raft| ports.iter().position(|port| port.checked_sub(1000) == Some(raft)));
        Some(Self { leader, members })
    }
}

/// For one probe.
const PROBE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_is_read_from_metrics_of_r_nacos() {
        let seen = r#"{"id":1,"state":"Leader","current_term":1,"current_leader":2,
            "membership_config":{"members":[1, 2,3],"members_after_consensus":null}}"#;
        let standing = Standing::of_r_nacos(seen);
        assert_eq!(standing, Some(Standing { leader: Some(1), members: 3 }));
    }

    #[test]
    fn node_without_leader_or_members_is_read_too() {
        let seen = r#"{"current_leader":null,"membership_config":{"members":[]}}"#;
        assert_eq!(Standing::of_r_nacos(seen), Some(Standing { leader: None, members: 0 }));
    }

    #[test]
    fn what_is_no_metrics_says_nothing() {
        for bad in ["", "{}", "no", r#"{"current_leader":1}"#, r#""current_leader":1,"members":1"#]
        {
            assert_eq!(Standing::of_r_nacos(bad), None, "{bad}");
            assert_eq!(Standing::of_java_nacos(bad, 20_000, &PORTS), None, "{bad}");
        }
    }

    #[test]
    fn standing_is_what_a_java_node_says_about_itself() {
        let list = list("127.0.0.1:19002");
        let standing = |own| Standing::of_java_nacos(&list, own, &PORTS);
        assert_eq!(standing(20_000), Some(Standing { leader: Some(2), members: 2 }));
        assert_eq!(standing(20_002), Some(Standing { leader: Some(1), members: 2 }));
        assert_eq!(standing(20_004), None, "not in the list");
    }

    #[test]
    fn java_node_that_misses_one_leader_of_several_has_none() {
        let standing = Standing::of_java_nacos(&list(""), 20_002, &PORTS);
        assert_eq!(standing, Some(Standing { leader: None, members: 2 }));
    }

    /// Two nodes, of which the second one names `documents` as the leader of the documents.
    fn list(documents: &str) -> String {
        let entry = |port: u16, documents: &str| {
            format!(
                r#"{{"ip":"127.0.0.1","port":{port},"state":"UP","extendInfo":{{"raftMetaData":
                {{"metaDataMap":{{"naming_x":{{"leader":"127.0.0.1:19000","raftGroupMember":[]}},
                "nacos_config":{{"leader":"{documents}","raftGroupMember":[],"term":1}}}}}}}}}}"#
            )
        };
        let (first, second) = (entry(20_000, "127.0.0.1:19004"), entry(20_002, documents));
        format!(r#"{{"code":200,"data":[{first},{second}]}}"#)
    }

    const PORTS: [u16; 3] = [20_000, 20_002, 20_004];
}
