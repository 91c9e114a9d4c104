//! `up.json`: what `up` writes down about the processes it has started, for `status` and for tests. Rewritten whole when
//! something changes (a restarted process has another id).

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub const FILE: &str = "up.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Of `up` itself.
    pub pid: u32,
    /// Everything was ready and seeded once.
    pub ready: bool,
    pub nodes: Vec<NodeRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Core,
    Relay,
    Box,
    Gateway,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Relay => "relay",
            Self::Box => "box",
            Self::Gateway => "gateway",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    pub name: String,
    pub kind: Kind,
    /// None while it is not running.
    pub pid: Option<u32>,
    /// How often it was started again after it had died.
    pub restarts: u32,
    /// Base address of the admin listener.
    pub admin: String,
    /// What others reach: a box's web address, a relay's media address, a core node's QUIC address.
    pub url: String,
    /// Of a box: where its browsers go when it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// A box's own media node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaRecord>,
    pub config: PathBuf,
    pub data: PathBuf,
    pub identity: PathBuf,
    pub log: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRecord {
    pub url: String,
    pub admin: String,
}

impl Record {
    pub fn load(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let text = std::fs::read(&path)
            .with_context(|| format!("{}: is `schulhof up` running with this folder?", path.display()))?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// Whole or not at all: readers never see half a record.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let beside = path.with_extension("new");
        let text = serde_json::to_vec_pretty(self)?;
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, path))
            .with_context(|| path.display().to_string())
    }

    pub fn node(&self, name: &str) -> Option<&NodeRecord> {
        self.nodes.iter().find(|n| n.name == name)
    }
}
