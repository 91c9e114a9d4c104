//! A room: who is in it, who speaks, and which pictures a member gets. The choices are pure functions; [`crate::assign`]
//! carries them out.

use crate::{
    source::{Peer, SourceRef},
    speakers::Speakers,
    state::RoomState,
};
use schulhof_wire::{
    id::{ConferenceId, SchoolId},
    media::{ParticipantId, SourceKind, Speaker, Tile},
};
use std::time::Instant;

/// Tiles of a view that are looked at: several times the slots, for those that do not send.
pub(crate) const VIEW_TILES_MAX: usize = 64;
/// Latest speakers that are preferred when a client has told no view: as many as it has slots.
const RECENT_MAX: usize = 9;
/// Heights that are assumed for a client that has told no view.
const CAMERA_HEIGHT: u16 = 360;
const SCREEN_HEIGHT: u16 = 1080;

pub(crate) struct Room {
    pub key: (SchoolId, ConferenceId),
    pub state: RoomState,
    /// In the order of first joining.
    pub members: Vec<Peer>,
    /// In the waiting room, longest first.
    pub waiting: Vec<Peer>,
    /// At other nodes.
    pub remotes: Vec<Peer>,
    pub speakers: Speakers<Peer>,
    /// Those of our own people: the loudest are heard at other nodes.
    pub voices: Speakers<Peer>,
    /// Who spoke last, latest first.
    pub recent: Vec<Peer>,
    pub told_speakers: Vec<Speaker>,
    pub speakers_at: Instant,
    /// Connections were judged last.
    pub quality_at: Instant,
    /// The roster, or what the slots carry, is to be made anew.
    pub roster_changed: bool,
    pub roster_at: Option<Instant>,
    pub slots_changed: bool,
    pub slots_at: Instant,
    /// Its people were asked to move.
    pub asked_at: Option<Instant>,
}

impl Room {
    pub fn new(now: Instant, key: (SchoolId, ConferenceId), state: RoomState) -> Self {
        Self {
            key,
            state,
            members: Vec::new(),
            waiting: Vec::new(),
            remotes: Vec::new(),
            speakers: Speakers::new(),
            voices: Speakers::new(),
            recent: Vec::new(),
            told_speakers: Vec::new(),
            speakers_at: now,
            quality_at: now,
            roster_changed: false,
            roster_at: None,
            slots_changed: false,
            slots_at: now,
            asked_at: None,
        }
    }

    pub fn remove(&mut self, peer: Peer) {
        self.members.retain(|member| *member != peer);
        self.waiting.retain(|waiting| *waiting != peer);
        self.remotes.retain(|remote| *remote != peer);
        self.recent.retain(|member| *member != peer);
        self.speakers.remove(peer);
        self.voices.remove(peer);
        self.roster_changed = true;
        self.slots_changed = true;
    }

    /// True: the order of the latest speakers has changed.
    pub fn spoke(&mut self, peer: Peer) -> bool {
        if self.recent.first() == Some(&peer) {
            return false;
        }
        self.recent.retain(|member| *member != peer);
        self.recent.insert(0, peer);
        self.recent.truncate(RECENT_MAX);
        true
    }
}

/// A camera or screen that is being sent.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub source: SourceRef,
    pub participant: ParticipantId,
    pub moderator: bool,
    /// A moderator wants everybody to see this person first.
    pub spotlit: bool,
    /// Place in the order of joining.
    pub joined: usize,
}

/// Brings the candidates into the order for clients that have told no view: the spotlight, screens, moderators, latest
/// speakers, then who joined last.
pub(crate) fn rank(candidates: &mut [Candidate], recent: &[Peer]) {
    candidates.sort_by_key(|candidate| {
        let spoke = recent.iter().position(|peer| *peer == candidate.source.peer).unwrap_or(usize::MAX);
        let screen = candidate.source.kind == SourceKind::Screen;
        (!candidate.spotlit, !screen, !candidate.moderator, spoke, std::cmp::Reverse(candidate.joined))
    });
}

/// The pictures of one viewer and the heights of their tiles, most important first.
pub(crate) fn wanted(viewer: Peer, view: Option<&[Tile]>, ranked: &[Candidate], slots: usize) -> Vec<(SourceRef, u16)> {
    let mut wanted: Vec<(SourceRef, u16)> = Vec::with_capacity(slots);
    let others = || ranked.iter().filter(|candidate| candidate.source.peer != viewer);
    match view {
        None => wanted.extend(others().take(slots).map(|candidate| {
            let screen = candidate.source.kind == SourceKind::Screen;
            (candidate.source, if screen { SCREEN_HEIGHT } else { CAMERA_HEIGHT })
        })),
        Some(tiles) => {
            for tile in tiles.iter().take(VIEW_TILES_MAX) {
                let sends = others()
                    .find(|other| other.source.kind == tile.kind && other.participant == tile.participant)
                    .map(|candidate| candidate.source);
                let Some(source) = sends else { continue };
                if let Some((_, height)) = wanted.iter_mut().find(|(known, _)| *known == source) {
                    *height = tile.height.max(*height);
                } else if wanted.len() < slots {
                    wanted.push((source, tile.height));
                }
            }
        }
    }
    wanted
}

/// The importance of a picture for its viewer, 0 the most: screens first, then as wanted.
pub(crate) fn rank_of(source: SourceRef, wanted: &[(SourceRef, u16)]) -> Option<usize> {
    let is_screen = |source: &SourceRef| source.kind == SourceKind::Screen;
    let place = wanted.iter().position(|(known, _)| *known == source)?;
    let screens = |wanted: &[(SourceRef, u16)]| wanted.iter().filter(|(known, _)| is_screen(known)).count();
    let before = screens(&wanted[..place]);
    Some(if is_screen(&source) { before } else { place + screens(wanted) - before })
}

/// Puts the wanted sources onto slots. Whoever has a slot keeps it, so that no picture moves without need.
pub(crate) fn place(wanted: &[(SourceRef, u16)], current: &[Option<SourceRef>]) -> Vec<Option<(SourceRef, u16)>> {
    let find = |source: &Option<SourceRef>| wanted.iter().find(|(known, _)| Some(*known) == *source).copied();
    let mut placed: Vec<Option<(SourceRef, u16)>> = current.iter().map(find).collect();
    for (source, height) in wanted {
        if placed.iter().flatten().any(|(known, _)| known == source) {
            continue;
        }
        if let Some(free) = placed.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((*source, *height));
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: Peer, kind: SourceKind) -> SourceRef {
        SourceRef { peer, serial: peer as u64, kind }
    }

    fn camera(peer: Peer) -> SourceRef {
        source(peer, SourceKind::Camera)
    }

    fn candidate(peer: Peer, kind: SourceKind, moderator: bool) -> Candidate {
        let participant = ParticipantId(format!("p{peer}"));
        Candidate { source: source(peer, kind), participant, moderator, spotlit: false, joined: peer }
    }

    fn tile(peer: Peer, height: u16) -> Tile {
        Tile { participant: ParticipantId(format!("p{peer}")), kind: SourceKind::Camera, height }
    }

    #[test]
    fn without_a_view_screen_moderator_speakers_and_the_latest_are_shown() {
        let mut all: Vec<Candidate> = (0..6).map(|peer| candidate(peer, SourceKind::Camera, peer == 1)).collect();
        all.push(candidate(3, SourceKind::Screen, false));
        rank(&mut all, &[4, 0]);
        let shown: Vec<_> =
            wanted(5, None, &all, 6).into_iter().map(|(source, _)| (source.peer, source.kind)).collect();
        let camera = |peer| (peer, SourceKind::Camera);
        assert_eq!(shown, [(3, SourceKind::Screen), camera(1), camera(4), camera(0), camera(3), camera(2)]);
        assert_eq!(wanted(3, None, &all, 1)[0].0.peer, 1, "nobody gets his own screen");
        for candidate in &mut all {
            candidate.spotlit = candidate.source == self::camera(2);
        }
        rank(&mut all, &[4, 0]);
        assert_eq!(wanted(5, None, &all, 1)[0].0, self::camera(2), "the spotlight goes before all");
    }

    #[test]
    fn a_view_is_followed_as_far_as_the_slots_go_and_nobody_sees_himself() {
        let all: Vec<Candidate> = (0..5).map(|peer| candidate(peer, SourceKind::Camera, false)).collect();
        let view = [tile(4, 100), tile(9, 100), tile(0, 200), tile(4, 300), tile(2, 50), tile(3, 50)];
        assert_eq!(wanted(0, Some(&view), &all, 2), [(camera(4), 300), (camera(2), 50)]);
        assert_eq!(wanted(0, Some(&[]), &all, 2), []);
    }

    #[test]
    fn screens_are_the_most_important_then_the_order_of_the_view_counts() {
        let screen = |peer| source(peer, SourceKind::Screen);
        let wanted = [(camera(1), 1), (screen(1), 1), (camera(2), 1), (screen(3), 1)];
        let ranks = wanted.map(|(source, _)| rank_of(source, &wanted).unwrap());
        assert_eq!(ranks, [2, 0, 3, 1]);
        assert_eq!(rank_of(camera(9), &wanted), None);
    }

    #[test]
    fn a_picture_keeps_its_slot_while_others_come_and_go() {
        let current = [Some(camera(1)), Some(camera(2)), None];
        let placed = place(&[(camera(3), 10), (camera(2), 20), (camera(4), 30)], &current);
        assert_eq!(placed, [Some((camera(3), 10)), Some((camera(2), 20)), Some((camera(4), 30))]);
        assert_eq!(place(&[], &current), [None, None, None]);
        let successor = SourceRef { serial: 77, ..camera(1) };
        assert_eq!(place(&[(successor, 1)], &current)[0], Some((successor, 1)), "the same place, another connection");
    }
}
