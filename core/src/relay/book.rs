//! The relay's reservations, with the clock and the jitter that the pure [`Admission`] is told.

use parking_lot::Mutex;
use schulhof_placement::{Admission, Admitted, Budget, Load, Room};
use schulhof_wire::ticket::Claims;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

pub(super) struct Book {
    admission: Mutex<Admission>,
    draining: AtomicBool,
    start: Instant,
}

impl Book {
    pub fn new(budget: Budget) -> Self {
        Self { admission: Mutex::new(Admission::new(budget)), draining: AtomicBool::new(false), start: Instant::now() }
    }

    pub fn reserve(&self, room: &Room, participants: u32) -> Admitted {
        self.admission.lock().reserve(self.now_ms(), rand::random(), room, participants)
    }

    /// From now on nothing is promised any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn release(&self, room: &Room) {
        self.admission.lock().release(room);
    }

    pub fn load(&self) -> Load {
        self.admission.lock().load(self.now_ms())
    }

    /// Places given away.
    pub fn reserved(&self) -> u32 {
        self.load().reserved.participants as u32
    }

    /// Whether a holder of a valid ticket may come in, with `present` people here already. Rooms with a reservation: yes.
    /// Others come when their own node has died and no place was reserved here: they get what is certainly nobody's,
    /// counting those present as if none of them sat on a reserved place.
    pub fn admits(&self, claims: &Claims, present: usize) -> bool {
        let room = Room { school: claims.school.clone(), conference: claims.room.clone() };
        let now_ms = self.now_ms();
        let mut admission = self.admission.lock();
        if admission.holds(now_ms, &room) {
            return true;
        }
        let Load { budget, reserved, .. } = admission.load(now_ms);
        reserved.participants + (present as u64) < u64::from(budget.participants)
    }

    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}
