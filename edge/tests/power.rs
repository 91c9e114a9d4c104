//! The power goes on the box at any moment: each operation that was answered "saved" is there afterwards, once, in order,
//! and nothing else is.

#[path = "support/drive.rs"]
mod drive;
mod support;

use drive::Drive;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use schulhof_edge::{
    clock::Monotonic,
    store::{FreeSpace, Store},
};
use schulhof_school::{Actor, Body, Operation};
use schulhof_wire::{
    Hlc, LogIndex, Seq,
    node::{SYNC_VERSION, ToBox, ToCore},
};
use support::{Log, id, school};

const DEVICE: &str = "eva-1";
const OPERATIONS: u64 = 24;

fn open(drive: &Drive) -> Result<Store, schulhof_edge::store::StoreError> {
    let space = FreeSpace::by(|| Some(u64::MAX));
    let (store, notices) =
        Store::open_journaled(school(), drive.database(), drive.journal(), space, Monotonic::start())?;
    // Nobody listens; the writer must not wait for it.
    std::thread::spawn(move || while notices.recv().is_ok() {});
    Ok(store)
}

fn say(seq: u64) -> Operation {
    Operation {
        device: id(DEVICE),
        seq: Seq(seq),
        actor: Actor::Account(id("eva")),
        at: Hlc::from_ms(seq),
        body: Body::post(id("7a"), format!("message {seq}")),
    }
}

/// All that the log has beyond the box's cursor.
async fn deliver(store: &Store, log: &Log) -> Option<()> {
    let ToCore::Hello { after, .. } = store.link_connected() else { panic!("a hello comes first") };
    store.link_frame(ToBox::Welcome { version: SYNC_VERSION, head: log.head() }).await.ok()?;
    let entries = log.entries[after.0 as usize..].to_vec();
    if !entries.is_empty() {
        store.link_frame(ToBox::Entries { entries }).await.ok()?;
    }
    Some(())
}

/// Saves operations from the given one on; now and then some come back from the core. Returns the last that was saved.
async fn live(store: &Store, log: &mut Log, from: u64) -> u64 {
    let mut saved = from - 1;
    for seq in from..=OPERATIONS {
        match store.submit(id(DEVICE), vec![say(seq)]).await {
            Ok(answer) => saved = answer.marks.saved.0,
            Err(_) => break,
        }
        if seq % 7 == 0 {
            while let Some(frame) = store.link_transmit() {
                let ToCore::Submit { operations, .. } = frame else { continue };
                for operation in operations {
                    log.order(&operation.0);
                }
            }
            if deliver(store, log).await.is_none() {
                break;
            }
        }
    }
    saved
}

/// A box that holds its school.
async fn begin(drive: &Drive, log: &Log) -> Store {
    let store = open(drive).unwrap();
    deliver(&store, log).await.unwrap();
    store
}

/// What a restart has found: the last saved one, all before it confirmed or waiting.
async fn check(store: &Store, log: &Log, saved: u64, given: u64, when: &str) -> u64 {
    let marks = store.marks(id(DEVICE)).await.unwrap();
    let confirmed = log.entries.iter().filter(|e| String::from_utf8_lossy(&e.operation.0).contains(DEVICE)).count();
    let waiting: Vec<u64> =
        store.read(|snapshot| snapshot.outbox().unwrap()).unwrap().into_iter().map(|(_, o)| o.seq.0).collect();
    assert!(marks.saved.0 >= saved, "{when}: {saved} were saved, {} are there", marks.saved.0);
    assert!(marks.saved.0 <= given, "{when}: {} are there, but only {given} were given", marks.saved.0);
    let first = waiting.first().copied().unwrap_or(marks.saved.0 + 1);
    assert_eq!(waiting, (first..=marks.saved.0).collect::<Vec<_>>(), "{when}: in order, once");
    assert!(first <= confirmed as u64 + 1, "{when}: {confirmed} confirmed, then from {first} on");
    marks.saved.0
}

#[tokio::test]
async fn whenever_the_power_goes_what_was_saved_is_there() {
    let school_log = Log::with_school();
    let whole = Drive::new();
    let mut log = school_log.clone();
    let store = begin(&whole, &log).await;
    let before = whole.operations();
    assert_eq!(live(&store, &mut log, 1).await, OPERATIONS);
    drop(store);
    let operations = whole.operations() - before;
    assert!(operations > 2 * OPERATIONS, "{operations}");
    eprintln!("{operations} moments");
    for crash in 1..=operations {
        for kept in 0..5 {
            let mut rng = StdRng::seed_from_u64(crash * 10 + kept);
            let when = format!("power lost at operation {crash} of {operations}, way {kept}");
            let drive = Drive::new();
            let mut log = school_log.clone();
            let store = begin(&drive, &log).await;
            drive.off_after(crash);
            let saved = live(&store, &mut log, 1).await;
            drop(store);
            let after = drive.after_power_loss(|| match kept {
                0 => false,
                1 => true,
                _ => rng.random(),
            });
            let store = open(&after).unwrap_or_else(|e| panic!("{when}: {e}"));
            deliver(&store, &log).await.unwrap();
            let found = check(&store, &log, saved, saved + 1, &when).await;
            // And it goes on from there, durably.
            store.submit(id(DEVICE), vec![say(found + 1)]).await.unwrap();
            let later = after.after_power_loss(|| false);
            drop(store);
            let store = open(&later).unwrap_or_else(|e| panic!("{when}, and again: {e}"));
            deliver(&store, &log).await.unwrap();
            check(&store, &log, found + 1, found + 1, &when).await;
        }
    }
}

#[tokio::test]
async fn over_many_losses_of_power_nothing_saved_is_lost() {
    let seeds = std::env::var("SCHULHOF_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let school_log = Log::with_school();
    for seed in 0..seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut log = school_log.clone();
        let mut drive = Drive::new();
        drop(begin(&drive, &log).await);
        let mut saved = 0;
        for life in 0..8 {
            let when = format!("seed {seed}, life {life}");
            // Also while it opens.
            drive.off_after(rng.random_range(1..80));
            if let Ok(store) = open(&drive)
                && deliver(&store, &log).await.is_some()
                && let Ok(marks) = store.marks(id(DEVICE)).await
            {
                assert!(marks.saved.0 >= saved, "{when}: {saved} were saved, {} are there", marks.saved.0);
                saved = live(&store, &mut log, marks.saved.0 + 1).await;
            }
            drive = drive.after_power_loss(|| rng.random());
        }
        let store = open(&drive).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        deliver(&store, &log).await.unwrap();
        check(&store, &log, saved, saved + 1, &format!("seed {seed}, at the end")).await;
        assert!(store.status().0 > LogIndex(0));
    }
}
