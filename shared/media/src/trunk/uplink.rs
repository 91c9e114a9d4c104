//! The school's uplink: what crosses the trunk of a box stays within one budget over all its rooms. Voices always go; of the pictures
//! that are wanted each gets its smallest layer before any gets a larger one, in the order in which they are wanted.
//!
//! A pure value. It is told what is wanted and what that takes, and says up to which layer each picture is offered to the other
//! side, which then chooses among those. Down at once, up one step at a time.

use super::frame::Picture;
use schulhof_wire::media::SourceKind;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Of the budget, what pictures may fill before a step up; the rest is for the rates' own swing.
const FILL: (u64, u64) = (9, 10);
/// Between two steps up: rates need a while to show.
const RISE_INTERVAL: Duration = Duration::from_secs(1);

/// A source that the other side looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Demand {
    pub number: u32,
    pub kind: SourceKind,
    /// The layer that is wanted now; it was offered.
    pub layer: u8,
    /// What each layer takes, in bit/s.
    pub bps: Vec<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Uplink {
    /// In bit/s. Nothing: the line is not the limit.
    budget_bps: Option<u64>,
    /// How many layers are offered, where not all are.
    ceilings: BTreeMap<(u32, SourceKind), u8>,
    rose_at: Option<Instant>,
}

impl Uplink {
    pub fn set(&mut self, budget_bps: Option<u64>) {
        self.budget_bps = budget_bps;
        if budget_bps.is_none() {
            self.ceilings.clear();
        }
    }

    pub fn is_limited(&self) -> bool {
        self.budget_bps.is_some()
    }

    /// How many layers of a picture the other side may have.
    pub fn ceiling(&self, number: u32, kind: SourceKind) -> u8 {
        self.ceilings.get(&(number, kind)).copied().unwrap_or(u8::MAX)
    }

    pub fn allows(&self, picture: Picture) -> bool {
        picture.layer < self.ceiling(picture.number, picture.kind)
    }

    /// `demands` are in the order of importance. `voices_bps`: what the voices take.
    pub fn settle(&mut self, now: Instant, voices_bps: u64, demands: &[Demand]) {
        let Some(budget_bps) = self.budget_bps else { return };
        self.ceilings.retain(|key, _| demands.iter().any(|demand| (demand.number, demand.kind) == *key));
        let budget_bps = budget_bps.saturating_sub(voices_bps);
        while self.taken(demands) > budget_bps {
            // The largest layer first; among equals the least important.
            let shown = demands.iter().filter(|demand| self.layer(demand).is_some());
            let Some(lowered) = shown.max_by_key(|demand| self.layer(demand)) else { break };
            let layer = self.layer(lowered).unwrap_or(0);
            self.ceilings.insert((lowered.number, lowered.kind), layer);
            self.rose_at = Some(now);
        }
        if self.rose_at.is_some_and(|at| now.saturating_duration_since(at) < RISE_INTERVAL) {
            return;
        }
        let room_bps = (budget_bps * FILL.0 / FILL.1).saturating_sub(self.taken(demands));
        // The lowest ceiling first; among equals the most important.
        let mut limited: Vec<&Demand> = demands.iter().filter(|demand| self.presses(demand)).collect();
        limited.sort_by_key(|demand| self.ceiling(demand.number, demand.kind));
        for demand in limited {
            let ceiling = self.ceiling(demand.number, demand.kind);
            let next_bps = demand.bps.get(usize::from(ceiling)).copied().unwrap_or(0);
            let more_bps = next_bps.saturating_sub(self.bps(demand));
            if more_bps <= room_bps {
                self.rose_at = Some(now);
                if usize::from(ceiling) + 1 >= demand.bps.len() {
                    self.ceilings.remove(&(demand.number, demand.kind));
                } else {
                    self.ceilings.insert((demand.number, demand.kind), ceiling + 1);
                }
                return;
            }
        }
    }

    /// The layer that goes over the line. Nothing: none.
    fn layer(&self, demand: &Demand) -> Option<u8> {
        let highest = self.ceiling(demand.number, demand.kind).checked_sub(1)?;
        Some(demand.layer.min(highest))
    }

    fn bps(&self, demand: &Demand) -> u64 {
        self.layer(demand).and_then(|layer| demand.bps.get(usize::from(layer)).copied()).unwrap_or(0)
    }

    fn taken(&self, demands: &[Demand]) -> u64 {
        demands.iter().map(|demand| self.bps(demand)).sum()
    }

    /// Whether the other side has the best that it is offered, and so might want more.
    fn presses(&self, demand: &Demand) -> bool {
        let ceiling = self.ceiling(demand.number, demand.kind);
        usize::from(ceiling) < demand.bps.len() && demand.layer.saturating_add(1) >= ceiling
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;
    use schulhof_testkit::Rng;

    fn demand(number: u32, layer: u8) -> Demand {
        Demand { number, kind: SourceKind::Camera, layer, bps: vec![100, 300, 900] }
    }

    /// As the other side follows what it is offered, until nothing changes.
    fn settled(uplink: &mut Uplink, voices_bps: u64, wanted: &[u8]) -> Vec<Option<u8>> {
        let mut now = uplink.rose_at.unwrap_or_else(instant);
        for _ in 0..50 {
            let demands: Vec<Demand> = wanted
                .iter()
                .zip(0..)
                .map(|(layer, number)| {
                    let offered = uplink.ceiling(number, SourceKind::Camera).saturating_sub(1);
                    demand(number, (*layer).min(offered))
                })
                .collect();
            uplink.settle(now, voices_bps, &demands);
            now += RISE_INTERVAL;
        }
        let demands: Vec<Demand> = wanted.iter().zip(0..).map(|(layer, number)| demand(number, *layer)).collect();
        demands.iter().map(|demand| uplink.layer(demand)).collect()
    }

    #[test]
    fn every_picture_gets_its_smallest_layer_before_one_gets_a_larger_one() {
        let with = |budget_bps| Uplink { budget_bps: Some(budget_bps), ..Uplink::default() };
        assert_eq!(settled(&mut with(10_000), 0, &[2, 2, 2]), [Some(2); 3]);
        assert_eq!(settled(&mut with(600), 0, &[2, 2, 2]), [Some(1), Some(0), Some(0)]);
        assert_eq!(settled(&mut with(300), 0, &[2, 2, 2]), [Some(0); 3]);
        assert_eq!(settled(&mut with(250), 0, &[2, 2, 2]), [Some(0), Some(0), None]);
        assert_eq!(settled(&mut with(600), 350, &[2, 2, 2]), [Some(0), Some(0), None], "voices come first");
        assert_eq!(
            settled(&mut with(600), 0, &[0, 0, 2]),
            [Some(0), Some(0), Some(1)],
            "nobody gets more than he wants"
        );
        assert_eq!(settled(&mut Uplink::default(), 0, &[2, 2]), [Some(2); 2], "without a budget");
    }

    #[test]
    fn what_is_taken_never_exceeds_the_budget_and_grows_back_when_there_is_room() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut uplink = Uplink { budget_bps: Some(rng.between(0, 3_000)), ..Uplink::default() };
            let mut now = instant();
            for _ in 0..100 {
                let count = rng.below(8) as u32;
                let demands: Vec<Demand> = (0..count).map(|number| demand(number, rng.below(3) as u8)).collect();
                let voices_bps = rng.below(200);
                uplink.settle(now, voices_bps, &demands);
                let limit = uplink.budget_bps.unwrap().saturating_sub(voices_bps);
                assert!(uplink.taken(&demands) <= limit, "seed {seed}");
                now += Duration::from_millis(rng.below(2_000));
            }
            uplink.set(Some(1_000_000));
            assert_eq!(settled(&mut uplink, 0, &[2; 4]), [Some(2); 4], "seed {seed}");
        }
    }
}
