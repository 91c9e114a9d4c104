//! States of schools in the object store: a replica is loaded from them and the entries since, not from the live state; a
//! damaged one is found and not used.

mod support;

use schulhof_core::{raft::types::Group, state::stored::SchoolSnapshot};
use schulhof_net::identity::Role;
use schulhof_school::Operation;
use schulhof_wire::{
    BlobHash, LogIndex, SchoolId,
    chunk::{SchoolChunk, Summary},
    node::{SYNC_VERSION, ToBox},
};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};
use support::{Client, Cluster, Session, eventually, message, school};

/// Above it an empty replica gets the state.
const HEAD: LogIndex = LogIndex(2_502);

/// The states that all nodes know, once the newest is after `head` at least.
async fn stored(cluster: &Cluster, nord: &SchoolId, head: LogIndex) -> Vec<SchoolSnapshot> {
    eventually("a state is stored", async || {
        let mut known = cluster.running().map(|n| n.groups().store(Group(1)).unwrap().snapshots(nord).unwrap());
        let first = known.next()?;
        (known.all(|other| other == first) && first.last()?.head >= head).then_some(first)
    })
    .await
}

/// A cluster with a school of which a state is stored; the box writes on after it.
async fn with_stored() -> (Cluster, Client, Vec<SchoolSnapshot>) {
    let cluster = Cluster::start_with(|config| config.snapshot_every = 1_000).await;
    let nord = school("nord");
    assert_eq!(cluster.write_history(&nord, 2_500).await, HEAD);
    let school_box = cluster.client(Role::Box, "nord");
    // The next one is due 1,000 entries later at the earliest: this one stays the newest.
    let known = stored(&cluster, &nord, LogIndex(HEAD.0 - 999)).await;
    (cluster, school_box, known)
}

/// Loads an empty replica; `None` if the stream ends amid the state.
async fn load(school_box: &Client, nord: &SchoolId) -> Option<(Summary, Session)> {
    let mut session = school_box.session_in(SYNC_VERSION, nord, LogIndex(0)).await;
    loop {
        match session.next().await {
            Some(ToBox::Snapshot { chunk }) => {
                if let SchoolChunk::End(summary) = SchoolChunk::decode(&chunk).unwrap() {
                    return Some((summary, session));
                }
            }
            Some(ToBox::Redirect { .. } | ToBox::RedirectTo { .. }) | None => return None,
            Some(other) => panic!("{other:?} amid the state"),
        }
    }
}

/// All copies of an object.
fn copies(cluster: &Cluster, hash: &BlobHash) -> Vec<PathBuf> {
    let hash = hash.to_string();
    let path = |config: &schulhof_core::Config| config.data.join("objects/snapshot/nord").join(&hash[..2]).join(&hash);
    cluster.configs.iter().map(path).filter(|path| path.exists()).collect()
}

fn damage(cluster: &Cluster, hashes: &[BlobHash]) {
    for path in hashes.iter().flat_map(|hash| copies(cluster, hash)) {
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_load_comes_from_the_stored_state_and_the_entries_since() {
    let (cluster, school_box, known) = with_stored().await;
    let nord = school("nord");
    let newest = known.last().unwrap().head;
    let mut session = school_box.session(&nord, HEAD).await;
    // So few that no other state is stored.
    let head = session.write(&[message("d-1", 2_501)], HEAD).await;
    let (summary, mut replica) = load(&school_box, &nord).await.expect("the state");
    assert_eq!(summary.head, newest, "not the live one");
    assert!(summary.head < head);
    replica.collect(None, (head.0 - newest.0) as usize, newest).await;

    // One copy is damaged: it comes from another node, and nobody notices.
    let state = known.last().unwrap().chunks[1];
    let leader = &cluster.configs[cluster.leader(1).await].data;
    let own = copies(&cluster, &state).into_iter().find(|path| path.starts_with(leader)).expect("its own copy");
    std::fs::write(&own, b"damaged").unwrap();
    assert_eq!(load(&school_box, &nord).await.expect("the state").0.head, newest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_is_damaged_everywhere_is_replaced_by_the_live_one_and_stored_anew() {
    let (cluster, school_box, known) = with_stored().await;
    let nord = school("nord");
    let mut session = school_box.session(&nord, HEAD).await;
    let head = session.write(&[message("d-1", 2_501)], HEAD).await;
    // The last chunk: the load has begun by then, and begins anew.
    damage(&cluster, &known.last().unwrap().chunks[1..]);
    let hashes = cluster.hashes(&nord, head).await;
    let (summary, _) = eventually("a load from the live state", async || load(&school_box, &nord).await).await;
    assert_eq!((summary.head, summary.state_hash), (head, hashes[0]));

    // The next one is written whole, also what has not changed.
    let more: Vec<Operation> = (2_502..=3_600).map(|n| message("d-1", n)).collect();
    let head = session.write(&more, head).await;
    let known = stored(&cluster, &nord, LogIndex(head.0 - 999)).await;
    let (summary, _) = load(&school_box, &nord).await.expect("the state");
    assert_eq!(summary.head, known.last().unwrap().head);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_two_states_are_kept_and_what_nobody_needs_is_removed() {
    let (cluster, school_box, first) = with_stored().await;
    let nord = school("nord");
    let mut session = school_box.session(&nord, HEAD).await;
    let mut after = HEAD;
    for round in 0..2_u64 {
        let from = 2_501 + round * 1_000;
        let more: Vec<Operation> = (from..from + 1_000).map(|n| message("d-1", n)).collect();
        after = session.write(&more, after).await;
        stored(&cluster, &nord, LogIndex(after.0 - 999)).await;
    }
    let known = stored(&cluster, &nord, LogIndex(after.0 - 999)).await;
    assert_eq!(known.len(), 2);
    assert!(known[0].head > first.last().unwrap().head);
    let needed: BTreeSet<BlobHash> = known.iter().flat_map(|snapshot| snapshot.chunks.iter().copied()).collect();
    let gone =
        first.iter().flat_map(|snapshot| &snapshot.chunks).find(|hash| !needed.contains(hash)).expect("its head");
    assert!(!copies(&cluster, gone).is_empty());
    for node in cluster.running() {
        node.snapshots().sweep(Duration::from_hours(1)).await;
    }
    assert!(!copies(&cluster, gone).is_empty(), "it is younger than that");
    for node in cluster.running() {
        node.snapshots().sweep(Duration::ZERO).await;
    }
    assert!(copies(&cluster, gone).is_empty());
    assert!(needed.iter().all(|hash| copies(&cluster, hash).len() >= 2), "on a majority");
}
