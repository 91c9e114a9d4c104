//! Old entries of a school's log go away on all nodes; whoever would need them is loaded from the state.

mod support;

use schulhof_core::{raft::types::Group, state::school::SchoolChunk};
use schulhof_net::identity::Role;
use schulhof_wire::{
    LogIndex,
    admin::{Answer, Ask},
    node::{SYNC_VERSION, SYNC_VERSION_MIN, ToBox},
};
use support::{Cluster, eventually, message, school};

const MESSAGES: u64 = 2_500;
const HEAD: LogIndex = LogIndex(MESSAGES + 2);
/// One block of 1,000 is more than the 1,000 that are kept.
const FIRST: LogIndex = LogIndex(1_001);

/// A core that keeps little, with a school of more; once all nodes have deleted what is too much.
async fn trimmed() -> Cluster {
    let cluster = Cluster::start_with(|config| (config.keep_entries, config.keep_days) = (1_000, 0)).await;
    let nord = school("nord");
    assert_eq!(cluster.write_history(&nord, MESSAGES).await, HEAD);
    eventually("all nodes have deleted the same", async || {
        let kept = |node: &schulhof_core::Node| node.groups().get(Group(1)).unwrap().store.kept(&nord).unwrap();
        cluster.running().all(|node| kept(node) == (HEAD, FIRST)).then_some(())
    })
    .await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_before_the_tail_is_loaded_from_the_state_and_one_within_it_gets_entries() {
    let cluster = trimmed().await;
    let nord = school("nord");
    let hashes = cluster.hashes(&nord, HEAD).await;
    let school_box = cluster.client(Role::Box, "nord");

    // Just before the tail: not empty, and yet it cannot go on from there.
    let mut behind = school_box.session_in(SYNC_VERSION, &nord, LogIndex(FIRST.0 - 2)).await;
    let summary = loop {
        match behind.next().await {
            Some(ToBox::Snapshot { chunk }) => {
                if let SchoolChunk::End(summary) = SchoolChunk::decode(&chunk).unwrap() {
                    break summary;
                }
            }
            other => panic!("{other:?} amid the state"),
        }
    };
    assert_eq!(summary.head, HEAD);
    assert!(hashes.iter().all(|hash| *hash == summary.state_hash), "as on every node");
    // Duplicates of deleted entries are known, and what is new follows.
    behind.submit(1, &[message("d-1", 2), message("d-1", MESSAGES + 1)]).await;
    behind.collect(Some(1), 1, HEAD).await;

    let mut within = school_box.session_in(SYNC_VERSION_MIN, &nord, LogIndex(FIRST.0 - 1)).await;
    within.collect(None, (HEAD.0 + 2 - FIRST.0) as usize, LogIndex(FIRST.0 - 1)).await;
    let leader = cluster.leader(1).await;
    assert_eq!(school_box.refused(leader, &nord, LogIndex(5)).await, "behind", "the version before has no states");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_school_moves_to_another_group_with_its_tail() {
    let cluster = trimmed().await;
    let nord = school("nord");
    let before = cluster.hashes(&nord, HEAD).await;
    cluster.ask(Ask::SchoolMove { school: nord.clone(), to: 2, dry_run: false }).await;
    eventually("the school has moved", async || match cluster.ask(Ask::Schools).await {
        Answer::Schools(schools) => {
            let there = schools.iter().find(|place| place.school == nord)?;
            (there.group == 2 && there.moving.is_none()).then_some(())
        }
        other => panic!("unexpected: {other:?}"),
    })
    .await;
    let mut session = cluster.client(Role::Box, "nord").session(&nord, HEAD).await;
    session.submit(1, &[message("d-1", MESSAGES), message("d-1", MESSAGES + 1)]).await;
    session.collect(Some(1), 1, HEAD).await;
    for node in cluster.running() {
        let store = &node.groups().get(Group(2)).unwrap().store;
        eventually("its tail is there", async || {
            (store.kept(&nord).unwrap() == (LogIndex(HEAD.0 + 1), FIRST)).then_some(())
        })
        .await;
    }
    let after = cluster.hashes_in(Group(2), &nord, LogIndex(HEAD.0 + 1)).await;
    assert!(after.iter().all(|hash| *hash == after[0]) && after[0] != before[0]);
}
