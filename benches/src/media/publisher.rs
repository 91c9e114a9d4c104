//! The one who sends: joins, says that its camera is on, and sends frames of `burst` packets at a set rate.

use crate::{
    client::{Client, Kit, Slots, Stream, is_rtp, vp8_payload},
    control::{Control, Controls},
    http,
    media::{PAYLOAD_LEN, wait},
    ticket::Issuer,
};
use anyhow::{Context as _, bail};
use schulhof_net::udp::{MediaSocket, Poller, RecvBatch};
use schulhof_wire::{media::ToNode, ticket::MediaRole};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const SSRC: u32 = 0x0a0b_0c0d;
const TICK: Duration = Duration::from_millis(20);
/// Nearer than this, the thread yields instead of sleeping: waking up takes about as long.
const SPIN: Duration = Duration::from_micros(80);
/// Frames per second from which on it spins at all.
const SPIN_RATE_MIN: f64 = 2_000.0;
/// Frames that are late by more than this many are left out; a hurried backlog would be another load.
const BACKLOG_MAX: f64 = 4.0;

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
    burst: usize,
    thread: Option<JoinHandle<()>>,
    control: Control,
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
    /// Joins; sends nothing until [`Self::set_rate`].
    pub fn join(
        kit: &Arc<Kit>,
        node: SocketAddr,
        issuer: &Issuer,
        controls: &Controls,
        room: &str,
        burst: usize,
    ) -> anyhow::Result<Self> {
        let socket = MediaSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let slots = Slots { audio: 1, video: 1 };
        let mut client = Client::new(kit.clone(), socket.local_addr()?, 0, slots);
        let ticket = issuer.ticket(room, "publisher", MediaRole::Moderator, slots.audio, slots.video)?;
        let joined = http::join(node, ticket, client.offer()).context("the publisher")?;
        client.answered(Instant::now(), &joined.answer)?;
        let publish = ToNode::Publish { microphone: false, camera: true, screen: false };
        let control = controls.open(&joined.session, Some(publish));
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("publisher".into()).spawn({
            let shared = shared.clone();
            move || {
                if let Err(error) = Sender::new(client, socket, burst).and_then(|sender| sender.run(&shared)) {
                    *shared.failed.lock().expect("no holder panics") = Some(format!("{error:#}"));
                }
            }
        })?;
        Ok(Self { shared, burst, thread: Some(thread), control })
    }

    pub fn wait_connected(&mut self, max: Duration) -> anyhow::Result<()> {
        wait(max, "the publisher connects", || {
            self.check()?;
            Ok(self.shared.connected.load(Ordering::Relaxed) && self.control.told().welcome)
        })
    }

    /// Packets per second, in frames of `burst`.
    pub fn set_rate(&self, packets_per_s: f64) {
        self.shared.rate.store((packets_per_s / self.burst as f64).to_bits(), Ordering::Relaxed);
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
    burst: usize,
    frame: u64,
    packet: Vec<u8>,
}

impl Sender {
    fn new(client: Client, socket: MediaSocket, burst: usize) -> anyhow::Result<Self> {
        Ok(Self {
            client,
            socket: [socket],
            poller: Poller::new()?,
            batch: RecvBatch::new(),
            stream: Stream::camera(SSRC, "f"),
            burst,
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
                self.send_frame()?;
                shared.published.fetch_add(self.burst as u64, Ordering::Relaxed);
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

    /// One frame, its packets one by one, as a browser sends them.
    fn send_frame(&mut self) -> anyhow::Result<()> {
        let Some(to) = self.client.remote_addr() else { return Ok(()) };
        self.frame += 1;
        let timestamp = (self.frame as u32).wrapping_mul(3_000);
        for n in 0..self.burst {
            let payload = vp8_payload(self.frame as u16, n == 0, PAYLOAD_LEN);
            self.stream.packet(timestamp, n + 1 == self.burst, &payload, &mut self.packet);
            let sealed = self.client.seal(&self.packet)?;
            self.socket[0].send_run(to, &sealed, sealed.len());
        }
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
