//! What a box's "saved" costs beside the disk alone: both on the same disk in the same run, taking turns.
//!
//! A turn of the disk: one thread that appends as many bytes as an operation has and syncs. A turn of the box: its store,
//! with the school in it and open as in the box's process, takes messages of as many closed loops as there are clients; each
//! waits for "saved". What HTTP adds is not in it.

use crate::{
    disk,
    measure::{self, Client, Measured, Round, System},
    report::Row,
};
use anyhow::{Context as _, ensure};
use schulhof_edge::{
    clock::Monotonic,
    store::{self, FreeSpace, Store, journal},
};
use schulhof_school::{Actor, Body, GroupKind, MemoryKv, Operation, Role};
use schulhof_sync::{Ordered, order};
use schulhof_wire::{
    AccountId, DeviceId, GroupId, Hlc, LogIndex, RoomId, SchoolId, Seq,
    api::SubmitState,
    node::{EncodedOperation, Entry, SYNC_VERSION, ToBox},
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const OPERATION_LEN: usize = 300;
const PAUSE: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(200);
const PUPIL: &str = "eva";
const CLASS: &str = "7a";

/// Options of `schulhof-bench ack`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    clients: Vec<usize>,
    /// Turns of each
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a turn
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Folder on the disk to measure; its content is deleted afterwards [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    operation_len: usize,
    rows: Vec<Row>,
    /// A single client's median over that of the disk alone.
    ratio_p50: Option<f64>,
}

/// Measures and prints.
pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.clients.iter().all(|clients| (1..=1_000).contains(clients)), "--clients: 1 to 1000 each");
    ensure!(args.rounds > 0 && args.seconds > 0, "--rounds and --seconds: 1 or more");
    let folder = disk::folder(args.dir.as_deref())?;
    let report = tokio::runtime::Runtime::new()?.block_on(measure(args, folder.path()))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    println!("operations of {} bytes\nsystem     clients  ops_per_s   p50_us   p99_us", report.operation_len);
    for row in &report.rows {
        println!("{:<10} {:>7} {:>10.0} {:>8} {:>8}", row.system, row.clients, row.ops_per_s, row.p50_us, row.p99_us);
    }
    if let Some(ratio) = report.ratio_p50 {
        println!("one client: {ratio:.2} times the disk's p50");
    }
    Ok(())
}

async fn measure(args: &Args, folder: &Path) -> anyhow::Result<Report> {
    let people = People::at_home(folder, args.clients.iter().copied().max().unwrap_or(1)).await?;
    let turn = Duration::from_secs(args.seconds);
    let mut rows = Vec::new();
    let mut ratio_p50 = None;
    for &clients in &args.clients {
        let (mut bare, mut own) = (Measured::default(), Measured::default());
        for _ in 0..args.rounds {
            tokio::time::sleep(PAUSE).await;
            let at = folder.join("bare");
            bare.add(tokio::task::spawn_blocking(move || disk::appends(&at, OPERATION_LEN, turn)).await??);
            tokio::time::sleep(PAUSE).await;
            own.add(measure::round(&people, &Round { clients, warm_up: WARM_UP, turn, pids: Vec::new() }).await?);
            people.secure().await?;
        }
        let (bare, own) = (Row::new("fdatasync", 1, bare), Row::new("box", clients, own));
        if clients == 1 {
            ratio_p50 = Some(f64::from(own.p50_us) / f64::from(bare.p50_us.max(1)));
        }
        rows.extend([bare, own]);
    }
    Ok(Report { operation_len: OPERATION_LEN, rows, ratio_p50 })
}

/// A box's store with a class in it, and everybody's devices.
struct People {
    store: Arc<Store>,
    numbers: Vec<Arc<AtomicU64>>,
    log: tokio::sync::Mutex<Log>,
}

/// The school's log, as the core orders it.
#[derive(Default)]
struct Log {
    state: MemoryKv,
    head: LogIndex,
}

impl Log {
    fn order(&mut self, operation: EncodedOperation) -> anyhow::Result<Option<Entry>> {
        match order(&mut self.state, operation).map_err(|e| anyhow::anyhow!("{e:?}"))? {
            Ordered::Entry { entry, .. } => {
                self.head = entry.index;
                Ok(Some(entry))
            }
            Ordered::Duplicate => Ok(None),
            Ordered::Gap { expected } => anyhow::bail!("operation {expected} is missing"),
        }
    }
}

impl People {
    async fn at_home(folder: &Path, clients: usize) -> anyhow::Result<Self> {
        let database = store::file(&folder.join("box.redb"), store::MEMORY_BYTES);
        let journal = journal::file(&folder.join("journal"));
        let space = FreeSpace::of(folder);
        let (store, notices) =
            Store::open_journaled(SchoolId::new("nord")?, database, journal, space, Monotonic::start())?;
        // As the hub does, which tells browsers; here there are none.
        std::thread::spawn(move || while notices.recv().is_ok() {});
        let people = Self {
            store: Arc::new(store),
            numbers: (0..clients).map(|_| Arc::default()).collect(),
            log: tokio::sync::Mutex::default(),
        };
        let account = AccountId::new(PUPIL)?;
        let bodies = [
            Body::SchoolName { name: "Grundschule Nord".into() },
            Body::AccountCreate {
                account: account.clone(),
                login: PUPIL.into(),
                name: "Eva".into(),
                role: Role::Pupil,
                password: "$argon2id$v=19$m=16,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo".into(),
            },
            Body::GroupCreate { group: GroupId::new(CLASS)?, name: "Klasse 7a".into(), kind: GroupKind::Class },
            Body::GroupMembers { group: GroupId::new(CLASS)?, add: vec![account], remove: Vec::new() },
        ];
        let mut entries = Vec::new();
        for (seq, body) in (1..).zip(bodies) {
            let device = DeviceId::new("up")?;
            let operation = Operation { device, seq: Seq(seq), actor: Actor::Operator, at: Hlc::from_ms(seq), body };
            entries.extend(people.log.lock().await.order(EncodedOperation(operation.encode()))?);
        }
        people.store.link_connected();
        let head = people.log.lock().await.head;
        people.deliver(ToBox::Welcome { version: SYNC_VERSION, head }).await?;
        people.deliver(ToBox::Entries { entries }).await?;
        Ok(people)
    }

    async fn deliver(&self, frame: ToBox) -> anyhow::Result<()> {
        self.store.link_frame(frame).await.map_err(|e| anyhow::anyhow!("a frame was refused: {e:?}"))?;
        Ok(())
    }

    /// What waits gets its place, as over a working line: the next turn begins with an empty outbox.
    async fn secure(&self) -> anyhow::Result<()> {
        use schulhof_wire::node::ToCore;
        let mut log = self.log.lock().await;
        while let Some(frame) = self.store.link_transmit() {
            let ToCore::Submit { batch, operations } = frame else { continue };
            let mut entries = Vec::new();
            for operation in operations {
                entries.extend(log.order(operation)?);
            }
            self.deliver(ToBox::Entries { entries }).await?;
            self.deliver(ToBox::Committed { batch }).await?;
        }
        Ok(())
    }
}

impl System for People {
    type Client = Person;

    fn client(&self, number: usize) -> Person {
        let device = DeviceId::new(format!("d-{number}")).expect("letters and digits");
        Person { store: self.store.clone(), device, number: self.numbers[number].clone() }
    }
}

struct Person {
    store: Arc<Store>,
    device: DeviceId,
    number: Arc<AtomicU64>,
}

impl Person {
    fn message(&self, seq: u64, len: usize) -> Operation {
        Operation {
            device: self.device.clone(),
            seq: Seq(seq),
            actor: Actor::Account(AccountId::new(PUPIL).expect("letters")),
            at: Hlc::from_ms(1_700_000_000_000 + seq),
            body: Body::post(RoomId::new(CLASS).expect("letters"), "x".repeat(len)),
        }
    }
}

impl Client for Person {
    async fn operate(&mut self) -> anyhow::Result<()> {
        let seq = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let around = self.message(seq, 1).encode().len() - 1;
        let operation = self.message(seq, OPERATION_LEN - around);
        let answer = self.store.submit(self.device.clone(), vec![operation]).await?;
        let result = answer.results.first().context("an answer without a result")?;
        ensure!(result.state == SubmitState::Saved, "not saved, but {result:?}");
        Ok(())
    }
}
