//! The oracle: holds what people were told against every replica.

use super::{
    linear::{self, Verdict},
    record::Seen,
    writer::text,
};
use anyhow::Context as _;
use schulhof_core::{raft::types::Group, state};
use schulhof_edge::{
    clock::Monotonic,
    store::{self, FreeSpace, Resume},
};
use schulhof_school::{Body, Operation, view::state_hash};
use schulhof_wire::{DeviceId, LogIndex, SchoolId, Seq, node::Entry};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Memory for reading a store.
const CACHE_LEN: usize = 16 << 20;
/// Entries that are read at once.
const READ_MAX: usize = 10_000;

/// What one node holds of a school, read from its disk after it has stopped.
#[derive(Debug, Clone)]
pub struct Replica {
    pub node: String,
    pub school: SchoolId,
    pub head: LogIndex,
    pub hash: [u8; 32],
    /// Those that it keeps, up to the head.
    pub entries: Vec<Entry>,
    /// Operations in the outbox.
    pub waiting: usize,
    /// May end before the log does, and keep nothing.
    pub behind: bool,
}

/// A core node's.
pub fn of_core(node: &str, data: &Path, group: u32, school: &SchoolId) -> anyhow::Result<Replica> {
    let path = data.join("state").join(format!("group-{group}.redb"));
    let store = state::Store::open(&path, Group(group), CACHE_LEN).with_context(|| path.display().to_string())?;
    let (head, first) = store.kept(school)?;
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map_or(LogIndex(first.0.saturating_sub(1)), |last| last.index);
        let more = store.entries(school, after, READ_MAX, CACHE_LEN)?;
        if more.is_empty() {
            break;
        }
        entries.extend(more);
    }
    let hash = store.state_hash(school)?;
    Ok(Replica { node: node.to_owned(), school: school.clone(), head, hash, entries, waiting: 0, behind: false })
}

/// A box's, or a gateway's, from its file. It keeps the last entries only.
pub fn of_box(node: &str, path: &Path, school: &SchoolId) -> anyhow::Result<Replica> {
    let opener = store::file(path, CACHE_LEN);
    let (store, _notices) = store::Store::open(school.clone(), opener, FreeSpace::by(|| None), Monotonic::start())
        .with_context(|| path.display().to_string())?;
    let read = store.read(|snapshot| -> anyhow::Result<Replica> {
        let head = snapshot.head();
        let mut entries = Vec::new();
        for kept in [u64::MAX, 1 << 16, 1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6] {
            let after = LogIndex(head.0.saturating_sub(kept));
            if let Resume::Entries(found) = snapshot.entries_after(after, u64::MAX)? {
                entries.extend(found.into_iter().map(|stored| stored.entry));
                break;
            }
        }
        let (hash, waiting) = (state_hash(&snapshot.kv()), snapshot.outbox()?.len());
        Ok(Replica { node: node.to_owned(), school: school.clone(), head, hash, entries, waiting, behind: false })
    });
    read?
}

/// What the oracle says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Operations that a box has acknowledged.
    pub acked: u64,
    /// Acknowledged and not in the log, or not at its place on some replica.
    pub lost: u64,
    /// In the log more than once.
    pub duplicated: u64,
    pub registers: usize,
    pub undecided: usize,
    pub violations: Vec<String>,
}

/// `logs` are the schools' whole logs as their leaders gave them last.
pub fn judge(seen: &Seen, logs: &BTreeMap<SchoolId, Vec<Entry>>, replicas: &[Replica]) -> Outcome {
    let mut outcome = Outcome { violations: seen.violations.clone(), ..Outcome::default() };
    for (school, log) in logs {
        of_log(school, log, seen, &mut outcome);
    }
    for replica in replicas {
        match logs.get(&replica.school) {
            Some(log) => of_replica(replica, log, &mut outcome),
            None => outcome.violations.push(format!("{}: {} has no log", replica.node, replica.school)),
        }
    }
    for (school, log) in logs {
        let end = log.last().map_or(LogIndex(0), |entry| entry.index);
        let at_end = replicas.iter().filter(|replica| replica.school == *school && replica.head == end);
        let hashes: BTreeSet<_> = at_end.map(|replica| replica.hash).collect();
        if hashes.len() > 1 {
            outcome.violations.push(format!("{school}: {} different states after the same log", hashes.len()));
        }
    }
    for ((school, room), history) in &seen.registers {
        outcome.registers += 1;
        match linear::check(history) {
            Verdict::Linearizable => {}
            Verdict::Undecided => outcome.undecided += 1,
            Verdict::Violated(n) => {
                outcome.violations.push(format!("{school}: {room} is not linearizable: {:?}", history[n]));
            }
        }
    }
    outcome
}

/// Gapless, each device's numbers in order and once, everything acknowledged there with its text.
fn of_log(school: &SchoolId, log: &[Entry], seen: &Seen, outcome: &mut Outcome) {
    let mut places: BTreeMap<(DeviceId, Seq), LogIndex> = BTreeMap::new();
    let mut last: BTreeMap<DeviceId, u64> = BTreeMap::new();
    for (entry, index) in log.iter().zip(1..) {
        if entry.index.0 != index {
            outcome.violations.push(format!("{school}: entry {} where {index} follows", entry.index.0));
            return;
        }
        let operation = match Operation::decode(&entry.operation.0) {
            Ok(operation) => operation,
            Err(error) => {
                outcome.violations.push(format!("{school}: entry {index}: {error}"));
                continue;
            }
        };
        let (device, seq) = (operation.device, operation.seq);
        if let Some(reason) = &entry.rejected {
            outcome.violations.push(format!("{school}: entry {index}, {device} {}, is rejected: {reason}", seq.0));
        }
        if places.insert((device.clone(), seq), entry.index).is_some() {
            outcome.duplicated += 1;
            outcome.violations.push(format!("{school}: {device} {} is there twice, again at {index}", seq.0));
            continue;
        }
        let before = last.insert(device.clone(), seq.0).unwrap_or(0);
        if seq.0 != before + 1 {
            outcome.violations.push(format!("{school}: {device} {} follows on {before} at {index}", seq.0));
        }
        if let (Body::MessagePost { text: found, .. }, true) = (&operation.body, seen.devices.contains_key(&device))
            && *found != text(&device, seq)
        {
            outcome.violations.push(format!("{school}: {device} {} has another text: {found:?}", seq.0));
        }
    }
    for (device, record) in seen.devices.iter().filter(|(_, record)| record.school.as_ref() == Some(school)) {
        outcome.acked += record.acked.len() as u64;
        let missing: Vec<_> =
            record.acked.iter().filter(|seq| !places.contains_key(&(device.clone(), Seq(**seq)))).collect();
        if let Some(first) = missing.first() {
            outcome.lost += missing.len() as u64;
            outcome.violations.push(format!("{school}: {device}: {} lost, the first is {first}", missing.len()));
        }
        if last.get(device).copied().unwrap_or(0) < record.secured {
            outcome.violations.push(format!("{school}: {device}: {} was called secured and is not", record.secured));
        }
    }
    for ((of, device, seq), index) in &seen.shown {
        if of == school && places.get(&(device.clone(), *seq)) != Some(index) {
            outcome.violations.push(format!("{school}: {device} {} was shown at {}", seq.0, index.0));
        }
    }
}

/// Up to the log's head, the same at each place, nothing waiting.
fn of_replica(replica: &Replica, log: &[Entry], outcome: &mut Outcome) {
    let Replica { node, school, head, entries, waiting, behind, .. } = replica;
    let end = log.last().map_or(LogIndex(0), |entry| entry.index);
    if *head > end || (*head < end && !*behind) {
        outcome.lost += end.0.saturating_sub(head.0);
        outcome.violations.push(format!("{node}: {school} ends at {} instead of {}", head.0, end.0));
    }
    if *waiting > 0 {
        outcome.violations.push(format!("{node}: {waiting} operations of {school} still wait"));
    }
    let first = entries.first().map_or(end.0, |entry| entry.index.0);
    let expected = log.iter().skip(first.saturating_sub(1) as usize);
    if let Some((entry, _)) = entries.iter().zip(expected).find(|(entry, expected)| entry != expected) {
        outcome.violations.push(format!("{node}: {school} has something else at {}", entry.index.0));
    }
    if entries.last().is_some_and(|last| last.index != *head) || (entries.is_empty() && head.0 > 0 && !*behind) {
        outcome.violations.push(format!("{node}: {school} keeps no entries up to its head {}", head.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::record::DeviceRecord;
    use schulhof_school::op::Actor;
    use schulhof_wire::{AccountId, Hlc, RoomId, node::EncodedOperation};

    fn school() -> SchoolId {
        SchoolId::new("nord").unwrap()
    }

    fn device() -> DeviceId {
        DeviceId::new("d1").unwrap()
    }

    fn entry(index: u64, seq: u64) -> Entry {
        let operation = Operation {
            device: device(),
            seq: Seq(seq),
            actor: Actor::Account(AccountId::new("eva").unwrap()),
            at: Hlc(1),
            body: Body::post(RoomId::new("stream").unwrap(), text(&device(), Seq(seq))),
        };
        Entry { index: LogIndex(index), operation: EncodedOperation(operation.encode()), rejected: None }
    }

    fn judged(log: Vec<Entry>, acked: &[u64], replicas: &[Vec<Entry>]) -> Outcome {
        let mut seen = Seen::default();
        let record =
            DeviceRecord { school: Some(school()), acked: acked.iter().copied().collect(), made: 9, secured: 1 };
        seen.devices.insert(device(), record);
        seen.shown.insert((school(), device(), Seq(1)), LogIndex(1));
        let replica = |entries: &Vec<Entry>| Replica {
            node: "core-1".into(),
            school: school(),
            head: entries.last().map_or(LogIndex(0), |entry| entry.index),
            hash: [0; 32],
            entries: entries.clone(),
            waiting: 0,
            behind: false,
        };
        let replicas: Vec<_> = replicas.iter().map(replica).collect();
        judge(&seen, &BTreeMap::from([(school(), log)]), &replicas)
    }

    #[test]
    fn a_log_that_holds_everything_once_and_replicas_that_agree_are_fine() {
        let log = vec![entry(1, 1), entry(2, 2), entry(3, 3)];
        // A box keeps the last entries only.
        let outcome = judged(log.clone(), &[1, 2], &[log.clone(), log[1..].to_vec()]);
        assert_eq!(outcome, Outcome { acked: 2, ..Outcome::default() });
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_found() {
        let outcome = judged(vec![entry(1, 1)], &[1, 2, 3], &[]);
        assert_eq!((outcome.lost, outcome.duplicated), (2, 0));
        let outcome = judged(vec![entry(1, 1), entry(2, 1)], &[1], &[]);
        assert_eq!((outcome.lost, outcome.duplicated), (0, 1));
        let outcome = judged(vec![entry(1, 1), entry(2, 3), entry(3, 2)], &[1], &[]);
        assert!(outcome.violations.iter().any(|what| what.contains("follows on")), "{outcome:?}");
        let outcome = judged(vec![entry(1, 2), entry(2, 1)], &[], &[]);
        assert!(outcome.violations.iter().any(|what| what.contains("was shown at 1")), "{outcome:?}");
    }

    #[test]
    fn a_replica_that_lacks_something_or_differs_is_found() {
        let log = vec![entry(1, 1), entry(2, 2)];
        assert_eq!(judged(log.clone(), &[1, 2], &[vec![entry(1, 1)]]).lost, 1);
        let outcome = judged(log, &[1, 2], &[vec![entry(1, 1), entry(2, 9)]]);
        assert!(outcome.violations.iter().any(|what| what.contains("something else at 2")), "{outcome:?}");
    }
}
