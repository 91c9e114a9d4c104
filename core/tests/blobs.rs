//! Blobs at the core's door: kept by a majority, whole or not at all, for their own school alone.

mod support;

use schulhof_net::identity::Role;
use schulhof_wire::{
    BlobHash, SchoolId,
    blob::{FromBlob, ObjectKey, PART_LEN, Recipe, Space, ToBlob},
};
use std::path::PathBuf;
use support::{Blobs, Cluster, eventually, school};

fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash(*blake3::hash(bytes).as_bytes())
}

/// Two parts and a bit, none like another.
fn picture() -> Vec<u8> {
    (0..2 * PART_LEN + 1000).map(|n| (n / 251 + n) as u8).collect()
}

fn recipe(bytes: &[u8]) -> Recipe {
    Recipe { blob: hash(bytes), size: bytes.len() as u64, parts: bytes.chunks(PART_LEN).map(hash).collect() }
}

async fn upload(blobs: &mut Blobs, bytes: &[u8]) {
    for part in bytes.chunks(PART_LEN) {
        let put = ToBlob::Put { part: hash(part), bytes: part.to_vec() };
        eventually("a majority keeps the part", async || (blobs.ask(&put).await == FromBlob::Kept).then_some(())).await;
    }
    assert_eq!(blobs.ask(&ToBlob::Commit { recipe: recipe(bytes) }).await, FromBlob::Kept);
}

async fn download(blobs: &mut Blobs, blob: BlobHash) -> Vec<u8> {
    let FromBlob::Recipe { recipe } = blobs.ask(&ToBlob::Stat { blob }).await else { panic!("no recipe") };
    let mut bytes = Vec::new();
    for part in recipe.parts {
        let FromBlob::Bytes { bytes: part } = blobs.ask(&ToBlob::Get { part }).await else { panic!("no part") };
        bytes.extend(part);
    }
    bytes
}

fn file(cluster: &Cluster, node: usize, part: BlobHash) -> PathBuf {
    let name = part.to_string();
    cluster.configs[node].data.join("objects/part/nord").join(&name[..2]).join(name)
}

fn code(answer: &FromBlob) -> &str {
    match answer {
        FromBlob::Refused { code, .. } => code,
        other => panic!("not refused: {other:?}"),
    }
}

async fn welcome(cluster: &Cluster, role: Role, name: &str, at: usize, school: &SchoolId) -> Blobs {
    let (answer, blobs) = cluster.client(role, name).blobs(at, school).await;
    assert!(matches!(answer, FromBlob::Welcome { .. }), "{answer:?}");
    blobs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_is_on_a_majority_survives_a_node_and_a_damaged_copy_is_mended_from_another() {
    let mut cluster = Cluster::start().await;
    let (nord, bytes) = (school("nord"), picture());
    let recipe = recipe(&bytes);
    let mut blobs = welcome(&cluster, Role::Box, "nord", 0, &nord).await;

    // What was interrupted goes on where it was: parts are asked for by name.
    let first = ToBlob::Put { part: recipe.parts[0], bytes: bytes[..PART_LEN].to_vec() };
    eventually("a majority keeps the part", async || (blobs.ask(&first).await == FromBlob::Kept).then_some(())).await;
    let has = blobs.ask(&ToBlob::Has { parts: recipe.parts.clone() }).await;
    assert_eq!(has, FromBlob::Has { has: vec![true, false, false] });
    let early = blobs.ask(&ToBlob::Commit { recipe: recipe.clone() }).await;
    assert_eq!(early, FromBlob::Missing { parts: recipe.parts[1..].to_vec() });
    upload(&mut blobs, &bytes).await;
    let copies = (0..3).filter(|&node| file(&cluster, node, recipe.parts[2]).exists()).count();
    assert!(copies >= 2, "{copies} of 3 nodes have it");

    // Without the node that took it.
    cluster.stop(0).await;
    let mut elsewhere = welcome(&cluster, Role::Gateway, "g-1", 1, &nord).await;
    assert_eq!(download(&mut elsewhere, recipe.blob).await, bytes);

    cluster.restart(0).await;
    let damaged = file(&cluster, 1, recipe.parts[1]);
    let mut torn = std::fs::read(&damaged).unwrap();
    torn[17] ^= 1;
    std::fs::write(&damaged, &torn).unwrap();
    let served = eventually("the damaged part is mended", async || {
        match elsewhere.ask(&ToBlob::Get { part: recipe.parts[1] }).await {
            FromBlob::Bytes { bytes } => Some(bytes),
            FromBlob::Busy { .. } => None,
            other => panic!("unexpected: {other:?}"),
        }
    })
    .await;
    assert_eq!(served, bytes[PART_LEN..2 * PART_LEN]);
    assert_eq!(std::fs::read(&damaged).unwrap(), served, "it was put right on the disk too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_that_a_majority_does_not_have() {
    let mut cluster = Cluster::start().await;
    let mut blobs = welcome(&cluster, Role::Box, "nord", 2, &school("nord")).await;
    cluster.stop(0).await;
    cluster.stop(1).await;
    let put = ToBlob::Put { part: hash(b"alone"), bytes: b"alone".to_vec() };
    let answer = blobs.ask(&put).await;
    assert!(matches!(answer, FromBlob::Busy { .. }), "{answer:?}");
    cluster.restart(1).await;
    eventually("two of three keep it", async || (blobs.ask(&put).await == FromBlob::Kept).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_school_gets_nothing_of_another_and_nobody_gets_in_with_what_is_not_what_it_says() {
    let cluster = Cluster::start().await;
    let (nord, sued) = (school("nord"), school("sued"));
    let mut of_nord = welcome(&cluster, Role::Box, "nord", 0, &nord).await;
    let bytes = picture();
    upload(&mut of_nord, &bytes).await;
    let blob = hash(&bytes);

    let (answer, _) = cluster.client(Role::Box, "sued").blobs(0, &nord).await;
    assert_eq!(code(&answer), "wrong-school");
    let mut of_sued = welcome(&cluster, Role::Box, "sued", 0, &sued).await;
    assert_eq!(of_sued.ask(&ToBlob::Stat { blob }).await, FromBlob::Missing { parts: vec![blob] });
    let part = recipe(&bytes).parts[0];
    assert_eq!(of_sued.ask(&ToBlob::Get { part }).await, FromBlob::Missing { parts: vec![part] });
    // Objects are for core nodes and operators.
    let key = ObjectKey { school: nord.clone(), space: Space::Blob, hash: blob };
    assert_eq!(code(&of_sued.ask(&ToBlob::GetObject { key }).await), "wrong-role");

    let (answer, _) = cluster.client(Role::Operator, "up").blobs(0, &school("west")).await;
    assert_eq!(code(&answer), "unknown-school");

    let false_part = ToBlob::Put { part: hash(b"one"), bytes: b"other".to_vec() };
    assert_eq!(code(&of_nord.ask(&false_part).await), "wrong-hash");
    let too_large = vec![0; PART_LEN + 1];
    let too_large = ToBlob::Put { part: hash(&too_large), bytes: too_large };
    assert_eq!(code(&of_nord.ask(&too_large).await), "too-large");
    let lie = Recipe { blob: hash(b"something else"), ..recipe(&bytes) };
    assert_eq!(code(&of_nord.ask(&ToBlob::Commit { recipe: lie }).await), "wrong-hash");
    // The stream has borne all of that.
    assert_eq!(download(&mut of_nord, blob).await, bytes);
}
