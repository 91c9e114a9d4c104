//! Last-writer-wins registers (Shapiro et al. 2011, "A comprehensive study of convergent and commutative replicated data
//! types", §3.2.1): each key has one value and the stamp of who wrote it last. Two nodes that have seen the same writes
//! hold the same values, in whatever order and however often the writes came.
//!
//! It must not know what the keys mean beyond which kind of value fits them.

use schulhof_wire::{
    id::{AccountId, NodeName},
    media::{SourceKind, Stay},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Registers of one room besides the stays: nine for each of 450 people, more than a room and those who left it have.
pub const FACTS_MAX: usize = 4_096;
/// Stays of one room: 300 people who lose their line for longer than a minute a few times.
pub const STAYS_MAX: usize = 2_048;
/// Longest name of a person, in bytes.
pub const NAME_LEN_MAX: usize = 256;
/// Larger counters of other nodes are refused: ours must be able to go beyond them.
const COUNTER_MAX: u64 = 1 << 53;

/// What a register is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// The waiting room is on.
    Lobby,
    /// Participants' sources of this kind are not forwarded.
    Locked(SourceKind),
    CamerasToModerators,
    Spotlight,
    /// Nobody can join any more.
    Ended,
    /// When the hand was raised.
    Hand(AccountId),
    Muted(AccountId),
    /// In spite of a lock.
    Allowed(AccountId, SourceKind),
    Blocked(AccountId),
    Admitted(AccountId),
    /// Somebody waits at this node to be let in. What a moderator takes away is refused.
    Waits(NodeName, AccountId),
    /// The moderator's role was given or given up; without the register the ticket's role holds.
    Moderates(AccountId),
    /// A stay of somebody, numbered by the node that saw it.
    Stay(NodeName, u64),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Flag(bool),
    /// Milliseconds since 1970.
    Time(Option<u64>),
    Person(Option<AccountId>),
    Waits(Option<Caller>),
    Stay(Stay),
}

/// Somebody in the waiting room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Caller {
    pub name: String,
    /// Milliseconds since 1970.
    pub since_ms: u64,
}

/// Lamport's clock (1978) and the node, so that no two writes are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub counter: u64,
    pub node: NodeName,
}

/// As nodes exchange it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    pub key: Key,
    pub value: Value,
    pub stamp: Stamp,
}

/// The room has as many registers as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room's state is full")]
pub struct Full;

/// What became of another node's registers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Newer than ours.
    pub taken: usize,
    /// Malformed, or beyond the bounds.
    pub refused: usize,
}

#[derive(Debug)]
struct Entry {
    value: Value,
    stamp: Stamp,
    /// Our own count of changes, for [`Registers::changes_since`].
    version: u64,
}

#[derive(Debug)]
pub struct Registers {
    node: NodeName,
    /// The largest counter seen.
    counter: u64,
    version: u64,
    entries: BTreeMap<Key, Entry>,
    stays: usize,
}

impl Key {
    fn is_stay(&self) -> bool {
        matches!(self, Self::Stay(..))
    }

    fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Hand(_) => matches!(value, Value::Time(_)),
            Self::Spotlight => matches!(value, Value::Person(_)),
            Self::Waits(..) => match value {
                Value::Waits(caller) => caller.as_ref().is_none_or(|caller| caller.name.len() <= NAME_LEN_MAX),
                _ => false,
            },
            Self::Stay(..) => matches!(value, Value::Stay(stay) if stay.name.len() <= NAME_LEN_MAX),
            Self::Lobby
            | Self::Locked(_)
            | Self::CamerasToModerators
            | Self::Ended
            | Self::Muted(_)
            | Self::Allowed(..)
            | Self::Blocked(_)
            | Self::Admitted(_)
            | Self::Moderates(_) => matches!(value, Value::Flag(_)),
        }
    }
}

impl Registers {
    pub fn new(node: NodeName) -> Self {
        Self { node, counter: 0, version: 0, entries: BTreeMap::new(), stays: 0 }
    }

    pub fn node(&self) -> &NodeName {
        &self.node
    }

    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Value, &Stamp)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value, &entry.stamp))
    }

    /// Writes a value here and now. False: it had this value already.
    pub fn set(&mut self, key: Key, value: Value) -> Result<bool, Full> {
        debug_assert!(key.fits(&value), "{key:?} is no {value:?}");
        if self.get(&key) == Some(&value) {
            return Ok(false);
        }
        if !self.has_room_for(&key) {
            return Err(Full);
        }
        self.counter = (self.counter + 1).min(COUNTER_MAX);
        let stamp = Stamp { counter: self.counter, node: self.node.clone() };
        self.put(key, value, stamp);
        Ok(true)
    }

    /// Takes what another node wrote later than what is known here.
    pub fn merge(&mut self, remote: impl IntoIterator<Item = Register>) -> Merged {
        let mut merged = Merged::default();
        for Register { key, value, stamp } in remote {
            if !key.fits(&value) || stamp.counter >= COUNTER_MAX {
                merged.refused += 1;
                continue;
            }
            self.counter = self.counter.max(stamp.counter);
            // The value decides between equal stamps, which only a node makes that has lost its memory.
            let newer = match self.entries.get(&key) {
                Some(known) => (&stamp, &value) > (&known.stamp, &known.value),
                None => true,
            };
            if !newer {
                continue;
            }
            if self.has_room_for(&key) {
                self.put(key, value, stamp);
                merged.taken += 1;
            } else {
                merged.refused += 1;
            }
        }
        merged
    }

    /// To be remembered for the next [`Self::changes_since`].
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What was written or taken over after that version; 0: everything.
    pub fn changes_since(&self, version: u64) -> impl Iterator<Item = Register> + '_ {
        self.entries.iter().filter(move |(_, entry)| entry.version > version).map(|(key, entry)| Register {
            key: key.clone(),
            value: entry.value.clone(),
            stamp: entry.stamp.clone(),
        })
    }

    fn has_room_for(&self, key: &Key) -> bool {
        let free = if key.is_stay() { self.stays < STAYS_MAX } else { self.entries.len() - self.stays < FACTS_MAX };
        free || self.entries.contains_key(key)
    }

    fn put(&mut self, key: Key, value: Value, stamp: Stamp) {
        self.version += 1;
        let is_stay = key.is_stay();
        let entry = Entry { value, stamp, version: self.version };
        if self.entries.insert(key, entry).is_none() && is_stay {
            self.stays += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_testkit::Rng;

    fn node(n: usize) -> NodeName {
        NodeName::new(format!("n{n}")).unwrap()
    }

    fn account(n: u64) -> AccountId {
        AccountId::new(format!("a{n}")).unwrap()
    }

    /// Anything that may be written, of few keys, so that nodes meet on them.
    fn write(rng: &mut Rng) -> (Key, Value) {
        let who = account(rng.below(3));
        let flag = Value::Flag(rng.chance(1, 2));
        match rng.below(6) {
            0 => (Key::Lobby, flag),
            1 => (Key::Locked(SourceKind::Microphone), flag),
            2 => (Key::Spotlight, Value::Person(rng.chance(1, 2).then_some(who))),
            3 => (Key::Hand(who), Value::Time(rng.chance(1, 2).then(|| rng.below(100)))),
            4 => (Key::Muted(who), flag),
            _ => (Key::Allowed(who, SourceKind::Screen), flag),
        }
    }

    fn everything(registers: &Registers) -> Vec<Register> {
        registers.changes_since(0).collect()
    }

    fn merged(parts: &[&[Register]]) -> Vec<Register> {
        let mut registers = Registers::new(node(9));
        for part in parts {
            registers.merge(part.iter().cloned());
        }
        everything(&registers)
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent_whatever_was_written() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let mut nodes: Vec<Registers> = (0..3).map(|n| Registers::new(node(n))).collect();
            // Now and then some have heard of others before they write.
            for _ in 0..rng.between(1, 40) {
                let (to, from) = (rng.index(3), rng.index(3));
                if rng.chance(1, 3) {
                    let heard: Vec<Register> =
                        everything(&nodes[from]).into_iter().filter(|_| rng.chance(1, 2)).collect();
                    nodes[to].merge(heard);
                } else {
                    let (key, value) = write(&mut rng);
                    nodes[to].set(key, value).unwrap();
                }
            }
            let [a, b, c] = [0, 1, 2].map(|n| everything(&nodes[n]));
            let all = merged(&[&a, &b, &c]);
            assert_eq!(merged(&[&c, &b, &a]), all, "seed {seed}: the order of nodes");
            assert_eq!(merged(&[&merged(&[&a, &b]), &c]), all, "seed {seed}: the grouping");
            assert_eq!(merged(&[&a, &merged(&[&b, &c])]), all, "seed {seed}: the grouping");
            assert_eq!(merged(&[&all, &a, &a, &b, &all]), all, "seed {seed}: again");
        }
    }

    #[test]
    fn nodes_that_exchange_only_changes_end_equal_and_then_fall_silent() {
        for seed in 0..100 {
            let mut rng = Rng::new(seed);
            let mut nodes = [Registers::new(node(0)), Registers::new(node(1))];
            let mut sent = [0, 0];
            for _ in 0..50 {
                let n = rng.index(2);
                if rng.chance(1, 4) {
                    let changes: Vec<Register> = nodes[n].changes_since(sent[n]).collect();
                    sent[n] = nodes[n].version();
                    nodes[1 - n].merge(changes);
                } else {
                    let (key, value) = write(&mut rng);
                    nodes[n].set(key, value).unwrap();
                }
            }
            let mut exchanges = 0;
            loop {
                let mut quiet = true;
                for n in 0..2 {
                    let changes: Vec<Register> = nodes[n].changes_since(sent[n]).collect();
                    sent[n] = nodes[n].version();
                    quiet &= nodes[1 - n].merge(changes).taken == 0;
                }
                exchanges += 1;
                if quiet {
                    break;
                }
            }
            assert!(exchanges <= 3, "seed {seed}: {exchanges} exchanges");
            assert_eq!(everything(&nodes[0]), everything(&nodes[1]), "seed {seed}");
        }
    }

    #[test]
    fn who_has_heard_of_a_write_writes_later_than_it() {
        let mut ours = Registers::new(node(0));
        let mut theirs = Registers::new(node(1));
        for on in [true, false, true] {
            ours.set(Key::Lobby, Value::Flag(on)).unwrap();
        }
        theirs.merge(everything(&ours));
        assert_eq!(theirs.set(Key::Lobby, Value::Flag(false)), Ok(true));
        assert_eq!(ours.merge(everything(&theirs)), Merged { taken: 1, refused: 0 });
        assert_eq!(ours.get(&Key::Lobby), Some(&Value::Flag(false)));
        assert_eq!(ours.set(Key::Lobby, Value::Flag(false)), Ok(false), "no news");
    }

    #[test]
    fn neither_people_nor_other_nodes_can_make_it_grow_beyond_its_bounds() {
        let mut ours = Registers::new(node(0));
        let many = || (0..FACTS_MAX as u64 + 10).map(|n| (Key::Muted(account(n)), Value::Flag(true)));
        for (key, value) in many().take(FACTS_MAX) {
            ours.set(key, value).unwrap();
        }
        assert_eq!(ours.set(Key::Lobby, Value::Flag(true)), Err(Full));
        assert_eq!(ours.set(Key::Muted(account(0)), Value::Flag(false)), Ok(true), "known ones may change");
        let stamp = Stamp { counter: 1, node: node(1) };
        let remote = many().map(|(key, value)| Register { key, value, stamp: stamp.clone() });
        assert_eq!(ours.merge(remote).refused, 10);
        assert_eq!(ours.iter().count(), FACTS_MAX);
    }

    #[test]
    fn malformed_registers_of_another_node_are_refused() {
        let mut ours = Registers::new(node(0));
        let stamp = |counter| Stamp { counter, node: node(1) };
        let stay = Stay {
            account: account(1),
            name: "x".repeat(NAME_LEN_MAX + 1),
            role: schulhof_wire::ticket::MediaRole::Participant,
            from_ms: 1,
            to_ms: None,
        };
        let bad = [
            Register { key: Key::Lobby, value: Value::Time(None), stamp: stamp(1) },
            Register { key: Key::Hand(account(1)), value: Value::Flag(true), stamp: stamp(1) },
            Register { key: Key::Stay(node(1), 1), value: Value::Stay(stay), stamp: stamp(1) },
            Register { key: Key::Lobby, value: Value::Flag(true), stamp: stamp(u64::MAX) },
        ];
        assert_eq!(ours.merge(bad), Merged { taken: 0, refused: 4 });
        assert_eq!(ours.set(Key::Lobby, Value::Flag(true)), Ok(true));
        assert_eq!(ours.changes_since(0).next().unwrap().stamp.counter, 1, "our clock was not moved");
    }
}
