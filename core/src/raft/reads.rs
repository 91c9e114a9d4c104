//! One read index for all who wait for it.
//!
//! A read index costs the leader a message to each follower. After an outage thousands of boxes ask at once: those who
//! come while one is on its way share the next one, which begins after they have come and so holds for all of them.

use super::types::{NodeId, Raft, Vote};
use openraft::{
    ReadPolicy,
    async_runtime::WatchReceiver,
    errors::{LinearizableReadError, RaftError},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::sync::Mutex;

/// What a read index has shown.
#[derive(Debug, Clone)]
pub enum Lead {
    /// This node leads with that vote, and has applied all that was committed before.
    Own(Vote),
    /// It does not; who does, if that is known.
    Other(Option<NodeId>),
    /// No majority answers, or Raft has stopped.
    Unknown(String),
}

#[derive(Default)]
struct Last {
    number: u64,
    /// `None` if whoever asked gave up.
    found: Option<Lead>,
}

/// The read indices of one group.
#[derive(Default)]
pub struct Reads {
    /// How many have begun.
    begun: AtomicU64,
    last: Mutex<Last>,
}

impl Reads {
    /// Who leads, as of some moment after the call.
    pub async fn lead(&self, raft: &Raft) -> Lead {
        let come = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.number > come
            && let Some(found) = &last.found
        {
            return found.clone();
        }
        last.number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        last.found = None;
        let found = ask(raft).await;
        last.found = Some(found.clone());
        found
    }
}

async fn ask(raft: &Raft) -> Lead {
    let vote = || raft.server_metrics().borrow_watched().vote;
    let before = vote();
    match raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
        // With another vote the lead was lost meanwhile, or won anew: ask again.
        Ok(_) if vote() == before => Lead::Own(before),
        Ok(_) => Lead::Other(None),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => Lead::Other(forward.leader_id),
        Err(e) => Lead::Unknown(e.to_string()),
    }
}

/// Waits until it is known which node leads, at most so long: an election is under way, and whoever is sent away now
/// comes again before it is over.
pub async fn until_led(raft: &Raft, limit: Duration) {
    let mut server = raft.server_metrics();
    let led = async {
        while server.borrow_watched().current_leader.is_none() {
            if server.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(limit, led).await;
}
