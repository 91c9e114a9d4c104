//! Connections to the other core nodes: one that this node dials to each, shared by all groups.

use super::{
    message::{self, MESSAGE_LEN_MAX, Request, Response},
    types::{Group, NodeId},
};
use parking_lot::RwLock;
use schulhof_net::{
    identity::PeerIdentity,
    quic::{Endpoint, Expected},
};
use schulhof_wire::{NodeName, node::ALPN_RAFT};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// A dead node is not dialled more often than this, whatever number of groups want it.
const REDIAL_AFTER: Duration = Duration::from_millis(100);
/// Shorter than the handshake's own limit: dialling anew finds a node that has just come back sooner than waiting does.
const DIAL_MAX: Duration = Duration::from_secs(1);

/// A core node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    pub identity: PeerIdentity,
    pub address: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("node {0} is not known")]
    Unknown(NodeId),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Failed(String),
}

#[derive(Default)]
struct Link {
    connection: Option<quinn::Connection>,
    failed: Option<(Instant, String)>,
}

/// Another core node, and the connection to it.
struct Peer {
    member: Member,
    link: Mutex<Link>,
}

/// All core nodes but this one.
pub struct Peers {
    endpoint: Endpoint,
    own: NodeId,
    /// As the meta group knows them; before it is known here, as configured.
    others: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
    own_member: RwLock<Option<Member>>,
}

impl Peers {
    /// `members` are all core nodes that are known, this one perhaps among them.
    pub fn new(endpoint: Endpoint, own: NodeId, members: Vec<Member>) -> Self {
        let peers = Self { endpoint, own, others: RwLock::default(), own_member: RwLock::default() };
        peers.learn(members);
        peers
    }

    /// From now on these are the core nodes. Connections to those that are as before stay.
    pub fn learn(&self, members: Vec<Member>) {
        let mut peers = self.others.write();
        let mut before = std::mem::take(&mut *peers);
        for member in members {
            if member.id == self.own {
                *self.own_member.write() = Some(member);
                continue;
            }
            let kept = before.remove(&member.id).filter(|peer| peer.member == member);
            let peer = kept.unwrap_or_else(|| Arc::new(Peer { member: member.clone(), link: Mutex::default() }));
            peers.insert(member.id, peer);
        }
    }

    pub fn own(&self) -> NodeId {
        self.own
    }

    /// The other core nodes.
    pub fn others(&self) -> Vec<NodeId> {
        self.others.read().keys().copied().collect()
    }

    /// The same with their names and addresses.
    pub fn members(&self) -> Vec<Member> {
        self.others.read().values().map(|peer| peer.member.clone()).collect()
    }

    pub fn member(&self, id: NodeId) -> Option<Member> {
        if id == self.own {
            return self.own_member.read().clone();
        }
        self.others.read().get(&id).map(|peer| peer.member.clone())
    }

    pub fn name(&self, id: NodeId) -> Option<NodeName> {
        self.member(id).map(|member| member.identity.name)
    }

    /// The number of a core node, other than this one.
    pub fn number(&self, peer: &PeerIdentity) -> Option<NodeId> {
        self.others.read().values().find(|known| known.member.identity == *peer).map(|known| known.member.id)
    }

    pub async fn connection(&self, id: NodeId) -> Result<quinn::Connection, CallError> {
        let peer = self.others.read().get(&id).cloned().ok_or(CallError::Unknown(id))?;
        let Peer { member, link } = &*peer;
        // One dials, the others wait for it.
        let mut link = link.lock().await;
        if let Some(connection) = &link.connection
            && connection.close_reason().is_none()
        {
            return Ok(connection.clone());
        }
        if let Some((at, detail)) = &link.failed
            && at.elapsed() < REDIAL_AFTER
        {
            return Err(CallError::Unreachable(detail.clone()));
        }
        let expected = Expected::Node(member.identity.clone());
        let dial = self.endpoint.connect(member.address, &expected, ALPN_RAFT);
        let detail = match tokio::time::timeout(DIAL_MAX, dial).await {
            Ok(Ok(connection)) => {
                *link = Link { connection: Some(connection.clone()), failed: None };
                return Ok(connection);
            }
            Ok(Err(e)) => e.to_string(),
            Err(_) => format!("{} does not answer at {}", member.identity, member.address),
        };
        *link = Link { connection: None, failed: Some((Instant::now(), detail.clone())) };
        Err(CallError::Unreachable(detail))
    }

    /// One request, one answer.
    pub async fn call(&self, to: NodeId, group: Group, request: &Request) -> Result<Response, CallError> {
        self.call_within(message::REQUEST_MAX, to, group, request).await
    }

    /// The same, for what takes longer.
    pub async fn call_within(
        &self,
        patience: Duration,
        to: NodeId,
        group: Group,
        request: &Request,
    ) -> Result<Response, CallError> {
        let bytes = message::encode(group, request).map_err(|e| CallError::Failed(e.to_string()))?;
        let exchange = async {
            let connection = self.connection(to).await?;
            let answer = async {
                let (mut send, mut receive) = connection.open_bi().await.map_err(|e| e.to_string())?;
                send.write_all(&bytes).await.map_err(|e| e.to_string())?;
                send.finish().map_err(|e| e.to_string())?;
                receive.read_to_end(MESSAGE_LEN_MAX).await.map_err(|e| e.to_string())
            };
            let answer = answer.await.map_err(CallError::Unreachable)?;
            match message::decode(&answer).map_err(|e| CallError::Failed(e.to_string()))? {
                Response::Failed(detail) => Err(CallError::Failed(detail)),
                response => Ok(response),
            }
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(result) => result,
            Err(_) => Err(CallError::Unreachable(format!("node {to} does not answer"))),
        }
    }
}
