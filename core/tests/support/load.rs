//! Writers and a reader that go on whatever happens to the core, and what must be true afterwards.

use super::{Client, Cluster, Session, decoded, eventually, message, room, seed};
use schulhof_net::identity::Role;
use schulhof_school::Operation;
use schulhof_wire::{
    LogIndex, SchoolId,
    node::{EncodedOperation, ToBox, ToCore},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// Three writers and a reader of one school.
pub struct Load {
    school: SchoolId,
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<u64>>,
    reader: JoinHandle<u64>,
}

impl Load {
    /// Seeds the school and begins.
    pub async fn start(cluster: &Cluster, school: &SchoolId) -> Self {
        let operator = cluster.client(Role::Operator, "up");
        let mut seeding = operator.session(school, LogIndex(0)).await;
        seeding.submit(1, &seed()).await;
        seeding.collect(Some(1), 2, LogIndex(0)).await;
        let client = || cluster.client(Role::Box, school.as_str());
        let mut opening = client().session(school, LogIndex(2)).await;
        opening.submit(1, &[room("d-0")]).await;
        opening.collect(Some(1), 1, LogIndex(2)).await;

        let shared = Arc::new(Shared::default());
        let writer = |i| {
            let (client, school, shared) = (client(), school.clone(), shared.clone());
            on_its_own(async move || write(client, school, format!("d-{i}"), shared).await)
        };
        let writers = (1..=3).map(writer).collect();
        let (client, named, counted) = (client(), school.clone(), shared.clone());
        let reader = on_its_own(async move || read(client, named, counted).await);
        Self { school: school.clone(), shared, writers, reader }
    }

    /// Waits until so much more was written.
    pub async fn progress(&self, by: u64) {
        let shown = || self.shared.shown.load(Ordering::SeqCst);
        let from = shown();
        eventually("writing goes on", async || (shown() >= from + by).then_some(())).await;
    }

    /// Ends, and checks that what was acknowledged is there once and in order. Gives the head.
    pub async fn stop(self, cluster: &Cluster) -> LogIndex {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut written = BTreeMap::new();
        for (device, writer) in (1..).zip(self.writers) {
            written.insert(format!("d-{device}"), writer.await.expect("the writer saw nothing wrong"));
        }
        assert!(self.reader.await.expect("the reader saw nothing wrong") > 3, "the reader came again");
        let (head, operations) = all(&cluster.client(Role::Operator, "up"), &self.school).await;
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for operation in &operations {
            found.entry(operation.device.as_str().to_owned()).or_default().push(operation.seq.0);
        }
        for (device, last) in written {
            let numbers = &found[&device];
            assert!(
                numbers.len() as u64 >= last && last > 10,
                "{device}: {last} acknowledged, {} found",
                numbers.len()
            );
            assert_eq!(*numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{device}: each once, in order");
        }
        head
    }
}

/// What writers and readers share.
#[derive(Default)]
pub struct Shared {
    pub stop: AtomicBool,
    /// The highest index that anybody has been shown.
    pub shown: AtomicU64,
}

/// On a thread: what polls is no future that could change threads.
fn on_its_own(work: impl AsyncFnOnce() -> u64 + Send + 'static) -> JoinHandle<u64> {
    tokio::task::spawn_blocking(move || tokio::runtime::Handle::current().block_on(work()))
}

/// Writes one message after the other, each until it is acknowledged; gives the number of the last one.
pub async fn write(client: Client, school: SchoolId, device: String, shared: Arc<Shared>) -> u64 {
    let mut cursor = LogIndex(0);
    let mut seq = 1;
    'connect: loop {
        let Session { head, mut writer, mut reader, .. } = client.session(&school, cursor).await;
        assert!(head >= cursor, "{device}: the head went back from {cursor:?} to {head:?}");
        loop {
            if shared.stop.load(Ordering::Relaxed) {
                return seq - 1;
            }
            let operations = vec![EncodedOperation(message(&device, seq).encode())];
            let submit = ToCore::Submit { batch: seq, operations };
            if writer.write(&submit).await.is_err() {
                continue 'connect;
            }
            loop {
                match reader.read().await {
                    Ok(Some(ToBox::Entries { entries })) => {
                        for entry in entries {
                            assert_eq!(entry.index.0, cursor.0 + 1, "{device}: gapless, in order, once");
                            cursor = entry.index;
                            shared.shown.fetch_max(cursor.0, Ordering::SeqCst);
                        }
                    }
                    Ok(Some(ToBox::Committed { batch })) if batch == seq => {
                        seq += 1;
                        break;
                    }
                    Ok(Some(ToBox::Busy { retry_after_ms, .. })) => {
                        tokio::time::sleep(Duration::from_millis(retry_after_ms.into())).await;
                        break;
                    }
                    Ok(Some(ToBox::Redirect { .. }) | None) | Err(_) => continue 'connect,
                    Ok(Some(other)) => panic!("{device}: unexpected {other:?}"),
                }
            }
        }
    }
}

/// Comes again and again: each time at least what anybody had been shown before.
pub async fn read(client: Client, school: SchoolId, shared: Arc<Shared>) -> u64 {
    let mut times = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let known = shared.shown.load(Ordering::SeqCst);
        let session = client.session(&school, LogIndex(known)).await;
        assert!(session.head.0 >= known, "an older state: {} of {known}", session.head.0);
        times += 1;
    }
    times
}

/// The operations of a school's log, with each device's numbers.
pub async fn all(client: &Client, school: &SchoolId) -> (LogIndex, Vec<Operation>) {
    let mut session = client.session(school, LogIndex(0)).await;
    let head = session.head;
    let entries = session.collect(None, head.0 as usize, LogIndex(0)).await;
    assert!(entries.iter().all(|entry| entry.rejected.is_none()));
    (head, decoded(&entries))
}
