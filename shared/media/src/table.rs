//! The sessions by place, and which of them have something to send.

use crate::{
    session::Session,
    source::{Peer, Source, SourceRef, place},
    transmit::TransmitSink,
    trunk::Remote,
};
use schulhof_wire::media::{Participant, SourceKind};

/// People of other nodes have places of their own, beginning here.
const REMOTE: Peer = 1 << 31;

/// Places are reused, lowest first, so that the table stays as small as the busiest moment.
#[derive(Default)]
pub(crate) struct Table {
    places: Vec<Option<Box<Session>>>,
    len: usize,
    /// Places whose outbox is not empty, in order of filling.
    dirty: Vec<Peer>,
    /// Places at which pictures wait for a narrow line.
    waiting: Vec<Peer>,
    remotes: Vec<Option<Box<Remote>>>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.len
    }

    /// All places, taken or not: for walks during which the table may change.
    pub fn places(&self) -> std::ops::Range<Peer> {
        0..self.places.len()
    }

    pub fn get(&self, peer: Peer) -> Option<&Session> {
        self.places.get(peer)?.as_deref()
    }

    #[inline]
    pub fn get_mut(&mut self, peer: Peer) -> Option<&mut Session> {
        self.places.get_mut(peer)?.as_deref_mut()
    }

    pub fn remote(&self, peer: Peer) -> Option<&Remote> {
        self.remotes.get(peer.checked_sub(REMOTE)?)?.as_deref()
    }

    pub fn remote_mut(&mut self, peer: Peer) -> Option<&mut Remote> {
        self.remotes.get_mut(peer.checked_sub(REMOTE)?)?.as_deref_mut()
    }

    pub fn insert_remote(&mut self, remote: Remote) -> Peer {
        REMOTE + occupy(&mut self.remotes, Box::new(remote))
    }

    pub fn remove_remote(&mut self, peer: Peer) -> Option<Box<Remote>> {
        self.remotes.get_mut(peer.checked_sub(REMOTE)?)?.take()
    }

    /// A source, here or at another node, if it is still the same one.
    pub fn source(&self, source: SourceRef) -> Option<&Source> {
        if source.peer < REMOTE {
            self.get(source.peer).filter(|session| session.serial == source.serial)?.source(source.kind)
        } else {
            let remote = self.remote(source.peer).filter(|remote| remote.serial == source.serial)?;
            remote.sources[place(source.kind)].as_ref()
        }
    }

    /// The same.
    #[inline]
    pub fn source_mut(&mut self, source: SourceRef) -> Option<&mut Source> {
        if source.peer < REMOTE {
            self.get_mut(source.peer).filter(|session| session.serial == source.serial)?.source_mut(source.kind)
        } else {
            let remote = self.remote_mut(source.peer).filter(|remote| remote.serial == source.serial)?;
            remote.sources[place(source.kind)].as_mut()
        }
    }

    pub fn source_ref(&self, peer: Peer, kind: SourceKind) -> Option<SourceRef> {
        match self.remote(peer) {
            Some(remote) => Some(remote.source_ref(peer, kind)),
            None => self.get(peer).map(|session| session.source_ref(peer, kind)),
        }
    }

    /// Whoever is at this place, here or at another node: serial, person and place in the order of coming.
    pub fn person(&self, peer: Peer) -> Option<(u64, &Participant, (u64, u64))> {
        match self.remote(peer) {
            Some(remote) => Some((remote.serial, &remote.participant, remote.came)),
            None => self.get(peer).map(|session| (session.serial, &session.participant, session.standing.came)),
        }
    }

    pub fn insert(&mut self, session: Session) -> Peer {
        self.len += 1;
        occupy(&mut self.places, Box::new(session))
    }

    pub fn remove(&mut self, peer: Peer) -> Option<Box<Session>> {
        let session = self.places.get_mut(peer)?.take()?;
        self.waiting.retain(|place| *place != peer);
        self.len -= 1;
        Some(session)
    }

    /// Lets `queue` add to the session's outbox, and remembers that there is something to send.
    #[inline]
    pub fn queue<R>(&mut self, peer: Peer, queue: impl FnOnce(&mut Session) -> R) -> Option<R> {
        let session = self.places.get_mut(peer)?.as_deref_mut()?;
        let was_empty = session.outbox.is_empty();
        let result = queue(session);
        if was_empty && !session.outbox.is_empty() {
            self.dirty.push(peer);
        }
        if !session.waits && !session.pacer.is_empty() {
            session.waits = true;
            self.waiting.push(peer);
        }
        Some(result)
    }

    /// Does a picture wait for a narrow line?
    pub fn any_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lets leave what has waited long enough.
    pub fn release(&mut self, now_us: u64) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|peer| {
            self.queue(*peer, |session| session.release(now_us));
            let Some(session) = self.get_mut(*peer) else { return false };
            session.waits = !session.pacer.is_empty();
            session.waits
        });
        self.waiting = waiting;
    }

    pub fn drain(&mut self, sink: &mut impl TransmitSink) {
        for peer in self.dirty.drain(..) {
            if let Some(session) = self.places.get_mut(peer).and_then(Option::as_deref_mut) {
                session.outbox.drain(session.agent.selected(), sink);
            }
        }
    }
}

/// Takes the lowest free place.
fn occupy<T>(places: &mut Vec<Option<T>>, new: T) -> usize {
    match places.iter().position(Option::is_none) {
        Some(free) => {
            places[free] = Some(new);
            free
        }
        None => {
            places.push(Some(new));
            places.len() - 1
        }
    }
}
