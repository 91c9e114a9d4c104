//! Those who receive: all subscribers in one thread, each with a socket of its own. Every packet is counted,
//! every 64th is opened with the subscriber's keys.

use crate::client::{Client, is_rtp};
use anyhow::{Context as _, bail};
use schulhof_net::udp::{MediaSocket, Poller, RecvBatch, Waker};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(20);
/// One packet in this many is opened.
const OPEN_EVERY: u64 = 64;

#[derive(Default)]
struct Shared {
    counts: Mutex<Counts>,
    stop: AtomicBool,
    received: AtomicU64,
    failed: Mutex<Option<String>>,
}

/// What all subscribers together have seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub connected: usize,
    /// Subscribers that got at least one media packet.
    pub hearing: usize,
    pub received: u64,
    /// Sampled packets that opened, and those that did not.
    pub opened: u64,
    pub forged: u64,
}

pub struct Audience {
    shared: Arc<Shared>,
    arrivals: mpsc::Sender<(Client, MediaSocket)>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Audience {
    pub fn new() -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (arrivals, arriving) = mpsc::channel();
        let poller = Poller::new()?;
        let waker = poller.waker();
        let thread = std::thread::Builder::new().name("audience".into()).spawn({
            let shared = shared.clone();
            move || {
                if let Err(error) = Hall::default().run(&shared, &arriving, &poller) {
                    *shared.failed.lock().expect("no holder panics") = Some(format!("{error:#}"));
                }
            }
        })?;
        Ok(Self { shared, arrivals, waker, thread: Some(thread) })
    }

    /// Takes in one who has joined; the handshake goes on in the audience's thread.
    pub fn seat(&self, client: Client, socket: MediaSocket) -> anyhow::Result<()> {
        self.arrivals.send((client, socket)).ok().context("the audience is gone")?;
        self.waker.wake();
        Ok(())
    }

    pub fn counts(&self) -> anyhow::Result<Counts> {
        if let Some(error) = &*self.shared.failed.lock().expect("no holder panics") {
            bail!("a subscriber failed: {error}");
        }
        let counts = *self.shared.counts.lock().expect("no holder panics");
        Ok(Counts { received: self.shared.received.load(Ordering::Relaxed), ..counts })
    }
}

struct Seat {
    client: Client,
    received: u64,
}

#[derive(Default)]
struct Hall {
    seats: Vec<Seat>,
    sockets: Vec<MediaSocket>,
    counts: Counts,
}

impl Hall {
    fn run(
        mut self,
        shared: &Shared,
        arriving: &mpsc::Receiver<(Client, MediaSocket)>,
        poller: &Poller,
    ) -> anyhow::Result<()> {
        let mut batch = RecvBatch::new();
        let mut tick = Instant::now();
        while !shared.stop.load(Ordering::Relaxed) {
            poller.wait(&self.sockets, TICK)?;
            for (client, socket) in arriving.try_iter() {
                self.seats.push(Seat { client, received: 0 });
                self.sockets.push(socket);
                tick = Instant::now();
            }
            let now = Instant::now();
            let before = self.counts.received;
            for (seat, socket) in self.seats.iter_mut().zip(&mut self.sockets) {
                seat.receive(now, socket, &mut batch, &mut self.counts)?;
            }
            shared.received.fetch_add(self.counts.received - before, Ordering::Relaxed);
            if now >= tick {
                tick = now + TICK;
                for (seat, socket) in self.seats.iter_mut().zip(&mut self.sockets) {
                    seat.client.handle_timeout(now)?;
                    seat.flush(socket);
                }
                self.counts.connected = self.seats.iter().filter(|seat| seat.client.connected()).count();
                self.counts.hearing = self.seats.iter().filter(|seat| seat.received > 0).count();
                *shared.counts.lock().expect("no holder panics") = self.counts;
            }
        }
        Ok(())
    }
}

impl Seat {
    fn receive(
        &mut self,
        now: Instant,
        socket: &mut MediaSocket,
        batch: &mut RecvBatch,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        batch.receive(socket)?;
        let mut result = Ok(());
        batch.for_each_stamped(|_, stamp, packet| {
            if is_rtp(packet) {
                if let Some(stamp) = stamp {
                    self.client.received(stamp, packet);
                }
                self.count(packet, counts);
            } else if let Err(error) = self.client.handle(now, packet) {
                result = Err(error);
            }
        });
        self.flush(socket);
        result
    }

    fn count(&mut self, packet: &[u8], counts: &mut Counts) {
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        if !self.client.video_ssrcs.contains(&ssrc) {
            return;
        }
        if self.received.is_multiple_of(OPEN_EVERY) {
            match self.client.open(packet) {
                Ok(_) => counts.opened += 1,
                Err(_) => counts.forged += 1,
            }
        }
        self.received += 1;
        counts.received += 1;
    }

    fn flush(&mut self, socket: &mut MediaSocket) {
        if let Some(to) = self.client.remote_addr() {
            while let Some(packet) = self.client.poll_transmit() {
                socket.send_run(to, &packet, packet.len());
            }
        }
    }
}
