//! The sync door (ALPN `schulhof-sync/1`, PROTOCOL.md section 3.1): boxes, gateways and operators, to the log of a school.
//!
//! What this is: who may come in, and one [`session`] per stream. What it must not do: take a box's school from a frame (it
//! stands in the certificate), or answer for a group that this node does not lead.

mod present;
mod session;
mod snapshot;
mod standing;

pub use present::BoxStatus;

use crate::{
    meta::View,
    raft::{Groups, types::NodeId},
    snapshots::Snapshots,
};
use present::Present;
use schulhof_net::{identity::Role, quic::Accepted};
use schulhof_sync::Peer;
use schulhof_wire::{LogIndex, SchoolId, node::ToBox};
use standing::Standing;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Semaphore, watch};

/// Streams that one box may have open: its own, and the one before it that it has not let go of yet.
const BOX_SESSIONS_MAX: usize = 2;
/// An operator's tool seeds many schools at once.
const OPERATOR_SESSIONS_MAX: usize = 64;
/// A gateway has a stream for each school that it has open: as many as one gateway may keep open. quinn allocates for them
/// ahead, some 400 KiB per gateway.
pub const GATEWAY_SESSIONS_MAX: usize = 4_096;
/// Operations on their way through Raft from all boxes of this node, in KiB. Above it boxes are asked to come again.
const IN_FLIGHT_KIB_MAX: usize = 64 << 10;

/// Somebody was refused: at which door and why is a stable code.
pub fn count_refused(reason: &str) {
    metrics::counter!("schulhof_core_refused_total", "reason" => reason.to_owned()).increment(1);
}

/// What all sessions share.
pub struct Door {
    groups: Arc<Groups>,
    /// Which group holds which school, as far as this node knows.
    view: watch::Receiver<Arc<View>>,
    present: Present,
    in_flight: Arc<Semaphore>,
    snapshots: Arc<Snapshots>,
    /// Places for replicas that are loaded.
    dumps: Arc<Semaphore>,
    standing: Standing,
}

impl Door {
    /// A leader that no majority has answered for `quorum_silence_max` leads nobody.
    pub fn new(groups: Arc<Groups>, snapshots: Arc<Snapshots>, quorum_silence_max: Duration) -> Self {
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_KIB_MAX));
        let dumps = Arc::new(Semaphore::new(snapshot::DUMPS_MAX));
        Self {
            view: groups.view(),
            standing: Standing::new(&groups, quorum_silence_max),
            groups,
            present: Present::default(),
            in_flight,
            snapshots,
            dumps,
        }
    }

    /// Looks after what all sessions wait for. Until it is dropped.
    pub async fn tend(&self) {
        self.standing.look(self.groups.clone()).await;
    }

    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { connection, peer, .. } = accepted;
        let (who, sessions_max) = match (peer.role, peer.school()) {
            (Role::Box, Some(school)) => (Peer::Box(school), BOX_SESSIONS_MAX),
            (Role::Operator, _) => (Peer::Operator, OPERATOR_SESSIONS_MAX),
            (Role::Gateway, _) => {
                connection.set_max_concurrent_bi_streams((GATEWAY_SESSIONS_MAX as u32).into());
                (Peer::Gateway, GATEWAY_SESSIONS_MAX)
            }
            _ => {
                count_refused("wrong-role");
                tracing::warn!(%peer, "refused at the sync door: neither a box, a gateway nor an operator");
                connection.close(1u32.into(), b"the sync door is for boxes, gateways and operators");
                return;
            }
        };
        let sessions = Arc::new(Semaphore::new(sessions_max));
        while let Ok((send, receive)) = connection.accept_bi().await {
            // Streams that come too early wait; QUIC bounds how many there can be.
            let Ok(permit) = sessions.clone().acquire_owned().await else { return };
            let (door, who, connection) = (self.clone(), who.clone(), connection.clone());
            tokio::spawn(async move {
                let refused = session::run(&door, &who, send, receive).await;
                if refused && matches!(who, Peer::Box(_)) {
                    connection.close(1u32.into(), b"refused");
                }
                drop(permit);
            });
        }
    }

    /// Whether there is such a school.
    pub fn serves(&self, school: &SchoolId) -> bool {
        self.view.borrow().schools.contains_key(school)
    }

    /// Where to go instead. In version 1 a node cannot be named that the peer has not heard of.
    fn redirect(&self, version: u16, leader: Option<NodeId>) -> ToBox {
        match leader.and_then(|id| self.groups.peers().member(id)) {
            Some(member) if version >= 2 => ToBox::RedirectTo { leader: member.identity.name, address: member.address },
            member => ToBox::Redirect { leader: member.map(|member| member.identity.name) },
        }
    }

    /// The schools that are served here, as an operator sees them.
    pub fn boxes(&self) -> Vec<BoxStatus> {
        let view = self.view.borrow().clone();
        let head = |school: &SchoolId, found: &crate::meta::School| {
            let head = self.groups.get(found.group)?.store.head(school).ok()?;
            Some(*head.borrow())
        };
        let status = |(school, found)| self.present.status(school, head(school, found).unwrap_or(LogIndex(0)));
        view.schools.iter().map(status).collect()
    }
}
