//! The state of rooms that everybody has left: a line that breaks for the whole class, or a teacher who comes back after
//! the break, finds the room as it was, and who was removed stays removed.

use super::RoomState;
use schulhof_wire::id::{ConferenceId, SchoolId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// As long as a ticket is good for: nobody comes back with an old one into a conference that was ended.
const KEPT_FOR: Duration = Duration::from_hours(4);
/// Beyond, the longest left goes. A state of a class has some ten kilobytes.
const KEPT_MAX: usize = 2_048;
/// Of one school, of those that another node has told of.
const REMOTE_MAX: usize = 64;

type Key = (SchoolId, ConferenceId);

#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The longest left first.
    rooms: VecDeque<(Instant, Key, RoomState)>,
}

impl Kept {
    pub fn put(&mut self, now: Instant, key: Key, state: RoomState) {
        self.forget(now);
        if self.rooms.len() == KEPT_MAX {
            self.rooms.pop_front();
        }
        self.rooms.push_back((now, key, state));
    }

    /// What another node has told of a room that nobody was in here. One school's other node cannot push out others' rooms.
    pub fn put_remote(&mut self, now: Instant, key: Key, state: RoomState) {
        let of_school = |(_, (school, _), _): &(Instant, Key, RoomState)| *school == key.0;
        if self.rooms.iter().filter(|room| of_school(room)).count() >= REMOTE_MAX
            && let Some(oldest) = self.rooms.iter().position(of_school)
        {
            self.rooms.remove(oldest);
        }
        self.put(now, key, state);
    }

    pub fn take(&mut self, now: Instant, key: &Key) -> Option<RoomState> {
        self.forget(now);
        let place = self.rooms.iter().position(|(_, known, _)| known == key)?;
        self.rooms.remove(place).map(|(_, _, state)| state)
    }

    pub fn get(&self, now: Instant, key: &Key) -> Option<&RoomState> {
        let (left_at, _, state) = self.rooms.iter().find(|(_, known, _)| known == key)?;
        (now.saturating_duration_since(*left_at) < KEPT_FOR).then_some(state)
    }

    pub fn get_mut(&mut self, now: Instant, key: &Key) -> Option<&mut RoomState> {
        self.forget(now);
        self.rooms.iter_mut().find(|(_, known, _)| known == key).map(|(_, _, state)| state)
    }

    fn forget(&mut self, now: Instant) {
        while self.rooms.front().is_some_and(|(left_at, ..)| now.saturating_duration_since(*left_at) >= KEPT_FOR) {
            self.rooms.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instant;
    use schulhof_wire::id::NodeName;

    fn key(n: usize) -> Key {
        (SchoolId::new("nord").unwrap(), ConferenceId::new(format!("r{n}")).unwrap())
    }

    fn state() -> RoomState {
        RoomState::new(NodeName::new("box").unwrap())
    }

    #[test]
    fn a_left_room_is_kept_for_its_time_and_never_too_many() {
        let now = instant();
        let mut kept = Kept::default();
        for n in 0..KEPT_MAX + 5 {
            kept.put(now, key(n), state());
        }
        assert_eq!(kept.rooms.len(), KEPT_MAX);
        assert!(kept.get(now, &key(4)).is_none() && kept.get(now, &key(5)).is_some());
        assert!(kept.take(now, &key(5)).is_some() && kept.take(now, &key(5)).is_none());
        let later = now + KEPT_FOR;
        assert!(kept.get(later, &key(6)).is_none() && kept.take(later, &key(6)).is_none());
        assert!(kept.rooms.is_empty());
    }
}
