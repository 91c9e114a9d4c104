//! openraft's network: what one group has to say to one node.

use super::{
    message::{self, INSTALL_MAX, KIND_SNAPSHOT, MESSAGE_LEN_MAX, PART_MAX, Part, Request, Response},
    peers::{CallError, Peers},
    types::{Group, NodeId, TypeConfig, Vote},
};
use crate::state::SnapshotData;
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use openraft::{
    AnyError, BasicNode, OptionalSend,
    alias::SnapshotOf,
    entry::RaftEntry,
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use schulhof_net::quic::FrameWriter;
use std::sync::Arc;

/// Appends to one follower that are on their way at once, each on its own stream.
const PIPELINE_MAX: usize = 16;

/// Makes clients for one group.
#[derive(Clone)]
pub struct Network {
    pub peers: Arc<Peers>,
    pub group: Group,
}

/// To one node.
pub struct Client {
    peers: Arc<Peers>,
    group: Group,
    to: NodeId,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, to: NodeId, _node: &BasicNode) -> Client {
        Client { peers: self.peers.clone(), group: self.group, to }
    }
}

/// openraft waits a little before it tries an unreachable node again.
fn unreachable(error: impl std::fmt::Display) -> Unreachable<TypeConfig> {
    Unreachable::new(&AnyError::error(error.to_string()))
}

fn rpc_error(error: impl std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Unreachable(unreachable(error))
}

impl Client {
    async fn call(&self, request: &Request) -> Result<Response, RPCError<TypeConfig>> {
        self.peers.call(self.to, self.group, request).await.map_err(rpc_error)
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
    ) -> Result<SnapshotResponse<TypeConfig>, CallError> {
        let failed = |e: &dyn std::fmt::Display| CallError::Failed(e.to_string());
        let SnapshotData::Own(mut dump) = snapshot.snapshot else {
            return Err(failed(&"only an own snapshot can be sent"));
        };
        let connection = self.peers.connection(self.to).await?;
        let (mut send, mut receive) = connection.open_bi().await.map_err(|e| failed(&e))?;
        send.write_all(&message::head(KIND_SNAPSHOT, self.group)).await.map_err(|e| failed(&e))?;
        let mut writer = FrameWriter::<Part>::new(send);
        let mut part = Some(Part::Begin { vote, meta: snapshot.meta });
        while let Some(next) = part {
            tokio::time::timeout(PART_MAX, writer.write(&next))
                .await
                .map_err(|e| failed(&e))?
                .map_err(|e| failed(&e))?;
            let read = tokio::task::spawn_blocking(move || (dump.next_chunk(), dump)).await.map_err(|e| failed(&e))?;
            dump = read.1;
            part = read.0.map_err(|e| failed(&e))?.map(Part::Chunk);
        }
        writer.finish();
        let answer = tokio::time::timeout(INSTALL_MAX, receive.read_to_end(MESSAGE_LEN_MAX));
        let answer = answer.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        match message::decode(&answer).map_err(|e| failed(&e))? {
            Response::Snapshot(response) => Ok(response),
            other => Err(failed(&format!("unexpected answer {other:?}"))),
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.call(&Request::Append(request)).await? {
            Response::Append(response) => Ok(response),
            other => Err(rpc_error(format!("unexpected answer {other:?}"))),
        }
    }

    /// Several at once; answers in the order of the requests.
    fn stream_append<S>(
        &mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<
        '_,
        Result<BoxStream<'_, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let (peers, group, to) = (self.peers.clone(), self.group, self.to);
        let answers = input
            .map(move |request| {
                let peers = peers.clone();
                async move {
                    let previous = request.prev_log_id;
                    let last = request.entries.last().map(RaftEntry::log_id).or(previous);
                    match peers.call(to, group, &Request::Append(request)).await.map_err(rpc_error)? {
                        Response::Append(response) => Ok(response.into_stream_result(previous, last)),
                        other => Err(rpc_error(format!("unexpected answer {other:?}"))),
                    }
                }
            })
            .buffered(PIPELINE_MAX);
        Box::pin(async move { Ok(answers.boxed()) })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.call(&Request::Vote(request)).await? {
            Response::Vote(response) => Ok(response),
            other => Err(rpc_error(format!("unexpected answer {other:?}"))),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.call(&Request::PreVote(request)).await? {
            Response::Vote(response) => Ok(response),
            other => Err(rpc_error(format!("unexpected answer {other:?}"))),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            result = self.send_snapshot(vote, snapshot) => {
                result.map_err(|e| {
                    tracing::warn!(group = self.group.0, node = self.to, "a snapshot was not sent: {e}");
                    StreamingError::Unreachable(unreachable(e))
                })
            }
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.call(&Request::Transfer(request)).await? {
            Response::Transfer { accepted: true } => Ok(Ok(())),
            other => Err(rpc_error(format!("unexpected answer {other:?}"))),
        }
    }
}
