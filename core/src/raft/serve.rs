//! Answers the other core nodes.

use super::{
    groups::{GroupHandle, Groups, ProposeError},
    message::{self, HEAD_LEN, KIND_REQUEST, KIND_SNAPSHOT, MESSAGE_LEN_MAX, PART_MAX, Part, Request, Response},
    types::{NodeId, TypeConfig},
};
use crate::state::{Chunk, SnapshotData};
use openraft::{
    EntryPayload, ReadPolicy,
    alias::SnapshotOf,
    async_runtime::WatchReceiver,
    raft::{AppendEntriesRequest, VoteRequest},
};
use schulhof_net::{
    identity::{PeerIdentity, Role},
    quic::{Accepted, FrameReader},
};
use std::sync::Arc;

/// Serves one connection until it ends. QUIC bounds how many of its requests are served at once.
pub async fn serve(accepted: Accepted, groups: Arc<Groups>) {
    let Accepted { connection, peer, .. } = accepted;
    let Some(admitted_as) = admitted(&groups, &peer) else {
        super::super::door::count_refused("not-a-core-node");
        tracing::warn!(%peer, "refused at the Raft door: not a node of this core");
        connection.close(1u32.into(), b"not a node of this core");
        return;
    };
    while let Ok((send, receive)) = connection.accept_bi().await {
        if admitted(&groups, &peer).is_none() {
            connection.close(1u32.into(), b"no node of this core any more");
            return;
        }
        tokio::spawn(exchange(send, receive, groups.clone(), admitted_as.number()));
    }
}

/// A core node that may come in.
#[derive(Debug, Clone, Copy)]
enum Admitted {
    Numbered(NodeId),
    /// A node that has just joined knows few of the others yet, and hears of them from whichever leads: until then it takes
    /// any core node of this CA.
    Unknown,
}

impl Admitted {
    fn number(self) -> Option<NodeId> {
        match self {
            Self::Numbered(number) => Some(number),
            Self::Unknown => None,
        }
    }
}

fn admitted(groups: &Groups, peer: &PeerIdentity) -> Option<Admitted> {
    match groups.peers().number(peer) {
        Some(number) => Some(Admitted::Numbered(number)),
        None => (groups.is_new() && peer.role == Role::Core).then_some(Admitted::Unknown),
    }
}

async fn exchange(
    mut send: quinn::SendStream,
    mut receive: quinn::RecvStream,
    groups: Arc<Groups>,
    number: Option<NodeId>,
) {
    let mut head = [0; HEAD_LEN];
    if receive.read_exact(&mut head).await.is_err() {
        return;
    }
    let (kind, group) = message::read_head(head);
    let response = match (groups.get(group), kind) {
        (None, _) => Response::Failed(format!("group {group} is not on this node")),
        (Some(handle), KIND_REQUEST) => {
            let Ok(bytes) = receive.read_to_end(MESSAGE_LEN_MAX).await else { return };
            match message::decode(&bytes) {
                Ok(Request::WhoAmI) => match number {
                    Some(id) => Response::YouAre { id, groups: groups.data_groups() },
                    None => Response::Failed("this node is new itself".into()),
                },
                Ok(Request::Propose(command)) => match groups.propose(group, command).await {
                    Ok(answer) => Response::Proposed(answer),
                    Err(ProposeError::NotLeader(_)) => Response::NotLeader,
                    Err(ProposeError::Unavailable(detail)) => Response::Failed(detail),
                },
                Ok(Request::Space) => Response::Space { low: groups.space().is_low() },
                Ok(Request::Append(append)) if carries(&append) && groups.space().is_exhausted() => {
                    Response::Failed("the disk of this node is full".into())
                }
                Ok(request) => answer(handle, request).await,
                Err(e) => Response::Failed(e.to_string()),
            }
        }
        (Some(_), KIND_SNAPSHOT) if groups.space().is_exhausted() => {
            Response::Failed("the disk of this node is full".into())
        }
        (Some(handle), KIND_SNAPSHOT) => match take_snapshot(handle, receive).await {
            Ok(response) => response,
            Err(detail) => {
                tracing::warn!(group = group.0, "a snapshot was not taken: {detail}");
                Response::Failed(detail)
            }
        },
        (Some(_), _) => Response::Failed(format!("requests of kind {kind} are not known here")),
    };
    // If the asking node is gone, nobody wants the answer.
    if let Ok(bytes) = postcard::to_stdvec(&response)
        && send.write_all(&bytes).await.is_ok()
    {
        let _ = send.finish();
    }
}

async fn answer(handle: &GroupHandle, request: Request) -> Response {
    let raft = &handle.raft;
    let failed = |e: &dyn std::fmt::Display| Response::Failed(e.to_string());
    match request {
        Request::Append(append) => {
            let committed = append.leader_commit;
            match raft.append_entries(append).await {
                Ok(response) => {
                    if handle.rejoin.is_withheld() && response.is_success() {
                        handle.rejoin.appended(committed, raft.data_metrics().borrow_watched().last_applied);
                    }
                    Response::Append(response)
                }
                Err(e) => failed(&e),
            }
        }
        Request::Vote(vote) if !may_vote(handle, &vote) => failed(&"this node has lost its log and does not vote yet"),
        Request::PreVote(vote) if !may_vote(handle, &vote) => {
            failed(&"this node has lost its log and does not vote yet")
        }
        Request::Vote(vote) => raft.vote(vote).await.map_or_else(|e| failed(&e), Response::Vote),
        Request::PreVote(vote) => raft.pre_vote(vote).await.map_or_else(|e| failed(&e), Response::Vote),
        Request::Transfer(transfer) => match raft.handle_transfer_leader(transfer).await {
            Ok(result) => Response::Transfer { accepted: result.is_ok() },
            Err(e) => failed(&e),
        },
        Request::Propose(_) | Request::WhoAmI | Request::Space => failed(&"it is answered one level up"),
        Request::ReadIndex => match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => Response::ReadIndex(read.index()),
            Err(e) => failed(&e),
        },
        Request::Probe => match raft.is_initialized().await {
            Ok(begun) => Response::Probe { begun },
            Err(e) => failed(&e),
        },
    }
}

/// Whether it has entries other than Raft's own, which are few and small.
fn carries(append: &AppendEntriesRequest<TypeConfig>) -> bool {
    append.entries.iter().any(|entry| matches!(entry.payload, EntryPayload::Normal(_)))
}

fn may_vote(handle: &GroupHandle, vote: &VoteRequest<TypeConfig>) -> bool {
    handle.rejoin.may_vote(vote.last_log_id)
}

async fn take_snapshot(handle: &GroupHandle, receive: quinn::RecvStream) -> Result<Response, String> {
    let mut reader = FrameReader::<Part>::new(receive);
    let mut next = async || match tokio::time::timeout(PART_MAX, reader.read()).await {
        Ok(Ok(Some(part))) => Ok(part),
        Ok(Ok(None)) => Err("it is cut".to_owned()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err("no part came for too long".to_owned()),
    };
    let Part::Begin { vote, meta } = next().await? else { return Err("it does not begin".into()) };
    let machine = handle.machine.clone();
    let mut received = blocking(move || machine.receive()).await?;
    loop {
        let Part::Chunk(chunk) = next().await? else { return Err("it begins twice".into()) };
        let last = matches!(chunk, Chunk::End { .. });
        received = blocking(move || received.write(&chunk).map(|()| received)).await?;
        if last {
            break;
        }
    }
    let snapshot = SnapshotOf::<TypeConfig, _> { meta, snapshot: SnapshotData::Received(received) };
    handle.raft.install_full_snapshot(vote, snapshot).await.map(Response::Snapshot).map_err(|e| e.to_string())
}

async fn blocking<R: Send + 'static>(work: impl FnOnce() -> std::io::Result<R> + Send + 'static) -> Result<R, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    }
}
