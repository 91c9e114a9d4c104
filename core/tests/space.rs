//! A core whose disks are nearly full takes no operations, says so, lets everybody read, and goes on when there is room.

mod support;

use schulhof_core::Node;
use schulhof_net::identity::Role;
use schulhof_wire::{
    LogIndex, SchoolId,
    node::{ToBox, ToCore},
};
use support::{Client, Cluster, eventually, message, room, school, seed};

const FULL: u64 = u64::MAX;

/// As if so much had to be kept free on all nodes but one.
fn keep_free(cluster: &Cluster, bytes: u64, except: Option<usize>) {
    for (_, node) in cluster.nodes.iter().enumerate().filter(|(at, _)| Some(*at) != except) {
        node.as_ref().unwrap().space().keep_free(bytes);
    }
}

fn refuses(node: &Node) -> Option<String> {
    node.status()["refuses_operations"].as_str().map(str::to_owned)
}

async fn seeded(cluster: &Cluster, nord: &SchoolId) -> Client {
    let mut operator = cluster.client(Role::Operator, "up").session(nord, LogIndex(0)).await;
    operator.submit(1, &seed()).await;
    operator.collect(Some(1), 2, LogIndex(0)).await;
    let school_box = cluster.client(Role::Box, "nord");
    let mut session = school_box.session(nord, LogIndex(2)).await;
    session.submit(1, &[room("d-1")]).await;
    session.collect(Some(1), 1, LogIndex(2)).await;
    school_box
}

/// One message at whichever node leads; again until it has its place, which is the one after `head`.
async fn write(school_box: &Client, nord: &SchoolId, seq: u64, head: u64) {
    eventually("a message is taken", async || {
        let mut session = school_box.session(nord, LogIndex(head)).await;
        session.submit(1, &[message("d-1", seq)]).await;
        loop {
            match session.next().await {
                Some(ToBox::Committed { .. }) => return Some(()),
                Some(ToBox::Entries { .. } | ToBox::Head { .. }) => {}
                Some(_) | None => return None,
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nearly_full_disks_refuse_operations_while_reading_goes_on_and_recover() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let school_box = seeded(&cluster, &nord).await;
    let mut session = school_box.session(&nord, LogIndex(3)).await;

    keep_free(&cluster, FULL, None);
    session.submit(1, &[message("d-1", 2)]).await;
    let Some(ToBox::Busy { batch: 1, retry_after_ms }) = session.next().await else { panic!("not told to come later") };
    assert!(retry_after_ms >= 1_000, "{retry_after_ms}");
    let told = |node| refuses(node).is_some_and(|why| why.contains("this node's disk"));
    assert!(cluster.running().all(told), "the status says so");
    // Whoever reads gets all, on this session and on a new one.
    session.writer.write(&ToCore::Ping).await.unwrap();
    assert_eq!(session.next().await, Some(ToBox::Head { head: LogIndex(3) }));
    school_box.session(&nord, LogIndex(0)).await.collect(None, 3, LogIndex(0)).await;

    keep_free(&cluster, 0, None);
    write(&school_box, &nord, 2, 3).await;
    cluster.hashes(&nord, LogIndex(4)).await;
    eventually("the status says so", async || cluster.running().all(|node| refuses(node).is_none()).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_room_refuses_while_both_followers_have_none() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let school_box = seeded(&cluster, &nord).await;
    let leader = cluster.leader(1).await;
    keep_free(&cluster, FULL, Some(leader));
    let node = cluster.nodes[leader].as_ref().unwrap();
    eventually("the leader hears of it", async || refuses(node).filter(|why| why.contains("too few"))).await;
    let mut session = school_box.session(&nord, LogIndex(3)).await;
    session.submit(1, &[message("d-1", 2)]).await;
    assert!(matches!(session.next().await, Some(ToBox::Busy { batch: 1, .. })));

    keep_free(&cluster, 0, None);
    write(&school_box, &nord, 2, 3).await;
    let hashes = cluster.hashes(&nord, LogIndex(4)).await;
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_full_node_stops_nobody_gives_up_its_lead_and_catches_up_when_there_is_room() {
    let cluster = Cluster::start().await;
    let nord = school("nord");
    let school_box = seeded(&cluster, &nord).await;
    let full = cluster.leader(1).await;
    let node = cluster.nodes[full].as_ref().unwrap();
    node.space().keep_free(FULL);
    // It gives up its lead; then the others write, and it takes nothing of that.
    write(&school_box, &nord, 2, 3).await;
    write(&school_box, &nord, 3, 4).await;
    assert_ne!(cluster.leader(1).await, full);
    let group = cluster.configs[0].placement()[&nord];
    let head = node.groups().get(group).unwrap().store.head(&nord).unwrap();
    assert!(*head.borrow() < LogIndex(5), "a full disk took {:?}", *head.borrow());

    node.space().keep_free(0);
    let hashes = cluster.hashes(&nord, LogIndex(5)).await;
    assert_eq!(hashes.len(), 3);
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}
