//! A school moves between groups while it is written to and read: nothing acknowledged is lost or doubled, numbers go on
//! without a gap, and nobody sees an older state.

mod support;

use schulhof_core::raft::types::Group;
use schulhof_wire::{
    LogIndex, SchoolId,
    admin::{Answer, Ask},
};
use support::{Cluster, eventually, load::Load, school};

async fn place(cluster: &Cluster, school: &SchoolId) -> (u32, u64, bool) {
    let Answer::Schools(schools) = cluster.ask(Ask::Schools).await else { panic!("not schools") };
    let found = schools.into_iter().find(|s| s.school == *school).expect("the school is there");
    (found.group, found.epoch, found.moving.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_moves_there_and_back_while_it_is_written_to_and_read() {
    let mut cluster = Cluster::start().await;
    let nord = school("nord");
    let load = Load::start(&cluster, &nord).await;
    load.progress(50).await;
    let dry = Ask::SchoolMove { school: nord.clone(), to: 2, dry_run: true };
    assert!(matches!(cluster.ask(dry).await, Answer::Schools(_)));
    assert_eq!(place(&cluster, &nord).await, (1, 1, false), "only asked");
    for (to, epoch) in [(2, 2), (1, 3), (2, 4)] {
        let ask = Ask::SchoolMove { school: nord.clone(), to, dry_run: false };
        assert!(matches!(cluster.ask(ask).await, Answer::Schools(_)));
        if to == 1 {
            // Whoever drives the move stops, and another one goes on.
            let driver = cluster.leader(0).await;
            cluster.stop(driver).await;
            cluster.restart(driver).await;
        }
        eventually("the move is over", async || (place(&cluster, &nord).await == (to, epoch, false)).then_some(()))
            .await;
        load.progress(50).await;
    }
    let head = load.stop(&cluster).await;
    // All copies of the new group hold the same, the old one nothing.
    let hashes = cluster.hashes_in(Group(2), &nord, head).await;
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]));
    for node in cluster.running() {
        let store = node.groups().store(Group(1)).unwrap();
        let gone = async || {
            let entries = store.entries(&nord, LogIndex(0), 1, usize::MAX).unwrap();
            entries.is_empty().then_some(())
        };
        eventually("the old group has dropped it", gone).await;
    }
}
