//! A box: what is durable survives a crash, the rest does not.

use super::{PEOPLE, Trouble, id, school};
use schulhof_school::{MemoryKv, Operation, view};
use schulhof_sync::{BoxSync, RejectedOwn, Submit, SyncError};
use schulhof_testkit::{Conditions, Link, Rng};
use schulhof_wire::{
    DeviceId, Seq,
    node::{ToBox, ToCore},
};
use std::collections::BTreeMap;

pub struct BoxNode {
    /// Durable.
    pub confirmed: MemoryKv,
    /// Durable.
    pub outbox: BTreeMap<u64, Vec<u8>>,
    sync: Option<BoxSync>,
    restart_ms: u64,
    pub connection: Option<u64>,
    pub up: Link<(u64, ToCore)>,
    pub down: Link<(u64, ToBox)>,
    pub cut: bool,
    /// Indexes that its people were ever shown, and for which message.
    pub shown: BTreeMap<u64, (DeviceId, Seq)>,
    pub rejected: Vec<RejectedOwn>,
}

impl BoxNode {
    pub fn new(rng: &mut Rng) -> Self {
        let conditions = Conditions { delay_min_ms: 1, delay_max_ms: 80, ..Conditions::default() };
        Self {
            confirmed: MemoryKv::default(),
            outbox: BTreeMap::new(),
            sync: None,
            restart_ms: 0,
            connection: None,
            up: Link::new(conditions.clone(), rng.fork()),
            down: Link::new(conditions, rng.fork()),
            cut: false,
            shown: BTreeMap::new(),
            rejected: Vec::new(),
        }
    }

    pub fn sync(&self) -> &BoxSync {
        self.sync.as_ref().expect("the box runs")
    }

    pub fn is_up(&self) -> bool {
        self.sync.is_some()
    }

    /// Loses what is volatile. What was sent may still arrive.
    pub fn crash(&mut self, restart_ms: u64) {
        self.sync = None;
        self.connection = None;
        self.restart_ms = restart_ms;
    }

    pub fn restored(&self) -> BoxSync {
        let outbox = self.outbox.iter().map(|(at, bytes)| (*at, Operation::decode(bytes).unwrap()));
        BoxSync::new(school(), outbox, &self.confirmed)
    }

    pub fn start(&mut self) {
        self.sync = Some(self.restored());
    }

    pub fn is_settled(&self, log_len: usize) -> bool {
        self.sync.as_ref().is_some_and(|sync| {
            sync.online() && sync.pending() == 0 && sync.cursor().0 == log_len as u64 && self.outbox.is_empty()
        })
    }

    pub fn describe(&self) -> String {
        format!(
            "cursor {:?}, pending {:?}, outbox {}, connection {:?}, connect at {:?}",
            self.sync.as_ref().map(BoxSync::cursor),
            self.sync.as_ref().map(BoxSync::pending),
            self.outbox.len(),
            self.connection,
            self.sync.as_ref().and_then(BoxSync::connect_at),
        )
    }

    pub fn tick(&mut self, now_ms: u64, rng: &mut Rng, trouble: Trouble, next_connection: &mut u64) {
        if self.sync.is_none() {
            if now_ms < self.restart_ms {
                return;
            }
            self.start();
        }
        self.connect(now_ms, rng, next_connection);
        self.listen(now_ms, rng, trouble);
        let Some(sync) = self.sync.as_mut() else { return };
        if sync.is_silent(now_ms) {
            self.close(now_ms, rng);
            return;
        }
        while let Some(frame) = sync.poll_transmit(now_ms) {
            self.up.send(now_ms, (self.connection.expect("frames are sent on a connection"), frame));
        }
        assert!(
            sync.poll_timeout().is_none_or(|at| at > now_ms || sync.connect_at().is_some()),
            "a timeout that never ends"
        );
        if rng.chance(1, 10) {
            self.check_overlay(rng);
        }
    }

    fn connect(&mut self, now_ms: u64, rng: &mut Rng, next_connection: &mut u64) {
        let sync = self.sync.as_mut().expect("the box runs");
        if sync.connect_at().is_none_or(|at| at > now_ms) {
            return;
        }
        if self.cut {
            sync.disconnected(now_ms, rng.next_u64());
            return;
        }
        // What the old connection had under way towards the core may be lost, or come later than the new one's.
        if rng.chance(1, 2) {
            self.up.clear();
        }
        self.up.conditions.reorder = false;
        let hello = sync.connected(now_ms);
        self.connection = Some(*next_connection);
        self.up.send(now_ms, (*next_connection, hello));
        *next_connection += 1;
    }

    fn close(&mut self, now_ms: u64, rng: &mut Rng) {
        self.connection = None;
        if let Some(sync) = self.sync.as_mut() {
            sync.disconnected(now_ms, rng.next_u64());
        }
    }

    fn listen(&mut self, now_ms: u64, rng: &mut Rng, trouble: Trouble) {
        while let Some((connection, frame)) = self.down.receive(now_ms) {
            if self.connection != Some(connection) {
                continue;
            }
            let before = rng.chance(trouble.crash, 1_000).then(|| self.confirmed.clone());
            let sync = self.sync.as_mut().expect("the box runs");
            match sync.receive(now_ms, &mut self.confirmed, frame) {
                Ok(received) => {
                    if let Some(before) = before {
                        // The transaction of the frame never became durable.
                        self.confirmed = before;
                        self.crash(now_ms + rng.between(10, 500));
                        return;
                    }
                    for position in received.drop_outbox {
                        self.outbox.remove(&position);
                    }
                    self.rejected.extend(received.rejected_own);
                    if received.redirect.is_some() {
                        self.close(now_ms, rng);
                    }
                }
                // A lost frame. The stream would have ended there.
                Err(SyncError::NotGapless { .. } | SyncError::Unexpected(_)) => self.close(now_ms, rng),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A browser's operation. `None`: the box crashed before it was durable, nobody was told anything.
    pub fn submit(&mut self, op: Operation, crash: bool, now_ms: u64) -> Option<Submit> {
        let sync = self.sync.as_mut()?;
        let submitted = sync.submit(&self.confirmed, op);
        if let Submit::Saved { position, encoded, .. } = &submitted {
            if crash {
                self.crash(now_ms + 100);
                return None;
            }
            self.outbox.insert(*position, encoded.clone());
        }
        Some(submitted)
    }

    /// The overlay must be what a replay from durable state would give, and numbers shown must be true.
    pub fn check_overlay(&mut self, rng: &mut Rng) {
        let sync = self.sync.as_ref().expect("the box runs");
        let fresh = self.restored();
        assert_eq!(sync.changes(), fresh.changes(), "the overlay is not what a replay gives");
        let viewer = id(rng.pick(&PEOPLE).0);
        let read = sync.read(&self.confirmed);
        for room in view::rooms(&read, &viewer) {
            for message in view::messages(&read, &viewer, &room.room, None, 20).unwrap().items {
                if let Some(index) = message.index {
                    self.shown.insert(index.0, (message.device, message.seq));
                }
            }
        }
    }
}
