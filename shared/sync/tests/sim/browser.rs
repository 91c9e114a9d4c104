//! A browser: keeps what its person wrote until it is secured, and submits it to whichever node it reaches.

use super::{
    ctx::{Ctx, Defect, Rule},
    numbers::{Answer, Numbers},
    replica::Replica,
    truth::Promise,
};
use crate::world::{PEOPLE, id, some_body};
use schulhof_school::{Actor, Operation, Reject};
use schulhof_sync::Submit;
use schulhof_wire::{AccountId, DeviceId, Hlc, LogIndex, Seq};
use std::collections::BTreeSet;

/// As in `outbox.ts`.
const STUCK_TRIES_MAX: u32 = 6;
const DAY_MS: u64 = 86_400_000;

/// A request that comes late, when its browser has long given up on it.
pub struct Late {
    pub at_ms: u64,
    pub replica: usize,
    pub operations: Vec<Operation>,
}

pub struct Browser {
    place: u64,
    pub actor: &'static str,
    home: usize,
    /// The node that serves it now.
    at: usize,
    pub numbers: Numbers,
    /// Contents that it ever wrote.
    written: Vec<u64>,
    checked: bool,
    stuck: u32,
    /// After a failure it waits until then.
    retry_ms: u64,
    failures: u32,
    renamed: u64,
    /// Its clock is ahead of the world's by this.
    skew_ms: u64,
    last_at: u64,
    /// Entries up to there were heard of, from this node in this incarnation.
    heard: Option<(usize, u64, LogIndex)>,
    pub gone: bool,
}

impl Browser {
    pub fn new(ctx: &mut Ctx, place: u64, replicas: usize) -> Self {
        Self {
            place,
            actor: PEOPLE[place as usize % PEOPLE.len()].0,
            home: ctx.rng.index(replicas),
            at: ctx.rng.index(replicas),
            numbers: Numbers::new(id(&format!("browser-{place}"))),
            written: Vec::new(),
            checked: false,
            stuck: 0,
            retry_ms: 0,
            failures: 0,
            renamed: 0,
            skew_ms: 2 * DAY_MS,
            last_at: 0,
            heard: None,
            gone: false,
        }
    }

    fn actor(&self) -> Actor {
        Actor::Account(id::<AccountId>(self.actor))
    }

    /// Its names: the one of now, and earlier ones of what is not yet secured.
    fn devices(&self) -> BTreeSet<DeviceId> {
        let earlier = self.numbers.rows.iter().map(|row| row.device.clone());
        earlier.chain([self.numbers.device.clone()]).collect()
    }

    pub fn describe(&self) -> String {
        let rows = self.numbers.rows.iter().map(|row| (row.device.as_str(), row.seq, row.saved, row.unanswered));
        let (place, at, device) = (self.place, self.at, &self.numbers.device);
        format!("browser {place} at {at} as {device}, holds {:?}", rows.collect::<Vec<_>>())
    }

    fn new_name(&self) -> DeviceId {
        id(&format!("browser-{}-{}", self.place, self.renamed + 1))
    }

    /// The hybrid clock: never back, whatever the wall clock does. Its lowest bits are the browser's own, so that each time
    /// is unique in the world.
    fn tick(&mut self, now_ms: u64) -> Hlc {
        let wall = ((now_ms + self.skew_ms) << 10) / 16;
        self.last_at = wall.max(self.last_at / 16 + 1) * 16 + self.place;
        Hlc(self.last_at)
    }

    pub fn break_things(&mut self, ctx: &mut Ctx) {
        if ctx.happens(ctx.trouble.jump) {
            self.skew_ms = ctx.rng.below(4 * DAY_MS);
        }
        if ctx.happens(ctx.trouble.lose_browser) {
            self.gone = true;
        }
    }

    /// Its person does something; then all that waits is sent.
    pub fn act(&mut self, ctx: &mut Ctx, replicas: &mut [Replica], late: &mut Vec<Late>) {
        let body = some_body(&mut ctx.rng, self.actor, replicas[self.at].cursor());
        let at = self.tick(ctx.now_ms);
        self.written.push(at.0);
        self.numbers.write(at, body, self.heard.map_or(LogIndex(0), |(_, _, heard)| heard));
        self.pump(ctx, replicas, late);
    }

    /// Home when it is there, else elsewhere; now and then elsewhere all the same, as on the way home from school.
    fn route(&mut self, ctx: &mut Ctx, replicas: &[Replica]) {
        let away = ctx.trouble.request > 0 && ctx.rng.chance(1, 200);
        let home = replicas[self.home].serves(ctx.now_ms);
        let wanted = if away || (!home && !replicas[self.at].serves(ctx.now_ms)) {
            ctx.rng.index(replicas.len())
        } else if home && ctx.rng.chance(1, 40) {
            self.home
        } else {
            self.at
        };
        if wanted != self.at {
            self.at = wanted;
            self.checked = false;
            self.stuck = 0;
            self.retry_ms = 0;
            ctx.counts.failovers += 1;
        }
    }

    pub fn pump(&mut self, ctx: &mut Ctx, replicas: &mut [Replica], late: &mut Vec<Late>) {
        self.route(ctx, replicas);
        if ctx.now_ms < self.retry_ms {
            return;
        }
        loop {
            let node = &mut replicas[self.at];
            if !node.serves(ctx.now_ms) || self.numbers.rows.is_empty() {
                return;
            }
            if !self.checked {
                self.checked = true;
                for device in self.devices() {
                    let marks = node.marks(&device);
                    if self.numbers.is_foreign(&marks) {
                        ctx.report(Rule::OncePerOrigin, format!("{device} was numbered by somebody else"));
                    }
                    self.numbers.take_saved(&marks);
                    self.numbers.fall_back(&marks);
                }
            }
            let len_max = 1 + ctx.rng.index(8);
            let batch = self.numbers.next_batch(len_max);
            if batch.is_empty() {
                return;
            }
            if !self.send(ctx, node, late, batch) {
                let ceiling_ms = (500 << self.failures.min(6)).min(20_000);
                self.retry_ms = ctx.later(ceiling_ms / 2, ceiling_ms);
                self.failures += 1;
                return;
            }
            self.failures = 0;
        }
    }

    /// One request. Tells whether to go on.
    fn send(
        &mut self,
        ctx: &mut Ctx,
        node: &mut Replica,
        late: &mut Vec<Late>,
        batch: Vec<(DeviceId, u64, Hlc, schulhof_school::Body)>,
    ) -> bool {
        let (device, actor) = (batch[0].0.clone(), self.actor());
        let operations: Vec<Operation> = batch
            .into_iter()
            .map(|(device, seq, at, body)| Operation { device, seq: Seq(seq), actor: actor.clone(), at, body })
            .collect();
        ctx.trace.note("request", &[self.place, self.at as u64, operations[0].seq.0, operations.len() as u64]);
        if ctx.happens(ctx.trouble.request) {
            // It never arrives, or long after its browser has given it up.
            if ctx.rng.chance(1, 2) {
                ctx.counts.late += 1;
                late.push(Late { at_ms: ctx.later(50, 4_000), replica: self.at, operations });
            }
            return false;
        }
        let Some(submitted) = node.submit(ctx, &operations) else { return false };
        if ctx.happens(ctx.trouble.request) {
            return false;
        }
        let mut answers = Vec::new();
        let mut another = false;
        for (op, submitted) in operations.iter().zip(submitted) {
            let answer = match submitted {
                Submit::Saved { .. } | Submit::Duplicate => {
                    ctx.counts.acknowledged += 1;
                    let identity = (op.device.clone(), op.actor.clone(), op.seq.0);
                    let (replica, incarnation) = (node.place, node.incarnation);
                    ctx.truth.promises.push(Promise { replica, incarnation, identity, content: op.at.0 });
                    Answer::Saved
                }
                Submit::Refused(reject) => {
                    another |= reject == Reject::DeviceOfAnother;
                    Answer::Refused(reject.code().to_owned())
                }
                Submit::Gap { .. } => Answer::Gap,
                Submit::Full => break,
            };
            answers.push((op.seq.0, answer));
        }
        if another {
            ctx.report(Rule::OncePerOrigin, format!("{device} belongs to somebody else"));
        }
        let sent: Vec<u64> = operations.iter().map(|op| op.seq.0).collect();
        self.numbers.settle(&sent);
        let (marks, name) = (node.marks(&device), self.new_name());
        let stuck = self.numbers.take_answer(&answers, &marks, &name);
        if self.numbers.device == name {
            self.renamed += 1;
            ctx.counts.renamed += 1;
        }
        if !stuck {
            self.stuck = 0;
            return true;
        }
        self.stuck += 1;
        if self.stuck >= STUCK_TRIES_MAX {
            self.stuck = 0;
            self.renamed += 1;
            ctx.counts.renamed += 1;
            self.numbers.renew(name);
            return true;
        }
        false
    }

    /// The live stream: verdicts on what this device wrote, then its marks.
    pub fn listen(&mut self, ctx: &mut Ctx, replicas: &[Replica]) {
        let node = &replicas[self.at];
        if !node.serves(ctx.now_ms) {
            return;
        }
        let cursor = node.cursor();
        let place = (self.at, node.incarnation);
        let after = match self.heard {
            Some((at, incarnation, heard)) if (at, incarnation) == place => heard,
            // Another node: from where the oldest of what is kept was written.
            _ => self.numbers.since,
        };
        let greeting = self.heard.is_none_or(|(at, incarnation, _)| (at, incarnation) != place);
        let actor = self.actor();
        for kept in node.disk.kept.range(after.0 + 1..).map(|(_, kept)| kept).filter(|kept| kept.actor == actor) {
            if let Some(reason) = &kept.rejected
                && ctx.defect != Some(Defect::KeepsQuiet)
            {
                ctx.counts.told += 1;
                self.numbers.rejected(&kept.device, kept.seq, reason);
            }
        }
        self.heard = Some((place.0, place.1, cursor.max(after)));
        for device in self.devices() {
            let marks = node.marks(&device);
            self.numbers.take_marks(&marks);
            if greeting {
                self.numbers.fall_back(&marks);
            }
        }
    }

    /// After healing: what is in the log, or was refused with a reason, and nothing else.
    pub fn judge(&self, ctx: &mut Ctx, rejected_only: &BTreeSet<u64>) {
        if self.gone {
            return;
        }
        for content in &self.written {
            let told = self.numbers.refused.iter().any(|(at, _)| at == content);
            if !told && !ctx.truth.holds(*content) {
                ctx.report(Rule::NothingLost, format!("browser {} wrote {content}, and it is lost", self.place));
            }
            if !told && rejected_only.contains(content) {
                let detail = format!("browser {} was not told that {content} has no effect", self.place);
                ctx.report(Rule::ReasonsTold, detail);
            }
        }
    }
}
