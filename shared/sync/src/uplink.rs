//! The connection to the core as the box sees it: what is in flight, when to send again, when to connect again.
//!
//! Batches answer the load by themselves: with nothing in flight an operation goes at once, otherwise those that come
//! meanwhile go together. Sending twice is harmless (the core counts by device and number), so every doubt is resolved by
//! sending again from the doubtful place on.

use crate::{held::Held, outbox::Outbox};
use schulhof_wire::node::{BATCH_LEN_MAX, EncodedOperation, ToCore};
use std::collections::VecDeque;

/// Batches in flight: enough that line and disk of the core work at the same time.
pub const WINDOW_BATCHES_MAX: usize = 4;
/// Bytes of operations after which a batch ends, well below a frame's limit.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// A batch without answer, or operations without entry, for this long are sent again: longer than an election.
pub const RESEND_AFTER_MS: u64 = 10_000;
/// With nothing else to say the box asks for the head this often.
pub const PING_EVERY_MS: u64 = 3_000;
/// A core that says nothing for this long, pings notwithstanding, is left.
pub const SILENCE_MAX_MS: u64 = 10_000;
/// So is one that has entries for us and does not send them for this long: it thinks that it did.
pub const STALL_MAX_MS: u64 = 10_000;
/// Bounds of the time between tries to connect, which each may take a handshake's time besides. The lower one, doubled per
/// try and jittered, spreads the boxes of a land over the core. The upper one is what a school waits at most when its line is
/// back; thousands of boxes that all get no answer cost the core some hundred handshakes a second.
pub const BACKOFF_MIN_MS: u64 = 200;
pub const BACKOFF_MAX_MS: u64 = 1_500;
/// The upper one after the core would not take us as we are: that does not mend itself.
pub const DISCOURAGED_MAX_MS: u64 = 20_000;
/// Redirects followed at once; then nodes that point at each other are given time.
pub const REDIRECTS_AT_ONCE_MAX: u32 = 3;
/// Longest time that a busy core is believed.
pub const BUSY_MAX_MS: u64 = 30_000;

#[derive(Debug)]
struct InFlight {
    batch: u64,
    first: u64,
    sent_ms: u64,
}

#[derive(Debug)]
enum State {
    Down {
        retry_ms: u64,
    },
    /// Said hello, not yet welcome.
    Greeting,
    Up,
}

#[derive(Debug)]
pub struct Uplink {
    state: State,
    /// Failed tries in a row.
    tries: u32,
    /// The core has refused us since its last welcome.
    discouraged: bool,
    redirects: u32,
    redirected: bool,
    next_batch: u64,
    in_flight: VecDeque<InFlight>,
    /// Position of the last operation sent on this connection.
    sent: u64,
    hold_ms: Option<u64>,
    pub held: Held,
    /// Something was sent, answered or confirmed.
    progress_ms: u64,
    ping_ms: u64,
    heard_ms: u64,
    /// There are entries that we lack, and none has come since.
    behind_ms: Option<u64>,
}

impl Uplink {
    pub fn new() -> Self {
        Self {
            state: State::Down { retry_ms: 0 },
            tries: 0,
            discouraged: false,
            redirects: 0,
            redirected: false,
            next_batch: 1,
            in_flight: VecDeque::new(),
            sent: 0,
            hold_ms: None,
            held: Held::default(),
            progress_ms: 0,
            ping_ms: 0,
            heard_ms: 0,
            behind_ms: None,
        }
    }

    pub fn connected(&mut self, now_ms: u64) {
        self.state = State::Greeting;
        self.redirected = false;
        self.in_flight.clear();
        self.rewind(0);
        self.hold_ms = None;
        self.heard_ms = now_ms;
        self.behind_ms = None;
    }

    pub fn disconnected(&mut self, now_ms: u64, jitter: u64) {
        let delay_ms = if std::mem::take(&mut self.redirected) && self.redirects <= REDIRECTS_AT_ONCE_MAX {
            0
        } else {
            let max_ms = if self.discouraged { DISCOURAGED_MAX_MS } else { BACKOFF_MAX_MS };
            let ceiling = BACKOFF_MIN_MS.saturating_mul(1 << self.tries.min(16)).min(max_ms);
            self.tries = self.tries.saturating_add(1);
            ceiling / 2 + jitter % (ceiling / 2 + 1)
        };
        self.state = State::Down { retry_ms: now_ms + delay_ms };
        self.in_flight.clear();
        self.hold_ms = None;
    }

    /// The core will not take us as we are: no use in trying soon.
    pub fn discouraged(&mut self) {
        self.tries = self.tries.max(16);
        self.discouraged = true;
    }

    pub fn redirected(&mut self, known: bool) {
        self.redirected = known;
        self.redirects = self.redirects.saturating_add(1);
    }

    pub fn welcome(&mut self, now_ms: u64) {
        self.state = State::Up;
        self.tries = 0;
        self.discouraged = false;
        self.redirects = 0;
        self.progress_ms = now_ms;
        self.ping_ms = now_ms + PING_EVERY_MS;
    }

    pub fn is_greeting(&self) -> bool {
        matches!(self.state, State::Greeting)
    }

    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    pub fn is_down(&self) -> bool {
        matches!(self.state, State::Down { .. })
    }

    pub fn connect_ms(&self) -> Option<u64> {
        match self.state {
            State::Down { retry_ms } => Some(retry_ms),
            _ => None,
        }
    }

    pub fn is_silent(&self, now_ms: u64) -> bool {
        !self.is_down() && now_ms >= self.silent_ms()
    }

    fn silent_ms(&self) -> u64 {
        let silent_ms = self.heard_ms + SILENCE_MAX_MS;
        self.behind_ms.map_or(silent_ms, |behind_ms| silent_ms.min(behind_ms + STALL_MAX_MS))
    }

    /// After news of the head (`moved`: with entries): do we have all that the core has?
    pub fn behind(&mut self, now_ms: u64, behind: bool, moved: bool) {
        self.behind_ms = match self.behind_ms {
            _ if !behind => None,
            Some(since_ms) if !moved => Some(since_ms),
            _ => Some(now_ms),
        };
    }

    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
    }

    pub fn progress(&mut self, now_ms: u64) {
        self.progress_ms = now_ms;
    }

    pub fn committed(&mut self, now_ms: u64, batch: u64) {
        // Answers to batches that were taken back are old news.
        self.in_flight.retain(|flying| flying.batch != batch);
        self.progress_ms = now_ms;
    }

    /// Nothing of the batch was taken: it goes again, and all behind it, since their numbers follow on its.
    pub fn busy(&mut self, now_ms: u64, batch: u64, retry_after_ms: u32) {
        if let Some(place) = self.in_flight.iter().position(|flying| flying.batch == batch) {
            let taken_back = self.in_flight.drain(place..);
            // Held operations that were let go are older than what went before them.
            if let Some(first) = taken_back.map(|flying| flying.first).min() {
                self.rewind(first - 1);
            }
        }
        self.hold_ms = Some(now_ms + u64::from(retry_after_ms).min(BUSY_MAX_MS));
    }

    pub fn poll_transmit(&mut self, now_ms: u64, outbox: &Outbox) -> Option<ToCore> {
        if !self.is_up() {
            return None;
        }
        self.resend_if_stuck(now_ms, outbox);
        if self.hold_ms.is_some_and(|hold_ms| hold_ms <= now_ms) {
            self.hold_ms = None;
        }
        let frame = self.batch(now_ms, outbox).or_else(|| (self.ping_ms <= now_ms).then_some(ToCore::Ping))?;
        self.ping_ms = now_ms + PING_EVERY_MS;
        Some(frame)
    }

    fn resend_if_stuck(&mut self, now_ms: u64, outbox: &Outbox) {
        if let Some(oldest) = self.in_flight.front() {
            if now_ms >= oldest.sent_ms + RESEND_AFTER_MS
                && let Some(first) = self.in_flight.drain(..).map(|flying| flying.first).min()
            {
                self.rewind(first - 1);
            }
        } else if outbox.len() > 0 && !outbox.has_after(self.sent) && now_ms >= self.progress_ms + RESEND_AFTER_MS {
            self.rewind(0);
        }
    }

    /// Everything behind a position is to be sent again.
    fn rewind(&mut self, sent: u64) {
        self.sent = self.sent.min(sent);
        self.held.rewind(self.sent);
    }

    fn batch(&mut self, now_ms: u64, outbox: &Outbox) -> Option<ToCore> {
        let more = outbox.has_after(self.sent) || self.held.is_freed();
        if self.hold_ms.is_some() || self.in_flight.len() >= WINDOW_BATCHES_MAX || !more {
            return None;
        }
        let mut full = false;
        let (mut first, mut last, mut bytes) = (u64::MAX, 0, 0);
        // This is asked with every operation that is saved: nothing is encoded before it is known that it goes.
        let mut chosen = Vec::new();
        let (mut walk, candidates) = self.held.walk(outbox, self.sent);
        for next in candidates {
            if walk.lets(next) {
                if chosen.len() == BATCH_LEN_MAX || (bytes > 0 && bytes + next.len > BATCH_BYTES_MAX) {
                    full = true;
                    break;
                }
                bytes += next.len;
                chosen.push(next.operation);
                first = first.min(next.position);
            }
            last = next.position;
        }
        // A part of a batch waits for the answer to what is in flight, and grows meanwhile.
        if !full && chosen.len() < BATCH_LEN_MAX && !self.in_flight.is_empty() {
            return None;
        }
        let operations: Vec<_> = chosen.into_iter().map(|operation| EncodedOperation(operation.encode())).collect();
        let passed = walk.passed;
        self.held.walked(passed, last);
        self.sent = self.sent.max(last);
        self.progress_ms = now_ms;
        if operations.is_empty() {
            return None;
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        self.in_flight.push_back(InFlight { batch, first, sent_ms: now_ms });
        Some(ToCore::Submit { batch, operations })
    }

    pub fn poll_timeout(&self, outbox: &Outbox) -> Option<u64> {
        match self.state {
            State::Down { retry_ms } => Some(retry_ms),
            State::Greeting => Some(self.silent_ms()),
            State::Up => {
                let stuck_ms = match self.in_flight.front() {
                    Some(oldest) => Some(oldest.sent_ms + RESEND_AFTER_MS),
                    None if outbox.len() > 0 && !outbox.has_after(self.sent) => {
                        Some(self.progress_ms + RESEND_AFTER_MS)
                    }
                    None => None,
                };
                [Some(self.ping_ms), Some(self.silent_ms()), stuck_ms, self.hold_ms].into_iter().flatten().min()
            }
        }
    }
}
