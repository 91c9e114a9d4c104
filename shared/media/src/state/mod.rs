//! What holds in a room: who may send what, who waits, whose hand is up in which order, who was there. All of it lies in
//! [`registers`], so that two nodes of one room hold the same after they have exchanged theirs, and so that a person who
//! comes back, with whatever ticket and on whatever device, finds it again.
//!
//! Pure facts and rules, keyed by accounts: nothing here knows of connections. [`crate::standing`] brings the
//! connections in line with it.

mod callers;
mod kept;
pub mod registers;
mod stays;

pub(crate) use kept::Kept;
pub(crate) use stays::StayId;

use registers::{Full, Key, Merged, Register, Registers, Value};
use schulhof_wire::{
    id::{AccountId, NodeName},
    media::{Known, May, Rules, SourceKind, Stay},
    ticket::MediaRole,
};

#[derive(Debug)]
pub(crate) struct RoomState {
    registers: Registers,
}

impl RoomState {
    pub fn new(node: NodeName) -> Self {
        Self { registers: Registers::new(node) }
    }

    pub fn version(&self) -> u64 {
        self.registers.version()
    }

    pub fn changes_since(&self, version: u64) -> Vec<Register> {
        self.registers.changes_since(version).collect()
    }

    pub fn merge(&mut self, remote: Vec<Register>) -> Merged {
        self.registers.merge(remote)
    }

    pub fn rules(&self) -> Rules {
        let locked = |kind| self.flag(&Key::Locked(kind));
        let spotlight = match self.registers.get(&Key::Spotlight) {
            Some(Value::Person(person)) => person.clone(),
            _ => None,
        };
        Rules {
            lobby: self.flag(&Key::Lobby),
            microphone_locked: locked(SourceKind::Microphone),
            camera_locked: locked(SourceKind::Camera),
            screen_locked: locked(SourceKind::Screen),
            cameras_to_moderators: self.cameras_to_moderators(),
            spotlight,
        }
    }

    pub fn cameras_to_moderators(&self) -> bool {
        self.flag(&Key::CamerasToModerators)
    }

    pub fn is_ended(&self) -> bool {
        self.flag(&Key::Ended)
    }

    /// The role at present of somebody with this role on the ticket.
    pub fn role(&self, account: &AccountId, ticket: MediaRole) -> MediaRole {
        match self.registers.get(&Key::Moderates(account.clone())) {
            Some(Value::Flag(true)) => MediaRole::Moderator,
            Some(Value::Flag(false)) => MediaRole::Participant,
            _ => ticket,
        }
    }

    /// Was removed. Moderators by their ticket never are.
    pub fn is_blocked(&self, account: &AccountId, ticket: MediaRole) -> bool {
        ticket != MediaRole::Moderator && self.flag(&Key::Blocked(account.clone()))
    }

    pub fn must_wait(&self, account: &AccountId, ticket: MediaRole) -> bool {
        self.flag(&Key::Lobby)
            && ticket != MediaRole::Moderator
            && self.role(account, ticket) != MediaRole::Moderator
            && !self.flag(&Key::Admitted(account.clone()))
    }

    pub fn is_muted(&self, account: &AccountId) -> bool {
        self.flag(&Key::Muted(account.clone()))
    }

    /// What the locks leave to somebody with this role at present.
    pub fn may(&self, account: &AccountId, role: MediaRole) -> May {
        let may = |kind| {
            role == MediaRole::Moderator
                || !self.flag(&Key::Locked(kind))
                || self.flag(&Key::Allowed(account.clone(), kind))
        };
        May {
            microphone: may(SourceKind::Microphone),
            camera: may(SourceKind::Camera),
            screen: may(SourceKind::Screen),
        }
    }

    /// Raised hands of those who are there, the longest raised first. Equal times fall in the order of being written,
    /// which all nodes know alike.
    pub fn hands(&self) -> Vec<AccountId> {
        let present = self.present();
        let mut hands: Vec<_> = self
            .registers
            .iter()
            .filter_map(|(key, value, stamp)| match (key, value) {
                (Key::Hand(account), Value::Time(Some(at_ms))) => Some((*at_ms, stamp, account)),
                _ => None,
            })
            .filter(|(_, _, account)| present.binary_search(account).is_ok())
            .collect();
        hands.sort();
        hands.into_iter().map(|(_, _, account)| account.clone()).collect()
    }

    pub fn has_raised(&self, account: &AccountId) -> bool {
        matches!(self.registers.get(&Key::Hand(account.clone())), Some(Value::Time(Some(_))))
    }

    /// Those who were removed, under the names that they had.
    pub fn blocked(&self) -> Vec<Known> {
        let blocked = self.registers.iter().filter_map(|(key, value, _)| match (key, value) {
            (Key::Blocked(account), Value::Flag(true)) => Some(account),
            _ => None,
        });
        blocked
            .map(|account| {
                let name = self.stay_of(account).map_or_else(|| account.to_string(), |stay| stay.name.clone());
                Known { account: account.clone(), name }
            })
            .collect()
    }

    /// A raised hand keeps its time when it is raised once more.
    pub fn set_hand(&mut self, account: &AccountId, now_ms: u64, raised: bool) -> Result<bool, Full> {
        if raised == self.has_raised(account) {
            return Ok(false);
        }
        self.registers.set(Key::Hand(account.clone()), Value::Time(raised.then_some(now_ms)))
    }

    pub fn lower_hands(&mut self) -> Result<bool, Full> {
        let raised: Vec<AccountId> = self
            .registers
            .iter()
            .filter_map(|(key, value, _)| match (key, value) {
                (Key::Hand(account), Value::Time(Some(_))) => Some(account.clone()),
                _ => None,
            })
            .collect();
        let mut changed = false;
        for account in raised {
            changed |= self.set_hand(&account, 0, false)?;
        }
        Ok(changed)
    }

    pub fn set(&mut self, key: Key, on: bool) -> Result<bool, Full> {
        // What was never on need not be written as off. A role is an exception: off overrules the ticket.
        if !on && self.registers.get(&key).is_none() && !matches!(key, Key::Moderates(_)) {
            return Ok(false);
        }
        self.registers.set(key, Value::Flag(on))
    }

    pub fn set_spotlight(&mut self, account: Option<AccountId>) -> Result<bool, Full> {
        self.registers.set(Key::Spotlight, Value::Person(account))
    }

    /// Who is in the room at any node and does not moderate.
    pub fn participants(&self) -> Vec<AccountId> {
        let mut accounts: Vec<AccountId> = self
            .stays()
            .filter(|stay| stay.to_ms.is_none() && self.role(&stay.account, stay.role) != MediaRole::Moderator)
            .map(|stay| stay.account.clone())
            .collect();
        accounts.sort();
        accounts.dedup();
        accounts
    }

    fn flag(&self, key: &Key) -> bool {
        self.registers.get(key) == Some(&Value::Flag(true))
    }

    fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.registers.iter().filter_map(|(_, value, _)| if let Value::Stay(stay) = value { Some(stay) } else { None })
    }
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

    const PUPIL: MediaRole = MediaRole::Participant;
    const TEACHER: MediaRole = MediaRole::Moderator;

    #[test]
    fn hands_keep_their_order_when_two_halves_of_a_room_meet_again() {
        let (mut here, mut there) = (state("box"), state("relay"));
        for (name, at_ms) in [("anna", 10), ("ben", 20), ("cem", 30), ("dora", 40)] {
            let state = if at_ms % 20 == 10 { &mut here } else { &mut there };
            state.enter(&account(name), name, PUPIL, 0);
            state.set_hand(&account(name), at_ms, true).unwrap();
        }
        here.set_hand(&account("anna"), 50, true).unwrap();
        let (ours, theirs) = (here.changes_since(0), there.changes_since(0));
        here.merge(theirs);
        there.merge(ours);
        let order = ["anna", "ben", "cem", "dora"].map(account);
        assert_eq!((here.hands(), there.hands()), (order.to_vec(), order.to_vec()));

        // Lowered on one side while the other raised one more.
        let (here_at, there_at) = (here.version(), there.version());
        there.set_hand(&account("anna"), 60, false).unwrap();
        here.enter(&account("emil"), "emil", PUPIL, 0);
        here.set_hand(&account("emil"), 61, true).unwrap();
        let (ours, theirs) = (here.changes_since(here_at), there.changes_since(there_at));
        assert_eq!((ours.len(), theirs.len()), (2, 1), "only what is new");
        here.merge(theirs);
        there.merge(ours);
        let order = ["ben", "cem", "dora", "emil"].map(account);
        assert_eq!((here.hands(), there.hands()), (order.to_vec(), order.to_vec()));
    }

    #[test]
    fn locks_bind_participants_but_neither_moderators_nor_the_allowed() {
        let mut state = state("box");
        let (anna, ben) = (account("anna"), account("ben"));
        state.set(Key::Locked(SourceKind::Microphone), true).unwrap();
        assert!(!state.may(&anna, PUPIL).microphone && state.may(&anna, PUPIL).camera);
        assert!(state.may(&anna, TEACHER).microphone);
        state.set(Key::Allowed(ben.clone(), SourceKind::Microphone), true).unwrap();
        assert!(state.may(&ben, PUPIL).microphone);
        state.set(Key::Locked(SourceKind::Microphone), false).unwrap();
        assert!(state.may(&anna, PUPIL).microphone);
    }

    #[test]
    fn a_moderator_by_ticket_never_waits_and_is_never_blocked() {
        let mut state = state("box");
        let who = account("anna");
        for key in [Key::Lobby, Key::Blocked(who.clone())] {
            state.set(key, true).unwrap();
        }
        state.set(Key::Moderates(who.clone()), false).unwrap();
        assert_eq!(state.role(&who, TEACHER), PUPIL, "he has given the role up");
        assert!(!state.must_wait(&who, TEACHER) && !state.is_blocked(&who, TEACHER));
        assert!(state.must_wait(&who, PUPIL) && state.is_blocked(&who, PUPIL));
        state.set(Key::Admitted(who.clone()), true).unwrap();
        assert!(!state.must_wait(&who, PUPIL));
    }
}
