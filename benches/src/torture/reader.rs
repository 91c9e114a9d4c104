//! A reader at the core: asks the school's leader, as an operator, for the head and what leads to it. Such a read is
//! linearizable by the core's promise: the welcome comes after a read index of the leader.

use super::{
    linear::Action,
    record::{Recorder, value},
    writer::REGISTERS,
};
use crate::cluster::core_identity;
use anyhow::{Context as _, bail};
use schulhof_net::quic::{Endpoint, Expected, FrameReader, FrameWriter};
use schulhof_ops::seed::Core;
use schulhof_school::{Body, Operation};
use schulhof_wire::{
    DeviceId, LogIndex, NodeName, RoomId, SchoolId, Seq,
    node::{ALPN_SYNC, Entry, SYNC_VERSION, ToBox, ToCore},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Between two reads.
const READ_EVERY: Duration = Duration::from_millis(100);
/// A node that does not answer by then is left for another one.
const ANSWER_MAX: Duration = Duration::from_millis(700);
/// When all is well again.
const LAST_READ_MAX: Duration = Duration::from_secs(20);

pub struct Reader {
    pub school: SchoolId,
    pub endpoint: Endpoint,
    pub cores: Vec<Core>,
    /// Writers' devices, by their place.
    pub devices: Arc<BTreeMap<DeviceId, usize>>,
    pub recorder: Arc<Recorder>,
}

/// The log up to an index, as far as it matters here.
#[derive(Default)]
struct Replayed {
    cursor: LogIndex,
    last: BTreeMap<RoomId, (DeviceId, Seq)>,
    log: Vec<Entry>,
}

/// What one try gave.
enum Tried {
    Read { head: LogIndex, entries: Vec<Entry>, invoked: Instant, responded: Instant },
    Elsewhere(Option<NodeName>),
}

impl Reader {
    /// Reads until told to end; gives the whole log, up to a last read that begins after that.
    pub async fn run(self, mut end: watch::Receiver<bool>) -> Vec<Entry> {
        let mut replayed = Replayed::default();
        tokio::select! {
            () = self.read_on(&mut replayed, false) => {}
            _ = end.wait_for(|end| *end) => {}
        }
        if tokio::time::timeout(LAST_READ_MAX, self.read_on(&mut replayed, true)).await.is_err() {
            self.recorder.violation(format!("{}: the log cannot be read at the end", self.school));
        }
        replayed.log
    }

    async fn read_on(&self, replayed: &mut Replayed, once: bool) {
        let mut target = 0;
        let mut connection = None;
        loop {
            match tokio::time::timeout(ANSWER_MAX, self.read(target, &mut connection, replayed.cursor)).await {
                Ok(Ok(Tried::Read { head, entries, invoked, responded })) => {
                    self.recorder.committed(&self.school, head);
                    self.note(replayed, head, entries, invoked, responded);
                    if once {
                        return;
                    }
                    tokio::time::sleep(READ_EVERY).await;
                    continue;
                }
                Ok(Ok(Tried::Elsewhere(Some(leader)))) => {
                    target = self.cores.iter().position(|core| core.name == leader).unwrap_or(target + 1);
                }
                Ok(Ok(Tried::Elsewhere(None)) | Err(_)) | Err(_) => target += 1,
            }
            target %= self.cores.len();
            connection = None;
            tokio::time::sleep(READ_EVERY / 2).await;
        }
    }

    async fn read(
        &self,
        target: usize,
        connection: &mut Option<quinn::Connection>,
        after: LogIndex,
    ) -> anyhow::Result<Tried> {
        let line = match connection {
            Some(line) => line,
            None => {
                let expected = Expected::Node(core_identity(target));
                connection.insert(self.endpoint.connect(self.cores[target].addr, &expected, ALPN_SYNC).await?)
            }
        };
        let invoked = Instant::now();
        let (send, receive) = line.open_bi().await?;
        let (mut writer, mut reader) = (FrameWriter::<ToCore>::new(send), FrameReader::<ToBox>::new(receive));
        let (software, school) = ("torture".to_owned(), self.school.clone());
        writer.write(&ToCore::Hello { version: SYNC_VERSION, software, school, after }).await?;
        let (head, responded) = match reader.read().await?.context("the stream has ended")? {
            ToBox::Welcome { head, .. } => (head, Instant::now()),
            ToBox::Redirect { leader } => return Ok(Tried::Elsewhere(leader)),
            ToBox::RedirectTo { leader, .. } => return Ok(Tried::Elsewhere(Some(leader))),
            other => bail!("{other:?} instead of a welcome"),
        };
        let mut entries: Vec<Entry> = Vec::new();
        while after.0 + (entries.len() as u64) < head.0 {
            if let ToBox::Entries { entries: more } = reader.read().await?.context("the stream has ended")? {
                entries.extend(more);
            }
        }
        entries.retain(|entry| entry.index <= head);
        Ok(Tried::Read { head, entries, invoked, responded })
    }

    /// Replays up to the head that was read, and notes what each register held there.
    fn note(&self, replayed: &mut Replayed, head: LogIndex, entries: Vec<Entry>, invoked: Instant, responded: Instant) {
        if head < replayed.cursor {
            self.recorder
                .violation(format!("{}: the head went back from {:?} to {head:?}", self.school, replayed.cursor));
            return;
        }
        for entry in &entries {
            let Ok(operation) = Operation::decode(&entry.operation.0) else { continue };
            if let (Body::MessagePost { room, .. }, None) = (operation.body, &entry.rejected) {
                replayed.last.insert(room, (operation.device, operation.seq));
            }
        }
        replayed.cursor = head;
        replayed.log.extend(entries);
        self.recorder.seen.lock().reads += 1;
        for name in REGISTERS {
            let room = RoomId::new(name).expect("a short identifier");
            let held = match replayed.last.get(&room) {
                Some((device, seq)) => self.devices.get(device).map_or(u64::MAX, |place| value(*place, *seq)),
                None => 0,
            };
            self.recorder.register((self.school.clone(), room), invoked, Some(responded), Action::Read(held));
        }
    }
}
