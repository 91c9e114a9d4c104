//! Connections that stand by: a client that is at another node has one here, so that it needs no offer, ICE or DTLS when
//! that node dies or sends it away.
//!
//! Until then nobody knows of it: it is in no room, nothing is forwarded either way, and it opens no room at other nodes.

use crate::{Engine, LeaveReason, source::Peer};
use std::time::Instant;

impl Engine {
    /// Its client comes over: into the room as by a join. Does nothing for who is there already.
    pub(crate) fn activate(&mut self, now: Instant, peer: Peer) {
        let Some(session) = self.sessions.get_mut(peer) else { return };
        let Some(conference) = session.standby.take() else { return };
        let key = (session.school.clone(), conference);
        self.standbys -= 1;
        let place = self.open_room(now, key);
        let Some(room) = self.rooms.get_mut(place).and_then(Option::as_mut) else { return };
        let (ended, taken) = (room.state.is_ended(), room.members.len() + room.waiting.len());
        room.waiting.push(peer);
        if let Some(session) = self.sessions.get_mut(peer) {
            session.room = place;
        }
        // What was checked when it joined may have changed since; who was removed is sent away by `settle`.
        if ended {
            self.end(now, peer, LeaveReason::RoomClosed);
        } else if taken >= self.config.room_participants_max {
            self.end(now, peer, LeaveReason::RoomFull);
        } else {
            self.settle(now, peer);
        }
    }
}
