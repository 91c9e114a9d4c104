//! Reservation before joining.
//!
//! A room is taken whole or not at all, against the node's [`Budget`]; what was taken stays untouched by whatever comes
//! later. Who finds no room waits in one queue, first come first served, and is told its position and when to ask again,
//! spread by jitter so that a class that was turned away does not come back in one instant.
//!
//! The queue holds no promises: a place in it is kept by asking again when one was told to, or sooner. Asking sooner, or
//! twice, neither loses nor wins anything. Who has not come [`WAIT_GRACE_MS`] after the told time has given up: places of
//! those do not keep others waiting.

use crate::budget::{Budget, Demand};
use schulhof_wire::{ConferenceId, SchoolId, node::RESERVATION_TTL_MS};
use std::collections::{BTreeMap, VecDeque};

/// Most rooms reserved at once: 10,000 small rooms are more than any one node carries, and fit into 2 MB.
pub const ROOMS_MAX: usize = 10_000;
/// Most rooms waiting: beyond it one is turned away without a place, which is as good as a place behind a thousand.
pub const QUEUE_LEN_MAX: usize = 1_000;
/// Soonest and latest time to ask again, before jitter. Jitter adds up to as much again.
pub const RETRY_MIN_MS: u64 = 2_000;
pub const RETRY_MAX_MS: u64 = 5_000;
/// Each room ahead adds this to the time to come back.
const RETRY_PER_POSITION_MS: u64 = 250;
/// So much later than told one may ask again: a slow request, a page in the background.
pub const WAIT_GRACE_MS: u64 = 5_000;
/// Longest time for which a place is kept without being asked for: after a storm from which all have gone, the queue is
/// empty again by then.
pub const WAIT_TTL_MS: u64 = 2 * RETRY_MAX_MS + WAIT_GRACE_MS;

/// A conference of a school; two schools may use the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Room {
    pub school: SchoolId,
    pub conference: ConferenceId,
}

/// The answer to [`Admission::reserve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// The places are held until released or not renewed for [`RESERVATION_TTL_MS`].
    Reserved,
    /// Not now. `position` counts from 1. A reservation that the room had before stays as it was.
    Full { position: u32, retry_after_ms: u32 },
    /// Not ever: the room alone exceeds the node's whole budget. It is not queued.
    TooLarge,
}

/// How much of the budget is given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub budget: Budget,
    pub reserved: Demand,
    pub rooms: usize,
    pub waiting: usize,
}

#[derive(Debug)]
struct Reservation {
    demand: Demand,
    until_ms: u64,
}

#[derive(Debug)]
struct Waiting {
    room: Room,
    demand: Demand,
    until_ms: u64,
}

/// One node's book of reservations. Time is milliseconds of any clock that does not go back.
#[derive(Debug)]
pub struct Admission {
    budget: Budget,
    /// Sum over `rooms`.
    reserved: Demand,
    rooms: BTreeMap<Room, Reservation>,
    queue: VecDeque<Waiting>,
    /// Nothing lapses before this time; saves a scan per call.
    next_lapse_ms: u64,
}

impl Admission {
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            reserved: Demand::default(),
            rooms: BTreeMap::new(),
            queue: VecDeque::new(),
            next_lapse_ms: u64::MAX,
        }
    }

    /// Asks for places for `participants` people; asking again for the same room renews it and replaces the number.
    /// `jitter` is a random number of the caller.
    pub fn reserve(&mut self, now_ms: u64, jitter: u64, room: &Room, participants: u32) -> Admitted {
        self.lapse(now_ms);
        let demand = Demand::of_room(participants);
        if !self.budget.holds(demand) {
            return Admitted::TooLarge;
        }
        if let Some(held) = self.rooms.get_mut(room) {
            held.until_ms = now_ms.saturating_add(RESERVATION_TTL_MS);
            let grown = self.reserved.minus(held.demand).plus(demand);
            let shrinks = demand.participants <= held.demand.participants;
            // A room that grows takes from what is free like a new one; one that shrinks never asks.
            if shrinks || self.budget.holds(grown.plus(waiting_ahead(&self.queue, room))) {
                held.demand = demand;
                self.reserved = grown;
                self.leave_queue(room);
                return Admitted::Reserved;
            }
            return self.wait(now_ms, jitter, room, demand);
        }
        let ahead = waiting_ahead(&self.queue, room);
        if self.rooms.len() < ROOMS_MAX && self.budget.holds(self.reserved.plus(ahead).plus(demand)) {
            let until_ms = now_ms.saturating_add(RESERVATION_TTL_MS);
            self.rooms.insert(room.clone(), Reservation { demand, until_ms });
            self.reserved = self.reserved.plus(demand);
            self.next_lapse_ms = self.next_lapse_ms.min(until_ms);
            self.leave_queue(room);
            return Admitted::Reserved;
        }
        self.wait(now_ms, jitter, room, demand)
    }

    /// Gives the places back, and a place in the queue too. Unknown rooms are fine.
    pub fn release(&mut self, room: &Room) {
        if let Some(held) = self.rooms.remove(room) {
            self.reserved = self.reserved.minus(held.demand);
        }
        self.leave_queue(room);
    }

    /// Whether the room holds places at `now_ms`.
    pub fn holds(&self, now_ms: u64, room: &Room) -> bool {
        self.rooms.get(room).is_some_and(|held| held.until_ms > now_ms)
    }

    pub fn load(&mut self, now_ms: u64) -> Load {
        self.lapse(now_ms);
        Load { budget: self.budget, reserved: self.reserved, rooms: self.rooms.len(), waiting: self.queue.len() }
    }

    fn lapse(&mut self, now_ms: u64) {
        if now_ms < self.next_lapse_ms {
            return;
        }
        self.rooms.retain(|_, held| {
            let keep = held.until_ms > now_ms;
            if !keep {
                self.reserved = self.reserved.minus(held.demand);
            }
            keep
        });
        self.queue.retain(|waiting| waiting.until_ms > now_ms);
        let rooms = self.rooms.values().map(|held| held.until_ms);
        let queue = self.queue.iter().map(|waiting| waiting.until_ms);
        self.next_lapse_ms = rooms.chain(queue).min().unwrap_or(u64::MAX);
    }

    fn wait(&mut self, now_ms: u64, jitter: u64, room: &Room, demand: Demand) -> Admitted {
        let at = self.queue.iter().position(|waiting| waiting.room == *room);
        let position = at.unwrap_or(self.queue.len()) + 1;
        let retry_after_ms = retry_after_ms(position, jitter);
        let until_ms = now_ms.saturating_add(u64::from(retry_after_ms)).saturating_add(WAIT_GRACE_MS);
        match at {
            Some(at) => {
                let waiting = &mut self.queue[at];
                waiting.demand = demand;
                // The people of one room are told different times: the latest counts.
                waiting.until_ms = waiting.until_ms.max(until_ms);
            }
            None if self.queue.len() < QUEUE_LEN_MAX => {
                self.queue.push_back(Waiting { room: room.clone(), demand, until_ms });
                self.next_lapse_ms = self.next_lapse_ms.min(until_ms);
            }
            None => {}
        }
        Admitted::Full { position: position as u32, retry_after_ms }
    }

    fn leave_queue(&mut self, room: &Room) {
        self.queue.retain(|waiting| waiting.room != *room);
    }
}

/// What those before `room` wait for: all who wait, if the room itself does not. First come first served also means that
/// a small room does not slip past a large one, which else would wait for ever.
fn waiting_ahead(queue: &VecDeque<Waiting>, room: &Room) -> Demand {
    queue
        .iter()
        .take_while(|waiting| waiting.room != *room)
        .fold(Demand::default(), |sum, waiting| sum.plus(waiting.demand))
}

fn retry_after_ms(position: usize, jitter: u64) -> u32 {
    let base = (RETRY_MIN_MS + position as u64 * RETRY_PER_POSITION_MS).min(RETRY_MAX_MS);
    (base + jitter % base) as u32
}
