//! Torture: real processes, killed, paused and cut off from each other while people write at every school, at their box or, when
//! that does not answer, at the gateway; then everything heals, and every acknowledged operation must be at one place, the same on every node.
//!
//! - [`schedule`]: what goes wrong, from a seed
//! - [`writer`]: people at the boxes; [`reader`]: linearizable reads at the core
//! - [`record`]: what they have seen
//! - [`check`]: the oracle over all replicas; [`linear`]: linearizability of registers

pub mod check;
pub mod linear;
pub mod reader;
pub mod record;
pub mod schedule;
pub mod writer;

use crate::cluster::{self, CORES, Cluster, Plan, School, browser, people};
use anyhow::{Context as _, ensure};
use reader::Reader;
use record::{Gap, Recorder};
use schedule::{Fault, Lane};
use schulhof_wire::{DeviceId, SchoolId, node::Entry};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::watch, task::JoinSet};
use writer::{Orders, REGISTERS, STREAM, Writer};

const SCHOOLS: [&str; 3] = ["nord", "sued", "west"];
const WRITERS: usize = 16;
/// Small, so that nodes that were away get snapshots, too.
const PURGE_EVERY: u64 = 500;
/// After all has healed, everything is secured by then.
const FINISH_MAX: Duration = Duration::from_mins(1);
const CONVERGE_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(50);
/// Gaps of single schools that are reported.
const GAPS_SHOWN_MAX: usize = 10;
/// Violations that are printed.
const SHOWN_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long things go wrong; fractions are fine
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Gives the same faults in the same order; drawn and printed if left out
    #[arg(long)]
    seed: Option<u64>,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
    /// The product to torture; the one beside this program if left out
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    /// Keep data and logs in this folder, which must be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// What the run found. All fields are stable.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    pub seed: u64,
    pub minutes: f64,
    /// Operations that a box has acknowledged as saved; all were secured in the end.
    pub acked: u64,
    /// Acknowledged, and not in the log or not on every replica.
    pub lost: u64,
    /// In the log more than once.
    pub duplicated: u64,
    /// Longest time in which nobody, at any school, saw something new committed, while people wrote.
    pub longest_gap_ms: u64,
    /// When it began, since people began to write.
    pub longest_gap_at_ms: u64,
    /// The longest times of each school alone; its own box may have been dead or cut off then.
    pub gaps_of_schools: Vec<Gap>,
    /// From writing to the second mark.
    pub secured_p50_ms: u64,
    pub secured_p99_ms: u64,
    pub secured_max_ms: u64,
    pub faults: BTreeMap<String, u32>,
    /// Linearizable reads at the core, and registers that were checked.
    pub reads: u64,
    pub registers: usize,
    /// Registers with too much at once to be judged.
    pub undecided: usize,
    /// Answers to writers that were none or a no.
    pub refusals: BTreeMap<String, u64>,
    pub replicas: usize,
    pub violations: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(args.minutes > 0.0 && args.minutes < 10_000.0, "--minutes: more than nothing, less than a week");
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    eprintln!("seed {seed}");
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(torture(args, seed))?;
    runtime.shutdown_timeout(Duration::from_secs(2));
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    let good = report.lost == 0 && report.duplicated == 0 && report.violations.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn torture(args: &Args, seed: u64) -> anyhow::Result<Report> {
    let schools: Vec<_> = (1..)
        .zip(SCHOOLS)
        .map(|(group, id)| Ok(School { id: SchoolId::new(id)?, group }))
        .collect::<anyhow::Result<_>>()?;
    let plan = Plan {
        groups: schools.len() as u32,
        schools,
        purge_every: PURGE_EVERY,
        boxes: true,
        gateway: true,
        proxied: true,
        media: Vec::new(),
        log: "info",
    };
    let program = cluster::product(args.bin.as_deref())?;
    let cluster = Arc::new(Cluster::start(plan, &program, args.keep.clone()).await?);
    seed_schools(&cluster).await?;

    let recorder = Arc::new(Recorder::default());
    let (orders, ordered) = watch::channel(Orders::Write);
    let (end, ended) = watch::channel(false);
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    let devices = start_people(&cluster, seed, &recorder, &mut writers, &ordered)?;
    for School { id, .. } in &cluster.plan.schools {
        let (school, endpoint, cores) = (id.clone(), cluster.operator.clone(), cluster.cores()?);
        let reader = Reader { school, endpoint, cores, devices: devices.clone(), recorder: recorder.clone() };
        let (ended, id) = (ended.clone(), id.clone());
        readers.spawn(async move { (id, reader.run(ended).await) });
    }

    recorder.measure_gaps();
    let (calm, calmed) = watch::channel(false);
    let lanes = [Lane::cores(seed), Lane::boxes(seed, SCHOOLS.len() + 1)];
    let mut lanes: JoinSet<_> =
        lanes.into_iter().map(|lane| schedule::run(cluster.clone(), lane, recorder.clone(), calmed.clone())).collect();
    tokio::time::sleep(Duration::from_secs_f64(args.minutes * 60.0)).await;
    calm.send_replace(true);
    let mut faults: BTreeMap<Fault, u32> = BTreeMap::new();
    while let Some(counts) = lanes.join_next().await {
        for (fault, count) in counts? {
            *faults.entry(fault).or_default() += count;
        }
    }
    cluster.lines.heal();
    let gaps = recorder.gaps().context("gaps were not measured")?;

    orders.send_replace(Orders::Finish);
    let finished = async { while writers.join_next().await.is_some() {} };
    if tokio::time::timeout(FINISH_MAX, finished).await.is_err() {
        recorder.violation(format!("not everything was secured {} s after all had healed", FINISH_MAX.as_secs()));
        orders.send_replace(Orders::End);
        while writers.join_next().await.is_some() {}
    }
    if let Err(error) = converged(&cluster).await {
        recorder.violation(format!("{error:#}"));
    }
    end.send_replace(true);
    let mut logs: BTreeMap<SchoolId, Vec<Entry>> = BTreeMap::new();
    while let Some(read) = readers.join_next().await {
        let (school, log) = read?;
        logs.insert(school, log);
    }
    if let Err(error) = cluster.stop().await {
        recorder.violation(format!("{error:#}"));
    }
    let judging = tokio::task::spawn_blocking({
        let (cluster, recorder) = (cluster.clone(), recorder.clone());
        move || {
            let replicas = replicas(&cluster)?;
            anyhow::Ok((check::judge(&recorder.seen.lock(), &logs, &replicas), replicas.len()))
        }
    });
    let (outcome, replicas) = judging.await??;
    Ok(report(args, seed, &recorder, gaps, &faults, outcome, replicas))
}

async fn seed_schools(cluster: &Cluster) -> anyhow::Result<()> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let makes = people::Schools::new(now_ms);
    let rooms = [STREAM, REGISTERS[0], REGISTERS[1]];
    for school in &cluster.plan.schools {
        cluster.seed(&school.id, makes.operations(WRITERS, &rooms)).await?;
    }
    Ok(())
}

/// Writers, spread over the schools; gives their devices' places.
fn start_people(
    cluster: &Cluster,
    seed: u64,
    recorder: &Arc<Recorder>,
    writers: &mut JoinSet<()>,
    orders: &watch::Receiver<Orders>,
) -> anyhow::Result<Arc<BTreeMap<DeviceId, usize>>> {
    let mut devices = BTreeMap::new();
    for number in 0..WRITERS {
        let index = number % SCHOOLS.len();
        let device = browser::device(&format!("writer-{number}"))?;
        let at = |url| browser::Browser::new(url, people::login(number), device.clone());
        let browsers = [at(cluster.url(index)), at(cluster.gateway_url(index))];
        let school = cluster.plan.schools[index].id.clone();
        let writer =
            Writer::new(number, school, device.clone(), browsers, recorder.clone(), seed.wrapping_add(number as u64));
        writers.spawn(writer.run(orders.clone()));
        devices.insert(device, number);
    }
    Ok(Arc::new(devices))
}

/// All core nodes have applied the same, and nothing waits on any box.
async fn converged(cluster: &Cluster) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let mut applied = Vec::new();
        for core in 0..CORES {
            applied.push(schedule::applied(cluster, core).await.unwrap_or_default());
        }
        let mut waiting = Vec::new();
        for node in &cluster.nodes[CORES..] {
            let status = node.status().await.unwrap_or_default();
            waiting.push(status["pending"].as_u64());
        }
        let same = !applied[0].is_empty() && applied.iter().all(|groups| *groups == applied[0]);
        if same && waiting.iter().all(|pending| *pending == Some(0)) {
            return Ok(());
        }
        ensure!(
            started.elapsed() < CONVERGE_MAX,
            "the nodes do not converge: applied {applied:?}, pending {waiting:?}"
        );
        tokio::time::sleep(POLL_EVERY).await;
    }
}

fn replicas(cluster: &Cluster) -> anyhow::Result<Vec<check::Replica>> {
    let mut replicas = Vec::new();
    for (index, School { id, group }) in cluster.plan.schools.iter().enumerate() {
        for core in 0..CORES {
            let name = &cluster.core(core).name;
            replicas.push(check::of_core(name, &cluster.data(core), *group, id).context(name.clone())?);
        }
        let name = &cluster.school_box(index).name;
        let path = cluster.data(CORES + index).join("box.redb");
        replicas.push(check::of_box(name, &path, id).context(name.clone())?);
        // The gateway has what somebody asked it for, and may be behind.
        let gateway = CORES + SCHOOLS.len();
        let path = cluster.data(gateway).join("tenants").join(id.as_str()).join("box.redb");
        if path.exists() {
            let replica = check::of_box("gateway", &path, id).context("gateway")?;
            replicas.push(check::Replica { behind: true, ..replica });
        }
    }
    Ok(replicas)
}

fn report(
    args: &Args,
    seed: u64,
    recorder: &Recorder,
    (longest, gaps): (Gap, Vec<Gap>),
    faults: &BTreeMap<Fault, u32>,
    outcome: check::Outcome,
    replicas: usize,
) -> Report {
    let seen = &mut *recorder.seen.lock();
    seen.latencies.sort_unstable();
    let ms = |time: Duration| time.as_millis() as u64;
    let quantile = |share: f64| {
        let place = (seen.latencies.len() as f64 * share) as usize;
        seen.latencies.get(place).or(seen.latencies.last()).map_or(0, |took| ms(*took))
    };
    Report {
        seed,
        minutes: args.minutes,
        acked: outcome.acked,
        lost: outcome.lost,
        duplicated: outcome.duplicated,
        longest_gap_ms: longest.ms,
        longest_gap_at_ms: longest.at_ms,
        gaps_of_schools: gaps.into_iter().filter(|gap| gap.school.is_some()).take(GAPS_SHOWN_MAX).collect(),
        secured_p50_ms: quantile(0.5),
        secured_p99_ms: quantile(0.99),
        secured_max_ms: quantile(1.0),
        faults: faults.iter().map(|(fault, count)| (fault.to_string(), *count)).collect(),
        reads: seen.reads,
        registers: outcome.registers,
        undecided: outcome.undecided,
        refusals: seen.refusals.clone(),
        replicas,
        violations: outcome.violations,
    }
}

fn print(report: &Report) {
    println!("seed {}, {} minutes, faults: {:?}", report.seed, report.minutes, report.faults);
    println!("acked {}, lost {}, duplicated {}", report.acked, report.lost, report.duplicated);
    println!("longest gap {} ms (from {} ms on); of single schools:", report.longest_gap_ms, report.longest_gap_at_ms);
    for Gap { school, at_ms, ms } in &report.gaps_of_schools {
        println!("  {} {ms} ms (from {at_ms} ms on)", school.as_ref().map_or("", SchoolId::as_str));
    }
    println!(
        "secured after {} ms (p50), {} ms (p99), {} ms (longest)",
        report.secured_p50_ms, report.secured_p99_ms, report.secured_max_ms
    );
    println!(
        "{} replicas; {} registers over {} reads, {} undecided; refusals {:?}",
        report.replicas, report.registers, report.reads, report.undecided, report.refusals
    );
    for violation in report.violations.iter().take(SHOWN_MAX) {
        println!("VIOLATION: {violation}");
    }
    if report.violations.len() > SHOWN_MAX {
        println!("and {} more", report.violations.len() - SHOWN_MAX);
    }
}
