//! Who waits to be let in, at whichever node of the room: moderators see all of them.
//!
//! A node writes down who comes to wait at it, and takes it back when he is let in or leaves. A moderator who refuses
//! somebody takes it away; the node that finds it gone sends him away.

use super::{
    RoomState,
    registers::{Caller, Full, Key, Value},
};
use schulhof_wire::{id::AccountId, media::Known};

impl RoomState {
    /// Somebody has come to wait here.
    pub fn call(&mut self, account: &AccountId, name: &str, now_ms: u64) -> Result<bool, Full> {
        if self.is_calling(account) {
            return Ok(false);
        }
        let caller = Caller { name: name.to_owned(), since_ms: now_ms };
        self.registers.set(self.own_call(account), Value::Waits(Some(caller)))
    }

    /// He waits here no more.
    pub fn stop_calling(&mut self, account: &AccountId) {
        if self.is_calling(account) {
            // A known key is never refused.
            let _ = self.registers.set(self.own_call(account), Value::Waits(None));
        }
    }

    /// He waits here, and nobody has refused him.
    pub fn is_calling(&self, account: &AccountId) -> bool {
        matches!(self.registers.get(&self.own_call(account)), Some(Value::Waits(Some(_))))
    }

    /// Refuses somebody wherever he waits.
    pub fn refuse(&mut self, account: &AccountId) -> Result<bool, Full> {
        let calls: Vec<Key> =
            self.calls().filter(|(_, caller, _)| *caller == account).map(|(key, ..)| key.clone()).collect();
        let mut changed = false;
        for key in calls {
            changed |= self.registers.set(key, Value::Waits(None))?;
        }
        Ok(changed)
    }

    /// Who waits and has not been let in yet, longest first, each once.
    pub fn callers(&self) -> Vec<Known> {
        let mut calls: Vec<(&Caller, &AccountId)> = self
            .calls()
            .filter(|(_, account, _)| self.must_wait(account, schulhof_wire::ticket::MediaRole::Participant))
            .map(|(_, account, caller)| (caller, account))
            .collect();
        calls.sort_by_key(|(caller, account)| (caller.since_ms, *account));
        let mut known: Vec<Known> = Vec::with_capacity(calls.len());
        for (caller, account) in calls {
            if !known.iter().any(|known| known.account == *account) {
                known.push(Known { account: account.clone(), name: caller.name.clone() });
            }
        }
        known
    }

    fn own_call(&self, account: &AccountId) -> Key {
        Key::Waits(self.registers.node().clone(), account.clone())
    }

    fn calls(&self) -> impl Iterator<Item = (&Key, &AccountId, &Caller)> {
        self.registers.iter().filter_map(|(key, value, _)| match (key, value) {
            (Key::Waits(_, account), Value::Waits(Some(caller))) => Some((key, account, caller)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_wire::id::NodeName;

    fn account(name: &str) -> AccountId {
        AccountId::new(name).unwrap()
    }

    fn state(node: &str) -> RoomState {
        let mut state = RoomState::new(NodeName::new(node).unwrap());
        state.set(Key::Lobby, true).unwrap();
        state
    }

    fn names(state: &RoomState) -> Vec<String> {
        state.callers().into_iter().map(|known| known.name).collect()
    }

    #[test]
    fn who_waits_is_listed_once_in_order_and_not_any_more_when_let_in() {
        let (mut here, mut there) = (state("box"), state("relay"));
        here.call(&account("anna"), "Anna", 30).unwrap();
        there.call(&account("ben"), "Ben", 20).unwrap();
        there.call(&account("anna"), "Anna", 10).unwrap();
        here.merge(there.changes_since(0));
        assert_eq!(names(&here), ["Anna", "Ben"]);
        here.call(&account("anna"), "Anna", 99).unwrap();
        assert_eq!(names(&here), ["Anna", "Ben"], "calling once more loses no place");
        here.set(Key::Admitted(account("anna")), true).unwrap();
        assert_eq!(names(&here), ["Ben"]);
        there.stop_calling(&account("ben"));
        here.merge(there.changes_since(0));
        assert!(names(&here).is_empty());
    }

    #[test]
    fn a_refusal_reaches_the_node_where_he_waits_and_he_may_call_again() {
        let (mut here, mut there) = (state("box"), state("relay"));
        there.call(&account("ben"), "Ben", 20).unwrap();
        here.merge(there.changes_since(0));
        assert_eq!(here.refuse(&account("ben")), Ok(true));
        there.merge(here.changes_since(0));
        assert!(!there.is_calling(&account("ben")));
        assert_eq!(there.call(&account("ben"), "Ben", 50), Ok(true));
        here.merge(there.changes_since(0));
        assert_eq!(names(&here), ["Ben"]);
    }
}
