//! A browser: numbers its operations, keeps each until it is secured, and may submit them at any box.

use super::{BoxNode, PEOPLE, Trouble, id, op, some_body};
use schulhof_school::{Operation, view};
use schulhof_sync::Submit;
use schulhof_testkit::Rng;
use schulhof_wire::DeviceId;
use std::collections::{BTreeMap, BTreeSet};

pub struct Device {
    pub id: DeviceId,
    /// Unlike the device's name never shared nor changed.
    browser: String,
    pub actor: &'static str,
    pub home: usize,
    /// By number, from 1. Kept for ever here; a real one forgets what is secured.
    pub ops: Vec<Operation>,
    /// A box said "saved" or "duplicate".
    pub acknowledged: BTreeMap<u64, Vec<u8>>,
    /// Submitted, and no answer came: perhaps saved. Such a number must not be used for something else.
    doubtful: BTreeSet<u64>,
    /// What was acknowledged under names that this browser no longer uses.
    pub retired: Vec<Vec<u8>>,
    renamed: u64,
}

impl Device {
    pub fn new(n: usize, rng: &mut Rng) -> Self {
        Self {
            // Two people with the same name of a device: only one of them can own it.
            id: id(&format!("device-{}", if n == 5 { 4 } else { n })),
            browser: format!("browser-{n}"),
            actor: PEOPLE[n % PEOPLE.len()].0,
            home: rng.index(8),
            ops: Vec::new(),
            acknowledged: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            retired: Vec::new(),
            renamed: 0,
        }
    }

    /// A number that is in doubt and refused now blocks the way: the browser begins anew under another name.
    fn rename(&mut self) {
        self.renamed += 1;
        self.id = id(&format!("{}-{}", self.browser, self.renamed));
        self.retired.extend(std::mem::take(&mut self.acknowledged).into_values());
        self.ops.clear();
        self.doubtful.clear();
    }

    /// A new operation, then everything that this box does not have yet.
    pub fn act(&mut self, node: &mut BoxNode, rng: &mut Rng, now_ms: u64, trouble: Trouble) {
        if !node.is_up() {
            return;
        }
        let seq = self.ops.len() as u64 + 1;
        let body = some_body(rng, self.actor, view::head(&node.confirmed));
        self.ops.push(op(self.id.as_str(), seq, self.actor, body));
        let from = node.sync().marks(&node.confirmed, &self.id).saved.0;
        // Now and then what the box has already, as after an answer that got lost.
        let from = from.saturating_sub(rng.below(3)) as usize;
        for place in from..self.ops.len() {
            let crash = rng.chance(trouble.crash, 1_000);
            let answer_lost = rng.chance(trouble.loss * 5, 1_000);
            if !self.submit(node, place, crash.then_some(now_ms), answer_lost) {
                break;
            }
        }
    }

    /// Whether to go on with the next.
    fn submit(&mut self, node: &mut BoxNode, place: usize, crash_ms: Option<u64>, answer_lost: bool) -> bool {
        let op = self.ops[place].clone();
        let (seq, encoded) = (op.seq.0, op.encode());
        match node.submit(op, crash_ms.is_some(), crash_ms.unwrap_or(0)) {
            None => {
                self.doubtful.insert(seq);
                false
            }
            Some(_) if answer_lost => {
                self.doubtful.insert(seq);
                false
            }
            Some(Submit::Saved { .. } | Submit::Duplicate) => {
                self.acknowledged.insert(seq, encoded);
                true
            }
            Some(Submit::Refused(_)) => {
                let known_elsewhere = self.doubtful.contains(&seq) || self.acknowledged.contains_key(&seq);
                if known_elsewhere {
                    // Mostly it comes right by itself: the other box gets through, or this one learns of it.
                    if seq.is_multiple_of(3) {
                        self.rename();
                    }
                } else if place + 1 == self.ops.len() {
                    self.ops.pop();
                }
                false
            }
            Some(Submit::Gap { .. } | Submit::Full) => false,
        }
    }

    /// After healing, with every box at rest: a refusal is final now. Tells whether something was saved.
    pub fn resubmit(&mut self, node: &mut BoxNode) -> bool {
        let saved = node.sync().marks(&node.confirmed, &self.id).saved.0 as usize;
        let mut more = false;
        for place in saved..self.ops.len() {
            if !self.submit(node, place, None, false) {
                break;
            }
            more = true;
        }
        more
    }
}
