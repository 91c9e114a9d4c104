//! The blob door (ALPN `schulhof-blob/1`, PROTOCOL.md section 3.3): attachments of schools, for boxes, gateways and
//! operators; single objects, between core nodes.
//!
//! What this is: who may ask for what, one [`session`] per stream, and the way to the other nodes' folders. What it must not
//! do: take a box's school from a frame without comparing it with the certificate, or say that something is kept before
//! [`Objects`] has said so.
//!
//! - [`session`]: a stream's requests and their answers
//! - `unfinished`: parts that no blob names yet, bounded per school
//! - [`folders`]: [`crate::objects::Replicas`] over QUIC

pub mod folders;
mod session;
mod unfinished;

pub use folders::Folders;

use crate::{door::count_refused, objects::Objects, raft::Peers};
use schulhof_net::{identity::Role, quic::Accepted};
use schulhof_wire::SchoolId;
use std::sync::Arc;
use tokio::sync::Semaphore;
use unfinished::Unfinished;

/// Streams of one connection that are served at once. Each holds a frame (4 MiB) at most.
const STREAMS_MAX: usize = 8;
/// Streams of a gateway or a core node, which ask for many schools.
const STREAMS_OF_MANY_MAX: usize = 32;

/// Who asks, by certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    /// Blobs of its own school.
    Box(SchoolId),
    /// Blobs of any school.
    Gateway,
    /// Objects of any school on this node.
    Core,
    /// All of it.
    Operator,
}

/// Which schools there are: asked for each stream, since schools come and go.
pub type Known = dyn Fn(&SchoolId) -> bool + Send + Sync;

/// Whether parts of blobs are taken: operations would not be, on a disk that is nearly full.
pub type Room = dyn Fn() -> bool + Send + Sync;

/// What all streams share.
pub struct BlobDoor {
    objects: Objects,
    peers: Arc<Peers>,
    known: Box<Known>,
    room: Box<Room>,
    unfinished: Unfinished,
}

impl BlobDoor {
    pub fn new(objects: Objects, peers: Arc<Peers>, known: Box<Known>, room: Box<Room>) -> Self {
        Self { objects, peers, known, room, unfinished: Unfinished::default() }
    }

    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { connection, peer, .. } = accepted;
        let (who, streams_max) = match (peer.role, peer.school()) {
            (Role::Box, Some(school)) => (Who::Box(school), STREAMS_MAX),
            (Role::Gateway, _) => (Who::Gateway, STREAMS_OF_MANY_MAX),
            (Role::Core, _) if self.peers.number(&peer).is_some() => (Who::Core, STREAMS_OF_MANY_MAX),
            (Role::Operator, _) => (Who::Operator, STREAMS_MAX),
            _ => {
                count_refused("wrong-role");
                tracing::warn!(%peer, "refused at the blob door");
                connection.close(1u32.into(), b"the blob door is not for you");
                return;
            }
        };
        let streams = Arc::new(Semaphore::new(streams_max));
        while let Ok((send, receive)) = connection.accept_bi().await {
            // Streams that come too early wait; QUIC bounds how many there can be.
            let Ok(permit) = streams.clone().acquire_owned().await else { return };
            let (door, who, connection) = (self.clone(), who.clone(), connection.clone());
            tokio::spawn(async move {
                let refused = session::run(&door, &who, send, receive).await;
                if refused && matches!(who, Who::Box(_)) {
                    connection.close(1u32.into(), b"refused");
                }
                drop(permit);
            });
        }
    }
}
