//! The core's log beside etcd, on the same disk in the same run: three nodes each, as processes, taking turns.
//!
//! A client is a closed loop with one operation outstanding. Of ours, several share a box's connection, as browsers
//! do: operations of messages over the sync door (QUIC, mutual TLS), acknowledged when they are committed by a majority
//! and applied to the school's state. Of etcd: puts of new keys over gRPC without TLS to its leader, on as many connections.
//! How many boxes the clients share decides how many operations go together; the table says it.
//! Both clients are in this process; its share of the processors is in the table, as it takes from both alike.
//!
//! Beside them stands the disk alone: one thread that appends as many bytes and syncs.

mod etcd;
mod ours;
mod ports;
mod report;

use crate::{
    cluster::{self, CORES, Cluster, Plan, School},
    disk,
    measure::{self, Measured, Round},
    report::Row,
};
use anyhow::ensure;
use report::Report;
use schulhof_wire::SchoolId;
use std::{path::PathBuf, time::Duration};

/// Bytes of an operation, and of a put's key and value.
const OPERATION_LEN: usize = 300;
/// As in a core's default configuration.
const PURGE_EVERY: u64 = 10_000;
/// Between two turns: what the one before has left to the disk is done with.
const PAUSE: Duration = Duration::from_secs(1);
/// At the beginning of a turn, not counted.
const WARM_UP: Duration = Duration::from_millis(500);

/// Options of `schulhof-bench log`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
    clients: Vec<usize>,
    /// Numbers of boxes that the clients share (of each those that are not more than the clients)
    #[arg(long, value_delimiter = ',', default_values_t = [4, 25])]
    boxes: Vec<usize>,
    /// Turns of each system per number of clients
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of a turn
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Raft groups of the core
    #[arg(long, default_value_t = 4)]
    groups: u32,
    /// Folder on the disk to measure; its content is deleted afterwards [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The program `schulhof` [default: the one beside this program]
    #[arg(long)]
    bin: Option<PathBuf>,
}

/// Measures and prints.
pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.clients.iter().all(|clients| (1..=1_000).contains(clients)), "--clients: 1 to 1000 each");
    ensure!(args.boxes.iter().all(|boxes| (1..=200).contains(boxes)), "--boxes: 1 to 200 each");
    ensure!(args.rounds > 0 && args.seconds > 0, "--rounds and --seconds: 1 or more");
    let folder = disk::folder(args.dir.as_deref())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure(args, folder.path()))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

/// The core alone, as for production, with so many schools spread over its groups.
fn plan(groups: u32, schools: usize) -> anyhow::Result<Plan> {
    let school = |n: u32| Ok(School { id: SchoolId::new(format!("school-{n}"))?, group: n % groups + 1 });
    Ok(Plan {
        schools: (0..u32::try_from(schools)?).map(school).collect::<anyhow::Result<_>>()?,
        groups,
        purge_every: PURGE_EVERY,
        boxes: false,
        gateway: false,
        proxied: false,
        media: Vec::new(),
        log: "warn",
    })
}

/// What a row is measured with: clients, and the boxes that they share.
fn shapes(args: &Args) -> Vec<(usize, usize)> {
    let mut shapes = Vec::new();
    for &clients in &args.clients {
        for &boxes in &args.boxes {
            let shape = (clients, boxes.min(clients));
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    shapes
}

async fn measure(args: &Args, folder: &std::path::Path) -> anyhow::Result<Report> {
    let shapes = shapes(args);
    let boxes_max = shapes.iter().map(|(_, boxes)| *boxes).max().unwrap_or(1);
    let etcd = etcd::Cluster::start(&folder.join("etcd")).await?;
    let program = cluster::product(args.bin.as_deref())?;
    let core = Cluster::start(plan(args.groups, boxes_max)?, &program, Some(folder.join("core"))).await?;
    let core_pids = || (0..CORES).filter_map(|n| core.core(n).pid()).collect();
    let leader = etcd.leader().await?;
    let connected = ours::Boxes::connect(&core).await?;
    let mut report = Report::new(args.groups);
    let turn = Duration::from_secs(args.seconds);
    for (clients, boxes) in shapes {
        let puts = etcd::Puts::connect(leader, boxes).await?;
        let people = connected.people(clients, boxes)?;
        let (mut theirs, mut own, mut bare) = (Measured::default(), Measured::default(), Measured::default());
        for round in 0..args.rounds {
            // Who is first changes too.
            for second in [false, true] {
                tokio::time::sleep(PAUSE).await;
                let round_of = |pids| Round { clients, warm_up: WARM_UP, turn, pids };
                if (round % 2 == 0) == second {
                    own.add(measure::round(&people, &round_of(core_pids())).await?);
                } else {
                    theirs.add(measure::round(&puts, &round_of(etcd.pids())).await?);
                }
            }
            tokio::time::sleep(PAUSE).await;
            let at = folder.join("bare");
            bare.add(tokio::task::spawn_blocking(move || disk::appends(&at, OPERATION_LEN, turn / 4)).await??);
        }
        for (system, clients, boxes, measured) in
            [("fdatasync", 1, 0, bare), ("etcd", clients, boxes, theirs), ("schulhof", clients, boxes, own)]
        {
            let row = report::Shared { boxes, row: Row::new(system, clients, measured) };
            if !args.json {
                report.print_row(&row);
            }
            report.rows.push(row);
        }
    }
    if !args.json {
        report.print_verdict();
    }
    Ok(report)
}
