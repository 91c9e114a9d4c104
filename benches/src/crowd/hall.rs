//! All people of all conferences in one thread: sends what is due, receives what has come.

use super::{
    person::Person,
    schedule::{What, due},
};
use crate::media::recording::Recording;
use anyhow::{Context as _, bail};
use schulhof_net::udp::RecvBatch;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Sockets are looked at this often; the kernel says when packets came.
const SWEEP: Duration = Duration::from_millis(2);
const TICK: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_secs(1);
/// Cameras are spread over the recording, by a step that hits all of it.
const SHIFT_STEP: f64 = 0.618_034;

/// What all people together have seen since [`Hall::forget`].
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub connected: usize,
    pub received: u64,
    /// By the numbers of the connections.
    pub lost: u64,
    /// Of voices, for people in the building and at home: packets that there should have been, and those that came.
    pub voices: [(u64, u64); 2],
    pub forged: u64,
    /// Datagrams of handshakes that clients could not make sense of, such as late repetitions. Who never connects is missed
    /// anyway.
    pub unread: u64,
    /// Of a sample, from the publisher to the listener's socket.
    pub delays_us: Vec<u32>,
    /// Streams that came in the last second, over all people.
    pub streams: usize,
    /// Of each who got media: milliseconds since he began to come.
    pub first_ms: Vec<u32>,
}

#[derive(Default)]
struct Shared {
    counts: Mutex<Counts>,
    begin: AtomicBool,
    forget: AtomicBool,
    stop: AtomicBool,
    failed: Mutex<Option<String>>,
}

/// The thread, and the way to it.
pub struct Hall {
    shared: Arc<Shared>,
    arrivals: mpsc::Sender<Person>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Hall {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Hall {
    pub fn new(recording: Arc<Recording>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (arrivals, arriving) = mpsc::channel();
        let thread = std::thread::Builder::new().name("crowd".into()).spawn({
            let shared = shared.clone();
            move || {
                if let Err(error) = Crowd::new(recording).run(&shared, &arriving) {
                    *shared.failed.lock().expect("no holder panics") = Some(format!("{error:#}"));
                }
            }
        })?;
        Ok(Self { shared, arrivals, thread: Some(thread) })
    }

    /// Takes one in; the handshake goes on in the thread.
    pub fn seat(&self, person: Person) -> anyhow::Result<()> {
        self.arrivals.send(person).ok().context("the classes are over")
    }

    /// Everybody begins to send.
    pub fn begin(&self) {
        self.shared.begin.store(true, Ordering::Relaxed);
    }

    /// Begins to count anew.
    pub fn forget(&self) {
        self.shared.forget.store(true, Ordering::Relaxed);
    }

    pub fn counts(&self) -> anyhow::Result<Counts> {
        if let Some(error) = &*self.shared.failed.lock().expect("no holder panics") {
            bail!("somebody failed: {error}");
        }
        Ok(self.shared.counts.lock().expect("no holder panics").clone())
    }
}

struct Crowd {
    recording: Arc<Recording>,
    people: Vec<Person>,
    /// Of them, those whose streams have begun.
    planned: usize,
    /// When, who, which of the streams.
    due: BinaryHeap<Reverse<(Duration, usize, usize, What)>>,
    counts: Counts,
    /// Lost before counting began.
    lost_before: u64,
    voices_before: [(u64, u64); 2],
}

impl Crowd {
    fn new(recording: Arc<Recording>) -> Self {
        Self {
            recording,
            people: Vec::new(),
            planned: 0,
            due: BinaryHeap::new(),
            counts: Counts::default(),
            lost_before: 0,
            voices_before: [(0, 0); 2],
        }
    }

    fn run(mut self, shared: &Shared, arriving: &mpsc::Receiver<Person>) -> anyhow::Result<()> {
        let mut batch = RecvBatch::new();
        let mut start = None;
        let (mut sweep, mut tick, mut look) = (Instant::now(), Instant::now(), Instant::now());
        while !shared.stop.load(Ordering::Relaxed) {
            self.people.extend(arriving.try_iter());
            let now = Instant::now();
            if start.is_none() && shared.begin.load(Ordering::Relaxed) {
                start = Some(now);
            }
            if let Some(start) = start {
                self.plan(start.elapsed());
                self.send(start)?;
            }
            if now >= sweep {
                sweep = now + SWEEP;
                for person in &mut self.people {
                    person.receive(now, &mut batch, &mut self.counts)?;
                }
            }
            if now >= tick {
                tick = now + TICK;
                for person in &mut self.people {
                    person.client.handle_timeout(now)?;
                    person.flush();
                    person.look(&mut self.counts);
                }
                if now >= look {
                    look = now + LOOK;
                    self.counts.streams = self.people.iter_mut().map(Person::take_heard).sum();
                }
                self.publish(shared);
            }
            let next = self.due.peek().zip(start).map(|(Reverse((at, ..)), start)| start + *at);
            let until = next.map_or(sweep, |next| next.min(sweep));
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// The streams of those who are new begin, each at another time.
    fn plan(&mut self, so_far: Duration) {
        for (n, person) in self.people.iter().enumerate().skip(self.planned) {
            for (stream, what) in person.streams().enumerate() {
                let later = Duration::from_micros((n * 7_919 + stream * 1_013) as u64 % 33_000);
                self.due.push(Reverse((so_far + later, n, stream, what)));
            }
        }
        self.planned = self.people.len();
    }

    fn send(&mut self, start: Instant) -> anyhow::Result<()> {
        let so_far = start.elapsed();
        while let Some(Reverse((at, n, stream, what))) =
            self.due.peek().copied().filter(|Reverse((at, ..))| *at <= so_far)
        {
            self.due.pop();
            let person = &mut self.people[n];
            let shift = self.recording.length.mul_f64((n as f64 * SHIFT_STEP).fract());
            let due = due(&self.recording, what, person.part.place, person.count(stream), at, shift);
            person.send(stream, at, &due)?;
            self.due.push(Reverse((at + due.after.max(Duration::from_micros(1)), n, stream, what)));
        }
        Ok(())
    }

    fn publish(&mut self, shared: &Shared) {
        let lost: u64 = self.people.iter().map(|person| person.client.lost()).sum();
        let mut voices = [(0, 0); 2];
        for person in &self.people {
            let (expected, received) = person.client.voices();
            let side = &mut voices[usize::from(person.part.at_home)];
            *side = (side.0 + expected, side.1 + received);
        }
        if shared.forget.swap(false, Ordering::Relaxed) {
            self.voices_before = voices;
            self.counts = Counts { streams: self.counts.streams, ..Counts::default() };
            self.lost_before = lost;
        }
        self.counts.lost = lost.saturating_sub(self.lost_before);
        for ((counted, now), before) in self.counts.voices.iter_mut().zip(voices).zip(self.voices_before) {
            *counted = (now.0 - before.0, now.1 - before.1);
        }
        self.counts.connected = self.people.iter().filter(|person| person.client.connected()).count();
        *shared.counts.lock().expect("no holder panics") = self.counts.clone();
    }
}
