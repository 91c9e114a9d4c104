//! openraft's state machine over a [`Store`].

use super::{
    Store,
    snapshot::{Dump, Received, SnapshotData},
};
use crate::raft::types::{Entry, LogId, SnapshotMeta, StoredMembership, TypeConfig};
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    alias::SnapshotOf,
    storage::{ApplyResponder, EntryResponder, RaftStateMachine},
};
use std::{io, path::PathBuf, sync::Arc};

/// Most Raft entries in one transaction, and about the bytes after which it is closed: those at its beginning wait for
/// the answer until its end.
const APPLY_ENTRIES_MAX: usize = 256;
const APPLY_BYTES_MAX: usize = 4 << 20;

/// A group's state machine; clones share it.
#[derive(Clone)]
pub struct Machine {
    store: Arc<Store>,
    /// Where snapshots of other nodes are kept until they are installed.
    received: PathBuf,
}

impl Machine {
    pub fn new(store: Arc<Store>, received: PathBuf) -> Self {
        Self { store, received }
    }

    /// A place for the chunks of a snapshot. Blocks.
    pub fn receive(&self) -> io::Result<Received> {
        Received::create(&self.received)
    }
}

/// Runs what blocks on its own thread; a panic there is an error here.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> io::Result<R> + Send + 'static) -> io::Result<R> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn len(entry: &Entry) -> usize {
    match &entry.payload {
        openraft::EntryPayload::Normal(command) => command.len_about(),
        _ => 0,
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let store = self.store.clone();
        blocking(move || store.applied()).await
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let mut ended = false;
        while !ended {
            let mut batch: Vec<Entry> = Vec::new();
            let mut responders: Vec<Option<ApplyResponder<TypeConfig>>> = Vec::new();
            let mut bytes = 0;
            while batch.len() < APPLY_ENTRIES_MAX && bytes < APPLY_BYTES_MAX {
                // Waits for the first; then takes what is there already.
                let next = if batch.is_empty() { Some(entries.next().await) } else { entries.next().now_or_never() };
                let Some(next) = next else { break };
                let Some(next) = next else {
                    ended = true;
                    break;
                };
                let (entry, responder) = next?;
                bytes += len(&entry);
                batch.push(entry);
                responders.push(responder);
            }
            if batch.is_empty() {
                continue;
            }
            let store = self.store.clone();
            let answers = blocking(move || store.apply(&batch)).await?;
            for (responder, answer) in responders.into_iter().zip(answers) {
                if let Some(responder) = responder {
                    responder.send(answer);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let (machine, meta) = (self.clone(), meta.clone());
        blocking(move || {
            let received = match snapshot {
                SnapshotData::Received(received) => received,
                SnapshotData::Own(mut dump) => {
                    let mut received = machine.receive()?;
                    while let Some(chunk) = dump.next_chunk()? {
                        received.write(&chunk)?;
                    }
                    received
                }
            };
            received.install(&meta, &machine.store)
        })
        .await
    }

    /// The state is persistent: the current snapshot is whatever is applied now.
    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotData>>> {
        let store = self.store.clone();
        let (meta, dump) = blocking(move || Dump::new(&store)).await?;
        let snapshot = SnapshotOf::<TypeConfig, _> { meta, snapshot: SnapshotData::Own(Box::new(dump)) };
        Ok(Some(snapshot).filter(|snapshot| snapshot.meta.last_log_id.is_some()))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;

    /// Nothing is copied: what openraft needs before it purges the log is that the state is durable up to there.
    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotData>> {
        let store = self.store.clone();
        let (durable, membership, dump) = blocking(move || {
            let (durable, membership) = store.make_durable()?;
            // It may be further on by now; what is promised is what is durable.
            let (_, dump) = Dump::new(&store)?;
            Ok((durable, membership, dump))
        })
        .await?;
        let meta = SnapshotMeta { last_log_id: durable, last_membership: membership };
        Ok(SnapshotOf::<TypeConfig, _> { meta, snapshot: SnapshotData::Own(Box::new(dump)) })
    }
}
