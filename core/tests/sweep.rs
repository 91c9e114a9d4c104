//! Uploads that nobody names go after the retention, on all nodes; what is named, promised or sent again stays.

mod support;

use schulhof_core::sweep::Swept;
use schulhof_net::identity::Role;
use schulhof_school::{Actor, Attachment, Body, Operation};
use schulhof_wire::{
    AccountId, BlobHash, DeviceId, Hlc, LogIndex, RoomId, Seq,
    blob::{FromBlob, PART_LEN, Recipe, ToBlob},
};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use support::{Blobs, Cluster, ROOM, TEACHER, eventually, room, school, seed};

const HOUR: Duration = Duration::from_hours(1);
/// Of the configuration here.
const KEEP_HOURS: u64 = 72;

fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash(*blake3::hash(bytes).as_bytes())
}

/// A part, and another one that all files share.
fn file(n: u8) -> Vec<u8> {
    (0..PART_LEN).map(|at| (at / 251 + at) as u8).chain((0..1_000).map(|at| at as u8 ^ n)).collect()
}

fn recipe(bytes: &[u8]) -> Recipe {
    Recipe { blob: hash(bytes), size: bytes.len() as u64, parts: bytes.chunks(PART_LEN).map(hash).collect() }
}

async fn put(blobs: &mut Blobs, part: &[u8]) {
    let put = ToBlob::Put { part: hash(part), bytes: part.to_vec() };
    eventually("a majority keeps the part", async || (blobs.ask(&put).await == FromBlob::Kept).then_some(())).await;
}

async fn upload(blobs: &mut Blobs, bytes: &[u8]) {
    for part in bytes.chunks(PART_LEN) {
        put(blobs, part).await;
    }
    assert_eq!(blobs.ask(&ToBlob::Commit { recipe: recipe(bytes) }).await, FromBlob::Kept);
}

async fn is_there(blobs: &mut Blobs, bytes: &[u8]) -> bool {
    matches!(blobs.ask(&ToBlob::Stat { blob: hash(bytes) }).await, FromBlob::Recipe { .. })
}

/// Copies on all nodes' disks.
fn copies(cluster: &Cluster, space: &str, name: BlobHash) -> usize {
    cluster.configs.iter().filter(|config| path(&config.data, space, name).exists()).count()
}

fn path(data: &Path, space: &str, name: BlobHash) -> PathBuf {
    let name = name.to_string();
    data.join("objects").join(space).join("nord").join(&name[..2]).join(&name)
}

fn names(seq: u64, bytes: &[u8]) -> Operation {
    let attachment = Attachment {
        hash: hash(bytes),
        name: "Blatt.pdf".into(),
        mime: "application/pdf".into(),
        size: bytes.len() as u64,
    };
    let body =
        Body::MessagePost { room: RoomId::new(ROOM).unwrap(), text: String::new(), attachments: vec![attachment] };
    let actor = Actor::Account(AccountId::new(TEACHER).unwrap());
    Operation { device: DeviceId::new("d-1").unwrap(), seq: Seq(seq), actor, at: Hlc::from_ms(seq), body }
}

/// So much time passes on all nodes, in looks of half a day at most.
async fn pass(cluster: &Cluster, hours: u64) -> Swept {
    let mut all = Swept::default();
    for passed in (0..hours).step_by(12) {
        for node in cluster.running() {
            node.objects().clock().skip(HOUR * (hours - passed).min(12) as u32);
        }
        for node in cluster.running() {
            let swept = node.sweeper().pass().await;
            all.objects += swept.objects;
            all.bytes += swept.bytes;
        }
    }
    all
}

async fn kept_everywhere(cluster: &Cluster, bytes: &[u8]) {
    // The third node gets its copy after the answer.
    eventually("all nodes have it", async || {
        let parts = recipe(bytes).parts.into_iter().all(|part| copies(cluster, "part", part) == 3);
        (parts && copies(cluster, "blob", hash(bytes)) == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_names_goes_after_its_time_and_nothing_else_does() {
    let cluster = Cluster::start_with(|config| config.objects.keep_unnamed_hours = KEEP_HOURS).await;
    let nord = school("nord");
    let mut operator = cluster.client(Role::Operator, "up").session(&nord, LogIndex(0)).await;
    operator.submit(1, &seed()).await;
    operator.collect(Some(1), 2, LogIndex(0)).await;
    let (answer, mut blobs) = cluster.client(Role::Box, "nord").blobs(0, &nord).await;
    assert!(matches!(answer, FromBlob::Welcome { .. }));
    let [named, given_up, asked_for] = [1, 2, 3].map(file);
    for bytes in [&named, &given_up, &asked_for] {
        upload(&mut blobs, bytes).await;
        kept_everywhere(&cluster, bytes).await;
    }
    let half = vec![9; PART_LEN];
    put(&mut blobs, &half).await;
    eventually("the half upload", async || (copies(&cluster, "part", hash(&half)) == 3).then_some(())).await;
    let mut session = cluster.client(Role::Box, "nord").session(&nord, LogIndex(2)).await;
    session.submit(1, &[room("d-1"), names(2, &named)]).await;
    session.collect(Some(1), 2, LogIndex(2)).await;

    let young = file(4);
    for part in young.chunks(PART_LEN) {
        put(&mut blobs, part).await;
    }

    // A clock that says that months have passed at once is not believed.
    pass(&cluster, 1).await;
    for node in cluster.running() {
        node.objects().clock().skip(2_000 * HOUR);
    }
    assert_eq!(pass(&cluster, 1).await, Swept::default());
    assert_eq!(pass(&cluster, KEEP_HOURS - 13 - 12).await, Swept::default());
    // The promise ends after the time: all that is due waits for it.
    assert!(is_there(&mut blobs, &asked_for).await);
    // A blob of which the parts are as old as all others, and which is whole since now.
    assert_eq!(blobs.ask(&ToBlob::Commit { recipe: recipe(&young) }).await, FromBlob::Kept);
    kept_everywhere(&cluster, &young).await;
    assert_eq!(pass(&cluster, 13).await, Swept::default(), "promised");
    // The node that decides has missed that there are these two: their parts are needed all the same.
    let leader = cluster.leader(1).await;
    for bytes in [&named, &young] {
        std::fs::remove_file(path(&cluster.configs[leader].data, "blob", hash(bytes))).unwrap();
    }
    let swept = pass(&cluster, 24).await;
    // Of the two blobs the recipe and the second part, and the half upload; the first part is the named one's, too.
    assert_eq!(swept.objects, 5, "{swept:?}");
    assert!(swept.bytes > PART_LEN as u64 + 2_000);

    for bytes in [&named, &young] {
        assert!(is_there(&mut blobs, bytes).await);
        kept_everywhere(&cluster, bytes).await;
    }
    for bytes in [&given_up, &asked_for] {
        assert!(!is_there(&mut blobs, bytes).await);
        assert_eq!(copies(&cluster, "blob", hash(bytes)), 0, "on no node");
        assert_eq!(copies(&cluster, "part", recipe(bytes).parts[1]), 0);
    }
    assert_eq!(copies(&cluster, "part", hash(&half)), 0);
    // And can come again.
    upload(&mut blobs, &given_up).await;
    assert_eq!(pass(&cluster, KEEP_HOURS - 1).await, Swept::default(), "its time begins anew");
    assert!(is_there(&mut blobs, &given_up).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_while_a_node_cannot_say_whether_it_has_promised_it() {
    let mut cluster = Cluster::start_with(|config| config.objects.keep_unnamed_hours = 24).await;
    let nord = school("nord");
    let leader = cluster.leader(1).await;
    let (other, away) = ((leader + 1) % 3, (leader + 2) % 3);
    let (_, mut blobs) = cluster.client(Role::Box, "nord").blobs(other, &nord).await;
    let bytes = file(1);
    upload(&mut blobs, &bytes).await;
    kept_everywhere(&cluster, &bytes).await;
    pass(&cluster, 24).await;
    cluster.stop(away).await;
    assert_eq!(pass(&cluster, 48).await, Swept::default());
    assert!(is_there(&mut blobs, &bytes).await, "whoever is refused spares it everywhere");
    // Started anew, it may have promised anything; what the other has promised counts, too.
    cluster.restart(away).await;
    cluster.leader(1).await;
    assert_eq!(pass(&cluster, 12).await, Swept::default());
    assert!(is_there(&mut blobs, &bytes).await);
    assert_eq!(pass(&cluster, 12).await, Swept::default());
    let swept = pass(&cluster, 60).await;
    assert_eq!(swept.objects, 3);
    assert!(!is_there(&mut blobs, &bytes).await);
}
