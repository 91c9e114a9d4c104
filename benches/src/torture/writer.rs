//! One of the people who write: as a browser does it, with a device, numbers, and everything kept until it is secured.

use super::{
    linear::Action,
    record::{Key, Recorder, value},
};
use crate::cluster::browser::{AskError, Browser};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use schulhof_school::{Body, view::MessageView};
use schulhof_wire::{
    DeviceId, Hlc, RoomId, SchoolId, Seq,
    api::{DeviceMarks, Page, SubmitState, Submitted},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// Where everybody writes; and the rooms whose last message is a register.
pub const STREAM: &str = "stream";
pub const REGISTERS: [&str; 2] = ["register-a", "register-b"];

/// Operations that a writer keeps unsecured; then it waits, as nobody types for ever.
const KEPT_MAX: usize = 300;
/// Of one submission.
const SUBMIT_MAX: usize = 40;
/// Between two turns; jittered up to twice that.
const TURN: Duration = Duration::from_millis(40);
/// After an answer that was none.
const RETRY: Duration = Duration::from_millis(100);
/// How long a writer stays at the gateway before it looks whether its box is there again.
const AWAY: Duration = Duration::from_secs(4);
/// A writer looks at its room once in so many turns.
const LOOK_TURNS: u32 = 25;

struct Kept {
    seq: Seq,
    at: Hlc,
    body: Body,
    made: Instant,
    register: Option<Key>,
}

/// What writers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orders {
    Write,
    /// Nothing new; what is kept until it is secured.
    Finish,
    /// Go.
    End,
}

pub struct Writer {
    /// Place among all writers.
    pub number: usize,
    pub school: SchoolId,
    device: DeviceId,
    /// At the box and at the gateway, with the same device.
    browsers: [Browser; 2],
    /// Until then the gateway serves: the box did not answer.
    away: Option<Instant>,
    pub recorder: Arc<Recorder>,
    rng: StdRng,
    made: u64,
    kept: VecDeque<Kept>,
    /// As the box said last.
    saved: u64,
    secured: u64,
    /// A register is written one after the other.
    register_open: bool,
}

/// Says who wrote which number: what a replica must hold.
pub fn text(device: &DeviceId, seq: Seq) -> String {
    format!("{device} #{}", seq.0)
}

impl Writer {
    pub fn new(
        number: usize,
        school: SchoolId,
        device: DeviceId,
        browsers: [Browser; 2],
        recorder: Arc<Recorder>,
        seed: u64,
    ) -> Self {
        Self {
            number,
            school,
            device,
            browsers,
            away: None,
            recorder,
            rng: StdRng::seed_from_u64(seed),
            made: 0,
            kept: VecDeque::new(),
            saved: 0,
            secured: 0,
            register_open: false,
        }
    }

    /// The box, or the gateway for a while after the box did not answer.
    fn browser(&mut self) -> &mut Browser {
        if self.away.is_some_and(|until| until <= Instant::now()) {
            self.away = None;
        }
        let at = usize::from(self.away.is_some());
        &mut self.browsers[at]
    }

    /// The other one is worth a try.
    fn turn_away(&mut self) {
        self.away = match self.away {
            Some(_) => None,
            None => Some(Instant::now() + AWAY),
        };
    }

    /// Writes until told to finish; ends when everything is secured, or when told to.
    pub async fn run(mut self, mut orders: watch::Receiver<Orders>) {
        let mut turn = 0;
        loop {
            let told = *orders.borrow_and_update();
            match told {
                Orders::Write => self.write(),
                Orders::Finish if self.kept.is_empty() => break,
                Orders::Finish => {}
                Orders::End => break,
            }
            turn += 1;
            let pause = match self.turn(turn % LOOK_TURNS == 0).await {
                Ok(()) => TURN + TURN.mul_f64(self.rng.random()),
                Err(error) => {
                    let at = if self.away.is_some() { "gateway: " } else { "" };
                    self.recorder.refused(&format!("{at}{}", kind(&error)));
                    if matches!(error, AskError::Unreachable(_) | AskError::Refused { status: 503, .. }) {
                        self.turn_away();
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = orders.changed() => if changed.is_err() { break },
            }
        }
        for kept in self.kept.drain(..) {
            if let Some(key) = kept.register {
                self.recorder.register(key, kept.made, None, Action::Write(value(self.number, kept.seq)));
            }
        }
        let seen = &mut *self.recorder.seen.lock();
        let record = seen.devices.entry(self.device.clone()).or_default();
        (record.made, record.secured) = (self.made, self.secured);
    }

    fn write(&mut self) {
        let room = |name: &str| RoomId::new(name).expect("a short identifier");
        for _ in 0..self.rng.random_range(0..3) {
            if self.kept.len() >= KEPT_MAX {
                return;
            }
            self.keep(room(STREAM), None);
        }
        if !self.register_open && self.kept.len() < KEPT_MAX && self.rng.random_bool(0.5) {
            let name = room(REGISTERS.choose(&mut self.rng).expect("there are some"));
            self.register_open = true;
            self.keep(name.clone(), Some((self.school.clone(), name)));
        }
    }

    fn keep(&mut self, room: RoomId, register: Option<Key>) {
        self.made += 1;
        let seq = Seq(self.made);
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64);
        let body = Body::post(room, text(&self.device, seq));
        self.kept.push_back(Kept { seq, at: Hlc::from_ms(now_ms), body, made: Instant::now(), register });
    }

    async fn turn(&mut self, look: bool) -> Result<(), AskError> {
        let waiting = self.kept.iter().filter(|kept| kept.seq.0 > self.saved).take(SUBMIT_MAX);
        let waiting: Vec<_> =
            waiting.map(|kept| Submitted { seq: kept.seq, at: kept.at, body: kept.body.clone() }).collect();
        if waiting.is_empty() {
            let marks = self.browser().marks().await?;
            self.marks(&marks);
        } else {
            let answer = self.browser().submit(waiting).await?;
            {
                let seen = &mut *self.recorder.seen.lock();
                let record = seen.devices.entry(self.device.clone()).or_default();
                record.school = Some(self.school.clone());
                for result in &answer.results {
                    match result.state {
                        SubmitState::Saved | SubmitState::Duplicate => drop(record.acked.insert(result.seq.0)),
                        // A new box that does not hold the school yet.
                        SubmitState::Gap => *seen.refusals.entry("gap".to_owned()).or_default() += 1,
                        SubmitState::Refused => {
                            let reason = result.reason.clone().unwrap_or_default();
                            *seen.refusals.entry(reason).or_default() += 1;
                        }
                    }
                }
            }
            self.marks(&answer.marks);
        }
        if look { self.look().await } else { Ok(()) }
    }

    /// What the box has, which after a fire may be less than before.
    fn marks(&mut self, marks: &DeviceMarks) {
        let now = Instant::now();
        self.saved = marks.saved.0;
        self.secured = self.secured.max(marks.secured.0);
        while let Some(kept) = self.kept.pop_front_if(|kept| kept.seq <= marks.secured) {
            self.recorder.secured(now - kept.made);
            if let Some(key) = kept.register {
                self.register_open = false;
                self.recorder.register(key, kept.made, Some(now), Action::Write(value(self.number, kept.seq)));
            }
        }
    }

    /// Reads the newest messages: a number that was shown stays.
    async fn look(&mut self) -> Result<(), AskError> {
        let path = format!("/api/rooms/{STREAM}/messages?limit=30");
        let page: Page<MessageView> = self.browser().get(&path).await?;
        for message in page.items {
            if let Some(index) = message.index {
                self.recorder.shown(&self.school, &message.device, message.seq, index);
                self.recorder.committed(&self.school, index);
            }
        }
        Ok(())
    }
}

fn kind(error: &AskError) -> String {
    match error {
        AskError::Unreachable(_) => "unreachable".to_owned(),
        AskError::Refused { status, .. } => format!("status-{status}"),
        AskError::Malformed(_) => "malformed".to_owned(),
    }
}
