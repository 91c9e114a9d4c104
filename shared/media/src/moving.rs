//! Asking people to go on at another node: everybody before this node stops, or those of one room that comes home.
//!
//! It asks, it sends nobody away: a client makes its connection elsewhere first, and then leaves here by itself. Who has
//! nowhere to go stays.

use crate::{Engine, LeaveReason};
use schulhof_wire::{
    id::{ConferenceId, SchoolId},
    media::{MoveReason, ToClient},
};
use std::time::{Duration, Instant};

/// A room is asked whole, so that its people see each other over one node again soon; the next one follows after this for
/// each of them: elsewhere each one costs key frames, and a handshake if he did not stand by.
const PAUSE_PER_PERSON: Duration = Duration::from_millis(20);
/// Who is still here is asked again: a new standby may have been found meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl Engine {
    /// Takes nobody in any more, sends those away who only stand by, and asks everybody else to move, room by room, again and
    /// again until nobody is left.
    pub fn drain(&mut self, now: Instant) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(now);
        for peer in self.sessions.places() {
            if self.sessions.get(peer).is_some_and(|session| session.standby.is_some()) {
                self.end(now, peer, LeaveReason::Draining);
            }
        }
    }

    /// Asks those in a room of a school to move. False: nobody is there.
    pub fn ask_to_move(
        &mut self,
        now: Instant,
        school: &SchoolId,
        conference: &ConferenceId,
        reason: MoveReason,
    ) -> bool {
        let place = self.room_by_key.get(&(school.clone(), conference.clone())).copied();
        place.is_some_and(|place| self.ask_room(now, place, reason) > 0)
    }

    /// By the clock, while draining.
    pub(crate) fn tend_drain(&mut self, now: Instant) {
        if self.draining.is_none_or(|next| now < next) {
            return;
        }
        let due = |room: &Option<crate::room::Room>| {
            let asked = room.as_ref()?.asked_at;
            Some(asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_AGAIN))
        };
        let Some(place) = self.rooms.iter().position(|room| due(room) == Some(true)) else { return };
        let people = self.ask_room(now, place, MoveReason::Drain);
        self.draining = Some(now + PAUSE_PER_PERSON * people as u32);
    }

    /// The result counts whom it has asked.
    fn ask_room(&mut self, now: Instant, place: usize, reason: MoveReason) -> usize {
        let Some(room) = self.rooms.get_mut(place).and_then(Option::as_mut) else { return 0 };
        room.asked_at = Some(now);
        let people: Vec<_> = room.members.iter().chain(&room.waiting).copied().collect();
        for peer in &people {
            if let Some(id) = self.sessions.get(*peer).map(|session| session.id) {
                self.tell(id, ToClient::Move { reason });
            }
        }
        people.len()
    }
}
