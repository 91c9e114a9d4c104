//! Which conference is placed where, with a lock per conference: a slow relay holds up its own conferences only.

use parking_lot::Mutex;
use schulhof_wire::{AccountId, ConferenceId, NodeName};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Conferences placed at once: more than the classes of the largest school.
const PLACED_MAX: usize = 2_000;

/// A media node, from the box's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    Own,
    Relay(NodeName),
}

/// Where a conference is. Kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub primary: Place,
    pub standby: Option<Place>,
    /// Reserved for so many.
    pub participants: u32,
    /// Whose view tells whether it is still open.
    pub opened_by: AccountId,
    /// Time of the last ticket, in milliseconds since 1970.
    pub ticket_ms: u64,
}

pub type Slot = Arc<tokio::sync::Mutex<Option<Placed>>>;

#[derive(Debug)]
pub struct Book(Mutex<BTreeMap<ConferenceId, Slot>>);

impl Book {
    pub fn new(kept: Vec<(ConferenceId, Placed)>) -> Self {
        let slot = |placed| Arc::new(tokio::sync::Mutex::new(Some(placed)));
        Self(Mutex::new(kept.into_iter().map(|(conference, placed)| (conference, slot(placed))).collect()))
    }

    /// The conference's slot, made if missing; `None` when there are too many.
    pub fn slot(&self, conference: &ConferenceId) -> Option<Slot> {
        let mut slots = self.0.lock();
        if let Some(slot) = slots.get(conference) {
            return Some(slot.clone());
        }
        if slots.len() >= PLACED_MAX {
            return None;
        }
        let slot = Slot::default();
        slots.insert(conference.clone(), slot.clone());
        Some(slot)
    }

    pub fn get(&self, conference: &ConferenceId) -> Option<Slot> {
        self.0.lock().get(conference).cloned()
    }

    pub fn all(&self) -> Vec<(ConferenceId, Slot)> {
        self.0.lock().iter().map(|(conference, slot)| (conference.clone(), slot.clone())).collect()
    }

    /// Drops slots without a placement that nobody is just using.
    pub fn forget_empty(&self) {
        self.0
            .lock()
            .retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|placed| placed.is_some()));
    }
}
