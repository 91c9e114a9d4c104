//! A simulated school: an ordering core of three nodes, boxes and gateways with durable and volatile parts, browsers that
//! keep what they wrote, and everything between them that breaks. No threads, no clock, no unordered map: all that happens
//! comes from one seed, and [`Report::trace`] is equal for equal runs.
#![allow(dead_code, reason = "each scenario file uses a part of it")]

mod browser;
mod cluster;
mod ctx;
mod line;
mod numbers;
mod replica;
mod seeds;
mod truth;

pub use self::{
    ctx::{Counts, Defect, Rule, Violation},
    seeds::for_seeds,
};

use self::{
    browser::{Browser, Late},
    cluster::Cluster,
    ctx::{CALM, Ctx, STORM},
    replica::Replica,
};
use crate::world::{exams_over_the_rules, school};
use schulhof_school::{MemoryKv, view};
use schulhof_sync::{Peer, order};

/// Ticks until a healed world must be at rest. A tick is up to 250 ms then, and a backoff up to 20 s.
const HEALING_TICKS_MAX: u32 = 4_000;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    pub trace: u64,
    pub counts: Counts,
    /// The state that all came to.
    pub state_hash: [u8; 32],
}

pub struct World {
    ctx: Ctx,
    cluster: Cluster,
    replicas: Vec<Replica>,
    browsers: Vec<Browser>,
    late: Vec<Late>,
    next_line: u64,
}

impl World {
    /// A box and a gateway, sometimes a second one of each.
    fn new(seed: u64, defect: Option<Defect>) -> Self {
        let mut ctx = Ctx::new(seed, defect);
        let cluster = Cluster::new(&mut ctx);
        let mut peers = vec![Peer::Box(school()), Peer::Gateway];
        if ctx.rng.chance(1, 3) {
            peers.push(if ctx.rng.chance(1, 2) { Peer::Gateway } else { Peer::Box(school()) });
        }
        let replicas: Vec<Replica> =
            peers.into_iter().enumerate().map(|(place, peer)| Replica::new(&mut ctx, place, peer)).collect();
        let browsers = (0..4 + ctx.rng.below(4)).map(|place| Browser::new(&mut ctx, place, replicas.len())).collect();
        Self { ctx, cluster, replicas, browsers, late: Vec::new(), next_line: 1 }
    }

    fn tick(&mut self, step_max_ms: u64) {
        self.ctx.now_ms += self.ctx.rng.between(1, step_max_ms);
        self.cluster.tick(&mut self.ctx);
        for replica in &mut self.replicas {
            replica.tick(&mut self.ctx, &mut self.cluster, &mut self.next_line);
        }
        let now_ms = self.ctx.now_ms;
        for Late { replica, operations, .. } in self.late.extract_if(.., |late| late.at_ms <= now_ms) {
            if self.replicas[replica].serves(now_ms) {
                self.replicas[replica].submit(&mut self.ctx, &operations);
            }
        }
        for browser in self.browsers.iter_mut().filter(|browser| !browser.gone) {
            browser.pump(&mut self.ctx, &mut self.replicas, &mut self.late);
            browser.break_things(&mut self.ctx);
            if self.ctx.rng.chance(1, 4) {
                browser.listen(&mut self.ctx, &self.replicas);
            }
        }
    }

    fn person(&mut self) {
        let place = self.ctx.rng.index(self.browsers.len());
        let browser = &mut self.browsers[place];
        if !browser.gone {
            browser.act(&mut self.ctx, &mut self.replicas, &mut self.late);
        }
    }

    fn storm(&mut self, ticks: u64) {
        self.ctx.trouble = STORM;
        for _ in 0..ticks {
            self.tick(60);
            for _ in 0..self.ctx.rng.below(4) {
                self.person();
            }
            if self.ctx.violation.is_some() {
                return;
            }
        }
    }

    /// No more trouble: everything must come together in bounded time.
    fn heal(&mut self) {
        self.ctx.trouble = CALM;
        self.cluster.heal();
        self.replicas.iter_mut().for_each(Replica::heal);
        let mut calm = 0;
        for _ in 0..HEALING_TICKS_MAX {
            self.tick(250);
            if self.ctx.violation.is_some() {
                return;
            }
            let head = self.cluster.head();
            let quiet = self.late.is_empty()
                && self.cluster.is_settled(self.ctx.now_ms)
                && self.replicas.iter().all(|replica| replica.is_settled(head))
                && self.browsers.iter().all(|browser| browser.gone || browser.numbers.rows.is_empty());
            calm = if quiet { calm + 1 } else { 0 };
            if calm > 5 {
                return;
            }
        }
        // What stops it may be that something is missing for ever.
        if let Some(broken) = self.ctx.truth.broken() {
            self.ctx.report(Rule::NothingLost, broken);
        }
        let replicas: Vec<String> = self.replicas.iter().map(Replica::describe).collect();
        let held: Vec<String> = self.browsers.iter().map(Browser::describe).collect();
        self.ctx.report(Rule::Rests, format!("head {}, {replicas:?}, {held:?}", self.cluster.head()));
    }

    fn judge(&mut self) -> [u8; 32] {
        let first = &self.cluster.nodes[0].state;
        if let Some(class) = exams_over_the_rules(&first.store) {
            self.ctx.report(Rule::Limits, class);
        }
        let truth = view::state_hash(&first.store);
        for (place, node) in self.cluster.nodes.iter().enumerate() {
            if view::state_hash(&node.state.store) != truth || node.state.log != first.log {
                self.ctx.report(Rule::Converged, format!("core-{place} holds another state"));
            }
        }
        let mut replayed = MemoryKv::default();
        for entry in &first.log {
            order(&mut replayed, entry.operation.clone()).unwrap();
        }
        if view::state_hash(&replayed) != truth {
            self.ctx.report(Rule::Converged, "a replay of the log gives another state");
        }
        for replica in &mut self.replicas {
            replica.judge(&mut self.ctx, &truth);
            replica.check_shown(&mut self.ctx);
        }
        let rejected_only = self.ctx.truth.rejected_only();
        for browser in &self.browsers {
            browser.judge(&mut self.ctx, &rejected_only);
        }
        if let Some(broken) = self.ctx.truth.broken() {
            self.ctx.report(Rule::NothingLost, broken);
        }
        truth
    }
}

/// A storm of a length that comes from the seed, healing, judgement.
pub fn run(seed: u64, defect: Option<Defect>) -> Result<Report, Violation> {
    let mut world = World::new(seed, defect);
    let ticks = 60 + world.ctx.rng.below(240);
    world.storm(ticks);
    if world.ctx.violation.is_none() {
        world.heal();
    }
    let mut state_hash = [0; 32];
    if world.ctx.violation.is_none() {
        state_hash = world.judge();
    }
    let Ctx { violation, trace, mut counts, truth, .. } = world.ctx;
    counts.entries = truth.len();
    counts.rejected = truth.rejected();
    counts.doubled = truth.doubled();
    match violation {
        Some(violation) => Err(violation),
        None => Ok(Report { trace: trace.0, counts, state_hash }),
    }
}
