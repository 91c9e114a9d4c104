//! A core node's configuration.

use crate::raft::types::{Group, NodeId};
use schulhof_wire::{NodeName, SchoolId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

/// Bounds of [`Config::groups`]: each group costs its own heartbeats, file and memory.
pub const GROUPS_MAX: u32 = 64;
/// Core nodes that replicate the same groups: more make writes slower and nothing safer.
pub const NODES_MAX: usize = 7;
/// Bounds of [`Config::heartbeat_ms`].
pub const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 20..=5_000;
/// Bounds of [`Config::keep_entries`]: a frame of them, so that a session which lags a little never falls out of the tail;
/// and of [`Config::keep_days`].
pub const KEEP_ENTRIES_MIN: u64 = 1_000;
pub const KEEP_DAYS_MAX: u32 = 3_650;

/// Everything a core node is told. Unknown keys are refused. Paths are relative to the working folder unless absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node's name, as in its certificate; one of [`Config::nodes`].
    pub name: NodeName,
    /// Folder with `ca.pem`, `cert.pem`, `key.pem` of a core node.
    pub identity: PathBuf,
    /// Folder for the log and the state, on a disk whose sync is honest. 32 MiB when empty; a school of a thousand people
    /// writes about 10 MiB a day.
    pub data: PathBuf,
    /// Where core nodes, boxes and operators connect (QUIC on UDP). Port 0 takes a free one.
    pub quic: SocketAddr,
    /// Admin listener (HTTP), on a loopback address.
    pub admin: SocketAddr,
    /// Number of data groups, 1 to 64; the same on all nodes, and never changed once there is data. More groups use more
    /// cores of the machine and cost more heartbeats, a file and its share of the cache: 32 to 64 for thousands of schools, 4
    /// for a few. The meta group comes to them. Default 32.
    #[serde(default = "groups")]
    pub groups: u32,
    /// Milliseconds between a leader's heartbeats, 20 to 5000; the same on all nodes. A dead leader is replaced after 7 to 10
    /// of them. Smaller costs traffic per group and mistakes a busy node for a dead one. Default 300.
    #[serde(default = "heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// Log entries of a group after which its state is made durable and older log may be given up, 10 to 1,000,000. Two to
    /// three times as many stay in the log: a node that was away for less catches up from the log, otherwise it gets the
    /// whole state. Larger costs disk and a longer start. Default 10,000.
    #[serde(default = "purge_every")]
    pub purge_every: u64,
    /// Entries that are kept of each school's log, at least 1,000; older ones are deleted, by the thousand. A box or gateway that
    /// was away for more is loaded from the school's state instead of going on entry by entry. Each costs some 400 bytes on each
    /// node's disk. Whichever is more counts, this or `keep_days`; the node that leads a school's group decides. Default 50,000.
    #[serde(default = "keep_entries")]
    pub keep_entries: u64,
    /// Days of which the entries are kept, by their own clocks, 0 to 3,650. A school of a thousand people writes some 20,000
    /// entries a day. Default 14.
    #[serde(default = "keep_days")]
    pub keep_days: u32,
    /// Entries after which a school's state is stored among the objects, 1,000 to 1,000,000; also once a day if anything has
    /// happened. The last two are kept there, on each node: a gateway's or a new box's first load is read from them instead of the
    /// live state. Smaller costs writing, larger makes more entries follow a load. Default 10,000.
    #[serde(default = "snapshot_every")]
    pub snapshot_every: u64,
    /// Memory for reading and writing the state of all groups, in MiB, at least 8. Default 128.
    #[serde(default = "state_cache_mib")]
    pub state_cache_mib: usize,
    /// Where blobs and snapshots are kept. Default: a folder in the data.
    #[serde(default)]
    pub objects: crate::objects::Config,
    /// This node is added to a core that exists: `node` names nodes of that, and not this one, which waits until
    /// `schulhof node add` has been called. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub join: bool,
    /// All core nodes, this one among them; the same on all nodes, 1 to 7, better odd. Read when the core begins; later
    /// the meta group knows them (`schulhof node list`).
    #[serde(rename = "node", default)]
    pub nodes: Vec<Node>,
    /// Schools, and in which group each one's log is. Taken over by the meta group when it begins, and later when it does not
    /// know one yet; where a school is then, the meta group knows (`schulhof school list`).
    #[serde(rename = "school", default)]
    pub schools: Vec<School>,
}

/// A core node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its number in Raft, from 1. Never give it to another node.
    pub id: NodeId,
    /// As in its certificate.
    pub name: NodeName,
    /// Where the others reach it (QUIC on UDP).
    pub addr: SocketAddr,
}

/// A school's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct School {
    pub id: SchoolId,
    /// For operators; what people see is in the school's own data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The group that holds its log at first, 1 to [`Config::groups`].
    pub group: u32,
}

fn groups() -> u32 {
    32
}

fn heartbeat_ms() -> u64 {
    300
}

fn purge_every() -> u64 {
    10_000
}

fn keep_entries() -> u64 {
    50_000
}

fn keep_days() -> u32 {
    14
}

fn snapshot_every() -> u64 {
    10_000
}

fn state_cache_mib() -> usize {
    128
}

/// What no single field can tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    #[error("groups: 1 to {GROUPS_MAX}, not {0}")]
    Groups(u32),
    #[error("heartbeat_ms: {} to {}, not {given}", HEARTBEAT_MS.start(), HEARTBEAT_MS.end())]
    Heartbeat { given: u64 },
    #[error("purge_every: 10 to 1000000, not {0}")]
    PurgeEvery(u64),
    #[error("keep_entries: {KEEP_ENTRIES_MIN} or more, not {0}")]
    KeepEntries(u64),
    #[error("keep_days: 0 to {KEEP_DAYS_MAX}, not {0}")]
    KeepDays(u32),
    #[error("snapshot_every: 1000 to 1000000, not {0}")]
    SnapshotEvery(u64),
    #[error("state_cache_mib: 8 or more, not {0}")]
    StateCache(usize),
    #[error(transparent)]
    Objects(#[from] crate::objects::config::Problem),
    #[error("node: name 1 to {NODES_MAX} core nodes, there are {0}")]
    Nodes(usize),
    #[error("node: ids begin at 1, and ids, names and addresses stand for one node each; see {0}")]
    NodeTwice(NodeName),
    #[error("node: {0} itself is not among the core nodes; if it is to be added to them, say `join = true`")]
    NotAmongNodes(NodeName),
    #[error("join: {0} is among the core nodes already")]
    Joins(NodeName),
    #[error("school: {0} is there twice")]
    SchoolTwice(SchoolId),
    #[error("school: {school} is in group {group}, but groups are 1 to {groups}")]
    SchoolGroup { school: SchoolId, group: u32, groups: u32 },
}

impl Config {
    /// Checks what serde cannot.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        if !(1..=GROUPS_MAX).contains(&self.groups) {
            return Err(ConfigProblem::Groups(self.groups));
        }
        if !HEARTBEAT_MS.contains(&self.heartbeat_ms) {
            return Err(ConfigProblem::Heartbeat { given: self.heartbeat_ms });
        }
        if !(10..=1_000_000).contains(&self.purge_every) {
            return Err(ConfigProblem::PurgeEvery(self.purge_every));
        }
        if self.keep_entries < KEEP_ENTRIES_MIN {
            return Err(ConfigProblem::KeepEntries(self.keep_entries));
        }
        if self.keep_days > KEEP_DAYS_MAX {
            return Err(ConfigProblem::KeepDays(self.keep_days));
        }
        if !(1_000..=1_000_000).contains(&self.snapshot_every) {
            return Err(ConfigProblem::SnapshotEvery(self.snapshot_every));
        }
        if self.state_cache_mib < 8 {
            return Err(ConfigProblem::StateCache(self.state_cache_mib));
        }
        self.objects.check()?;
        if !(1..=NODES_MAX).contains(&self.nodes.len()) {
            return Err(ConfigProblem::Nodes(self.nodes.len()));
        }
        let (mut ids, mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for node in &self.nodes {
            if node.id == 0 || !ids.insert(node.id) || !names.insert(&node.name) || !addresses.insert(node.addr) {
                return Err(ConfigProblem::NodeTwice(node.name.clone()));
            }
        }
        match (names.contains(&self.name), self.join) {
            (false, false) => return Err(ConfigProblem::NotAmongNodes(self.name.clone())),
            (true, true) => return Err(ConfigProblem::Joins(self.name.clone())),
            _ => {}
        }
        let mut schools = BTreeSet::new();
        for School { id, group, .. } in &self.schools {
            if !schools.insert(id) {
                return Err(ConfigProblem::SchoolTwice(id.clone()));
            }
            if !(1..=self.groups).contains(group) {
                let (school, group, groups) = (id.clone(), *group, self.groups);
                return Err(ConfigProblem::SchoolGroup { school, group, groups });
            }
        }
        Ok(())
    }

    /// Which group holds which school's log.
    pub fn placement(&self) -> BTreeMap<SchoolId, Group> {
        self.schools.iter().map(|school| (school.id.clone(), Group(school.group))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = r#"
            name = "core-1"
            identity = "identity"
            data = "data"
            quic = "127.0.0.1:7101"
            admin = "127.0.0.1:9101"
            [[node]]
            id = 1
            name = "core-1"
            addr = "127.0.0.1:7101"
            [[school]]
            id = "nord"
            group = 2
        "#;
        schulhof_net::config::parse(text, std::path::Path::new("config.toml")).unwrap()
    }

    #[test]
    fn defaults_stand_for_what_is_not_said() {
        let config = config();
        assert_eq!((config.groups, config.heartbeat_ms, config.purge_every), (32, 300, 10_000));
        assert_eq!((config.keep_entries, config.keep_days, config.snapshot_every), (50_000, 14, 10_000));
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.placement().get(&SchoolId::new("nord").unwrap()), Some(&Group(2)));
    }

    #[test]
    fn contradictions_are_named() {
        let changed = |change: fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(changed(|c| c.groups = 1), "school: nord is in group 2, but groups are 1 to 1");
        assert!(changed(|c| c.groups = 65).starts_with("groups: "));
        assert!(changed(|c| c.heartbeat_ms = 1).starts_with("heartbeat_ms: 20 to 5000"));
        assert_eq!(changed(|c| c.keep_entries = 999), "keep_entries: 1000 or more, not 999");
        assert!(changed(|c| c.keep_days = 3_651).starts_with("keep_days: 0 to 3650"));
        assert!(changed(|c| c.snapshot_every = 0).starts_with("snapshot_every: 1000 to"));
        assert!(changed(|c| c.nodes.clear()).starts_with("node: name 1 to 7"));
        assert!(changed(|c| c.nodes[0].name = NodeName::new("core-2").unwrap()).contains("not among the core nodes"));
        assert!(changed(|c| c.join = true).ends_with("core-1 is among the core nodes already"));
        assert!(changed(|c| c.nodes.push(c.nodes[0].clone())).contains("see core-1"));
        assert!(changed(|c| c.schools.push(c.schools[0].clone())).contains("nord is there twice"));
    }
}
