//! Whether the groups that this node leads are still answered by a majority: looked at once for all sessions of a group. A look of
//! each session of its own would be thousands of timers.

use crate::raft::{Groups, types::Group};
use openraft::{Instant as _, async_runtime::WatchReceiver};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How often the leader's own standing is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is known of all groups of this node.
pub struct Standing {
    answered: BTreeMap<Group, watch::Sender<bool>>,
    /// A leader that no majority has answered for this long leads nobody.
    silence_max: Duration,
}

impl Standing {
    pub fn new(groups: &Groups, silence_max: Duration) -> Self {
        Self { answered: groups.all().map(|(group, _)| (group, watch::Sender::new(true))).collect(), silence_max }
    }

    /// False while this node leads the group without being answered.
    pub fn answered(&self, group: Group) -> Option<watch::Receiver<bool>> {
        self.answered.get(&group).map(watch::Sender::subscribe)
    }

    /// Until it is dropped.
    pub async fn look(&self, groups: Arc<Groups>) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            for (group, handle) in groups.all() {
                let acked = handle.raft.data_metrics().borrow_watched().last_quorum_acked;
                let answered = acked.is_none_or(|at| at.elapsed() <= self.silence_max);
                if let Some(sender) = self.answered.get(&group) {
                    sender.send_if_modified(|known| std::mem::replace(known, answered) != answered);
                }
            }
        }
    }
}
