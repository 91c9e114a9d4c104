//! All boxes of a land come back at once: simulated boxes with certificates, sockets and handshakes of their own and the
//! box's own end of sync (backoff, redirects) against real core nodes, which are killed and started again.
//!
//! Measured: processor time of the core nodes from their start until every box is welcome again, and for how long any box
//! was not.

use crate::cluster::{self, CORES, Cluster, Plan, School, core_identity};
use anyhow::{Context as _, ensure};
use parking_lot::Mutex;
use schulhof_edge::dial::restarted;
use schulhof_net::{
    identity::{Identity, Role},
    quic::{Endpoint, Expected, FrameReader, FrameWriter, Options},
};
use schulhof_ops::seed::Core;
use schulhof_school::MemoryKv;
use schulhof_sync::BoxSync;
use schulhof_wire::{
    NodeName, SchoolId,
    node::{ALPN_SYNC, ToBox, ToCore},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const GROUPS: u32 = 32;
/// Everybody is welcome within this time, or something is wrong.
const WELCOME_MAX: Duration = Duration::from_mins(2);
/// Core nodes that were killed stay away for so long: a machine that restarts its service.
const AWAY: Duration = Duration::from_millis(500);
/// After the storm, to see what changes of the lead still cost.
const AFTERWARDS: Duration = Duration::from_secs(15);
const POLL_EVERY: Duration = Duration::from_millis(10);
/// Targets.
const CPU_TARGET: Duration = Duration::from_secs(3);
const REFUSED_TARGET: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Boxes, each of a school of its own
    #[arg(long, default_value_t = 4_500)]
    boxes: usize,
    /// Kill one core node instead of all
    #[arg(long)]
    one: bool,
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
    pub boxes: usize,
    /// Processor time of all core nodes from the restart until every box was welcome again.
    pub server_cpu_ms: u64,
    /// Part of it that the restarted nodes needed for their start without any box, as seen at the first start.
    pub start_cpu_ms: u64,
    /// Handshakes that the core nodes have completed since their start, of boxes and among each other.
    pub handshakes: u64,
    /// Longest time that a box was not welcome, counted from when the core nodes were ready again.
    pub refused_max_ms: u64,
    /// The same counted from the kill.
    pub away_max_ms: u64,
    /// From the kill until half of the boxes were welcome.
    pub away_p50_ms: u64,
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
            "{} boxes: {} ms of processor time on the core nodes (target {} ms), {} ms of it for starting; {} handshakes",
            report.boxes,
            report.server_cpu_ms,
            CPU_TARGET.as_millis(),
            report.start_cpu_ms,
            report.handshakes
        );
        println!(
            "nobody refused for more than {} ms (target {} ms); away since the kill: half {} ms, longest {} ms",
            report.refused_max_ms,
            REFUSED_TARGET.as_millis(),
            report.away_p50_ms,
            report.away_max_ms
        );
        println!("afterwards the core nodes need {:.1} % of a processor", report.afterwards_cpu_percent);
    }
    Ok(if report.met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What all boxes share.
struct World {
    cores: Vec<Core>,
    started: Instant,
    /// When each box was last welcomed and last lost; `None`: not yet.
    boxes: Mutex<Vec<Standing>>,
}

#[derive(Clone, Copy, Default)]
struct Standing {
    welcome: Option<Instant>,
    lost: Option<Instant>,
}

impl Standing {
    fn is_welcome(self) -> bool {
        self.welcome.is_some() && self.welcome > self.lost
    }
}

impl World {
    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn welcome(&self) -> usize {
        self.boxes.lock().iter().filter(|standing| standing.is_welcome()).count()
    }

    async fn until_all_welcome(&self) -> anyhow::Result<()> {
        let (started, boxes) = (Instant::now(), self.boxes.lock().len());
        loop {
            let welcome = self.welcome();
            if welcome == boxes {
                return Ok(());
            }
            ensure!(started.elapsed() < WELCOME_MAX, "{welcome} of {boxes} boxes are welcome");
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
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
        log: "warn",
    };
    let cluster = Cluster::start(plan, &cluster::product(args.bin.as_deref())?, args.keep.clone()).await?;
    let killed = if args.one { 0..1 } else { 0..CORES };
    let mut start_cpu = Duration::ZERO;
    for core in killed.clone() {
        start_cpu += cluster.core(core).cpu()?;
    }

    let world = Arc::new(World {
        cores: cluster.cores()?,
        started: Instant::now(),
        boxes: Mutex::new(vec![Standing::default(); args.boxes]),
    });
    let mut boxes = JoinSet::new();
    for (n, School { id, .. }) in cluster.plan.schools.iter().enumerate() {
        let identity = cluster.ca.issue(Role::Box, id.as_str())?;
        boxes.spawn(live(n, id.clone(), identity, world.clone()));
    }
    world.until_all_welcome().await.context("at first")?;
    eprintln!("{} boxes are connected after {} ms", args.boxes, world.now_ms());
    // Until every group is led by the node where it is at home.
    tokio::time::sleep(AFTERWARDS).await;
    world.until_all_welcome().await?;

    let kill = Instant::now();
    let mut before = Duration::ZERO;
    for core in 0..CORES {
        if killed.contains(&core) {
            cluster.core(core).kill()?;
        } else {
            before += cluster.core(core).cpu()?;
        }
    }
    tokio::time::sleep(AWAY).await;
    for core in killed.clone() {
        cluster.core(core).start()?;
    }
    for core in killed {
        cluster.core(core).until_ready(WELCOME_MAX).await?;
    }
    let ready = Instant::now();
    // Those that have not noticed the kill yet count as lost.
    loop {
        if world
            .boxes
            .lock()
            .iter()
            .all(|standing| standing.is_welcome() && (args.one || standing.welcome > Some(kill)))
        {
            break;
        }
        ensure!(kill.elapsed() < WELCOME_MAX, "{} of {} boxes are welcome again", world.welcome(), args.boxes);
        tokio::time::sleep(POLL_EVERY).await;
    }
    let calm = Instant::now();
    let cpu = cpu(&cluster)?;
    let handshakes = handshakes(&cluster)?;
    let mut away: Vec<Duration> = Vec::new();
    let mut refused_max = Duration::ZERO;
    for standing in world.boxes.lock().iter() {
        let Some(welcome) = standing.welcome.filter(|welcome| *welcome > kill) else { continue };
        away.push(welcome - kill);
        refused_max = refused_max.max(welcome.saturating_duration_since(ready));
    }
    away.sort_unstable();
    tokio::time::sleep(AFTERWARDS).await;
    let afterwards = self::cpu(&cluster)?.saturating_sub(cpu).as_secs_f64() / calm.elapsed().as_secs_f64();
    boxes.shutdown().await;
    let server_cpu = cpu.saturating_sub(before);
    let ms = |time: Duration| time.as_millis() as u64;
    Ok(Report {
        boxes: args.boxes,
        server_cpu_ms: ms(server_cpu),
        start_cpu_ms: ms(start_cpu),
        handshakes,
        refused_max_ms: ms(refused_max),
        away_max_ms: away.last().map_or(0, |longest| ms(*longest)),
        away_p50_ms: away.get(away.len() / 2).map_or(0, |half| ms(*half)),
        afterwards_cpu_percent: afterwards * 100.0,
        met: server_cpu <= CPU_TARGET && refused_max <= REFUSED_TARGET,
    })
}

fn cpu(cluster: &Cluster) -> anyhow::Result<Duration> {
    (0..CORES).map(|core| cluster.core(core).cpu()).sum()
}

/// That the core nodes have completed since their start.
fn handshakes(cluster: &Cluster) -> anyhow::Result<u64> {
    let mut sum = 0.0;
    for core in 0..CORES {
        sum += cluster.core(core).counter("schulhof_core_handshakes_total")?;
    }
    Ok(sum as u64)
}

/// A box without browsers and disk: connects, again and again, as `edge::link` does.
async fn live(n: usize, school: SchoolId, identity: Identity, world: Arc<World>) -> anyhow::Result<()> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
    let mut confirmed = MemoryKv::default();
    let mut sync = BoxSync::new(school, [], &confirmed);
    let mut turn = rand::random_range(0..world.cores.len());
    let mut leader: Option<NodeName> = None;
    loop {
        if let Some(at_ms) = sync.connect_at() {
            let at = world.started + Duration::from_millis(at_ms);
            tokio::time::sleep_until(at.into()).await;
        }
        let named = leader.take().and_then(|name| world.cores.iter().position(|core| core.name == name));
        let target = named.unwrap_or_else(|| {
            turn = (turn + 1) % world.cores.len();
            turn
        });
        leader = match converse(n, &endpoint, target, &mut sync, &mut confirmed, &world).await {
            Ok(End::Redirect(named)) => named,
            Ok(End::Restarted) => Some(world.cores[target].name.clone()),
            Err(_) => None,
        };
        sync.disconnected(world.now_ms(), rand::random());
        let standing = &mut world.boxes.lock()[n];
        if standing.is_welcome() {
            standing.lost = Some(Instant::now());
        }
    }
}

/// How a connection ended, if not as any may.
enum End {
    Redirect(Option<NodeName>),
    /// The node was killed and is there again.
    Restarted,
}

async fn converse(
    n: usize,
    endpoint: &Endpoint,
    target: usize,
    sync: &mut BoxSync,
    confirmed: &mut MemoryKv,
    world: &World,
) -> anyhow::Result<End> {
    let expected = Expected::Node(core_identity(target));
    let connection = endpoint.connect(world.cores[target].addr, &expected, ALPN_SYNC).await?;
    let end = exchange(n, &connection, sync, confirmed, world).await;
    if end.is_err() && restarted(&connection) {
        return Ok(End::Restarted);
    }
    connection.close(0u32.into(), b"");
    end.map(End::Redirect)
}

/// Ends well with a redirect.
async fn exchange(
    n: usize,
    connection: &quinn::Connection,
    sync: &mut BoxSync,
    confirmed: &mut MemoryKv,
    world: &World,
) -> anyhow::Result<Option<NodeName>> {
    let (send, receive) = connection.open_bi().await?;
    let (mut writer, mut reader) = (FrameWriter::<ToCore>::new(send), FrameReader::<ToBox>::new(receive));
    writer.write(&sync.connected(world.now_ms())).await?;
    loop {
        while let Some(frame) = sync.poll_transmit(world.now_ms()) {
            writer.write(&frame).await?;
        }
        ensure!(!sync.is_silent(world.now_ms()), "the core says nothing any more");
        let timeout_ms = sync.poll_timeout().unwrap_or(u64::MAX).saturating_sub(world.now_ms());
        tokio::select! {
            frame = reader.read() => {
                let was_welcome = sync.online();
                let received = sync.receive(world.now_ms(), confirmed, frame?.context("the stream has ended")?)?;
                if let Some(redirect) = received.redirect {
                    return Ok(redirect.leader);
                }
                if sync.online() && !was_welcome {
                    world.boxes.lock()[n].welcome = Some(Instant::now());
                }
            }
            () = tokio::time::sleep(Duration::from_millis(timeout_ms.clamp(1, 60_000))) => {}
        }
    }
}
