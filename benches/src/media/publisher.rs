//! The one who sends: shakes hands, and sends frames of a [`Pattern`] at a set rate.

use crate::{
    client::{Client, Stream, is_rtp, vp8_payload},
    media::{PAYLOAD_LEN, recording::Recording, wait},
};
use anyhow::bail;
use schulhof_net::udp::{MediaSocket, Poller, RecvBatch};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Lines of the picture, as its key frames say.
const HEIGHT: u16 = 720;
const TICK: Duration = Duration::from_millis(20);
/// Nearer than this, the thread yields instead of sleeping: waking up takes about as long.
const SPIN: Duration = Duration::from_micros(80);
/// Frames per second from which on it spins at all.
const SPIN_RATE_MIN: f64 = 2_000.0;
/// Frames that are late by more than this many are left out; a hurried backlog would be another load.
const BACKLOG_MAX: f64 = 4.0;

/// What a frame is.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// So many packets at once, all of the same length.
    Burst(usize),
    /// The frames of a real camera's best layer, their packets at the recorded distances; only the time between frames
    /// follows the rate.
    Camera(Arc<Recording>),
}

impl Pattern {
    pub fn packets_per_frame(&self) -> f64 {
        match self {
            Self::Burst(burst) => *burst as f64,
            Self::Camera(recording) => recording.packets_per_frame(2),
        }
    }

    /// Of the packets, on average.
    pub fn payload_len(&self) -> usize {
        match self {
            Self::Burst(_) => PAYLOAD_LEN,
            Self::Camera(recording) => {
                let packets = || recording.layers[2].iter().flat_map(|frame| &frame.packets);
                packets().map(|packet| packet.payload_len).sum::<usize>() / packets().count().max(1)
            }
        }
    }
}

#[derive(Default)]
struct Shared {
    /// Frames per second, as bits of an f64.
    rate: AtomicU64,
    published: AtomicU64,
    connected: AtomicBool,
    stop: AtomicBool,
    failed: Mutex<Option<String>>,
}

pub struct Publisher {
    shared: Arc<Shared>,
    pattern: Pattern,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Publisher {
    /// One who has joined; sends nothing until [`Self::set_rate`].
    pub fn start(client: Client, socket: MediaSocket, stream: Stream, pattern: Pattern) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("publisher".into()).spawn({
            let (shared, pattern) = (shared.clone(), pattern.clone());
            move || {
                let sender = Sender::new(client, socket, stream, pattern);
                if let Err(error) = sender.and_then(|sender| sender.run(&shared)) {
                    *shared.failed.lock().expect("no holder panics") = Some(format!("{error:#}"));
                }
            }
        })?;
        Ok(Self { shared, pattern, thread: Some(thread) })
    }

    pub fn wait_connected(&self, max: Duration) -> anyhow::Result<()> {
        wait(max, "the publisher connects", || {
            self.check()?;
            Ok(self.shared.connected.load(Ordering::Relaxed))
        })
    }

    /// Packets per second, in whole frames.
    pub fn set_rate(&self, packets_per_s: f64) {
        self.shared.rate.store((packets_per_s / self.pattern.packets_per_frame()).to_bits(), Ordering::Relaxed);
    }

    /// Packets sent since the beginning.
    pub fn published(&self) -> anyhow::Result<u64> {
        self.check()?;
        Ok(self.shared.published.load(Ordering::Relaxed))
    }

    fn check(&self) -> anyhow::Result<()> {
        match &*self.shared.failed.lock().expect("no holder panics") {
            Some(error) => bail!("the publisher failed: {error}"),
            None => Ok(()),
        }
    }
}

struct Sender {
    client: Client,
    socket: [MediaSocket; 1],
    poller: Poller,
    batch: RecvBatch,
    stream: Stream,
    transport: u16,
    pattern: Pattern,
    frame: u64,
    packet: Vec<u8>,
}

impl Sender {
    fn new(client: Client, socket: MediaSocket, stream: Stream, pattern: Pattern) -> anyhow::Result<Self> {
        Ok(Self {
            client,
            socket: [socket],
            poller: Poller::new()?,
            batch: RecvBatch::new(),
            stream,
            transport: 0,
            pattern,
            frame: 0,
            packet: Vec::new(),
        })
    }

    fn run(mut self, shared: &Shared) -> anyhow::Result<()> {
        let mut rate_bits = 0;
        let (mut since, mut sent) = (Instant::now(), 0.0);
        let mut tick = Instant::now();
        while !shared.stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if now >= tick {
                tick = now + TICK;
                self.receive(now)?;
                self.client.handle_timeout(now)?;
                self.flush();
                shared.connected.store(self.client.connected(), Ordering::Relaxed);
            }
            let bits = shared.rate.load(Ordering::Relaxed);
            if bits != rate_bits {
                (rate_bits, since, sent) = (bits, now, 0.0);
            }
            let rate = f64::from_bits(rate_bits);
            if rate == 0.0 || !self.client.connected() {
                self.poller.wait(&self.socket, TICK.min(tick.saturating_duration_since(now)))?;
                self.receive(now)?;
                self.flush();
                continue;
            }
            let due = now.duration_since(since).as_secs_f64() * rate;
            if due >= sent + 1.0 {
                let packets = self.send_frame()?;
                shared.published.fetch_add(packets, Ordering::Relaxed);
                sent = (sent + 1.0).max(due - BACKLOG_MAX);
            } else {
                let wait = Duration::from_secs_f64((sent + 1.0 - due) / rate);
                // Many slow publishers must not fight for the processor; there some jitter is natural.
                let spin = if rate > SPIN_RATE_MIN { SPIN } else { Duration::ZERO };
                match wait.checked_sub(spin) {
                    Some(sleep) => std::thread::sleep(sleep),
                    None => std::thread::yield_now(),
                }
            }
        }
        Ok(())
    }

    /// One frame, its packets one by one, as a browser sends them. The result is their number.
    fn send_frame(&mut self) -> anyhow::Result<u64> {
        self.frame += 1;
        match &self.pattern {
            Pattern::Burst(burst) => {
                let burst = *burst;
                for n in 0..burst {
                    self.send(n == 0, n + 1 == burst, PAYLOAD_LEN)?;
                }
                Ok(burst as u64)
            }
            Pattern::Camera(recording) => {
                let (begun, recording) = (Instant::now(), recording.clone());
                let frames = &recording.layers[2];
                let packets = &frames[self.frame as usize % frames.len()].packets;
                for (n, packet) in packets.iter().enumerate() {
                    while begun.elapsed() < packet.after {
                        std::thread::yield_now();
                    }
                    self.send(n == 0, n + 1 == packets.len(), packet.payload_len)?;
                }
                Ok(packets.len() as u64)
            }
        }
    }

    fn send(&mut self, first: bool, last: bool, payload_len: usize) -> anyhow::Result<()> {
        let Some(to) = self.client.remote_addr() else { return Ok(()) };
        let timestamp = (self.frame as u32).wrapping_mul(3_000);
        let payload = vp8_payload(self.frame as u16, first, HEIGHT, payload_len);
        self.stream.packet(timestamp, last, 0, &mut self.transport, &payload, &mut self.packet);
        let sealed = self.client.seal(&self.packet)?;
        self.socket[0].send_run(to, &sealed, sealed.len());
        Ok(())
    }

    /// Handshake packets and feedback.
    fn receive(&mut self, now: Instant) -> anyhow::Result<()> {
        let mut result = Ok(());
        loop {
            let more = self.batch.receive(&self.socket[0])?;
            let client = &mut self.client;
            self.batch.for_each(|_, packet| {
                if !is_rtp(packet)
                    && let Err(error) = client.handle(now, packet)
                {
                    result = Err(error);
                }
            });
            if !more {
                return result;
            }
        }
    }

    fn flush(&mut self) {
        if let Some(to) = self.client.remote_addr() {
            while let Some(packet) = self.client.poll_transmit() {
                self.socket[0].send_run(to, &packet, packet.len());
            }
        }
    }
}
