//! All boxes of a land come back at once, to real core nodes: after their line was cut (the core went on meanwhile), or after the
//! core nodes were killed and started again.
//!
//! Measured: processor time of the core nodes from the line's return, or their start, until every box is welcome again, and for
//! how long any box was not.

mod boxes;

use crate::cluster::{self, CORES, Cluster, Plan, School};
use anyhow::ensure;
use boxes::{Boxes, WELCOME_MAX};
use schulhof_wire::SchoolId;
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

const GROUPS: u32 = 32;
/// Long enough for both ends to give the connections up.
const CUT: Duration = Duration::from_secs(6);
/// Core nodes that were killed stay away for so long: a machine that restarts its service.
const AWAY: Duration = Duration::from_millis(500);
/// After the storm, to see what the boxes cost at rest and what changes of the lead still do.
const AFTERWARDS: Duration = Duration::from_secs(15);
/// Targets.
const CPU_TARGET: Duration = Duration::from_secs(3);
const REFUSED_TARGET: Duration = Duration::from_secs(10);

/// What the boxes come back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum After {
    /// The line to all boxes is cut for some seconds
    Line,
    /// All core nodes are killed and started again
    Core,
    /// One core node is
    Node,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Boxes, each of a school of its own
    #[arg(long, default_value_t = 4_500)]
    boxes: usize,
    /// What they come back from
    #[arg(long, value_enum, default_value_t = After::Line)]
    after: After,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
    /// The product to measure; the one beside this program if left out
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// Keep data and logs in this folder, which must be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What was measured. All fields are stable.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    after: After,
    pub boxes: usize,
    /// Processor time of all core nodes from the line's return, or their start, until every box was welcome again.
    pub server_cpu_ms: u64,
    /// Handshakes that the core nodes have completed in this time, of boxes and among each other.
    pub handshakes: u64,
    /// Longest time that a box was not welcome, counted from when the line was there, or the core nodes were ready again.
    pub refused_max_ms: u64,
    /// From then until half of the boxes were welcome.
    pub refused_p50_ms: u64,
    /// Processor time of all core nodes in the 15 s after that, as a share of one processor, in percent.
    pub afterwards_cpu_percent: f64,
    pub met: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(args.boxes > 0, "--boxes: 1 at least");
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure(args))?;
    runtime.shutdown_timeout(Duration::from_secs(2));
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!(
            "{} boxes: {} ms of processor time on the core nodes (target {} ms), {} handshakes",
            report.boxes,
            report.server_cpu_ms,
            CPU_TARGET.as_millis(),
            report.handshakes
        );
        println!(
            "nobody refused for more than {} ms (target {} ms), half of them for {} ms",
            report.refused_max_ms,
            REFUSED_TARGET.as_millis(),
            report.refused_p50_ms
        );
        println!("afterwards the core nodes need {:.1} % of a processor", report.afterwards_cpu_percent);
    }
    Ok(if report.met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let school = |n: usize| Ok(School { id: SchoolId::new(format!("s-{n}"))?, group: 1 + n as u32 % GROUPS });
    let schools = (0..args.boxes).map(school).collect::<anyhow::Result<Vec<_>>>()?;
    let plan = Plan {
        schools,
        groups: GROUPS,
        purge_every: 10_000,
        boxes: false,
        gateway: false,
        proxied: false,
        media: Vec::new(),
        log: "warn",
    };
    let cluster = Cluster::start(plan, &cluster::product(args.bin.as_deref())?, args.keep.clone()).await?;
    let begun = Instant::now();
    let mut boxes = Boxes::start(&cluster)?;
    boxes.until_all_welcome(None).await?;
    eprintln!("{} boxes are connected after {} ms", args.boxes, begun.elapsed().as_millis());
    // Until every group is led by the node where it is at home.
    tokio::time::sleep(AFTERWARDS).await;
    boxes.until_all_welcome(None).await?;

    let storm = match args.after {
        After::Line => cut(&cluster, &mut boxes).await?,
        After::Core => kill(&cluster, 0..CORES).await?,
        After::Node => kill(&cluster, 0..1).await?,
    };
    // Those that have not noticed the kill yet count as lost, unless their node was not killed.
    boxes.until_all_welcome((args.after != After::Node).then_some(storm.lost)).await?;
    let calm = Instant::now();
    let cpu = cpu(&cluster)?;
    let handshakes = handshakes(&cluster)? - storm.handshakes;
    let standings = boxes.standings();
    let welcome = standings.iter().filter_map(|standing| standing.welcome).filter(|at| *at > storm.lost);
    let mut refused: Vec<Duration> = welcome.map(|at| at.saturating_duration_since(storm.back)).collect();
    refused.sort_unstable();
    let refused_max = refused.last().copied().unwrap_or_default();
    tokio::time::sleep(AFTERWARDS).await;
    let afterwards = self::cpu(&cluster)?.saturating_sub(cpu).as_secs_f64() / calm.elapsed().as_secs_f64();
    let server_cpu = cpu.saturating_sub(storm.cpu);
    let ms = |time: Duration| time.as_millis() as u64;
    Ok(Report {
        after: args.after,
        boxes: args.boxes,
        server_cpu_ms: ms(server_cpu),
        handshakes,
        refused_max_ms: ms(refused_max),
        refused_p50_ms: refused.get(refused.len() / 2).map_or(0, |half| ms(*half)),
        afterwards_cpu_percent: afterwards * 100.0,
        met: server_cpu <= CPU_TARGET && refused_max <= REFUSED_TARGET,
    })
}

/// How it stands when the boxes can come back.
struct Storm {
    lost: Instant,
    back: Instant,
    /// Of the core nodes until then.
    cpu: Duration,
    handshakes: u64,
}

async fn cut(cluster: &Cluster, boxes: &mut Boxes) -> anyhow::Result<Storm> {
    let lost = Instant::now();
    boxes.cut()?;
    tokio::time::sleep(CUT).await;
    let (cpu, handshakes) = (cpu(cluster)?, handshakes(cluster)?);
    boxes.mend();
    Ok(Storm { lost, back: Instant::now(), cpu, handshakes })
}

async fn kill(cluster: &Cluster, killed: std::ops::Range<usize>) -> anyhow::Result<Storm> {
    let lost = Instant::now();
    let (mut cpu, mut handshakes) = (Duration::ZERO, 0);
    for core in 0..CORES {
        if killed.contains(&core) {
            cluster.core(core).kill()?;
        } else {
            cpu += cluster.core(core).cpu()?;
            handshakes += of_core(cluster, core)?;
        }
    }
    tokio::time::sleep(AWAY).await;
    for core in killed.clone() {
        cluster.core(core).start()?;
    }
    for core in killed {
        cluster.core(core).until_ready(WELCOME_MAX).await?;
    }
    Ok(Storm { lost, back: Instant::now(), cpu, handshakes })
}

fn cpu(cluster: &Cluster) -> anyhow::Result<Duration> {
    (0..CORES).map(|core| cluster.core(core).cpu()).sum()
}

/// That the core nodes have completed since their start.
fn handshakes(cluster: &Cluster) -> anyhow::Result<u64> {
    (0..CORES).map(|core| of_core(cluster, core)).sum()
}

fn of_core(cluster: &Cluster, core: usize) -> anyhow::Result<u64> {
    Ok(cluster.core(core).counter("schulhof_core_handshakes_total")? as u64)
}
