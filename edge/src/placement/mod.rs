//! Where a conference's media goes, and the tickets that say so.
//!
//! A conference is placed whole: on the box's own media node if its budget takes the expected people, with a relay as
//! standby; else on a relay. It stays where it was placed for as long as it is open and asked for, over restarts of the box
//! too (the placement is in the store), so that nobody lands beside the others. When the box's media process dies, its
//! browsers go to the standby, and so do new tickets; when it has proven itself again they are asked to come home.

mod book;
mod relay;
mod steady;

pub use book::{Place, Placed};
pub use relay::{RelayClient, RelayLine, Reservations};

use crate::{
    clock::{Monotonic, unix_ms},
    session::random_hex,
    store::Store,
};
use book::Book;
use parking_lot::Mutex;
use schulhof_placement::{Admission, Admitted, Budget, Room, TicketKey};
use schulhof_school::view::{self, ConferenceView};
use schulhof_wire::{
    AccountId, ConferenceId, SchoolId,
    api::TicketAnswer,
    ticket::{AUDIO_SLOTS, Claims, MediaNode, MediaRole, VERSION, VIDEO_SLOTS},
};
use std::{sync::Arc, time::Duration};
use steady::Steady;

/// A ticket outlives a school day's longest meeting: the standby must take it hours later, when nobody can be asked.
const TICKET_AGE_MAX_MS: u64 = 4 * 3_600_000;
/// Reservations are renewed three times before they would lapse.
const RENEW_EVERY: Duration = Duration::from_millis(schulhof_wire::node::RESERVATION_TTL_MS / 4);
/// A conference that nobody closed gives its places back so long after the last ticket.
const HELD_MAX_MS: u64 = TICKET_AGE_MAX_MS;
/// Of conferences that may come home, one in so many does at each renewal.
const HOME_SPREAD: u32 = 2;
/// When there is no node at all, browsers come back after this and as much again at most.
const RETRY_MS: u32 = 3_000;

/// Bytes of a ticket's random name.
const TICKET_ID_LEN: usize = 16;

/// Who wants a ticket.
#[derive(Debug, Clone)]
pub struct Person {
    pub account: AccountId,
    pub name: String,
    pub role: MediaRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error("more people are expected than any node can carry")]
    TooLarge,
    #[error("no media node can be reached")]
    NoNode,
    #[error("too many conferences at once")]
    TooManyRooms,
}

/// The box's own media node.
pub struct OwnNode {
    node: MediaNode,
    admission: Mutex<Admission>,
    steady: Mutex<Steady>,
}

impl OwnNode {
    pub fn new(node: MediaNode, budget: Budget) -> Self {
        Self { node, admission: Mutex::new(Admission::new(budget)), steady: Mutex::default() }
    }
}

/// Places conferences and signs tickets.
pub struct Placement {
    school: SchoolId,
    key: Arc<TicketKey>,
    own: Option<OwnNode>,
    relays: Vec<Arc<dyn Reservations>>,
    book: Book,
    store: Arc<Store>,
    clock: Monotonic,
}

impl Placement {
    pub fn new(
        school: SchoolId,
        key: Arc<TicketKey>,
        own: Option<OwnNode>,
        relays: Vec<Arc<dyn Reservations>>,
        store: Arc<Store>,
        clock: Monotonic,
    ) -> Arc<Self> {
        let book = Book::new(store.placements());
        Arc::new(Self { school, key, own, relays, book, store, clock })
    }

    /// A ticket for one person, or a place in the queue.
    pub async fn ticket(&self, conference: &ConferenceView, person: Person) -> Result<TicketAnswer, PlacementError> {
        let slot = self.book.slot(&conference.conference).ok_or(PlacementError::TooManyRooms)?;
        // One at a time per conference: two first tickets must not place it twice.
        let mut placed = slot.lock().await;
        let wanted = conference.expected.max(1);
        // A copy: whoever asked may hang up while a relay is waited for, and that must not move the conference.
        let held = match placed.clone() {
            Some(held) => self.hold(&conference.conference, held, wanted).await,
            None => None,
        };
        let next = match held {
            Some(held) => held,
            None => {
                *placed = None;
                match self.place(conference, wanted).await? {
                    Answer::Placed(new) => new,
                    Answer::Queued { position, retry_after_ms } => {
                        return Ok(TicketAnswer::Queued { position, retry_after_ms });
                    }
                }
            }
        };
        let next = Placed { ticket_ms: unix_ms(), ..next };
        let claims = self.claims(conference, person, &next);
        self.store.put_placement(conference.conference.clone(), Some(next.clone()));
        *placed = next.into();
        let claims = claims.ok_or(PlacementError::NoNode)?;
        Ok(TicketAnswer::Granted { ticket: self.key.sign(&claims), claims })
    }

    fn claims(&self, conference: &ConferenceView, person: Person, placed: &Placed) -> Option<Claims> {
        Some(Claims {
            v: VERSION,
            id: random_hex::<TICKET_ID_LEN>(),
            school: self.school.clone(),
            room: conference.conference.clone(),
            account: person.account,
            name: person.name,
            role: person.role,
            audio_slots: AUDIO_SLOTS,
            video_slots: VIDEO_SLOTS,
            primary: self.node(&placed.primary)?,
            standby: placed.standby.as_ref().and_then(|place| self.node(place)),
            expires_at_ms: unix_ms() + TICKET_AGE_MAX_MS,
        })
    }

    fn node(&self, place: &Place) -> Option<MediaNode> {
        match place {
            Place::Own => self.own.as_ref().map(|own| own.node.clone()),
            Place::Relay(name) => self.relay(name).map(|relay| relay.node().clone()),
        }
    }

    fn relay(&self, name: &schulhof_wire::NodeName) -> Option<&Arc<dyn Reservations>> {
        self.relays.iter().find(|relay| relay.node().name == *name)
    }

    /// Renews what a conference has; `None` when its node gives the places no more, so that it has to be placed anew.
    async fn hold(&self, conference: &ConferenceId, mut held: Placed, wanted: u32) -> Option<Placed> {
        let wanted = wanted.max(held.participants);
        match self.reserve(&held.primary, conference, wanted).await {
            // The relay holds what it has promised; that it cannot be asked for a moment changes nothing.
            Reserved::Yes | Reserved::Unreachable => {}
            Reserved::Full { .. } | Reserved::TooLarge => {
                self.release(&held.primary, conference).await;
                if let Some(standby) = &held.standby {
                    self.release(standby, conference).await;
                }
                return None;
            }
        }
        held.participants = wanted;
        held.standby = match held.standby {
            Some(standby) => match self.reserve(&standby, conference, wanted).await {
                Reserved::Yes | Reserved::Unreachable => Some(standby),
                Reserved::Full { .. } | Reserved::TooLarge => {
                    self.release(&standby, conference).await;
                    None
                }
            },
            None => self.standby(conference, &held.primary, wanted).await,
        };
        Some(held)
    }

    /// The first node that takes the whole conference: the box, then the relays in their order.
    async fn place(&self, conference: &ConferenceView, wanted: u32) -> Result<Answer, PlacementError> {
        let room = &conference.conference;
        let mut queued: Option<(u32, u32)> = None;
        let mut waits_at = Vec::new();
        let mut too_large = false;
        let own = self.own.is_some().then_some(Place::Own);
        for place in own.into_iter().chain(self.relay_places()) {
            match self.reserve(&place, room, wanted).await {
                Reserved::Yes => {
                    // Nobody is to wait behind a room that needs no place any more.
                    for full in &waits_at {
                        self.release(full, room).await;
                    }
                    let standby = self.standby(room, &place, wanted).await;
                    return Ok(Answer::Placed(Placed {
                        primary: place,
                        standby,
                        participants: wanted,
                        opened_by: conference.opened_by.clone(),
                        ticket_ms: unix_ms(),
                    }));
                }
                Reserved::Full { position, retry_after_ms } => {
                    queued = Some(
                        queued.map_or((position, retry_after_ms), |(p, r)| (p.min(position), r.min(retry_after_ms))),
                    );
                    waits_at.push(place);
                }
                Reserved::TooLarge => too_large = true,
                Reserved::Unreachable => {
                    queued.get_or_insert((1, RETRY_MS + rand::random_range(0..RETRY_MS)));
                }
            }
        }
        match queued {
            Some((position, retry_after_ms)) => Ok(Answer::Queued { position, retry_after_ms }),
            None if too_large => Err(PlacementError::TooLarge),
            None => Err(PlacementError::NoNode),
        }
    }

    fn relay_places(&self) -> impl Iterator<Item = Place> {
        self.relays.iter().map(|relay| Place::Relay(relay.node().name.clone()))
    }

    /// A node beside the primary that would take everybody.
    async fn standby(&self, conference: &ConferenceId, primary: &Place, wanted: u32) -> Option<Place> {
        // A conference that had to leave the building may come back to it when the relay fails.
        let own = self.own.is_some().then_some(Place::Own);
        for place in self.relay_places().chain(own) {
            if place == *primary {
                continue;
            }
            match self.reserve(&place, conference, wanted).await {
                Reserved::Yes => return Some(place),
                // A standby does not wait: it would stand in the way of those who have no place at all.
                Reserved::Full { .. } => self.release(&place, conference).await,
                Reserved::TooLarge | Reserved::Unreachable => {}
            }
        }
        None
    }

    async fn reserve(&self, place: &Place, conference: &ConferenceId, wanted: u32) -> Reserved {
        match place {
            Place::Own => match &self.own {
                Some(own) if !own.steady.lock().is_ready() => Reserved::Unreachable,
                Some(own) => {
                    let room = self.room(conference);
                    own.admission.lock().reserve(self.clock.now_ms(), rand::random(), &room, wanted).into()
                }
                None => Reserved::TooLarge,
            },
            Place::Relay(name) => match self.relay(name) {
                Some(relay) => relay.reserve(conference, wanted).await,
                None => Reserved::TooLarge,
            },
        }
    }

    async fn release(&self, place: &Place, conference: &ConferenceId) {
        match place {
            Place::Own => {
                if let Some(own) = &self.own {
                    own.admission.lock().release(&self.room(conference));
                }
            }
            Place::Relay(name) => {
                if let Some(relay) = self.relay(name) {
                    relay.release(conference).await;
                }
            }
        }
    }

    fn room(&self, conference: &ConferenceId) -> Room {
        Room { school: self.school.clone(), conference: conference.clone() }
    }

    /// The box's media process listens.
    pub fn own_node_ready(&self) {
        if let Some(own) = &self.own {
            own.steady.lock().ready(self.clock.now_ms());
        }
    }

    /// The box's media process ended: everybody goes to the standby, so that is the primary from now on.
    pub async fn own_node_lost(&self) {
        if let Some(own) = &self.own {
            own.steady.lock().lost();
        }
        for (conference, slot) in self.book.all() {
            let mut placed = slot.lock().await;
            let Some(held) = placed.as_mut() else { continue };
            if held.primary == Place::Own
                && let Some(standby) = held.standby.take()
            {
                tracing::info!(%conference, "the conference goes on at its standby");
                self.release(&Place::Own, &conference).await;
                held.primary = standby;
                self.store.put_placement(conference, Some(held.clone()));
            }
        }
    }

    /// Renews reservations, and gives back those of conferences that were closed or forgotten. Runs for ever.
    pub async fn keep(&self) {
        let mut every = tokio::time::interval(RENEW_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.renew_all(unix_ms()).await;
            self.come_home(self.clock.now_ms(), |_| rand::random_ratio(1, HOME_SPREAD)).await;
        }
    }

    /// Conferences that had to leave the building come back to it, if its node holds places for them as their standby and
    /// has proven itself at `now_ms` of the box's clock. `turn` spreads them.
    pub async fn come_home(&self, now_ms: u64, mut turn: impl FnMut(&ConferenceId) -> bool) {
        if self.own.as_ref().is_none_or(|own| !own.steady.lock().is_proven(now_ms)) {
            return;
        }
        for (conference, slot) in self.book.all() {
            let mut placed = slot.lock().await;
            let Some(held) = placed.as_mut().filter(|held| held.standby == Some(Place::Own)) else { continue };
            let Place::Relay(name) = &held.primary else { continue };
            let Some(relay) = self.relay(name).filter(|_| turn(&conference)) else { continue };
            if relay.call_home(&conference).await {
                tracing::info!(%conference, "the conference comes home");
                held.standby = Some(std::mem::replace(&mut held.primary, Place::Own));
                self.store.put_placement(conference, Some(held.clone()));
            }
        }
    }

    async fn renew_all(&self, now_ms: u64) {
        for (conference, slot) in self.book.all() {
            let mut placed = slot.lock().await;
            let Some(held) = placed.take() else { continue };
            let forgotten = now_ms.saturating_sub(held.ticket_ms) > HELD_MAX_MS;
            if forgotten || self.is_closed(&conference, &held) {
                self.give_back(&conference, &held).await;
                continue;
            }
            let wanted = held.participants;
            let before = held.clone();
            *placed = self.hold(&conference, held, wanted).await;
            if placed.as_ref() != Some(&before) {
                self.store.put_placement(conference, placed.clone());
            }
        }
        self.book.forget_empty();
    }

    /// A conference changed: if it was closed, its places are free at once.
    pub async fn conference_changed(&self, conference: &ConferenceId) {
        let Some(slot) = self.book.get(conference) else { return };
        let mut placed = slot.lock().await;
        if placed.as_ref().is_some_and(|held| self.is_closed(conference, held))
            && let Some(held) = placed.take()
        {
            self.give_back(conference, &held).await;
        }
    }

    async fn give_back(&self, conference: &ConferenceId, held: &Placed) {
        self.release(&held.primary, conference).await;
        if let Some(standby) = &held.standby {
            self.release(standby, conference).await;
        }
        self.store.put_placement(conference.clone(), None);
    }

    fn is_closed(&self, conference: &ConferenceId, held: &Placed) -> bool {
        let read = self.store.read(|snapshot| view::conference(&snapshot.kv(), &held.opened_by, conference));
        matches!(read, Ok(Ok(view)) if !view.open)
    }
}

enum Answer {
    Placed(Placed),
    Queued { position: u32, retry_after_ms: u32 },
}

/// A node's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    Yes,
    Full {
        position: u32,
        retry_after_ms: u32,
    },
    TooLarge,
    /// No answer: it may or may not have taken it.
    Unreachable,
}

impl From<Admitted> for Reserved {
    fn from(admitted: Admitted) -> Self {
        match admitted {
            Admitted::Reserved => Self::Yes,
            Admitted::Full { position, retry_after_ms } => Self::Full { position, retry_after_ms },
            Admitted::TooLarge => Self::TooLarge,
        }
    }
}
