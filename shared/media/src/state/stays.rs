//! Who was in the room from when to when: the attendance list, the place of somebody who comes back, and the names of
//! those who have left.

use super::{
    RoomState,
    registers::{Key, Value},
};
use schulhof_wire::{
    id::{AccountId, NodeName},
    media::Stay,
    ticket::MediaRole,
};

/// Who comes back within this time was there all along: a line that broke is no absence.
const GAP_MAX_MS: u64 = 60_000;
/// Stays of one person; then the last one is taken up again, however long ago it was.
const STAYS_PER_ACCOUNT_MAX: usize = 32;

/// A stay that this node has seen begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StayId(u64);

impl RoomState {
    /// Somebody has come into the room. Nothing: no more stays are written down.
    pub fn enter(&mut self, account: &AccountId, name: &str, role: MediaRole, now_ms: u64) -> Option<StayId> {
        let mut known: Vec<(u64, &Stay)> = self.own_stays().filter(|(_, stay)| stay.account == *account).collect();
        known.sort_by_key(|(number, stay)| (stay.to_ms, *number));
        let full = known.len() >= STAYS_PER_ACCOUNT_MAX;
        // The last that has ended: a stay that goes on is another device's.
        let ended = known.iter().rev().find(|(_, stay)| stay.to_ms.is_some());
        let again = ended.filter(|(_, stay)| full || stay.to_ms.is_some_and(|to_ms| now_ms <= to_ms + GAP_MAX_MS));
        let (number, stay) = match again {
            Some((number, stay)) => (*number, Stay { to_ms: None, ..(*stay).clone() }),
            None if full => return None,
            None => {
                let last = self.own_stays().map(|(number, _)| number).max().unwrap_or(0);
                let stay = Stay { account: account.clone(), name: name.to_owned(), role, from_ms: now_ms, to_ms: None };
                // By the time: a node that has lost its memory must not write over what others keep for it.
                (now_ms.max(last + 1), stay)
            }
        };
        let key = Key::Stay(self.registers.node().clone(), number);
        self.registers.set(key, Value::Stay(stay)).ok().map(|_| StayId(number))
    }

    pub fn leave(&mut self, StayId(number): StayId, now_ms: u64) {
        let key = Key::Stay(self.registers.node().clone(), number);
        if let Some(Value::Stay(stay)) = self.registers.get(&key) {
            let stay = Stay { to_ms: Some(now_ms.max(stay.from_ms)), ..stay.clone() };
            // A known key is never refused.
            let _ = self.registers.set(key, Value::Stay(stay));
        }
    }

    /// Somebody is here whom another node has written off while it could not hear of us.
    pub fn still_here(&mut self, StayId(number): StayId) {
        let key = Key::Stay(self.registers.node().clone(), number);
        if let Some(Value::Stay(stay)) = self.registers.get(&key).filter(|value| is_over(value)) {
            let stay = Stay { to_ms: None, ..stay.clone() };
            let _ = self.registers.set(key, Value::Stay(stay));
        }
    }

    /// Another node cannot be heard any more: for us its people are away. True: there were some.
    pub fn write_off(&mut self, node: &NodeName, now_ms: u64) -> bool {
        let theirs: Vec<(Key, Stay)> = self
            .registers
            .iter()
            .filter_map(|(key, value, _)| match (key, value) {
                (Key::Stay(at, _), Value::Stay(stay)) if at == node && !is_over(value) => {
                    Some((key.clone(), Stay { to_ms: Some(now_ms.max(stay.from_ms)), ..stay.clone() }))
                }
                _ => None,
            })
            .collect();
        let any = !theirs.is_empty();
        for (key, stay) in theirs {
            let _ = self.registers.set(key, Value::Stay(stay));
        }
        any
    }

    /// In order of coming.
    pub fn attendance(&self) -> Vec<Stay> {
        let mut stays: Vec<Stay> = self.stays().cloned().collect();
        stays.sort_by(|a, b| (a.from_ms, &a.name, &a.account).cmp(&(b.from_ms, &b.name, &b.account)));
        stays
    }

    /// When somebody first came, in milliseconds since 1970, and the number of that stay, which tells apart who came at
    /// once: his place among the others.
    pub fn first_came(&self, account: &AccountId) -> Option<(u64, u64)> {
        let stays = self.registers.iter().filter_map(|(key, value, _)| match (key, value) {
            (Key::Stay(_, number), Value::Stay(stay)) if stay.account == *account => Some((stay.from_ms, *number)),
            _ => None,
        });
        stays.min()
    }

    /// The last stay of somebody, here or at another node.
    pub fn stay_of(&self, account: &AccountId) -> Option<&Stay> {
        self.stays().filter(|stay| stay.account == *account).max_by_key(|stay| stay.from_ms)
    }

    /// Whose stay goes on, at whichever node, in the order of their names.
    pub fn present(&self) -> Vec<&AccountId> {
        let mut present: Vec<&AccountId> =
            self.stays().filter(|stay| stay.to_ms.is_none()).map(|stay| &stay.account).collect();
        present.sort();
        present.dedup();
        present
    }

    fn own_stays(&self) -> impl Iterator<Item = (u64, &Stay)> {
        let node = self.registers.node();
        self.registers.iter().filter_map(move |(key, value, _)| match (key, value) {
            (Key::Stay(at, number), Value::Stay(stay)) if at == node => Some((*number, stay)),
            _ => None,
        })
    }
}

fn is_over(value: &Value) -> bool {
    matches!(value, Value::Stay(stay) if stay.to_ms.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId::new(name).unwrap()
    }

    fn state(node: &str) -> RoomState {
        RoomState::new(NodeName::new(node).unwrap())
    }

    fn enter(state: &mut RoomState, name: &str, now_ms: u64) -> Option<StayId> {
        state.enter(&account(name), name, MediaRole::Participant, now_ms)
    }

    fn listed(state: &RoomState) -> Vec<(String, u64, Option<u64>)> {
        state.attendance().into_iter().map(|stay| (stay.name, stay.from_ms, stay.to_ms)).collect()
    }

    #[test]
    fn a_short_gap_is_no_absence_and_a_long_one_is() {
        let mut state = state("box");
        let first = enter(&mut state, "anna", 1_000).unwrap();
        state.leave(first, 5_000);
        let second = enter(&mut state, "anna", 5_000 + GAP_MAX_MS).unwrap();
        assert_eq!(second, first);
        assert_eq!(listed(&state), [("anna".into(), 1_000, None)]);
        state.leave(second, 100_000);
        enter(&mut state, "anna", 100_001 + GAP_MAX_MS).unwrap();
        assert_eq!(
            listed(&state),
            [("anna".into(), 1_000, Some(100_000)), ("anna".into(), 100_001 + GAP_MAX_MS, None)]
        );
        assert_eq!(state.first_came(&account("anna")), Some((1_000, 1_000)));
    }

    #[test]
    fn two_devices_of_one_person_are_two_stays_and_one_present_person() {
        let mut state = state("box");
        let phone = enter(&mut state, "anna", 1_000).unwrap();
        let laptop = enter(&mut state, "anna", 2_000).unwrap();
        assert_ne!(phone, laptop);
        state.leave(phone, 3_000);
        assert_eq!(state.present(), [&account("anna")]);
        state.leave(laptop, 4_000);
        assert!(state.present().is_empty());
    }

    #[test]
    fn somebody_who_comes_and_goes_all_day_fills_no_list() {
        let mut state = state("box");
        for n in 0..1_000 {
            let stay = enter(&mut state, "anna", n * 200_000).unwrap();
            state.leave(stay, n * 200_000 + 1);
        }
        assert_eq!(listed(&state).len(), STAYS_PER_ACCOUNT_MAX);
        assert_eq!(listed(&state).iter().filter_map(|(_, _, to)| *to).max(), Some(999 * 200_000 + 1));
    }

    #[test]
    fn the_lists_of_two_nodes_become_one_and_a_node_without_memory_spoils_nothing() {
        let (mut here, mut there) = (state("box"), state("relay"));
        let anna = enter(&mut here, "anna", 1_000).unwrap();
        enter(&mut there, "ben", 2_000).unwrap();
        here.leave(anna, 9_000);
        there.merge(here.changes_since(0));
        assert_eq!(listed(&there), [("anna".into(), 1_000, Some(9_000)), ("ben".into(), 2_000, None)]);

        let mut reborn = state("box");
        enter(&mut reborn, "cem", 20_000).unwrap();
        reborn.merge(there.changes_since(0));
        there.merge(reborn.changes_since(0));
        assert_eq!(listed(&reborn).len(), 3);
        assert_eq!(listed(&there), listed(&reborn));
    }
}
