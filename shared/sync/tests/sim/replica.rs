//! A box or a gateway: what is durable survives a crash, the rest does not; after a fire nothing does.

use super::{
    cluster::{Cluster, NODES},
    ctx::{Ctx, Defect, Mix, Rule},
    line::Line,
};
use crate::world::{PEOPLE, id, school};
use schulhof_school::{Actor, KvMut, MemoryKv, Operation, view};
use schulhof_sync::{BoxSync, Peer, Staging, Submit, SyncError};
use schulhof_wire::{
    DeviceId, LogIndex,
    api::DeviceMarks,
    node::{SYNC_VERSION, ToBox, ToCore},
};
use std::collections::BTreeMap;

/// A refused connection is tried again after this (the shell's pause).
const ABANDONED_MS: u64 = 500;

/// An entry as it is kept for browsers that were away.
pub struct Kept {
    pub device: DeviceId,
    pub actor: Actor,
    pub seq: u64,
    pub rejected: Option<String>,
}

#[derive(Default)]
pub struct Disk {
    pub confirmed: MemoryKv,
    /// A state that is being loaded.
    staged: MemoryKv,
    pub outbox: BTreeMap<u64, Vec<u8>>,
    /// By index.
    pub kept: BTreeMap<u64, Kept>,
}

pub struct Replica {
    pub place: usize,
    pub peer: Peer,
    pub disk: Disk,
    pub incarnation: u64,
    sync: Option<BoxSync>,
    /// Dead until, or stopped until.
    back_ms: u64,
    stopped_ms: u64,
    /// Its steady clock began earlier.
    offset_ms: u64,
    line: Option<Line>,
    abandoned: Vec<Line>,
    next_core: usize,
    cut_up_ms: u64,
    cut_down_ms: u64,
    /// Dies at the next tick.
    doomed: bool,
    /// Of the version before.
    old: bool,
}

impl Replica {
    pub fn new(ctx: &mut Ctx, place: usize, peer: Peer) -> Self {
        Self {
            place,
            peer,
            disk: Disk::default(),
            incarnation: 1,
            sync: None,
            back_ms: 0,
            stopped_ms: 0,
            offset_ms: ctx.rng.below(1 << 40),
            line: None,
            abandoned: Vec::new(),
            next_core: ctx.rng.index(NODES),
            cut_up_ms: 0,
            cut_down_ms: 0,
            doomed: false,
            old: place == 0 && ctx.mix == Mix::OldBox,
        }
    }

    fn name(&self) -> String {
        format!("replica-{}", self.place)
    }

    /// Browsers can speak with it.
    pub fn serves(&self, now_ms: u64) -> bool {
        self.sync.is_some() && now_ms >= self.stopped_ms
    }

    pub fn marks(&self, device: &DeviceId) -> DeviceMarks {
        self.sync.as_ref().expect("it serves").marks(&self.disk.confirmed, device)
    }

    pub fn cursor(&self) -> LogIndex {
        view::head(&self.disk.confirmed)
    }

    fn restored(&self) -> BoxSync {
        let outbox = self.disk.outbox.iter().map(|(at, bytes)| (*at, Operation::decode(bytes).unwrap()));
        BoxSync::new(school(), outbox, &self.disk.confirmed)
    }

    pub fn is_settled(&self, head: u64) -> bool {
        self.sync.as_ref().is_some_and(|sync| {
            sync.online() && sync.pending() == 0 && sync.cursor().0 == head && self.disk.outbox.is_empty()
        })
    }

    pub fn describe(&self) -> String {
        let sync = self.sync.as_ref();
        format!(
            "replica {}: cursor {}, pending {:?}, outbox {}, line {:?}, connect at {:?}",
            self.place,
            self.cursor().0,
            sync.map(BoxSync::pending),
            self.disk.outbox.len(),
            self.line.as_ref().map(|line| (line.id, line.core)),
            sync.and_then(BoxSync::connect_at),
        )
    }

    pub fn heal(&mut self) {
        (self.back_ms, self.stopped_ms, self.cut_up_ms, self.cut_down_ms) = (0, 0, 0, 0);
    }

    /// Loses what is volatile. What was sent may still arrive.
    fn crash(&mut self, ctx: &mut Ctx) {
        ctx.counts.crashes += 1;
        ctx.trace.note("crash", &[self.place as u64]);
        self.sync = None;
        self.back_ms = ctx.later(10, 2_000);
        self.abandon(ctx);
    }

    fn break_things(&mut self, ctx: &mut Ctx) {
        let trouble = ctx.trouble;
        if ctx.happens(trouble.cut) {
            // Both ways, or one.
            let until_ms = ctx.later(200, 6_000);
            let ways = ctx.rng.below(3);
            if ways != 1 {
                self.cut_up_ms = until_ms;
            }
            if ways != 2 {
                self.cut_down_ms = until_ms;
            }
            ctx.counts.cuts += 1;
        }
        if ctx.happens(trouble.stop) {
            self.stopped_ms = ctx.later(100, 5_000);
        }
        if std::mem::take(&mut self.doomed) || ctx.happens(trouble.crash) {
            self.crash(ctx);
        }
        if ctx.happens(trouble.broken) && self.line.is_some() {
            self.close(ctx);
        }
        let is_box = matches!(self.peer, Peer::Box(_));
        if is_box && ctx.happens(trouble.burn) {
            ctx.counts.burnt += 1;
            ctx.truth.burnt(self.place);
            self.incarnation += 1;
            self.disk = Disk::default();
            self.crash(ctx);
        }
        let idle = self.sync.as_ref().is_some_and(|sync| sync.pending() == 0) && self.disk.outbox.is_empty();
        if !is_box && idle && ctx.happens(trouble.evict) {
            self.disk = Disk::default();
            self.crash(ctx);
        }
    }

    pub fn tick(&mut self, ctx: &mut Ctx, cluster: &mut Cluster, next_line: &mut u64) {
        self.break_things(ctx);
        if self.sync.is_none() && ctx.now_ms >= self.back_ms {
            self.sync = Some(self.restored());
        }
        if self.serves(ctx.now_ms) {
            self.connect(ctx, next_line);
            self.speak(ctx);
        }
        self.carry(ctx, cluster);
        if self.serves(ctx.now_ms) {
            self.listen(ctx);
            if ctx.rng.chance(1, 24) && self.serves(ctx.now_ms) {
                self.check_shown(ctx);
            }
        }
    }

    fn clock(&self, ctx: &Ctx) -> u64 {
        ctx.now_ms + self.offset_ms
    }

    fn connect(&mut self, ctx: &mut Ctx, next_line: &mut u64) {
        let now_ms = self.clock(ctx);
        let Some(sync) = self.sync.as_mut() else { return };
        if sync.connect_at().is_none_or(|at| at > now_ms) {
            return;
        }
        if ctx.now_ms < self.cut_up_ms.max(self.cut_down_ms) {
            sync.disconnected(now_ms, ctx.rng.next_u64());
            self.next_core = (self.next_core + 1) % NODES;
            return;
        }
        let mut hello = sync.connected(now_ms);
        if let (true, ToCore::Hello { version, .. }) = (self.old, &mut hello) {
            *version = 1;
        }
        let mut line = Line::new(*next_line, self.next_core);
        self.next_core = (self.next_core + 1) % NODES;
        *next_line += 1;
        line.send_up(ctx, hello);
        self.line = Some(line);
    }

    fn speak(&mut self, ctx: &mut Ctx) {
        let now_ms = self.clock(ctx);
        let (Some(sync), Some(line)) = (self.sync.as_mut(), self.line.as_mut()) else { return };
        if sync.is_silent(now_ms) {
            self.close(ctx);
            return;
        }
        while let Some(frame) = sync.poll_transmit(now_ms) {
            if ctx.defect == Some(Defect::ForgetsSent)
                && let ToCore::Submit { operations, .. } = &frame
            {
                self.disk.outbox.retain(|_, bytes| operations.iter().all(|sent| sent.0 != *bytes));
            }
            line.send_up(ctx, frame);
        }
        if sync.poll_timeout().is_some_and(|at| at <= now_ms && sync.connect_at().is_none()) {
            ctx.report(Rule::Protocol, format!("replica {}: a timeout that never ends", self.place));
        }
    }

    /// The stream is left; what it has under way towards the core may still arrive, after what the next one brings, too.
    fn abandon(&mut self, ctx: &mut Ctx) {
        if let Some(mut line) = self.line.take() {
            line.until_ms = if ctx.rng.chance(1, 2) { ctx.now_ms } else { ctx.now_ms + ABANDONED_MS };
            self.abandoned.push(line);
        }
    }

    fn close(&mut self, ctx: &mut Ctx) {
        self.abandon(ctx);
        let now_ms = self.clock(ctx);
        if let Some(sync) = self.sync.as_mut() {
            sync.disconnected(now_ms, ctx.rng.next_u64());
        }
    }

    /// Frames arrive at the core, and its own set out.
    fn carry(&mut self, ctx: &mut Ctx, cluster: &mut Cluster) {
        let (up, down) = (ctx.now_ms >= self.cut_up_ms, ctx.now_ms >= self.cut_down_ms);
        for line in self.abandoned.iter_mut().chain(&mut self.line) {
            let hears = cluster.hears(line.core, ctx.now_ms);
            while up
                && hears
                && let Some(frame) = line.receive_up(ctx.now_ms)
            {
                line.opened = true;
                ctx.trace.note("up", &[line.id]);
                cluster.take(ctx, line.core, line.id, &self.peer, frame);
            }
            if hears && line.opened && !line.ended {
                let (frames, ended) = cluster.say(line.core, line.id);
                line.ended = ended;
                for frame in frames {
                    line.send_down(ctx, frame);
                }
            }
        }
        let now_ms = ctx.now_ms;
        self.abandoned.retain(|line| {
            let keep = now_ms < line.until_ms;
            if !keep {
                cluster.forget(line.core, line.id);
            }
            keep
        });
        let Some(line) = self.line.as_mut() else { return };
        let stuck = !up || !down || !cluster.hears(line.core, now_ms);
        if line.is_dead(now_ms, stuck) {
            cluster.forget(line.core, line.id);
            self.close(ctx);
        }
    }

    fn listen(&mut self, ctx: &mut Ctx) {
        if ctx.now_ms < self.cut_down_ms {
            return;
        }
        let now_ms = self.clock(ctx);
        while let Some(line) = self.line.as_mut() {
            let Some(frame) = line.receive_down(ctx.now_ms) else {
                if line.ended && !line.has_more() {
                    self.close(ctx);
                }
                return;
            };
            let frame = match frame {
                // A program of the version before is this one in disguise.
                ToBox::Welcome { version: 1, head } if self.old => ToBox::Welcome { version: SYNC_VERSION, head },
                ToBox::Snapshot { .. } | ToBox::Verdicts { .. } | ToBox::RedirectTo { .. } if self.old => {
                    ctx.report(Rule::Protocol, format!("{}: a frame of a version that it does not speak", self.name()));
                    return;
                }
                frame => frame,
            };
            ctx.trace.note("down", &[line.id]);
            let before = ctx.happens(ctx.trouble.crash / 2).then(|| self.disk.confirmed.clone());
            let sync = self.sync.as_mut().expect("it runs");
            match sync.receive(now_ms, &mut self.disk.confirmed, frame) {
                Ok(received) => {
                    if let Some(before) = before {
                        // The transaction of the frame never became durable.
                        self.disk.confirmed = before;
                        self.crash(ctx);
                        return;
                    }
                    self.took(ctx, received);
                }
                Err(error @ SyncError::Diverged { .. }) => {
                    ctx.report(Rule::SameEntry, format!("{}: {error}", self.name()));
                    return;
                }
                Err(error) => {
                    ctx.report(Rule::Protocol, format!("{}: {error}", self.name()));
                    return;
                }
            }
        }
    }

    fn took(&mut self, ctx: &mut Ctx, mut received: schulhof_sync::Received) {
        match received.staging.take() {
            None => {}
            Some(Staging::Begin { .. }) => self.disk.staged = MemoryKv::default(),
            Some(Staging::Records(records)) => {
                for (key, value) in &records {
                    self.disk.staged.put(key, value);
                }
            }
            Some(Staging::End { head, records }) => {
                ctx.trace.note("loaded", &[self.place as u64, head.0, records]);
                self.disk.confirmed = std::mem::take(&mut self.disk.staged);
                // There is a gap before what comes next.
                self.disk.kept.clear();
                let now_ms = self.clock(ctx);
                received = self.sync.as_mut().expect("it runs").switched(now_ms, &self.disk.confirmed);
            }
        }
        for position in received.drop_outbox {
            self.disk.outbox.remove(&position);
        }
        for entry in received.verdicts {
            ctx.see(&self.name(), &entry);
            let op = Operation::decode(&entry.operation.0).unwrap();
            let kept = Kept { device: op.device, actor: op.actor, seq: op.seq.0, rejected: entry.rejected };
            self.disk.kept.insert(entry.index.0, kept);
        }
        for confirmed in received.entries {
            ctx.see(&self.name(), &confirmed.entry);
            let op = confirmed.operation.expect("one version");
            let kept =
                Kept { device: op.device, actor: op.actor, seq: op.seq.0, rejected: confirmed.entry.rejected.clone() };
            self.disk.kept.insert(confirmed.entry.index.0, kept);
        }
        for own in received.rejected_own {
            if own.reason == schulhof_sync::NUMBER_TAKEN {
                ctx.report(Rule::NothingLost, format!("{}: the number of {own:?} was taken", self.name()));
            }
        }
        if let Some(redirect) = received.redirect {
            if let Some(leader) = redirect.leader {
                self.next_core = (0..NODES).find(|n| leader.as_str() == format!("core-{n}")).expect("a core node");
            }
            self.close(ctx);
        }
        if ctx.defect == Some(Defect::StateRots) && ctx.rng.chance(1, 60) {
            self.disk.confirmed.put(b"a\0rotten", b"x");
        }
    }

    /// Browsers' operations, in one request. `None`: it crashed before they were durable; nobody was told anything.
    pub fn submit(&mut self, ctx: &mut Ctx, operations: &[Operation]) -> Option<Vec<Submit>> {
        let sync = self.sync.as_mut()?;
        let crash = ctx.happens(ctx.trouble.crash);
        let mut results = Vec::new();
        let mut saved = Vec::new();
        for op in operations {
            let submitted = sync.submit(&self.disk.confirmed, op.clone());
            if let Submit::Saved { position, encoded, .. } = &submitted {
                saved.push((*position, encoded.clone()));
            }
            results.push(submitted);
        }
        if crash {
            self.crash(ctx);
            return None;
        }
        if ctx.defect == Some(Defect::AcknowledgesEarly) && ctx.rng.chance(1, 8) {
            self.doomed = true;
            return Some(results);
        }
        self.disk.outbox.extend(saved);
        Some(results)
    }

    /// The overlay must be what a replay from durable state would give, and numbers shown must be true.
    pub fn check_shown(&mut self, ctx: &mut Ctx) {
        let sync = self.sync.as_ref().expect("it runs");
        let name = self.name();
        if sync.changes() != self.restored().changes() && ctx.defect != Some(Defect::ForgetsSent) {
            ctx.report(Rule::OverlayIsReplay, format!("{name}: the overlay is not what a restart would give"));
        }
        let viewer = id(ctx.rng.pick(&PEOPLE).0);
        let read = sync.read(&self.disk.confirmed);
        let mut guess = view::head(&self.disk.confirmed).0;
        for room in view::rooms(&read, &viewer) {
            for message in view::messages(&read, &viewer, &room.room, None, 20).unwrap().items {
                let mut shown = message.index.map(|index| index.0);
                if shown.is_none() && ctx.defect == Some(Defect::GuessesNumbers) {
                    guess += 1;
                    shown = Some(guess);
                }
                let Some(index) = shown else { continue };
                match ctx.truth.at(index) {
                    Some((device, _, seq)) if *device == message.device && *seq == message.seq.0 => {}
                    other => {
                        let detail = format!(
                            "{name}: {index} was shown for {} {}, and is {other:?}",
                            message.device, message.seq.0
                        );
                        ctx.report(Rule::NumbersStay, detail);
                    }
                }
            }
        }
    }

    /// After healing: nothing is left over.
    pub fn judge(&self, ctx: &mut Ctx, truth: &[u8; 32]) {
        if view::state_hash(&self.disk.confirmed) != *truth {
            ctx.report(Rule::Converged, format!("another state: {}", self.describe()));
        }
        let sync = self.sync.as_ref().expect("healed");
        if !sync.changes().is_empty() || !self.disk.outbox.is_empty() {
            ctx.report(Rule::Converged, format!("an overlay is left: {}", self.describe()));
        }
    }
}
