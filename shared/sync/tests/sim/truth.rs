//! The oracle's memory: what the log is, as the first who applied an entry saw it, and what was promised to whom.

use super::ctx::{Rule, Trace};
use schulhof_school::{Actor, Operation};
use schulhof_wire::{DeviceId, node::Entry};
use std::collections::{BTreeMap, BTreeSet};

/// Of an operation: who counts, and the count.
pub type Identity = (DeviceId, Actor, u64);

/// "Saved", said by a replica.
pub struct Promise {
    pub replica: usize,
    pub incarnation: u64,
    pub identity: Identity,
    pub content: u64,
}

#[derive(Default)]
pub struct Truth {
    /// By index from 1.
    entries: Vec<Known>,
    origins: BTreeMap<(DeviceId, Actor), u64>,
    places: BTreeMap<Identity, u64>,
    /// How often a content is in the log. Each is written with a time (`at`) of its own.
    contents: BTreeMap<u64, u64>,
    pub promises: Vec<Promise>,
}

struct Known {
    hash: u64,
    identity: Identity,
    content: u64,
    rejected: bool,
}

impl Truth {
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn rejected(&self) -> u64 {
        self.entries.iter().filter(|known| known.rejected).count() as u64
    }

    pub fn doubled(&self) -> u64 {
        self.contents.values().filter(|times| **times > 1).count() as u64
    }

    pub fn see(&mut self, entry: &Entry) -> Result<(), (Rule, String)> {
        let index = entry.index.0;
        let mut trace = Trace::new();
        trace.bytes(&entry.operation.0);
        trace.note(entry.rejected.as_deref().unwrap_or("accepted"), &[index]);
        let hash = trace.0;
        if let Some(known) = self.entries.get(index.wrapping_sub(1) as usize) {
            if known.hash == hash {
                return Ok(());
            }
            let (theirs, ours) = (String::from_utf8_lossy(&entry.operation.0), &known.identity);
            return Err((Rule::SameEntry, format!("entry {index} is {theirs}, elsewhere {ours:?}")));
        }
        if index != self.len() + 1 {
            return Err((Rule::Gapless, format!("entry {index} follows on {}", self.len())));
        }
        let op = Operation::decode(&entry.operation.0).expect("browsers write what all understand");
        let last = self.origins.entry((op.device.clone(), op.actor.clone())).or_default();
        if op.seq.0 != *last + 1 {
            let detail = format!("{}'s number {} follows on {last} at entry {index}", op.device, op.seq.0);
            return Err((Rule::OncePerOrigin, detail));
        }
        *last = op.seq.0;
        let identity = (op.device, op.actor, op.seq.0);
        self.places.insert(identity.clone(), index);
        *self.contents.entry(op.at.0).or_default() += 1;
        self.entries.push(Known { hash, identity, content: op.at.0, rejected: entry.rejected.is_some() });
        Ok(())
    }

    /// Which operation has the number.
    pub fn at(&self, index: u64) -> Option<&Identity> {
        self.entries.get(index.wrapping_sub(1) as usize).map(|known| &known.identity)
    }

    pub fn holds(&self, content: u64) -> bool {
        self.contents.contains_key(&content)
    }

    /// It has its place, or places, and no effect in any.
    pub fn rejected_only(&self) -> BTreeSet<u64> {
        let accepted: BTreeSet<u64> =
            self.entries.iter().filter(|known| !known.rejected).map(|known| known.content).collect();
        self.contents.keys().filter(|content| !accepted.contains(content)).copied().collect()
    }

    /// What a burnt replica promised holds only as far as browsers keep it.
    pub fn burnt(&mut self, replica: usize) {
        self.promises.retain(|promise| promise.replica != replica);
    }

    /// The first promise that was broken.
    pub fn broken(&self) -> Option<String> {
        self.promises.iter().find_map(|promise| {
            let (device, _, seq) = &promise.identity;
            match self.places.get(&promise.identity) {
                Some(index) if self.entries[*index as usize - 1].content == promise.content => None,
                Some(index) => Some(format!("{device} {seq} was saved, but entry {index} holds another content")),
                None => Some(format!("{device} {seq} was saved by replica {}, and is lost", promise.replica)),
            }
        })
    }
}
