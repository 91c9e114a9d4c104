//! Connections to the other core nodes: one that this node dials to each, shared by all groups.

use super::{
    message::{self, MESSAGE_LEN_MAX, Request, Response},
    types::{Group, NodeId},
};
use schulhof_net::{
    identity::PeerIdentity,
    quic::{Endpoint, Expected},
};
use schulhof_wire::{NodeName, node::ALPN_RAFT};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// A dead node is not dialled more often than this, whatever number of groups want it.
const REDIAL_AFTER: Duration = Duration::from_millis(100);
/// Shorter than the handshake's own limit: dialling anew finds a node that has just come back sooner than waiting does.
const DIAL_MAX: Duration = Duration::from_secs(1);

/// A core node, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    pub identity: PeerIdentity,
    pub address: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("node {0} is not configured")]
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

/// All core nodes but this one.
pub struct Peers {
    endpoint: Endpoint,
    own: NodeId,
    members: BTreeMap<NodeId, Member>,
    links: BTreeMap<NodeId, Mutex<Link>>,
}

impl Peers {
    /// `members` are all core nodes, this one among them.
    pub fn new(endpoint: Endpoint, own: NodeId, members: Vec<Member>) -> Self {
        let links = members.iter().filter(|m| m.id != own).map(|m| (m.id, Mutex::default())).collect();
        Self { endpoint, own, members: members.into_iter().map(|m| (m.id, m)).collect(), links }
    }

    pub fn own(&self) -> NodeId {
        self.own
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn name(&self, id: NodeId) -> Option<NodeName> {
        self.members.get(&id).map(|member| member.identity.name.clone())
    }

    /// Whether somebody is a core node of this configuration, other than this one.
    pub fn knows(&self, peer: &PeerIdentity) -> bool {
        self.members.values().any(|member| member.id != self.own && member.identity == *peer)
    }

    pub async fn connection(&self, id: NodeId) -> Result<quinn::Connection, CallError> {
        let (member, link) = self.members.get(&id).zip(self.links.get(&id)).ok_or(CallError::Unknown(id))?;
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
