//! Operators at the backup door: whole schools while they are written to; nobody else.

mod support;

use schulhof_core::state::school::{SchoolChunk, Summary};
use schulhof_net::{
    identity::Role,
    quic::{FrameReader, FrameWriter},
};
use schulhof_wire::{
    LogIndex, SchoolId,
    backup::{ALPN_BACKUP, FromCore, ToCore, VERSION},
};
use std::collections::BTreeSet;
use support::{Client, Cluster, message, room, school, seed};

/// All frames of an answer.
async fn ask(client: &Client, at: usize, question: ToCore) -> Vec<FromCore> {
    let connection = client.connect_to(at, ALPN_BACKUP).await;
    let (send, receive) = connection.open_bi().await.unwrap();
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::<FromCore>::new(receive));
    writer.write(&question).await.unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = tokio::time::timeout(support::PATIENCE, reader.read()).await.unwrap().unwrap() {
        frames.push(frame);
    }
    frames
}

fn dump(of: &str) -> ToCore {
    ToCore::Dump { version: VERSION, school: school(of) }
}

async fn summary(client: &Client, leader: usize, of: &str) -> (Summary, BTreeSet<Vec<u8>>) {
    let mut frames = ask(client, leader, dump(of)).await;
    assert_eq!(frames.pop(), Some(FromCore::Whole));
    let chunks: BTreeSet<Vec<u8>> = frames
        .iter()
        .map(|frame| match frame {
            FromCore::Chunk { bytes } => bytes.clone(),
            other => panic!("unexpected: {other:?}"),
        })
        .collect();
    let FromCore::Chunk { bytes } = frames.last().expect("chunks") else { panic!("no chunk") };
    let SchoolChunk::End(summary) = SchoolChunk::decode(bytes).unwrap() else { panic!("no end") };
    (summary, chunks)
}

async fn seeded(cluster: &Cluster, of: &SchoolId) -> support::Session {
    let mut operator = cluster.client(Role::Operator, "up").session(of, LogIndex(0)).await;
    operator.submit(1, &seed()).await;
    operator.collect(Some(1), 2, LogIndex(0)).await;
    let name = of.as_str();
    let mut session = cluster.client(Role::Box, name).session(of, LogIndex(2)).await;
    session.submit(1, &[room("d-1"), message("d-1", 2)]).await;
    session.collect(Some(1), 2, LogIndex(2)).await;
    session
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_holds_everything_that_was_committed_before_it_was_asked_for() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let mut session = seeded(&cluster, &nord).await;
    let leader = cluster.leader(1).await;
    let operator = cluster.client(Role::Operator, "backup");
    for round in 0..5u64 {
        session.submit(2 + round, &[message("d-1", 3 + round)]).await;
        session.collect(Some(2 + round), 1, LogIndex(4 + round)).await;
        let (summary, _) = summary(&operator, leader, "nord").await;
        assert_eq!((summary.head, summary.first), (LogIndex(5 + round), LogIndex(1)));
        let hashes = cluster.hashes(&nord, summary.head).await;
        assert!(hashes.iter().all(|hash| *hash == summary.state_hash), "that of every replica");
    }
    let (empty, _) = summary(&operator, cluster.leader(2).await, "sued").await;
    assert_eq!((empty.head, empty.records), (LogIndex(0), 0), "a school without data has a dump, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_get_schools_and_only_from_the_leader() {
    let cluster = Cluster::start().await;
    let leader = cluster.leader(1).await;
    let operator = cluster.client(Role::Operator, "backup");
    let list = |after| ToCore::Schools { version: VERSION, after };
    // A node knows the schools once the meta group has begun.
    support::eventually("the schools", async || {
        let answer = ask(&operator, leader, list(None)).await;
        matches!(answer[..], [FromCore::Schools { .. }]).then_some(())
    })
    .await;
    for at in 0..3 {
        let all = FromCore::Schools { schools: vec![school("nord"), school("sued")] };
        assert_eq!(ask(&operator, at, list(None)).await, [all], "each node knows the schools");
        let rest = FromCore::Schools { schools: vec![school("sued")] };
        assert_eq!(ask(&operator, at, list(Some(school("nord")))).await, [rest]);
        let unknown = ask(&operator, at, dump("west")).await;
        assert!(matches!(&unknown[..], [FromCore::Refused { code, .. }] if code == "unknown-school"), "{unknown:?}");
        let newer = ask(&operator, at, ToCore::Schools { version: VERSION + 1, after: None }).await;
        assert!(matches!(&newer[..], [FromCore::Refused { code, .. }] if code == "version"), "{newer:?}");
        if at != leader {
            let name = Some(cluster.configs[leader].name.clone());
            assert_eq!(ask(&operator, at, dump("nord")).await, [FromCore::Redirect { leader: name }]);
        }
    }
    // A school's own box gets its log at its own door, and no dump of it here.
    for (role, name) in [(Role::Box, "nord"), (Role::Gateway, "g-1"), (Role::Relay, "r-1"), (Role::Core, "core-9")] {
        let connection = cluster.client(role, name).connect_to(leader, ALPN_BACKUP).await;
        let closed = tokio::time::timeout(support::PATIENCE, connection.closed()).await.unwrap();
        assert!(closed.to_string().contains("for operators"), "{role}: {closed}");
    }
}
