//! The ordering core: one log, one state, a session per connection. Commits take time; elections lose what was not
//! committed, or commit it without telling.

use super::{Trouble, school};
use schulhof_school::MemoryKv;
use schulhof_sync::{Batch, CoreSession, Ordered, Peer, Refusal, order};
use schulhof_testkit::{Link, Rng};
use schulhof_wire::{
    LogIndex,
    id::NodeName,
    node::{EncodedOperation, Entry, ToBox, ToCore},
};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Core {
    pub store: MemoryKv,
    pub log: Vec<Entry>,
    sessions: BTreeMap<u64, CoreSession>,
    /// Due time, order of arrival -> connection and batch.
    committing: BTreeMap<(u64, u64), (u64, Batch)>,
    arrivals: u64,
    /// Frames besides the sessions' own.
    out: Vec<(u64, ToBox)>,
}

impl Core {
    pub fn head(&self) -> LogIndex {
        LogIndex(self.log.len() as u64)
    }

    pub fn order(&mut self, operation: EncodedOperation) -> Ordered {
        let ordered = order(&mut self.store, operation).unwrap();
        if let Ordered::Entry { entry, .. } = &ordered {
            self.log.push(entry.clone());
        }
        ordered
    }

    pub fn entries_after(&self, after: LogIndex) -> Vec<Entry> {
        self.log[after.0 as usize..].to_vec()
    }

    pub fn take(&mut self, now_ms: u64, up: &mut Link<(u64, ToCore)>, rng: &mut Rng, trouble: Trouble) {
        while let Some((connection, frame)) = up.receive(now_ms) {
            if let ToCore::Hello { .. } = &frame {
                self.greet(connection, &frame, rng, trouble);
                continue;
            }
            // A frame of a connection that an election closed.
            let Some(session) = self.sessions.get_mut(&connection) else { continue };
            match session.receive(frame) {
                Ok(None) => {}
                Ok(Some(batch)) if rng.chance(trouble.election * 5, 1_000) => session.busy(batch.batch, 50),
                Ok(Some(batch)) => {
                    self.arrivals += 1;
                    let due_ms = now_ms + rng.between(1, 200);
                    self.committing.insert((due_ms, self.arrivals), (connection, batch));
                }
                Err(Refusal(frame)) => {
                    self.sessions.remove(&connection);
                    self.out.push((connection, frame));
                }
            }
        }
    }

    fn greet(&mut self, connection: u64, hello: &ToCore, rng: &mut Rng, trouble: Trouble) {
        if rng.chance(trouble.election * 10, 1_000) {
            let leader = rng.chance(1, 2).then(|| "core-2".parse::<NodeName>().unwrap());
            self.out.push((connection, ToBox::Redirect { leader }));
            return;
        }
        match CoreSession::accept(hello, &Peer::Box(school()), self.head()) {
            Ok(session) => _ = self.sessions.insert(connection, session),
            Err(Refusal(frame)) => panic!("a box was refused: {frame:?}"),
        }
    }

    pub fn commit(&mut self, now_ms: u64) {
        while let Some((&(due_ms, order), _)) = self.committing.first_key_value()
            && due_ms <= now_ms
        {
            let (connection, batch) = self.committing.remove(&(due_ms, order)).unwrap();
            for operation in batch.operations {
                self.order(operation);
            }
            if let Some(session) = self.sessions.get_mut(&connection) {
                session.committed(batch.batch);
            }
        }
        let head = self.head();
        for session in self.sessions.values_mut() {
            session.head_moved(head);
        }
    }

    pub fn send(&mut self, now_ms: u64, down: &mut Link<(u64, ToBox)>, connection: Option<u64>) {
        let Some(connection) = connection else { return };
        for (to, frame) in self.out.extract_if(.., |(to, _)| *to == connection) {
            down.send(now_ms, (to, frame));
        }
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let log = &self.log;
        while let Some(frame) =
            session.poll_transmit(|after, len| log[after.0 as usize..].iter().take(len.min(7)).cloned().collect())
        {
            down.send(now_ms, (connection, frame));
        }
    }

    /// All connections end. Half of what was on its way is lost, the rest is committed though nobody is told.
    pub fn election(&mut self, rng: &mut Rng) {
        self.sessions.clear();
        self.committing.retain(|_, _| rng.chance(1, 2));
    }
}
