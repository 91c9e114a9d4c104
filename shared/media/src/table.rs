//! The sessions by place, and which of them have something to send.

use crate::{
    session::Session,
    source::{Peer, SourceRef},
    transmit::TransmitSink,
};

/// Places are reused, lowest first, so that the table stays as small as the busiest moment.
#[derive(Default)]
pub(crate) struct Table {
    places: Vec<Option<Box<Session>>>,
    len: usize,
    /// Places whose outbox is not empty, in order of filling.
    dirty: Vec<Peer>,
    /// Places at which pictures wait for a narrow line.
    waiting: Vec<Peer>,
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

    /// The session of a source, if it is still the same one.
    pub fn publisher_mut(&mut self, source: SourceRef) -> Option<&mut Session> {
        self.get_mut(source.peer).filter(|session| session.serial == source.serial)
    }

    pub fn insert(&mut self, session: Session) -> Peer {
        self.len += 1;
        let session = Some(Box::new(session));
        if let Some(free) = self.places.iter().position(Option::is_none) {
            self.places[free] = session;
            free
        } else {
            self.places.push(session);
            self.places.len() - 1
        }
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
