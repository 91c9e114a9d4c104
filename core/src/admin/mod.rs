//! The admin door (ALPN `schulhof-admin/1`, PROTOCOL.md section 3.4): operators, to the core itself.
//!
//! What this is: who may come in, one request per stream, and what answers it. What it must not do: answer from a state that
//! may be old (what it reads, it reads as the leader and after a read index), or decide anything that the meta group's state
//! machine decides.

mod boxes;
mod node;
mod school;

use crate::raft::{
    Groups, ProposeError,
    types::{Answer as Applied, Command, Group, META, NodeId},
};
use crate::{
    door::count_refused,
    meta::{MetaAnswer, MetaCommand, View},
};
use schulhof_net::{
    identity::Role,
    quic::{Accepted, FrameReader, FrameWriter},
};
use schulhof_wire::{
    NodeName,
    admin::{Answer, Ask, Leader, REQUEST_LEN_MAX, Request, VERSION},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// Requests of one operator at once; further streams wait.
const REQUESTS_MAX: usize = 16;
/// Whoever opens a stream asks at once.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// An answer is taken within this time, or nobody wants it.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// When a majority does not answer, or what is asked for is under way.
const BUSY_RETRY_MS: u32 = 300;

/// What the requests need.
pub struct AdminDoor {
    groups: Arc<Groups>,
    /// With the file under which the CA's key is sealed.
    identity: PathBuf,
}

impl AdminDoor {
    pub fn new(groups: Arc<Groups>, identity: PathBuf) -> Self {
        Self { groups, identity }
    }

    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, accepted: Accepted) {
        let Accepted { connection, peer, .. } = accepted;
        if peer.role != Role::Operator {
            count_refused("wrong-role");
            tracing::warn!(%peer, "refused at the admin door: not an operator");
            connection.close(1u32.into(), b"the admin door is for operators");
            return;
        }
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        while let Ok((send, receive)) = connection.accept_bi().await {
            let Ok(permit) = requests.clone().acquire_owned().await else { return };
            let (door, operator) = (self.clone(), peer.name.clone());
            tokio::spawn(async move {
                let mut reader = FrameReader::<Request>::with_limit(receive, REQUEST_LEN_MAX);
                let answer = match timeout(REQUEST_MAX, reader.read()).await {
                    Ok(Ok(Some(Request { version: VERSION, ask }))) => {
                        tracing::info!(%operator, ?ask, "an operator asks");
                        door.answer(&operator, ask).await
                    }
                    Ok(Ok(Some(Request { version, .. }))) => {
                        refused("version", format!("this core speaks version {VERSION}, not {version}"))
                    }
                    Ok(Err(e)) if e.is_malformed() => refused("malformed", e.to_string()),
                    _ => return,
                };
                if let Answer::Refused { code, detail } = &answer {
                    count_refused(code);
                    tracing::warn!(%operator, code, detail, "refused at the admin door");
                }
                let mut writer = FrameWriter::new(send);
                let write = async {
                    if writer.write(&answer).await.is_ok() {
                        writer.delivered().await;
                    }
                };
                let _ = timeout(WRITE_MAX, write).await;
                drop(permit);
            });
        }
    }

    async fn answer(&self, operator: &NodeName, ask: Ask) -> Answer {
        let answered = match ask {
            Ask::Schools => self.schools().await,
            Ask::SchoolAdd { school, name, group } => self.school_add(school, name, group).await,
            Ask::Nodes => self.nodes().await,
            Ask::NodeAdd { name, address, replaces, dry_run } => self.node_add(name, address, replaces, dry_run).await,
            Ask::NodeChange { name, change, dry_run } => self.node_change(name, change, dry_run).await,
            Ask::SchoolMove { school, to, dry_run } => self.school_move(school, Group(to), dry_run).await,
            Ask::CaInstall { certificate, key } => self.ca_install(certificate, key).await,
            Ask::BoxInvite { school, token, ttl_ms } => self.box_invite(operator, school, token, ttl_ms).await,
            Ask::Boxes => self.boxes().await,
            Ask::BoxRevoke { what } => self.box_revoke(what).await,
        };
        answered.unwrap_or_else(|instead| instead)
    }

    /// What the meta group knows, not older than the question. The error is the answer instead.
    async fn view(&self) -> Result<Arc<View>, Answer> {
        self.groups.confirm(META).await.map_err(|e| self.instead(e))?;
        let view = self.groups.view().borrow().clone();
        if view.has_begun() { Ok(view) } else { Err(Answer::Busy { retry_after_ms: BUSY_RETRY_MS }) }
    }

    /// Proposes to the meta group.
    async fn propose(&self, command: MetaCommand) -> Result<MetaAnswer, Answer> {
        match self.groups.propose(META, Command::Meta(command)).await {
            Ok(Applied::Meta(MetaAnswer::Refused { code, detail })) => Err(refused(&code, detail)),
            Ok(Applied::Meta(answer)) => Ok(answer),
            Ok(other) => Err(refused("internal", format!("the meta group answered {other}"))),
            Err(e) => Err(self.instead(e)),
        }
    }

    /// What a command would come to, as things are here.
    async fn try_out(&self, command: MetaCommand) -> Result<MetaAnswer, Answer> {
        let failed = |e: &dyn std::fmt::Display| refused("internal", e.to_string());
        let store = self.groups.store(META).map_err(|e| self.instead(e))?.clone();
        let tried = move || store.with_records(|records| crate::meta::try_out(records, &command));
        match tokio::task::spawn_blocking(tried).await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))? {
            MetaAnswer::Refused { code, detail } => Err(refused(&code, detail)),
            answer => Ok(answer),
        }
    }

    fn instead(&self, error: ProposeError) -> Answer {
        match error {
            ProposeError::NotLeader(leader) => Answer::Redirect { leader: leader.and_then(|id| self.leader(id)) },
            ProposeError::Unavailable(detail) => {
                tracing::warn!("an operator's request waits: {detail}");
                Answer::Busy { retry_after_ms: BUSY_RETRY_MS }
            }
        }
    }

    fn leader(&self, id: NodeId) -> Option<Leader> {
        let member = self.groups.peers().member(id)?;
        Some(Leader { name: member.identity.name, address: member.address })
    }
}

fn refused(code: &str, detail: impl Into<String>) -> Answer {
    Answer::Refused { code: code.into(), detail: detail.into() }
}
