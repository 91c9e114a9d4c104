//! Joining, as a box's folder sees it: key, certificate and ticket key are made or fetched, and lie there afterwards.
//!
//! Every step may be repeated after a crash: the keys are on disk before the core hears of them, and the certificate is the
//! last file that is written.

use super::renew::SOFTWARE;
use crate::run::TICKET_KEY_FILE;
use anyhow::Context as _;
use schulhof_net::{
    enrol::{Token, join as ask},
    identity::{CERTIFICATE_FILE, NodeKey},
};
use schulhof_placement::TicketKey;
use schulhof_wire::{NodeName, SchoolId, enrol::CoreNode};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// What the core has told, in the folder of the identity.
pub const ENROLLED_FILE: &str = "enrolled.json";

/// A box that has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    pub school: SchoolId,
    /// What operators call it.
    pub name: NodeName,
    /// To be compared with what `schulhof box list` shows.
    pub words: String,
    /// When the first certificate ends.
    pub expires_ms: u64,
    /// The core's nodes.
    pub core: Vec<Node>,
    /// The box's public ticket key, for the media nodes' configuration.
    pub ticket_key: String,
}

/// A core node, as in a box's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: NodeName,
    pub addr: String,
}

impl From<CoreNode> for Node {
    fn from(CoreNode { name, address }: CoreNode) -> Self {
        Self { name, addr: address }
    }
}

/// Whether the folder has an identity already.
pub fn has_joined(dir: &Path) -> bool {
    dir.join(CERTIFICATE_FILE).exists()
}

/// What the core told when this folder's box joined.
pub fn enrolled(dir: &Path) -> anyhow::Result<Enrolled> {
    let path = dir.join(ENROLLED_FILE);
    let text = fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// Joins with a token; writes `key.pem`, `ticket.pk8`, `ca.pem`, `cert.pem` and [`ENROLLED_FILE`] into the folder.
pub async fn join(token: &Token, dir: &Path) -> anyhow::Result<Enrolled> {
    anyhow::ensure!(
        !has_joined(dir),
        "{} holds an identity already; a box that shall join anew needs an empty folder",
        dir.display()
    );
    let key = NodeKey::load_or_create(dir)?;
    let ticket_key = ticket_key(&dir.join(TICKET_KEY_FILE))?.public().to_string();
    let joined = ask(token, &key, SOFTWARE, Some(ticket_key.clone())).await?;
    let enrolled = Enrolled {
        school: joined.enrolled.school,
        name: joined.enrolled.name,
        words: joined.words,
        expires_ms: joined.enrolled.expires_ms,
        core: joined.enrolled.core.into_iter().map(Node::from).collect(),
        ticket_key,
    };
    let text = serde_json::to_vec_pretty(&enrolled)?;
    write(&dir.join(ENROLLED_FILE), &text)?;
    joined.identity.save(dir)?;
    Ok(enrolled)
}

/// The ticket key in a file, made there (mode 0600) if there is none.
pub fn ticket_key(path: &Path) -> anyhow::Result<TicketKey> {
    let context = || path.display().to_string();
    if path.exists() {
        return crate::run::ticket_key(path);
    }
    let key = TicketKey::generate(&rand::random());
    write(path, &key.to_pkcs8()).with_context(context)?;
    Ok(key)
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let beside: PathBuf = path.with_extension("new");
    let write = || {
        fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| path.display().to_string())
}
