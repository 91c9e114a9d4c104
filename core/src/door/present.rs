//! Which boxes are connected to this node, and how far each one is.

use parking_lot::Mutex;
use schulhof_wire::{LogIndex, SchoolId};
use serde::Serialize;
use std::collections::BTreeMap;

/// A school's box as this node sees it; only the leader of its group has it connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BoxStatus {
    pub school: SchoolId,
    pub connected: bool,
    /// Last entry that was sent to the box from here.
    pub cursor: LogIndex,
    /// The school's last index applied here.
    pub head: LogIndex,
    pub lag: u64,
}

#[derive(Default)]
struct State {
    sessions: usize,
    cursor: LogIndex,
}

/// Sessions of boxes per school.
#[derive(Default)]
pub struct Present(Mutex<BTreeMap<SchoolId, State>>);

impl Present {
    /// A session begins; it is counted until the value is dropped.
    pub fn enter(&self, school: &SchoolId, cursor: LogIndex) -> Session<'_> {
        let mut schools = self.0.lock();
        let state = schools.entry(school.clone()).or_default();
        *state = State { sessions: state.sessions + 1, cursor };
        metrics::gauge!("schulhof_core_boxes").increment(1.0);
        Session { present: self, school: school.clone() }
    }

    pub fn status(&self, school: &SchoolId, head: LogIndex) -> BoxStatus {
        let schools = self.0.lock();
        let (sessions, cursor) = schools.get(school).map_or((0, LogIndex(0)), |state| (state.sessions, state.cursor));
        let lag = head.0.saturating_sub(cursor.0);
        BoxStatus { school: school.clone(), connected: sessions > 0, cursor, head, lag }
    }
}

pub struct Session<'a> {
    present: &'a Present,
    school: SchoolId,
}

impl Session<'_> {
    /// Entries up to there were sent.
    pub fn sent(&self, cursor: LogIndex) {
        if let Some(state) = self.present.0.lock().get_mut(&self.school) {
            state.cursor = cursor;
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.present.0.lock().get_mut(&self.school) {
            state.sessions = state.sessions.saturating_sub(1);
        }
        metrics::gauge!("schulhof_core_boxes").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_connected_while_a_session_of_it_lives() {
        let present = Present::default();
        let nord = SchoolId::new("nord").unwrap();
        let head = LogIndex(10);
        assert!(!present.status(&nord, head).connected);
        let first = present.enter(&nord, LogIndex(3));
        let second = present.enter(&nord, LogIndex(4));
        drop(first);
        second.sent(LogIndex(7));
        let status = present.status(&nord, head);
        assert_eq!((status.connected, status.cursor, status.lag), (true, LogIndex(7), 3));
        drop(second);
        assert!(!present.status(&nord, head).connected);
    }
}
