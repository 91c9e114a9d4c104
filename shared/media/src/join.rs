//! Joining: an offer and a ticket's claims become a session with its sources and slots, and an answer.

use crate::{
    Engine, JoinError, Joined, SessionId,
    dtls::Handshake,
    room::Room,
    sdp::{Direction, Line, Medium, Offer, Parameters, Role, SlotParameters, answer},
    session::{NOWHERE, New, Session},
    slot::Slot,
    source::Source,
    state::{RoomState, registers::NAME_LEN_MAX},
    stun::{Agent, PASSWORD_LEN, UFRAG_LEN},
};
use schulhof_wire::{
    id::{ConferenceId, ID_LEN_MAX, SchoolId},
    media::{May, Participant, ParticipantId, ToClient},
    ticket::{self, Claims},
};
use std::time::Instant;

/// How the lines of an offer are used.
struct Layout {
    roles: Vec<Role>,
    sources: [Option<Source>; 3],
    audio: Vec<Slot>,
    video: Vec<Slot>,
}

/// What a connection is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Enter,
    StandBy,
}

impl Engine {
    pub(crate) fn try_join(
        &mut self,
        now: Instant,
        claims: Claims,
        offer: &str,
        purpose: Purpose,
    ) -> Result<Joined, JoinError> {
        if claims.id.is_empty() || claims.id.len() > ID_LEN_MAX {
            return Err(JoinError::Claims("their id is empty or too long"));
        }
        if claims.name.len() > NAME_LEN_MAX {
            return Err(JoinError::Claims("the name is too long"));
        }
        if self.draining.is_some() {
            return Err(JoinError::Draining);
        }
        let offer = Offer::parse(offer).map_err(|error| JoinError::Offer(error.to_string()))?;

        let replaced = self.by_ticket.get(&(claims.school.clone(), claims.id.clone())).copied();
        let freed = usize::from(replaced.is_some());
        if self.sessions.len() - freed >= self.config.sessions_max {
            return Err(JoinError::NodeFull);
        }
        let key = (claims.school.clone(), claims.room.clone());
        let room = self.room_by_key.get(&key).and_then(|room| self.rooms[*room].as_ref());
        if let Some(state) = room.map(|room| &room.state).or_else(|| self.kept.get(now, &key)) {
            if state.is_ended() {
                return Err(JoinError::Ended);
            }
            if state.is_blocked(&claims.account, claims.role) {
                return Err(JoinError::Blocked);
            }
        }
        let taken = room
            .map_or(0, |room| room.members.iter().chain(&room.waiting).filter(|peer| Some(**peer) != replaced).count());
        if taken >= self.config.room_participants_max {
            return Err(JoinError::RoomFull);
        }
        if let Some(replaced) = replaced {
            self.end(now, replaced, crate::LeaveReason::Replaced);
        }
        Ok(self.take_in(now, claims, &offer, purpose))
    }

    fn take_in(&mut self, now: Instant, claims: Claims, offer: &Offer, purpose: Purpose) -> Joined {
        let rtcp_ssrc = self.rng.u32();
        let layout = self.lay_out(offer, &claims, rtcp_ssrc);
        let agent = Agent::new(self.rng.ice_text::<UFRAG_LEN>(), self.rng.ice_text::<PASSWORD_LEN>());
        let answer = answer(
            offer,
            &Parameters {
                ufrag: &agent.ufrag,
                password: &agent.password,
                fingerprint: &self.identity.fingerprint,
                candidates: &self.config.candidates,
                tcp_candidates: &self.config.tcp_candidates,
                session_number: self.rng.u32() >> 1,
                lines: &layout.roles,
            },
        );
        let id = SessionId(self.rng.bytes());
        let participant_id = ParticipantId(claims.id.clone());
        let (room, standby) = match purpose {
            Purpose::Enter => (self.open_room(now, (claims.school.clone(), claims.room)), None),
            Purpose::StandBy => (NOWHERE, Some(claims.room)),
        };
        self.standbys += usize::from(standby.is_some());
        self.serials += 1;
        let ufrag = agent.ufrag.clone();
        let ticket = (claims.school.clone(), claims.id.clone());
        let session = Session::new(
            now,
            New {
                id,
                serial: self.serials,
                school: claims.school,
                ticket: claims.id,
                room,
                standby,
                participant: Participant {
                    id: participant_id.clone(),
                    account: claims.account,
                    name: claims.name,
                    role: claims.role,
                    microphone: false,
                    camera: false,
                    screen: false,
                    hand: None,
                    muted: false,
                    may: May { microphone: true, camera: true, screen: true },
                },
                agent,
                handshake: Handshake::new(&self.identity, self.config.candidates[0], offer.fingerprint),
                rtcp_ssrc,
                sources: layout.sources,
                audio: layout.audio,
                video: layout.video,
            },
        );
        let peer = self.sessions.insert(session);
        self.by_id.insert(id, peer);
        self.by_ufrag.insert(ufrag, peer);
        self.by_ticket.insert(ticket, peer);
        if let Some(room) = self.rooms.get_mut(room).and_then(Option::as_mut) {
            room.waiting.push(peer);
        }
        self.stats.joins += 1;
        if self.sessions.len() == 1 {
            self.next_tick = now;
        }
        let (node, node_kind) = (self.config.node.clone(), self.config.kind);
        self.tell(id, ToClient::Welcome { you: participant_id.clone(), node, node_kind });
        self.settle(now, peer);
        Joined { session: id, participant: participant_id, answer }
    }

    pub(crate) fn open_room(&mut self, now: Instant, key: (SchoolId, ConferenceId)) -> usize {
        if let Some(room) = self.room_by_key.get(&key) {
            return *room;
        }
        let place = self.rooms.iter().position(Option::is_none).unwrap_or(self.rooms.len());
        if place == self.rooms.len() {
            self.rooms.push(None);
        }
        let kept = self.kept.take(now, &key);
        let state = kept.unwrap_or_else(|| RoomState::new(self.config.node.clone()));
        self.rooms[place] = Some(Room::new(now, key.clone(), state));
        self.room_by_key.insert(key, place);
        place
    }

    /// Senders by their order: microphone, camera, screen. Receivers: slots, as many as the ticket allows.
    fn lay_out(&mut self, offer: &Offer, claims: &Claims, first_ssrc: u32) -> Layout {
        let mut layout =
            Layout { roles: Vec::new(), sources: [None, None, None], audio: Vec::new(), video: Vec::new() };
        let audio_max = usize::from(claims.audio_slots.min(ticket::AUDIO_SLOTS));
        let video_max = usize::from(claims.video_slots.min(ticket::VIDEO_SLOTS));
        let mut ssrc = first_ssrc;
        for line in &offer.lines {
            let role = match (line.medium, line.direction) {
                (None, _) => Role::Refused,
                (Some(medium), Direction::Send) => layout.add_source(medium, line),
                (Some(Medium::Audio), Direction::Receive) if layout.audio.len() < audio_max => {
                    let (slot, parameters) = self.new_slot(Medium::Audio, line, &mut ssrc);
                    layout.audio.push(slot);
                    Role::Slot(parameters)
                }
                (Some(Medium::Video), Direction::Receive) if layout.video.len() < video_max => {
                    let (slot, parameters) = self.new_slot(Medium::Video, line, &mut ssrc);
                    layout.video.push(slot);
                    Role::Slot(parameters)
                }
                (Some(_), Direction::Receive | Direction::Inactive) => Role::Idle,
            };
            layout.roles.push(role);
        }
        layout
    }

    fn new_slot(&mut self, medium: Medium, line: &Line, ssrc: &mut u32) -> (Slot, SlotParameters) {
        let mut next = || {
            *ssrc = ssrc.wrapping_add(1);
            *ssrc
        };
        let own = next();
        let rtx = line.rtx_payload_type.filter(|_| medium == Medium::Video).map(|payload_type| (next(), payload_type));
        let transport_cc = line.extensions.transport_cc.filter(|_| line.transport_feedback);
        let mut slot = Slot::new(medium, own, line.payload_type, rtx, transport_cc, self.rng.bytes());
        slot.red = line.red_payload_type.filter(|_| medium == Medium::Audio);
        let red = slot.red.is_some();
        (slot, SlotParameters { ssrc: own, rtx_ssrc: rtx.map(|(ssrc, _)| ssrc), transport_cc, red })
    }
}

impl Layout {
    fn add_source(&mut self, medium: Medium, line: &Line) -> Role {
        let places = match medium {
            Medium::Audio => 0..1,
            Medium::Video => 1..3,
        };
        match self.sources[places].iter_mut().find(|source| source.is_none()) {
            Some(free) => {
                *free = Some(Source::new(line.clone()));
                Role::Source
            }
            None => Role::Idle,
        }
    }
}
