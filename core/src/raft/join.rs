//! A new node gets its number from those that are there, and keeps it: a number stands for one node's votes and log for ever.

use super::{
    message::{Request, Response},
    peers::{Member, Peers},
    types::{META, NodeId},
};
use schulhof_net::quic::Endpoint;
use std::{io, path::Path, time::Duration};

/// In the data folder.
const FILE: &str = "node-number";
/// Until an operator has added the node, nobody knows it.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// No node has this number: it is not known yet.
const NOBODY: NodeId = 0;

/// The number that the node has got once; otherwise asks for it until somebody says it.
pub async fn own_number(dir: &Path, endpoint: &Endpoint, members: Vec<Member>, groups: u32) -> io::Result<NodeId> {
    let path = dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let bad = || io::Error::new(io::ErrorKind::InvalidData, format!("{}: not a number", path.display()));
            return text.trim().parse().ok().filter(|id| *id != NOBODY).ok_or_else(bad);
        }
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Err(_) => {}
    }
    let peers = Peers::new(endpoint.clone(), NOBODY, members);
    let (id, there) = loop {
        let mut found = None;
        for other in peers.others() {
            match peers.call(other, META, &Request::WhoAmI).await {
                Ok(Response::YouAre { id, groups }) => found = Some((id, groups)),
                Ok(other) => tracing::warn!("asked for this node's number, was answered {other:?}"),
                Err(e) => tracing::info!("waiting to be added to the core: {e}"),
            }
        }
        match found {
            Some(found) => break found,
            None => tokio::time::sleep(ASK_EVERY).await,
        }
    };
    if there != groups {
        return Err(io::Error::other(format!("groups: the core has {there}, this node is configured for {groups}")));
    }
    let beside = path.with_extension("new");
    let file = std::fs::File::create(&beside)?;
    io::Write::write_all(&mut &file, format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, &path)?;
    std::fs::File::open(dir)?.sync_all()?;
    tracing::info!(id, "this node has its number");
    Ok(id)
}
