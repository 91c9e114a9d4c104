//! The ordering core: three nodes, a leader at a time, commits that take time, and a state on each node. Raft itself is
//! not simulated; what it promises and what it does not is: an election keeps what was committed, keeps or loses the
//! proposals behind it from some place on, and tells nobody which; a leader that is cut off does not know it.

use super::ctx::{Ctx, Defect, Mix};
use crate::world::{Core, dump, found};
use schulhof_sync::{Batch, CoreSession, Ordered, Peer, Refusal};
use schulhof_wire::{
    LogIndex, NodeName,
    chunk::SchoolChunk,
    node::{EncodedOperation, Entry, SYNC_VERSION, ToBox, ToCore},
};
use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

pub const NODES: usize = 3;
/// A leader that no majority answers for so long ends its sessions.
const QUORUM_SILENCE_MAX_MS: u64 = 3_000;

struct Logged {
    operations: Rc<[EncodedOperation]>,
    /// Term, stream and batch: who is told.
    origin: Option<(u64, u64, u64)>,
}

struct Proposal {
    stream: u64,
    batch: Batch,
}

/// A node's part of it.
#[derive(Default)]
pub struct CoreNode {
    pub state: Core,
    /// Of the log.
    applied: usize,
    dead: bool,
    /// Dead or stopped until.
    away_ms: u64,
    /// Hears nothing of the other nodes until, since.
    cut_ms: u64,
    cut_since_ms: u64,
    /// The term in which it leads, as far as it knows.
    leads: Option<u64>,
    sessions: BTreeMap<u64, CoreSession>,
    /// First entry that it keeps for replicas, less one.
    dropped: u64,
    /// States on their way.
    dumps: BTreeMap<u64, VecDeque<SchoolChunk>>,
    /// Not yet updated.
    old: bool,
    /// Last frames of streams.
    last: BTreeMap<u64, ToBox>,
}

impl CoreNode {
    fn is_away(&self, now_ms: u64) -> bool {
        now_ms < self.away_ms
    }

    fn is_well(&self, now_ms: u64) -> bool {
        !self.is_away(now_ms) && now_ms >= self.cut_ms
    }
}

pub struct Cluster {
    pub nodes: Vec<CoreNode>,
    log: Vec<Logged>,
    term: u64,
    leader: Option<usize>,
    elected_ms: u64,
    proposals: BTreeMap<(u64, u64), Proposal>,
    arrivals: u64,
}

impl Cluster {
    pub fn new(ctx: &mut Ctx) -> Self {
        let mut first = Core::default();
        found(&mut first);
        let operations = first.log.iter().map(|entry| entry.operation.clone()).collect();
        let mut nodes: Vec<CoreNode> = (0..NODES).map(|_| CoreNode::default()).collect();
        if ctx.mix == Mix::OldCore {
            for node in &mut nodes {
                node.old = ctx.rng.chance(2, 3);
            }
        }
        nodes[0].leads = Some(1);
        let log = vec![Logged { operations, origin: None }];
        let mut cluster =
            Self { nodes, log, term: 1, leader: Some(0), elected_ms: 0, proposals: BTreeMap::new(), arrivals: 0 };
        cluster.apply(ctx);
        cluster
    }

    /// The log's length as the furthest node has it.
    pub fn head(&self) -> u64 {
        self.nodes.iter().map(|node| node.state.head().0).max().unwrap_or(0)
    }

    /// Whether all nodes are there and at the end of the log.
    pub fn is_settled(&self, now_ms: u64) -> bool {
        self.leader.is_some()
            && self.proposals.is_empty()
            && self.nodes.iter().all(|node| node.is_well(now_ms) && node.applied == self.log.len())
    }

    pub fn heal(&mut self) {
        for node in &mut self.nodes {
            node.away_ms = 0;
            node.cut_ms = 0;
        }
    }

    pub fn tick(&mut self, ctx: &mut Ctx) {
        self.break_things(ctx);
        self.elect(ctx);
        self.commit(ctx);
        self.apply(ctx);
        self.stand_down(ctx);
    }

    fn break_things(&mut self, ctx: &mut Ctx) {
        for place in 0..NODES {
            let node = &mut self.nodes[place];
            if node.is_away(ctx.now_ms) {
                continue;
            }
            if std::mem::take(&mut node.dead) {
                // Back from the disk: all of the log is applied anew.
                ctx.trace.note("core back", &[place as u64]);
            }
            let mut lost = false;
            if ctx.happens(ctx.trouble.core_crash) {
                // It may be updated meanwhile.
                let old = node.old && ctx.rng.chance(1, 2);
                *node = CoreNode { dead: true, away_ms: ctx.later(200, 4_000), old, ..CoreNode::default() };
                ctx.counts.crashes += 1;
                lost = true;
            } else if ctx.happens(ctx.trouble.core_cut) {
                node.cut_ms = ctx.later(300, 6_000);
                node.cut_since_ms = ctx.now_ms;
                ctx.counts.cuts += 1;
                lost = true;
            } else if ctx.happens(ctx.trouble.core_stop) {
                node.away_ms = ctx.later(300, 6_000);
                lost = true;
            }
            if lost {
                ctx.trace.note("core trouble", &[place as u64]);
            }
            if self.leader == Some(place) && (lost || ctx.happens(ctx.trouble.election)) {
                self.lose_leader(ctx);
            }
        }
    }

    fn lose_leader(&mut self, ctx: &mut Ctx) {
        self.leader = None;
        self.elected_ms = ctx.later(150, 1_500);
        ctx.counts.elections += 1;
        let kept = ctx.rng.index(self.proposals.len() + 1);
        for (_, Proposal { batch, .. }) in std::mem::take(&mut self.proposals).into_iter().take(kept) {
            self.log.push(Logged { operations: batch.operations.into(), origin: None });
        }
        if ctx.defect == Some(Defect::CoreForgets) {
            self.log.truncate(self.log.len().saturating_sub(2).max(1));
            for node in &mut self.nodes {
                (node.state, node.applied) = (Core::default(), 0);
            }
        }
    }

    fn elect(&mut self, ctx: &mut Ctx) {
        let well: Vec<usize> = (0..NODES).filter(|place| self.nodes[*place].is_well(ctx.now_ms)).collect();
        if self.leader.is_some() || ctx.now_ms < self.elected_ms || well.len() <= NODES / 2 {
            return;
        }
        let elected = *ctx.rng.pick(&well);
        self.term += 1;
        self.leader = Some(elected);
        // A new term of a node that led before is a new lead, too: its sessions end.
        self.end_sessions(elected, None);
        self.nodes[elected].leads = Some(self.term);
        ctx.trace.note("elected", &[elected as u64, self.term]);
    }

    fn commit(&mut self, ctx: &mut Ctx) {
        let well = self.nodes.iter().filter(|node| node.is_well(ctx.now_ms)).count();
        if self.leader.is_none() || well <= NODES / 2 {
            return;
        }
        while let Some(entry) = self.proposals.first_entry()
            && entry.key().0 <= ctx.now_ms
        {
            let Proposal { stream, batch } = entry.remove();
            let origin = Some((self.term, stream, batch.batch));
            self.log.push(Logged { operations: batch.operations.into(), origin });
        }
    }

    fn apply(&mut self, ctx: &mut Ctx) {
        for (place, node) in self.nodes.iter_mut().enumerate() {
            if !node.is_well(ctx.now_ms) {
                continue;
            }
            let leads = self.leader == Some(place);
            let until = if leads { self.log.len() } else { self.log.len().min(node.applied + ctx.rng.index(5)) };
            for logged in &self.log[node.applied.min(until)..until] {
                let gap = apply_batch(ctx, place, node, &logged.operations);
                let Some((term, stream, batch)) = logged.origin else { continue };
                if let (true, Some(session)) = (node.leads == Some(term), node.sessions.get_mut(&stream)) {
                    if gap { session.busy(batch, 100) } else { session.committed(batch) }
                }
            }
            node.applied = until;
            let head = node.state.head();
            if ctx.mix == Mix::New && ctx.rng.chance(1, 20) {
                node.dropped = node.dropped.max(head.0.saturating_sub(ctx.rng.between(5, 60)));
            }
            node.sessions.values_mut().for_each(|session| session.head_moved(head));
        }
    }

    /// Who leads no longer, and hears of it, ends its sessions.
    fn stand_down(&mut self, ctx: &mut Ctx) {
        for place in 0..NODES {
            let node = &self.nodes[place];
            if node.leads.is_none() || self.leader == Some(place) || node.is_away(ctx.now_ms) {
                continue;
            }
            if node.is_well(ctx.now_ms) {
                self.end_sessions(place, self.leader);
            } else if ctx.now_ms >= node.cut_since_ms + QUORUM_SILENCE_MAX_MS {
                self.end_sessions(place, None);
            }
        }
    }

    fn end_sessions(&mut self, place: usize, leader: Option<usize>) {
        let node = &mut self.nodes[place];
        node.leads = None;
        node.dumps.clear();
        for stream in std::mem::take(&mut node.sessions).into_keys() {
            node.last.insert(stream, ToBox::Redirect { leader: leader.map(name) });
        }
    }

    /// A node that hears nobody cannot be reached.
    pub fn hears(&self, place: usize, now_ms: u64) -> bool {
        !self.nodes[place].is_away(now_ms)
    }

    pub fn take(&mut self, ctx: &mut Ctx, place: usize, stream: u64, peer: &Peer, frame: ToCore) {
        let known = self.leader.filter(|leader| *leader != place && ctx.rng.chance(3, 4));
        let busy = ctx.happens(ctx.trouble.busy);
        let node = &mut self.nodes[place];
        if matches!(frame, ToCore::Hello { .. }) {
            // A linearizable read: a leader that is cut off, or not yet at the end of the log, cannot tell how far it goes.
            let greeted = if node.leads.is_none() || self.leader != Some(place) || node.applied < self.log.len() {
                Err(Refusal(ToBox::Redirect { leader: known.map(name) }))
            } else {
                let first = LogIndex(node.dropped + 1);
                CoreSession::accept(&frame, peer, first, node.state.head())
            };
            let greeted = greeted.and_then(|session| {
                // What a program of the version before says.
                let refused = ToBox::Refused { code: "version".into(), detail: "this core speaks version 1".into() };
                if node.old && session.version() == SYNC_VERSION { Err(Refusal(refused)) } else { Ok(session) }
            });
            match greeted {
                Ok(session) => {
                    if session.wants_snapshot() {
                        ctx.counts.loaded += 1;
                        node.dumps.insert(stream, dump(&node.state.store, 1 + ctx.rng.index(30)).into());
                    }
                    node.sessions.insert(stream, session);
                }
                Err(Refusal(frame)) => _ = node.last.insert(stream, frame),
            }
            return;
        }
        let Some(session) = node.sessions.get_mut(&stream) else { return };
        match session.receive(frame) {
            Ok(None) => {}
            Ok(Some(batch)) if busy => {
                ctx.counts.busy += 1;
                session.busy(batch.batch, ctx.rng.between(20, 800) as u32);
            }
            // One that leads no more has nobody to propose to.
            Ok(Some(_)) if self.leader != Some(place) => {}
            Ok(Some(batch)) => {
                self.arrivals += 1;
                let due_ms = ctx.later(1, 150);
                self.proposals.insert((due_ms, self.arrivals), Proposal { stream, batch });
            }
            Err(Refusal(frame)) => {
                node.sessions.remove(&stream);
                node.last.insert(stream, frame);
            }
        }
    }

    /// What the node says on a stream; `true`: and nothing after it.
    pub fn say(&mut self, place: usize, stream: u64) -> (Vec<ToBox>, bool) {
        let node = &mut self.nodes[place];
        if let Some(last) = node.last.remove(&stream) {
            return (vec![last], true);
        }
        let Some(session) = node.sessions.get_mut(&stream) else { return (Vec::new(), true) };
        let (log, dropped) = (&node.state.log, node.dropped);
        let read = |after: LogIndex, len: usize| {
            if after.0 < dropped {
                return Vec::new();
            }
            log[after.0 as usize..].iter().take(len.min(7)).cloned().collect()
        };
        let mut frames: Vec<ToBox> = std::iter::from_fn(|| session.poll_transmit(read)).collect();
        if let Some(chunks) = node.dumps.get_mut(&stream) {
            let part = chunks.drain(..chunks.len().min(3));
            frames.extend(part.map(|chunk| session.snapshot(&chunk)));
        }
        if !session.wants_snapshot() && node.dumps.remove(&stream).is_some() {
            let before = log.iter().take(session.cursor().0 as usize);
            frames.push(session.verdicts(before.filter(|entry| entry.rejected.is_some()).cloned().collect()));
        }
        // Entries were dropped that a slow replica has yet to get: it comes again, and gets the state.
        let lost = !session.wants_snapshot() && session.lag() > 0 && session.cursor().0 < dropped;
        if lost {
            node.sessions.remove(&stream);
            frames.push(ToBox::Redirect { leader: None });
        }
        (frames, lost)
    }

    /// The other end of the stream is gone.
    pub fn forget(&mut self, place: usize, stream: u64) {
        self.nodes[place].sessions.remove(&stream);
        self.nodes[place].last.remove(&stream);
        self.nodes[place].dumps.remove(&stream);
    }
}

fn name(place: usize) -> NodeName {
    crate::world::id(&format!("core-{place}"))
}

/// Tells whether an operation left a gap.
fn apply_batch(ctx: &mut Ctx, place: usize, node: &mut CoreNode, operations: &[EncodedOperation]) -> bool {
    let mut gap = false;
    for operation in operations {
        if ctx.defect == Some(Defect::NodeSkips) && node.applied > 3 && ctx.rng.chance(1, 40) {
            continue;
        }
        match node.state.order(operation.clone()) {
            Ordered::Entry { entry, .. } => ctx.see(&format!("core-{place}"), &entry),
            Ordered::Duplicate if ctx.defect == Some(Defect::OrdersTwice) => {
                let index = LogIndex(node.state.log.len() as u64 + 1);
                let entry = Entry { index, operation: operation.clone(), rejected: None };
                node.state.log.push(entry.clone());
                ctx.see(&format!("core-{place}"), &entry);
            }
            Ordered::Duplicate => {}
            Ordered::Gap { .. } => gap = true,
        }
    }
    gap
}
