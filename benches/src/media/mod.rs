//! `schulhof-bench media`: one publisher to N subscribers in each room, bursts of packets, through a media process.
//!
//! The rate adapts so that the media process is busy and loss stays small; then processor time is counted for a while.
//! Figures are per second of the process's processor time, so that a generator on the same machine does not flatter or
//! harm them. The floor is measured in the same run.

mod audience;
mod publisher;
mod report;

pub use audience::Audience;
pub use publisher::Publisher;
pub use report::{Report, Row};

use crate::{
    client::Kit,
    control::Controls,
    floor,
    process::{MediaProcess, Program},
};
use anyhow::{Context as _, ensure};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// RTP payload: with header, extensions and tag a packet of 1,200 bytes.
pub const PAYLOAD_LEN: usize = 1_160;
/// What the media process is to be loaded with, in parts of one processor.
const LOAD_WANTED: f64 = 0.75;
/// Beyond it the rate goes down: figures of an overloaded process say nothing.
const LOSS_MAX: f64 = 0.005;
/// Measurements at ever lower rates before loss is reported as it is.
const RETRIES_MAX: usize = 4;
const CALIBRATION_STEPS: usize = 10;
const CALIBRATION_STEP: Duration = Duration::from_millis(600);
const FLOOR_TIME: Duration = Duration::from_secs(1);
const CONNECT_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(10);
/// A process counts as quiet when it used less than this in [`QUIET_STEP`].
const QUIET_NS: u64 = 3_000_000;
const QUIET_STEP: Duration = Duration::from_millis(150);
const FIRST_FORWARDED_PER_S: f64 = 60_000.0;
/// Most packets per second of one publisher. Who loses 32,768 packets in a row cannot tell any more how often the
/// sequence number went round (RFC 3711 §3.3.1); at this rate that takes a stall of 0.8 s.
const RATE_MAX: f64 = 40_000.0;

#[derive(clap::Args)]
pub struct Args {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Numbers of subscribers
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50, 100])]
    subscribers: Vec<usize>,
    /// Packets that the publisher sends at once
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 8])]
    bursts: Vec<usize>,
    /// Rooms side by side, each with a publisher and its subscribers; bursts of different rooms don't join into runs
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// Seconds to measure each combination
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The program whose `media` subcommand is measured; by default `schulhof` beside this one, else the same node in this one
    #[arg(long)]
    bin: Option<PathBuf>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!((1..=50).contains(&args.rooms), "1 to 50 rooms");
    ensure!(args.subscribers.iter().all(|n| (1..=500).contains(&(n * args.rooms))), "1 to 500 subscribers in all");
    ensure!(args.bursts.iter().all(|n| (1..=32).contains(n)), "bursts of 1 to 32 packets");
    ensure!((1..=600).contains(&args.seconds), "1 to 600 seconds");
    let program = Program::find(args.bin.as_deref())?;
    let kit = Kit::new()?;
    let mut report = Report::new();
    for &subscribers in &args.subscribers {
        for &burst in &args.bursts {
            let size = Size { rooms: args.rooms, subscribers, burst };
            let row = measure(&kit, &program, size, Duration::from_secs(args.seconds))
                .with_context(|| format!("{subscribers} subscribers, bursts of {burst}"))?;
            if !args.json {
                report.print_row(&row);
            }
            report.rows.push(row);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Size {
    rooms: usize,
    /// In each room.
    subscribers: usize,
    burst: usize,
}

fn measure(kit: &Arc<Kit>, program: &Program, size: Size, time: Duration) -> anyhow::Result<Row> {
    let Size { rooms, subscribers, burst } = size;
    let everybody = rooms * subscribers;
    let process = MediaProcess::start(program)?;
    let controls = Controls::new(process.addr)?;
    let names: Vec<String> = (0..rooms).map(|n| format!("room-{n}")).collect();
    let mut publishers = Vec::with_capacity(rooms);
    for room in &names {
        let mut publisher = Publisher::join(kit, process.addr, &process.issuer, &controls, room, burst)?;
        publisher.wait_connected(CONNECT_MAX)?;
        publishers.push(publisher);
    }
    let audience = Audience::new()?;

    quiet(&process)?;
    let (cpu_before, rss_before) = (process.cpu_ns()?, process.rss_kb()?);
    let mut channels = Vec::with_capacity(everybody);
    for n in 0..everybody {
        let room = &names[n % rooms];
        channels.push(audience.join(kit, process.addr, &process.issuer, &controls, room, n as u32 + 1)?);
    }
    wait(CONNECT_MAX, "all subscribers connect", || Ok(audience.counts()?.connected == everybody))?;
    quiet(&process)?;
    let (cpu_joined, rss_joined) = (process.cpu_ns()?, process.rss_kb()?);

    let mut bench = Bench { process, publishers, audience, subscribers };
    let rate = bench.calibrate(everybody)?;
    let (datagrams, calls) = sends(&bench.process)?;
    let window = bench.measure_calmly(rate, time)?;
    let (datagrams, calls) = sends(&bench.process).map(|(d, c)| (d - datagrams, c - calls))?;
    let rss_loaded = bench.process.rss_kb()?;
    let counts = bench.audience.counts()?;
    ensure!(counts.forged == 0 && counts.opened > 0, "subscribers got packets that don't open: {counts:?}");
    if let Some(closed) = channels.iter().find_map(|channel| channel.told().closed) {
        anyhow::bail!("a control channel was closed: {closed}");
    }
    drop((channels, bench));
    Ok(Row {
        rooms,
        subscribers,
        burst,
        forwarded_per_cpu_s: window.received as f64 / window.cpu_s,
        floor_per_cpu_s: floor::per_cpu_s(subscribers, burst, PAYLOAD_LEN, FLOOR_TIME)?,
        cpu_per_join_ms: (cpu_joined - cpu_before) as f64 / 1e6 / everybody as f64,
        rss_per_peer_kb: rss_joined.saturating_sub(rss_before) as f64 / everybody as f64,
        rss_per_peer_loaded_kb: rss_loaded.saturating_sub(rss_before) as f64 / everybody as f64,
        loss: window.loss,
        published_per_s: window.published as f64 / window.wall_s,
        forwarded_per_s: window.received as f64 / window.wall_s,
        load: window.load,
        datagrams_per_send: datagrams as f64 / calls as f64,
    })
}

/// Datagrams sent, and system calls for it, since the beginning.
fn sends(process: &MediaProcess) -> anyhow::Result<(u64, u64)> {
    let counter = |name: &str| process.counter(&format!("schulhof_media_{name}_total"));
    Ok((counter("sent_datagrams")?, counter("send_calls")?))
}

/// What happened in a while.
struct Window {
    published: u64,
    received: u64,
    cpu_s: f64,
    wall_s: f64,
    /// Processors that the process kept busy.
    load: f64,
    /// Share of what was published that subscribers did not get.
    loss: f64,
}

struct Bench {
    process: MediaProcess,
    publishers: Vec<Publisher>,
    audience: Audience,
    /// In each room.
    subscribers: usize,
}

impl Bench {
    /// Finds the rate per publisher at which the process is busy and loss small.
    fn calibrate(&mut self, everybody: usize) -> anyhow::Result<f64> {
        let mut rate = FIRST_FORWARDED_PER_S / everybody as f64;
        self.set_rate(rate);
        wait(CONNECT_MAX, "all subscribers get media", || Ok(self.audience.counts()?.hearing == everybody))?;
        for _ in 0..CALIBRATION_STEPS {
            let window = self.window(CALIBRATION_STEP)?;
            let factor = if window.loss > LOSS_MAX { 0.75 } else { (LOAD_WANTED / window.load).clamp(0.5, 1.6) };
            if (0.93..1.07).contains(&factor) {
                break;
            }
            rate = (rate * factor).min(RATE_MAX);
            self.set_rate(rate);
        }
        Ok(rate)
    }

    /// Measures; again at a lower rate when packets were lost.
    fn measure_calmly(&mut self, mut rate: f64, time: Duration) -> anyhow::Result<Window> {
        for _ in 0..RETRIES_MAX {
            let window = self.window(time)?;
            if window.loss <= LOSS_MAX {
                return Ok(window);
            }
            rate *= 0.75;
            self.set_rate(rate);
            std::thread::sleep(CALIBRATION_STEP);
        }
        self.window(time)
    }

    fn set_rate(&self, packets_per_s: f64) {
        self.publishers.iter().for_each(|publisher| publisher.set_rate(packets_per_s));
    }

    fn published(&self) -> anyhow::Result<u64> {
        self.publishers.iter().map(Publisher::published).sum()
    }

    fn window(&self, time: Duration) -> anyhow::Result<Window> {
        let start = Instant::now();
        let (cpu, published) = (self.process.cpu_ns()?, self.published()?);
        let received = self.audience.counts()?.received;
        std::thread::sleep(time);
        let wall_s = start.elapsed().as_secs_f64();
        let cpu_s = (self.process.cpu_ns()? - cpu) as f64 / 1e9;
        let published = self.published()? - published;
        let received = self.audience.counts()?.received - received;
        ensure!(received > 0, "subscribers got nothing of {published} packets in {wall_s:.1} s");
        let expected = published as f64 * self.subscribers as f64;
        Ok(Window {
            published,
            received,
            cpu_s,
            wall_s,
            load: cpu_s / wall_s,
            loss: (1.0 - received as f64 / expected).max(0.0),
        })
    }
}

/// Waits until the process has nothing to do any more.
fn quiet(process: &MediaProcess) -> anyhow::Result<()> {
    let mut last = process.cpu_ns()?;
    wait(CONNECT_MAX, "the media process is quiet", || {
        std::thread::sleep(QUIET_STEP);
        let now = process.cpu_ns()?;
        let used = now - std::mem::replace(&mut last, now);
        Ok(used < QUIET_NS)
    })
}

/// Polls a condition, and says what did not happen in time.
pub(crate) fn wait(max: Duration, what: &str, mut done: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let end = Instant::now() + max;
    while !done()? {
        ensure!(Instant::now() < end, "waited {max:?} in vain until {what}");
        std::thread::sleep(POLL_EVERY);
    }
    Ok(())
}
