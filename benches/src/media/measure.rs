//! One combination: people join, the rate adapts, processor time is counted for a while.

use super::{Audience, Pattern, Publisher, Row, server::Server};
use crate::{client::Kit, floor};
use anyhow::ensure;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What the media process is to be loaded with, in parts of one processor.
const LOAD_WANTED: f64 = 0.75;
/// Beyond it the rate goes down: figures of an overloaded process say nothing.
const LOSS_MAX: f64 = 0.005;
/// Measurements at ever lower rates before loss is reported as it is.
const RETRIES_MAX: usize = 4;
const CALIBRATION_STEPS: usize = 12;
const CALIBRATION_STEP: Duration = Duration::from_millis(600);
const FLOOR_TIME: Duration = Duration::from_secs(1);
const CONNECT_MAX: Duration = Duration::from_secs(30);
const POLL_EVERY: Duration = Duration::from_millis(10);
/// A process counts as quiet when it used less than this in [`QUIET_STEP`].
const QUIET_NS: u64 = 5_000_000;
const QUIET_STEP: Duration = Duration::from_millis(150);
const FIRST_FORWARDED_PER_S: f64 = 60_000.0;
/// Most packets per second of one publisher: 15 Mbit/s.
const RATE_MAX: f64 = 1_560.0;

#[derive(Clone)]
pub struct Size {
    pub rooms: usize,
    /// In each room.
    pub subscribers: usize,
    pub pattern: Pattern,
}

pub fn measure(
    kit: &Arc<Kit>,
    system: &'static str,
    server: &mut dyn Server,
    size: Size,
    time: Duration,
) -> anyhow::Result<Row> {
    let Size { rooms, subscribers, pattern } = size;
    let everybody = rooms * subscribers;
    let mut publishers = Vec::with_capacity(rooms);
    for room in 0..rooms {
        let (client, socket, stream) = server.publisher(kit, room)?;
        let publisher = Publisher::start(client, socket, stream, pattern.clone())?;
        publisher.wait_connected(CONNECT_MAX)?;
        publishers.push(publisher);
    }
    let audience = Audience::new()?;

    quiet(|| server.cpu_ns())?;
    let (cpu_before, rss_before) = (server.cpu_ns()?, server.rss_kb()?);
    for n in 0..everybody {
        let (client, socket) = server.subscriber(kit, n % rooms, n as u32 + 1)?;
        audience.seat(client, socket)?;
    }
    wait(CONNECT_MAX, "all subscribers connect", || Ok(audience.counts()?.connected == everybody))?;
    quiet(|| server.cpu_ns())?;
    let (cpu_joined, rss_joined) = (server.cpu_ns()?, server.rss_kb()?);

    let bench = Bench { server, publishers, audience, subscribers };
    let rate = bench.calibrate(everybody)?;
    let sends = bench.server.sends()?;
    let window = bench.measure_calmly(rate, time)?;
    let datagrams_per_send =
        bench.server.sends()?.zip(sends).map(|((datagrams, calls), (datagrams_before, calls_before))| {
            (datagrams - datagrams_before) as f64 / (calls - calls_before) as f64
        });
    let rss_loaded = bench.server.rss_kb()?;
    let counts = bench.audience.counts()?;
    ensure!(counts.forged == 0 && counts.opened > 0, "subscribers got packets that don't open: {counts:?}");
    bench.server.check()?;
    drop(bench);
    let run = pattern.packets_per_frame().round() as usize;
    Ok(Row {
        system,
        rooms,
        subscribers,
        burst: if let Pattern::Burst(burst) = pattern { Some(burst) } else { None },
        forwarded_per_cpu_s: window.received as f64 / window.cpu_s,
        floor_per_cpu_s: floor::per_cpu_s(everybody, run, pattern.payload_len(), FLOOR_TIME)?,
        cpu_per_join_ms: (cpu_joined - cpu_before) as f64 / 1e6 / everybody as f64,
        rss_per_peer_kb: rss_joined.saturating_sub(rss_before) as f64 / everybody as f64,
        rss_per_peer_loaded_kb: rss_loaded.saturating_sub(rss_before) as f64 / everybody as f64,
        loss: window.loss,
        published_per_s: window.published as f64 / window.wall_s,
        forwarded_per_s: window.received as f64 / window.wall_s,
        load: window.load,
        datagrams_per_send,
    })
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

struct Bench<'a> {
    server: &'a mut dyn Server,
    publishers: Vec<Publisher>,
    audience: Audience,
    /// In each room.
    subscribers: usize,
}

impl Bench<'_> {
    /// Finds the rate per publisher at which the process is busy and loss small.
    fn calibrate(&self, everybody: usize) -> anyhow::Result<f64> {
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
    fn measure_calmly(&self, mut rate: f64, time: Duration) -> anyhow::Result<Window> {
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
        let (cpu, published) = (self.server.cpu_ns()?, self.published()?);
        let received = self.audience.counts()?.received;
        std::thread::sleep(time);
        let wall_s = start.elapsed().as_secs_f64();
        let cpu_s = (self.server.cpu_ns()? - cpu) as f64 / 1e9;
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

/// Waits until a process has nothing to do any more, by its time on processors.
pub(crate) fn quiet(cpu_ns: impl Fn() -> anyhow::Result<u64>) -> anyhow::Result<()> {
    let mut last = cpu_ns()?;
    wait(CONNECT_MAX, "the process is quiet", || {
        std::thread::sleep(QUIET_STEP);
        let now = cpu_ns()?;
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
