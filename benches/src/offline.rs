//! A school day without the line: people go on writing at their box; then the line comes back.
//!
//! Measured from the moment at which packets go through again until the box has nothing left that waits, and what memory
//! the box needed at most.

use crate::cluster::{
    self, CORES, Cluster, Plan, School,
    browser::{self, AskError, Browser},
    lines::Line,
    people,
};
use anyhow::{Context as _, bail, ensure};
use rand::Rng as _;
use schulhof_school::Body;
use schulhof_wire::{
    Hlc, RoomId, SchoolId, Seq,
    api::{SUBMIT_OPERATIONS_MAX, SubmitState, Submitted},
};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Browsers that write: a large staff.
const WRITERS: usize = 50;
const ROOM: &str = "stream";
/// Length of a text: an operation has about 300 bytes then.
const TEXT_LEN: usize = 130;
/// The box has noticed that the core is gone after this time.
const NOTICE_MAX: Duration = Duration::from_secs(20);
/// Something is wrong if it takes longer.
const SECURED_MAX: Duration = Duration::from_mins(2);
const POLL_EVERY: Duration = Duration::from_millis(10);
/// Targets.
const SECURED_TARGET: Duration = Duration::from_secs(5);
const MEMORY_TARGET_KB: u64 = 150_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Operations that the box takes while it is cut off
    #[arg(long, default_value_t = 20_000)]
    operations: usize,
    /// How often the line goes and comes back, each time with so many operations; the report is of the slowest
    #[arg(long, default_value_t = 1)]
    rounds: u32,
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
    /// Operations that waited when the line came back.
    pub operations: usize,
    /// From the line's return until nothing waited any more; of the slowest round.
    pub secured_ms: u64,
    /// Part of it until the core had welcomed the box.
    pub connected_ms: u64,
    /// Longest answer to a submission of up to 200 operations while the box was cut off.
    pub saved_max_ms: u64,
    /// Processor time of the box, and of all core nodes together, from the line's return until nothing waited any more.
    pub box_cpu_ms: u64,
    pub core_cpu_ms: u64,
    /// Highest resident memory of the box, over its whole life.
    pub memory_peak_kb: u64,
    pub met: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(args.operations >= WRITERS && args.rounds > 0, "--operations: {WRITERS} at least; --rounds: 1 at least");
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure(args))?;
    runtime.shutdown_timeout(Duration::from_secs(2));
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{} operations waited; a submission took {} ms at most", report.operations, report.saved_max_ms);
        println!(
            "the line is back: connected after {} ms, all secured after {} ms (target {} ms)",
            report.connected_ms,
            report.secured_ms,
            SECURED_TARGET.as_millis()
        );
        println!("processor time: box {} ms, core nodes {} ms", report.box_cpu_ms, report.core_cpu_ms);
        println!("memory of the box at most {} kB (target {MEMORY_TARGET_KB} kB)", report.memory_peak_kb);
    }
    Ok(if report.met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Person {
    browser: Browser,
    last: u64,
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let school = School { id: SchoolId::new("nord")?, group: 1 };
    let plan = Plan {
        schools: vec![school],
        groups: 1,
        purge_every: 10_000,
        boxes: true,
        gateway: false,
        proxied: true,
        media: Vec::new(),
        log: "info",
    };
    let cluster = Cluster::start(plan, &cluster::product(args.bin.as_deref())?, args.keep.clone()).await?;
    let makes = people::Schools::new(now_ms());
    cluster.seed(&cluster.plan.schools[0].id, makes.operations(WRITERS, &[ROOM])).await?;
    let mut staff = Vec::new();
    for n in 0..WRITERS {
        let device = browser::device(&format!("writer-{n}"))?;
        let mut browser = Browser::new(cluster.url(0), people::login(n), device);
        browser.until_signed_in(NOTICE_MAX).await?;
        staff.push(Person { browser, last: 0 });
    }

    let mut worst: Option<Report> = None;
    for _ in 0..args.rounds {
        let report = round(&cluster, &mut staff, args.operations).await?;
        let worst = worst.get_or_insert(Report { ..report });
        if report.secured_ms > worst.secured_ms {
            (worst.secured_ms, worst.connected_ms) = (report.secured_ms, report.connected_ms);
            (worst.box_cpu_ms, worst.core_cpu_ms) = (report.box_cpu_ms, report.core_cpu_ms);
        }
        worst.saved_max_ms = worst.saved_max_ms.max(report.saved_max_ms);
        worst.memory_peak_kb = worst.memory_peak_kb.max(report.memory_peak_kb);
        worst.met &= report.met;
    }
    cluster.stop().await?;
    worst.context("no round")
}

async fn round(cluster: &Cluster, staff: &mut [Person], operations: usize) -> anyhow::Result<Report> {
    let cut = |cut| (0..CORES).for_each(|core| cluster.lines.set_both(CORES, core, Line { cut, ..Line::default() }));
    cut(true);
    until(NOTICE_MAX, "the box notices", async || status(cluster).await.is_some_and(|(online, _)| !online)).await?;
    let share = operations / staff.len();
    let written = staff.iter_mut().map(|person| write(person, share));
    let longest = futures_util::future::try_join_all(written).await?;
    let waiting = share * staff.len();
    let (online, pending) = status(cluster).await.context("the box has no status")?;
    ensure!(!online && pending == waiting as u64, "{pending} of {waiting} operations wait, online: {online}");
    // The line comes back at any moment of the box's pause.
    let moment = Duration::from_millis(rand::rng().random_range(0..20_000));
    tokio::time::sleep(moment).await;

    cut(false);
    let back = Instant::now();
    let (box_before, core_before) = cpu(cluster)?;
    let online = async || status(cluster).await.is_some_and(|(online, _)| online);
    until(SECURED_MAX, "the box is connected", online).await?;
    let connected = back.elapsed();
    let secured = async || status(cluster).await.is_some_and(|(_, pending)| pending == 0);
    until(SECURED_MAX, "everything is secured", secured).await?;
    let secured = back.elapsed();
    let (box_cpu, core_cpu) = cpu(cluster)?;
    for person in staff {
        let marks = person.browser.marks().await?;
        ensure!(marks.secured.0 == person.last, "{marks:?} instead of {}", person.last);
    }
    let memory_peak_kb = cluster.school_box(0).memory_kb("VmHWM")?;
    Ok(Report {
        operations: waiting,
        secured_ms: secured.as_millis() as u64,
        connected_ms: connected.as_millis() as u64,
        saved_max_ms: longest.into_iter().max().unwrap_or_default().as_millis() as u64,
        box_cpu_ms: box_cpu.saturating_sub(box_before).as_millis() as u64,
        core_cpu_ms: core_cpu.saturating_sub(core_before).as_millis() as u64,
        memory_peak_kb,
        met: secured <= SECURED_TARGET && memory_peak_kb <= MEMORY_TARGET_KB,
    })
}

/// Processor time of the box, and of all core nodes.
fn cpu(cluster: &Cluster) -> anyhow::Result<(Duration, Duration)> {
    let cores = (0..CORES).map(|core| cluster.core(core).cpu()).sum::<anyhow::Result<_>>()?;
    Ok((cluster.school_box(0).cpu()?, cores))
}

/// Whether the core has welcomed the box, and how many operations wait.
async fn status(cluster: &Cluster) -> Option<(bool, u64)> {
    let status = cluster.school_box(0).status().await.ok()?;
    Some((status["core_online"].as_bool()?, status["pending"].as_u64()?))
}

async fn until(limit: Duration, what: &str, mut is: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while !is().await {
        ensure!(started.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        tokio::time::sleep(POLL_EVERY).await;
    }
    Ok(())
}

/// Gives the longest time until a submission was saved.
async fn write(person: &mut Person, count: usize) -> anyhow::Result<Duration> {
    let room = RoomId::new(ROOM)?;
    let mut longest = Duration::ZERO;
    let end = person.last + count as u64;
    while person.last < end {
        let part = (person.last + 1)..=end.min(person.last + SUBMIT_OPERATIONS_MAX as u64);
        let operations = part.clone().map(|seq| {
            let text = format!("{seq:0>TEXT_LEN$}");
            Submitted { seq: Seq(seq), at: Hlc::from_ms(now_ms()), body: Body::post(room.clone(), text) }
        });
        let started = Instant::now();
        match person.browser.submit(operations.collect()).await {
            Ok(answer) => {
                let bad = answer.results.iter().find(|result| result.state != SubmitState::Saved);
                ensure!(bad.is_none(), "not saved: {bad:?}");
                longest = longest.max(started.elapsed());
                person.last = *part.end();
            }
            Err(AskError::Refused { status: 429 | 503, .. }) => tokio::time::sleep(POLL_EVERY).await,
            Err(error) => bail!("a submission failed: {error}"),
        }
    }
    Ok(longest)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}
