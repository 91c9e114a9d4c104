//! The trunk: a room that is at two nodes at once, on the school's box for the people in the building and on a relay for those
//! at home. Each node serves its own people; over the trunk go the state, who is there, and one copy of each layer that
//! somebody on the other side looks at.
//!
//! What it must not do: forward what came over one trunk into another (rooms are at two nodes, so that there are no loops), or
//! believe another node in more than its school's rooms and its bounds. When the trunk is cut, the people of the other side
//! vanish from the room and everything else goes on.
//!
//! - [`frame`]: what is said on the reliable stream; `datagram`: the packets
//! - `remote`: people of the other side; `taking`: what comes from there; `giving`: what goes there, within the `uplink`

mod datagram;
pub mod frame;
mod giving;
mod remote;
mod taking;
mod uplink;

pub use frame::Frame;
pub(crate) use remote::Remote;

use crate::{Engine, budget::Rate, source::Peer};
use datagram::Header;
use frame::{Person, Picture};
use schulhof_wire::id::{ConferenceId, NodeName, SchoolId};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};
use uplink::Uplink;

/// Trunks of one node: a relay has one for each box.
pub const TRUNKS_MAX: usize = 4_096;
/// Rooms of one school at once.
const ROOMS_MAX: usize = 1_024;
/// What waits for the shell. Beyond, packets are dropped; a frame more, and the trunk is given up.
const OUT_MAX: usize = 8_192;
/// Repetitions per second over one trunk.
const REPETITIONS_PER_S: u32 = 5_000;
/// Frames of the other side per second: a school's rooms all beginning at once. Beyond, the trunk is given up.
const FRAMES_PER_S: u32 = 8_000;
/// Trunks of one school: its node's, and those of before that have not ended yet.
const OF_SCHOOL_MAX: usize = 8;
/// Payload of a datagram before the shell has told the path's: the least of QUIC.
const DATAGRAM_LEN: usize = 1_150;

/// One connection to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrunkId(u64);

/// What the shell is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    Frame(Frame),
    Datagram(Vec<u8>),
    /// Close the connection: the other side does not keep up, or does not keep to the rules. Nothing follows.
    Close(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has as many trunks as it may")]
pub struct TooManyTrunks;

/// A room as it stands between the two nodes.
#[derive(Default)]
struct Shared {
    /// We, and they, have people in it.
    ours: bool,
    theirs: bool,
    /// Up to which of our changes we have told.
    told_state: Option<u64>,
    told_people: Option<Vec<Person>>,
    told_wanted: Vec<Picture>,
    /// What the other side wants.
    wanted: Vec<Picture>,
}

impl Shared {
    fn is_joined(&self) -> bool {
        self.ours && self.theirs
    }
}

struct Trunk {
    school: SchoolId,
    /// As the other side has said.
    node: Option<NodeName>,
    rooms: BTreeMap<ConferenceId, Shared>,
    /// The other side's people by its numbers.
    people: BTreeMap<u32, Peer>,
    out: VecDeque<Out>,
    /// Key frames to be asked for.
    key_frames: Vec<Picture>,
    /// The first part of a packet that came in two.
    half: Option<(Header, Vec<u8>)>,
    datagram_len: usize,
    repetitions: Rate,
    frames: Rate,
    uplink: Uplink,
    tended_at: Option<Instant>,
    closed: bool,
}

impl Trunk {
    fn say(&mut self, frame: Frame) {
        if self.out.len() < OUT_MAX {
            self.out.push_back(Out::Frame(frame));
        } else {
            self.give_up("it does not keep up");
        }
    }

    fn give_up(&mut self, why: &'static str) {
        if !std::mem::replace(&mut self.closed, true) {
            self.out.clear();
            self.out.push_back(Out::Close(why));
        }
    }
}

/// All trunks of a node.
#[derive(Default)]
pub(crate) struct Trunks {
    opened: u64,
    trunks: BTreeMap<TrunkId, Trunk>,
}

impl Trunks {
    pub fn is_busy(&self) -> bool {
        self.trunks.values().any(|trunk| !trunk.rooms.is_empty())
    }

    fn get_mut(&mut self, id: TrunkId) -> Option<&mut Trunk> {
        self.trunks.get_mut(&id).filter(|trunk| !trunk.closed)
    }

    pub fn ids(&self) -> Vec<TrunkId> {
        self.trunks.keys().copied().collect()
    }
}

impl Engine {
    /// A connection to another node has come about; it may speak of this school's rooms. `now` begins its time.
    pub fn open_trunk(&mut self, now: Instant, school: SchoolId) -> Result<TrunkId, TooManyTrunks> {
        let of_school = self.trunks.trunks.values().filter(|trunk| trunk.school == school).count();
        if self.trunks.trunks.len() >= TRUNKS_MAX || of_school >= OF_SCHOOL_MAX {
            return Err(TooManyTrunks);
        }
        self.trunks.opened += 1;
        let id = TrunkId(self.trunks.opened);
        let mut trunk = Trunk {
            school,
            node: None,
            rooms: BTreeMap::new(),
            people: BTreeMap::new(),
            out: VecDeque::new(),
            key_frames: Vec::new(),
            half: None,
            datagram_len: DATAGRAM_LEN,
            repetitions: Rate::new(REPETITIONS_PER_S),
            frames: Rate::new(FRAMES_PER_S),
            uplink: Uplink::default(),
            tended_at: None,
            closed: false,
        };
        trunk.say(Frame::Hello { version: frame::VERSION, node: self.config.node.clone() });
        self.trunks.trunks.insert(id, trunk);
        self.next_tick = self.next_tick.min(now);
        Ok(id)
    }

    /// The connection has ended: the other side's people are gone.
    pub fn close_trunk(&mut self, now: Instant, id: TrunkId) {
        let Some(trunk) = self.trunks.trunks.remove(&id) else { return };
        for peer in trunk.people.into_values() {
            if self.sessions.remote(peer).is_some_and(|remote| remote.trunk == id) {
                self.forget_person(peer);
            }
        }
        // Unless it has come back over another connection.
        let same = |other: &Trunk| !other.closed && other.school == trunk.school && other.node == trunk.node;
        if let Some(node) = trunk.node.as_ref().filter(|_| !self.trunks.trunks.values().any(same)) {
            self.lose_node(now, &trunk.school, node);
        }
        for peer in self.sessions.places() {
            self.withdraw(id, peer);
        }
        self.next_tick = self.next_tick.min(now);
    }

    /// The other side has said who it is. A connection of before, which has not been found dead yet, is none any more.
    fn replace_trunk(&mut self, id: TrunkId, node: &NodeName) {
        let Some(trunk) = self.trunks.get_mut(id) else { return };
        trunk.node = Some(node.clone());
        let school = trunk.school.clone();
        let before = |(other, trunk): &(&TrunkId, &mut Trunk)| {
            **other != id && trunk.school == school && trunk.node.as_ref() == Some(node)
        };
        let mut people = Vec::new();
        for (_, trunk) in self.trunks.trunks.iter_mut().filter(before) {
            trunk.give_up("the other node has connected again");
            people.extend(std::mem::take(&mut trunk.people).into_values());
        }
        for peer in people {
            self.forget_person(peer);
        }
    }

    /// What may cross the trunk, in bit/s over all rooms. Nothing: as much as wants to.
    pub fn set_uplink(&mut self, id: TrunkId, budget_bps: Option<u64>) {
        if let Some(trunk) = self.trunks.get_mut(id) {
            trunk.uplink.set(budget_bps);
        }
    }

    /// How long a datagram may be on the path, as QUIC knows now.
    pub fn set_datagram_len(&mut self, id: TrunkId, len: usize) {
        if let Some(trunk) = self.trunks.get_mut(id) {
            trunk.datagram_len = len.max(2 * datagram::HEADER_LEN);
        }
    }

    /// What is to be sent over a trunk next, the oldest first.
    pub fn poll_trunk(&mut self) -> Option<(TrunkId, Out)> {
        self.trunks.trunks.iter_mut().find_map(|(id, trunk)| Some((*id, trunk.out.pop_front()?)))
    }
}
