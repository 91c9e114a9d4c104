//! A simulated school: an ordering core, boxes with durable and volatile parts, devices with people, and lines that break.
//! Everything comes from one seed. Shared by the scenario files beside.
#![allow(dead_code)]

mod core;
mod device;
mod node;
mod school;

pub use self::{core::Core, device::Device, node::BoxNode, school::*};

use schulhof_school::{Actor, MemoryKv, Operation, view};
use schulhof_sync::order;
use schulhof_testkit::{Clock, Rng};
use schulhof_wire::{DeviceId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// Prints the seed when its scope ends in a panic.
pub struct SeedOnPanic(pub u64);

impl Drop for SeedOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}: run again with SCHULHOF_SEED={0}", self.0);
        }
    }
}

/// `SCHULHOF_SEED=n` runs that one, `SCHULHOF_SEEDS=n` so many; few by default.
pub fn for_seeds(default_count: u64, run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SCHULHOF_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SCHULHOF_SEEDS").unwrap_or(default_count),
    };
    for seed in seeds {
        let _guard = SeedOnPanic(seed);
        run(seed);
    }
}

/// How bad the world is, each per mille of ticks (or frames).
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    pub cut: u64,
    pub crash: u64,
    pub election: u64,
    pub loss: u64,
}

pub const CALM: Trouble = Trouble { cut: 0, crash: 0, election: 0, loss: 0 };
pub const STORM: Trouble = Trouble { cut: 15, crash: 4, election: 5, loss: 2 };

pub struct World {
    pub rng: Rng,
    pub clock: Clock,
    pub core: Core,
    pub boxes: Vec<BoxNode>,
    pub devices: Vec<Device>,
    pub trouble: Trouble,
    next_connection: u64,
}

impl World {
    pub fn new(seed: u64, boxes: usize, devices: usize) -> Self {
        let mut rng = Rng::new(seed);
        let mut core = Core::default();
        found(&mut core);
        let boxes = (0..boxes).map(|_| BoxNode::new(&mut rng)).collect();
        let devices = (0..devices).map(|n| Device::new(n, &mut rng)).collect();
        Self { rng, clock: Clock::new(1), core, boxes, devices, trouble: CALM, next_connection: 1 }
    }

    /// Some milliseconds of everything but people.
    pub fn tick(&mut self) {
        self.clock.advance(self.rng.between(1, 30));
        let now_ms = self.clock.now_ms();
        self.break_things(now_ms);
        for node in &mut self.boxes {
            node.tick(now_ms, &mut self.rng, self.trouble, &mut self.next_connection);
            self.core.take(now_ms, &mut node.up, &mut self.rng, self.trouble);
        }
        self.core.commit(now_ms);
        for node in &mut self.boxes {
            self.core.send(now_ms, &mut node.down, node.connection);
        }
    }

    fn break_things(&mut self, now_ms: u64) {
        for node in &mut self.boxes {
            if self.rng.chance(self.trouble.cut, 1_000) {
                node.cut = !node.cut;
                node.up.partitioned = node.cut;
                node.down.partitioned = node.cut;
            }
            if self.rng.chance(self.trouble.crash, 1_000) {
                node.crash(now_ms + self.rng.between(10, 2_000));
            }
            node.up.conditions.loss_permille = self.trouble.loss;
            node.down.conditions.loss_permille = self.trouble.loss;
        }
        if self.rng.chance(self.trouble.election, 1_000) {
            self.core.election(&mut self.rng);
        }
    }

    /// One device's person does something, at the home box or at another.
    pub fn person(&mut self) {
        let place = self.rng.index(self.devices.len());
        let at = if self.rng.chance(4, 5) { self.devices[place].home } else { self.rng.index(self.boxes.len()) };
        let at = at % self.boxes.len();
        let node = &mut self.boxes[at];
        self.devices[place].act(node, &mut self.rng, self.clock.now_ms(), self.trouble);
    }

    /// No more trouble: everything must come together in bounded time.
    pub fn heal(&mut self) {
        self.trouble = CALM;
        for node in &mut self.boxes {
            node.cut = false;
            node.up.partitioned = false;
            node.down.partitioned = false;
        }
        let mut calm_ticks = 0;
        for _ in 0..20_000 {
            self.tick();
            let quiet = self.boxes.iter().all(|node| node.is_settled(self.core.log.len()));
            calm_ticks = if quiet { calm_ticks + 1 } else { 0 };
            if calm_ticks > 5 {
                // What browsers still hold for themselves goes last.
                let mut more = false;
                for device in &mut self.devices {
                    let home = device.home % self.boxes.len();
                    more |= device.resubmit(&mut self.boxes[home]);
                }
                if !more {
                    return;
                }
                calm_ticks = 0;
            }
        }
        let state: Vec<String> = self.boxes.iter().map(BoxNode::describe).collect();
        panic!("the world did not come to rest: log {}, {state:?}", self.core.log.len());
    }

    /// The invariants, after healing.
    pub fn judge(&self) {
        self.judge_log();
        self.judge_acknowledged();
        let truth = view::state_hash(&self.core.store);
        let mut replayed = MemoryKv::default();
        for entry in &self.core.log {
            order(&mut replayed, entry.operation.clone()).unwrap();
        }
        assert_eq!(view::state_hash(&replayed), truth, "a replay of the log gives another state");
        for node in &self.boxes {
            assert_eq!(view::state_hash(&node.confirmed), truth, "a box holds another state: {}", node.describe());
            assert!(node.sync().changes().is_empty(), "an overlay is left: {:?}", node.sync().changes());
            assert!(node.outbox.is_empty(), "the durable outbox is not empty: {:?}", node.outbox.keys());
            for (index, identity) in &node.shown {
                let entry = &self.core.log[*index as usize - 1];
                let op = Operation::decode(&entry.operation.0).unwrap();
                assert_eq!(&(op.device, op.seq), identity, "the index {index} was shown for another operation");
            }
        }
    }

    fn judge_log(&self) {
        let mut last: BTreeMap<(DeviceId, Actor), u64> = BTreeMap::new();
        for (place, entry) in self.core.log.iter().enumerate() {
            assert_eq!(entry.index.0, place as u64 + 1, "the log has a gap");
            let op = Operation::decode(&entry.operation.0).unwrap();
            let seq = last.entry((op.device.clone(), op.actor.clone())).or_default();
            assert_eq!(op.seq.0, *seq + 1, "{} is not gapless or not once", op.device);
            *seq = op.seq.0;
        }
    }

    fn judge_acknowledged(&self) {
        let log: BTreeSet<Vec<u8>> = self.core.log.iter().map(|entry| entry.operation.0.clone()).collect();
        assert_eq!(log.len(), self.core.log.len(), "an operation is in the log twice");
        for device in &self.devices {
            for encoded in device.acknowledged.values().chain(&device.retired) {
                let op = String::from_utf8_lossy(encoded);
                assert!(log.contains(encoded), "was acknowledged and is lost: {op}");
            }
        }
    }

    pub fn acknowledged(&self) -> usize {
        self.devices.iter().map(|device| device.acknowledged.len() + device.retired.len()).sum()
    }

    /// Numbers that the core secured for a device.
    pub fn secured(&self, device: usize) -> Seq {
        view::device(&self.core.store, &self.devices[device].id)
    }
}
