//! Nodes that come and go: what was acknowledged stays.

mod support;

use schulhof_core::Node;
use schulhof_net::identity::Role;
use schulhof_wire::{LogIndex, node::ToBox};
use std::{io::Write as _, os::unix::fs::FileExt as _};
use support::{Cluster, Session, eventually, message, room, school, seed};

/// Seeds `nord` and has a box write `count` messages in batches; returns the head.
async fn write(cluster: &Cluster, device: &str, count: u64) -> LogIndex {
    let nord = school("nord");
    let mut operator = cluster.client(Role::Operator, "up").session(&nord, LogIndex(0)).await;
    if operator.head == LogIndex(0) {
        operator.submit(1, &seed()).await;
        operator.collect(Some(1), 2, LogIndex(0)).await;
    }
    let client = cluster.client(Role::Box, "nord");
    let mut session: Session = client.session(&nord, LogIndex(0)).await;
    let mut head = session.head;
    session.collect(None, head.0 as usize, LogIndex(0)).await;
    session.submit(0, &[room(device)]).await;
    session.collect(Some(0), 1, head).await;
    head.0 += 1;
    for first in (2..count + 2).step_by(20) {
        let batch: Vec<_> = (first..(first + 20).min(count + 2)).map(|seq| message(device, seq)).collect();
        session.submit(first, &batch).await;
        session.collect(Some(first), batch.len(), head).await;
        head.0 += batch.len() as u64;
    }
    head
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_takes_over_and_everything_acknowledged_is_there() {
    let mut cluster = Cluster::start().await;
    let nord = school("nord");
    let head = write(&cluster, "d-1", 100).await;
    let leader = cluster.leader(1).await;
    let client = cluster.client(Role::Box, "nord");
    let mut watching = client.session(&nord, head).await;
    cluster.stop(leader).await;
    // The session ends: with a word where to go, or with the connection.
    match watching.next().await {
        None | Some(ToBox::Redirect { .. }) => {}
        other => panic!("unexpected: {other:?}"),
    }
    let mut session = client.session(&nord, LogIndex(0)).await;
    assert_eq!(session.head, head);
    session.collect(None, head.0 as usize, LogIndex(0)).await;
    session.submit(1, &[message("d-1", 102)]).await;
    session.collect(Some(1), 1, head).await;
    // The one that was away gets what it missed.
    cluster.restart(leader).await;
    let hashes = cluster.hashes(&nord, LogIndex(head.0 + 1)).await;
    assert_eq!(hashes.len(), 3);
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_started_again_hold_the_same_state() {
    let mut cluster = Cluster::start().await;
    let nord = school("nord");
    let head = write(&cluster, "d-1", 60).await;
    let before = cluster.hashes(&nord, head).await;
    for at in 0..3 {
        cluster.stop(at).await;
    }
    for at in 0..3 {
        cluster.restart(at).await;
    }
    assert_eq!(cluster.hashes(&nord, head).await, before);
    let mut session = cluster.client(Role::Box, "nord").session(&nord, head).await;
    assert_eq!(session.head, head);
    session.submit(1, &[message("d-1", 62)]).await;
    session.collect(Some(1), 1, head).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_past_the_purge_comes_back_by_snapshot() {
    let mut cluster = Cluster::start_with(|config| config.purge_every = 10).await;
    let nord = school("nord");
    let away = (cluster.leader(1).await + 1) % 3;
    cluster.stop(away).await;
    // Each batch is one Raft entry: a hundred, of which at most some thirty stay.
    let head = write(&cluster, "d-1", 2_000).await;
    let purged = |node: &Node| {
        use schulhof_core::raft::types::Group;
        node.groups().status().into_iter().find(|status| status.group == Group(1)).map(|status| status.purged)
    };
    eventually("the log is purged", async || {
        cluster.running().all(|node| purged(node).is_some_and(|purged| purged > 20)).then_some(())
    })
    .await;
    cluster.restart(away).await;
    let hashes = cluster.hashes(&nord, head).await;
    assert_eq!(hashes.len(), 3);
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    let back = cluster.nodes[away].as_ref().unwrap();
    // It did not get the entries, but the state.
    eventually("the log begins after the snapshot", async || purged(back).filter(|purged| *purged > 20)).await;
    // It serves all entries from the first one on.
    let store = &back.groups().get(schulhof_core::raft::types::Group(1)).unwrap().store;
    let entries = store.entries(&nord, LogIndex(0), 10_000, usize::MAX).unwrap();
    assert_eq!(entries.len() as u64, head.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_everything_joins_again() {
    let mut cluster = Cluster::start().await;
    let nord = school("nord");
    let head = write(&cluster, "d-1", 20).await;
    let lost = (cluster.leader(1).await + 1) % 3;
    cluster.stop(lost).await;
    eventually("the folder is let go of", async || std::fs::remove_dir_all(&cluster.configs[lost].data).ok()).await;
    cluster.restart(lost).await;
    let hashes = cluster.hashes(&nord, head).await;
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_damaged_log_does_not_start_and_says_where() {
    let mut cluster = Cluster::start().await;
    write(&cluster, "d-1", 60).await;
    let follower = (cluster.leader(1).await + 1) % 3;
    cluster.stop(follower).await;
    let segment = cluster.configs[follower].data.join("log").join("000000000001.segment");
    let file = std::fs::File::options().read(true).write(true).open(&segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 1_000).unwrap();
    let config = cluster.configs[follower].clone();
    let error = eventually("the start is refused for the log", async || {
        let error = Node::start(config.clone()).await.err().expect("the node must not start").to_string();
        error.starts_with("damaged log record at ").then_some(error)
    })
    .await;
    assert!(error.contains("000000000001.segment, offset "), "{error}");
    // The others go on.
    cluster.leader(1).await;
    assert_eq!(cluster.client(Role::Box, "nord").session(&school("nord"), LogIndex(0)).await.head, LogIndex(63));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_of_a_newer_program_is_left_alone() {
    let mut cluster = Cluster::start().await;
    cluster.leader(1).await;
    cluster.stop(0).await;
    let version = cluster.configs[0].data.join("VERSION");
    std::fs::File::create(&version).unwrap().write_all(b"core 999\n").unwrap();
    let error = Node::start(cluster.configs[0].clone()).await.err().expect("the node must not start");
    assert!(error.to_string().contains("newer"), "{error}");
}
