//! `schulhof status`: asks every node that `up` has recorded, all at once, and shows the whole.

mod table;

use crate::{
    cli::{Output, StatusArgs},
    http,
    record::{Kind, NodeRecord, Record},
    up::process,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::ExitCode;

/// The whole system.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Every node is ready.
    pub ready: bool,
    pub groups: Vec<GroupStatus>,
    pub schools: Vec<SchoolStatus>,
    pub nodes: Vec<NodeStatus>,
}

/// A Raft data group, as its members see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    pub group: u64,
    /// None: no majority agrees on one.
    pub leader: Option<String>,
    pub term: u64,
    /// Per member, how far its state has come.
    pub applied: Vec<(String, u64)>,
}

/// A school's log and its box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchoolStatus {
    pub school: String,
    pub box_connected: bool,
    /// Last index in the core.
    pub head: u64,
    /// Last index that the box is known to hold.
    pub cursor: u64,
    /// `head - cursor`.
    pub lag: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NodeStatus {
    pub name: String,
    /// `core`, `relay`, `gateway`, `box`, `box-media`.
    pub kind: String,
    pub pid: Option<u32>,
    pub restarts: u32,
    pub ready: bool,
    pub reasons: Vec<String>,
    pub admin: String,
    pub url: String,
    /// What the node itself tells; null when it does not answer.
    pub status: Value,
}

pub fn command(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let record = Record::load(&args.dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(of(&record));
    match args.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&status)?),
        Output::Table => say!("{}", table::render(&status).trim_end()),
    }
    Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks all nodes.
pub async fn of(record: &Record) -> Status {
    let nodes = futures_util::future::join_all(record.nodes.iter().flat_map(asked)).await;
    Status { ready: nodes.iter().all(|n| n.ready), groups: groups(&nodes), schools: schools(&nodes), nodes }
}

/// A node, and the media node of a box.
fn asked(node: &NodeRecord) -> Vec<impl Future<Output = NodeStatus>> {
    let own = NodeStatus {
        name: node.name.clone(),
        kind: node.kind.as_str().to_owned(),
        pid: node.pid,
        restarts: node.restarts,
        ready: false,
        reasons: Vec::new(),
        admin: node.admin.clone(),
        url: node.url.clone(),
        status: Value::Null,
    };
    let media = node.media.as_ref().map(|media| NodeStatus {
        kind: "box-media".to_owned(),
        pid: None,
        admin: media.admin.clone(),
        url: media.url.clone(),
        ..own.clone()
    });
    std::iter::once(own).chain(media).map(ask).collect()
}

async fn ask(mut node: NodeStatus) -> NodeStatus {
    match process::readiness(&node.admin).await {
        Ok(readiness) => (node.ready, node.reasons) = (readiness.ready, readiness.reasons),
        Err(error) => node.reasons = vec![format!("does not answer: {error}")],
    }
    if let Ok(answer) = http::get(&format!("{}/status", node.admin)).await {
        node.status = answer.json().unwrap_or_default();
    }
    if let Some(pid) = node.status["pid"].as_u64() {
        node.pid = Some(pid as u32);
    }
    node
}

fn cores(nodes: &[NodeStatus]) -> impl Iterator<Item = &NodeStatus> {
    nodes.iter().filter(|n| n.kind == Kind::Core.as_str())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// Each group as the member with the highest term sees it.
fn groups(nodes: &[NodeStatus]) -> Vec<GroupStatus> {
    let mut all: Vec<GroupStatus> = Vec::new();
    for node in cores(nodes) {
        for seen in list(&node.status, "groups") {
            let (Some(group), Some(term)) = (seen["group"].as_u64(), seen["term"].as_u64()) else { continue };
            let leader = seen["leader"].as_str().map(str::to_owned);
            let applied = (node.name.clone(), seen["applied"].as_u64().unwrap_or_default());
            match all.iter_mut().find(|g| g.group == group) {
                None => all.push(GroupStatus { group, leader, term, applied: vec![applied] }),
                Some(known) => {
                    known.applied.push(applied);
                    if term > known.term || (term == known.term && known.leader.is_none()) {
                        (known.term, known.leader) = (term, leader);
                    }
                }
            }
        }
    }
    all.sort_by_key(|g| g.group);
    all
}

/// Each school as the core node sees it that its box is connected to; without one, as the furthest does.
fn schools(nodes: &[NodeStatus]) -> Vec<SchoolStatus> {
    let mut all: Vec<SchoolStatus> = Vec::new();
    for seen in cores(nodes).flat_map(|node| list(&node.status, "boxes")) {
        let Some(school) = seen["school"].as_str() else { continue };
        let number = |key: &str| seen[key].as_u64().unwrap_or_default();
        let status = SchoolStatus {
            school: school.to_owned(),
            box_connected: seen["connected"].as_bool().unwrap_or_default(),
            head: number("head"),
            cursor: number("cursor"),
            lag: number("lag"),
        };
        match all.iter_mut().find(|s| s.school == school) {
            None => all.push(status),
            Some(known) if (status.box_connected, status.head) > (known.box_connected, known.head) => *known = status,
            Some(_) => {}
        }
    }
    all.sort_by(|a, b| a.school.cmp(&b.school));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn core(name: &str, status: Value) -> NodeStatus {
        NodeStatus {
            name: name.into(),
            kind: "core".into(),
            pid: None,
            restarts: 0,
            ready: true,
            reasons: Vec::new(),
            admin: String::new(),
            url: String::new(),
            status,
        }
    }

    #[test]
    fn the_newest_term_says_who_leads() {
        let nodes = [
            core("core-1", json!({"groups": [{"group": 1, "leader": "core-1", "term": 3, "applied": 7}]})),
            core("core-2", json!({"groups": [{"group": 1, "leader": "core-2", "term": 4, "applied": 9}]})),
            core("core-3", Value::Null),
        ];
        let groups = groups(&nodes);
        assert_eq!(groups.len(), 1);
        assert_eq!((groups[0].leader.as_deref(), groups[0].term), (Some("core-2"), 4));
        assert_eq!(groups[0].applied, [("core-1".into(), 7), ("core-2".into(), 9)]);
    }

    #[test]
    fn a_school_is_shown_as_the_node_sees_it_that_its_box_is_connected_to() {
        let seen = |connected, cursor| json!({"boxes": [{"school": "nord", "connected": connected, "cursor": cursor, "head": 9, "lag": 9 - cursor}]});
        let nodes = [core("core-1", seen(false, 0)), core("core-2", seen(true, 8)), core("core-3", seen(false, 2))];
        assert_eq!(schools(&nodes)[0].cursor, 8);
        assert_eq!(schools(&nodes)[0].lag, 1);
    }
}
