//! The power goes at any moment: what was acknowledged is there afterwards, and nothing that was never written.
//!
//! The oracle: after a restart the log is what some beginning of all that was given to it makes, and that beginning
//! holds all that was acknowledged. Records of all groups count as one sequence, votes and purges included.

use super::{
    Log, Options,
    disk::Disk as _,
    drive::Drive,
    tests::{entry, id},
    writer::{Message, Writer},
};
use crate::raft::types::{Entry, Group, LogId, TypeConfig, Vote};
use futures_util::{FutureExt, future::BoxFuture};
use openraft::{
    RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
    type_config::TypeConfigExt,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, mpsc},
};

const GROUPS: [Group; 2] = [Group(1), Group(2)];
/// Small segments, so that they roll often. Nothing stays in memory that is on disk.
const OPTIONS: Options = Options { segment_len: 1 << 10, cached_len_max: 0 };
/// Up to so many pieces that may be lost each by itself, all subsets are tried.
const ALL_SUBSETS_OF_MAX: usize = 7;
const SUBSETS_TRIED: usize = 40;

/// What a log is asked to do.
#[derive(Debug, Clone)]
enum Ask {
    Append(Group, Vec<Entry>),
    Vote(Group, Vote),
    Truncate(Group, u64),
    Purge(Group, LogId),
}

/// One group's log as it must be.
#[derive(Debug, Clone, Default, PartialEq)]
struct Expected {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl Expected {
    fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id()).or(self.purged)
    }
}

type State = BTreeMap<Group, Expected>;

fn apply(state: &mut State, record: &Ask) {
    match record {
        Ask::Append(group, entries) => {
            let held = &mut state.entry(*group).or_default().entries;
            held.extend(entries.iter().map(|entry| (entry.log_id().index, entry.clone())));
        }
        Ask::Vote(group, vote) => state.entry(*group).or_default().vote = Some(*vote),
        Ask::Truncate(group, from) => drop(state.entry(*group).or_default().entries.split_off(from)),
        Ask::Purge(group, upto) => {
            let group = state.entry(*group).or_default();
            group.purged = Some(*upto);
            group.entries = group.entries.split_off(&(upto.index + 1));
        }
    }
}

/// An open log, with its writer in the test's hand: a run is the same each time.
struct Running {
    log: Log,
    writer: Writer,
    messages: mpsc::Receiver<Message>,
}

impl Running {
    fn open(drive: &Drive) -> Result<Self, super::LogError> {
        let (log, writer, messages) = Log::build(Arc::new(drive.clone()), GROUPS, OPTIONS)?;
        Ok(Self { log, writer, messages })
    }

    /// Polled by hand, and often: tokio's budget for a task would end it.
    fn begin(&self, ask: Ask) -> BoxFuture<'static, io::Result<()>> {
        tokio::task::unconstrained(self.ask(ask)).boxed()
    }

    fn ask(&self, ask: Ask) -> BoxFuture<'static, io::Result<()>> {
        let group = |group| self.log.group(group);
        match ask {
            Ask::Append(to, entries) => {
                let mut log = group(to);
                async move {
                    let (done, synced) = TypeConfig::oneshot();
                    log.append(entries, IOFlushed::signal(done)).await?;
                    synced.await.map_err(io::Error::other)?
                }
                .boxed()
            }
            Ask::Vote(to, vote) => {
                let mut log = group(to);
                async move { log.save_vote(&vote).await }.boxed()
            }
            Ask::Truncate(to, from) => {
                let mut log = group(to);
                // Only the index counts; entry 0 is never truncated here.
                async move { log.truncate_after(Some(id(1, from - 1))).await }.boxed()
            }
            Ask::Purge(to, upto) => {
                let mut log = group(to);
                async move { log.purge(upto).await }.boxed()
            }
        }
    }

    /// All at once: one write, one sync. Returns whether they were acknowledged.
    fn commit(&mut self, asks: &[Ask]) -> bool {
        let mut waiting: Vec<_> = asks.iter().map(|ask| self.begin(ask.clone())).collect();
        for future in &mut waiting {
            assert!(future.as_mut().now_or_never().is_none(), "acknowledged before it was written");
        }
        self.writer.turn(&self.messages);
        let answers: Vec<bool> =
            waiting.into_iter().map(|future| future.now_or_never().expect("an answer").is_ok()).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "one write, one answer");
        answers[0]
    }

    async fn state(&self) -> State {
        let mut state = State::new();
        for group in GROUPS {
            let mut log = self.log.group(group);
            let read = log.get_log_state().await.unwrap();
            let entries = log.try_get_log_entries(..).await.unwrap();
            let held = Expected {
                vote: log.read_vote().await.unwrap(),
                purged: read.last_purged_log_id,
                entries: entries.into_iter().map(|entry| (entry.log_id().index, entry)).collect(),
            };
            assert_eq!(read.last_log_id, held.last());
            state.insert(group, held);
        }
        state
    }
}

/// All that was given to the log since it was known for sure, as single records, and how many were acknowledged.
struct Given {
    base: State,
    records: Vec<Ask>,
    acknowledged: usize,
}

impl Given {
    fn new() -> Self {
        let base = GROUPS.into_iter().map(|group| (group, Expected::default())).collect();
        Self { base, records: Vec::new(), acknowledged: 0 }
    }

    fn add(&mut self, asks: &[Ask]) {
        for ask in asks {
            match ask {
                Ask::Append(group, entries) => {
                    self.records.extend(entries.iter().map(|entry| Ask::Append(*group, vec![entry.clone()])));
                }
                other => self.records.push(other.clone()),
            }
        }
    }

    /// The beginning that makes what was found.
    fn matching(&self, found: &State) -> Option<usize> {
        let mut state = self.base.clone();
        self.records[..self.acknowledged].iter().for_each(|record| apply(&mut state, record));
        if state == *found {
            return Some(self.acknowledged);
        }
        (self.acknowledged..self.records.len()).find_map(|at| {
            apply(&mut state, &self.records[at]);
            (state == *found).then_some(at + 1)
        })
    }

    /// Checks what a restart found; it is what counts from now on.
    fn check(&mut self, found: State, when: &str) {
        assert!(
            self.matching(&found).is_some(),
            "{when}: {} of {} records were acknowledged\nbase: {:#?}\nrecords: {:#?}\nfound: {found:#?}",
            self.acknowledged,
            self.records.len(),
            self.base,
            self.records,
        );
        *self = Self { base: found, records: Vec::new(), acknowledged: 0 };
    }

    fn commit(&mut self, running: &mut Running, asks: &[Ask]) -> bool {
        self.add(asks);
        let acknowledged = running.commit(asks);
        if acknowledged {
            self.acknowledged = self.records.len();
        }
        acknowledged
    }
}

/// Every kind of write, over several segments; old ones are deleted on the way.
fn script() -> Vec<Vec<Ask>> {
    let [one, two] = GROUPS;
    let text = "said on a Monday at 08:00".repeat(3);
    let entries = |term, range: std::ops::Range<u64>| range.map(|i| entry(term, i, &text)).collect::<Vec<_>>();
    vec![
        vec![Ask::Vote(one, Vote::new(1, 1)), Ask::Vote(two, Vote::new(1, 2))],
        vec![Ask::Append(one, entries(1, 0..1))],
        vec![Ask::Append(one, entries(1, 1..3)), Ask::Append(two, entries(1, 0..1))],
        vec![Ask::Truncate(one, 2), Ask::Append(one, entries(2, 2..4)), Ask::Vote(one, Vote::new(2, 1))],
        vec![Ask::Append(one, entries(2, 4..7))],
        vec![Ask::Append(one, entries(2, 7..10)), Ask::Append(two, entries(1, 1..2))],
        vec![Ask::Purge(one, id(2, 8))],
        vec![Ask::Purge(two, id(1, 0)), Ask::Append(one, entries(2, 10..12))],
        vec![Ask::Append(two, entries(2, 2..4)), Ask::Vote(two, Vote::new(3, 3))],
        vec![Ask::Purge(two, id(2, 3)), Ask::Purge(one, id(2, 11))],
        vec![Ask::Append(one, entries(3, 12..15))],
        vec![Ask::Append(one, entries(3, 15..16))],
    ]
}

/// Runs the script until it ends or the power goes.
fn run(drive: &Drive) -> Given {
    let mut given = Given::new();
    let Ok(mut running) = Running::open(drive) else { return given };
    for asks in script() {
        if !given.commit(&mut running, &asks) {
            break;
        }
    }
    given
}

/// Subsets of what may be lost: all of them, or none, all, and some.
fn subsets(pending: usize, seed: u64) -> Vec<Vec<bool>> {
    if pending <= ALL_SUBSETS_OF_MAX {
        return (0..1_u32 << pending).map(|mask| (0..pending).map(|bit| mask & 1 << bit != 0).collect()).collect();
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut all = vec![vec![false; pending], vec![true; pending]];
    // The first ones only, as when a write is torn; the last ones only, as when a disk reorders.
    for at in [1, pending / 2, pending - 1] {
        all.push((0..pending).map(|i| i < at).collect());
        all.push((0..pending).map(|i| i >= at).collect());
    }
    all.extend((0..SUBSETS_TRIED).map(|_| (0..pending).map(|_| rng.random()).collect()));
    all
}

fn lose(drive: &Drive, subset: &[bool]) -> Drive {
    let mut kept = subset.iter().copied();
    drive.after_power_loss(|| kept.next().expect("as many as are pending"))
}

#[tokio::test]
async fn whenever_the_power_goes_what_was_acknowledged_is_there_and_nothing_else() {
    let whole = Drive::default();
    let given = run(&whole);
    assert_eq!(given.acknowledged, given.records.len());
    let operations = whole.operations();
    let names = whole.names().unwrap();
    let segments: Vec<_> = names.iter().filter(|name| name.ends_with("segment")).collect();
    assert!(segments[0].as_str() > "000000000001.segment", "the script deletes segments: {segments:?}");
    let mut losses = 0;
    for crash in 1..=operations + 1 {
        let drive = Drive::default();
        drive.off_after(crash);
        let given = run(&drive);
        assert_eq!(drive.is_off(), crash <= operations);
        for subset in subsets(drive.pending(), crash) {
            losses += 1;
            let when = format!("power lost at operation {crash} of {operations}, kept {subset:?}");
            let after = lose(&drive, &subset);
            let mut running = Running::open(&after).unwrap_or_else(|e| panic!("{when}: {e}"));
            let found = running.state().await;
            let mut given = Given { base: given.base.clone(), records: given.records.clone(), ..given };
            given.check(found, &when);
            // And it goes on from there, durably.
            let last = given.base[&Group(1)].last().map_or(0, |last| last.index + 1);
            assert!(given.commit(&mut running, &[Ask::Append(Group(1), vec![entry(9, last, "after")])]), "{when}");
            drop(running);
            let again = Running::open(&after.after_power_loss(|| false)).unwrap_or_else(|e| panic!("{when}: {e}"));
            given.check(again.state().await, &when);
        }
    }
    eprintln!("{operations} moments, {losses} losses of power");
    assert!(losses > 1_000);
}

/// What Raft might ask for, given what is there.
fn random_asks(rng: &mut impl Rng, given: &Given) -> Vec<Ask> {
    let mut state = given.base.clone();
    given.records.iter().for_each(|record| apply(&mut state, record));
    let mut asks = Vec::new();
    for _ in 0..rng.random_range(1..=3) {
        let group = GROUPS[rng.random_range(0..2)];
        let held = &state[&group];
        let (first, next) = (held.purged.map_or(0, |id| id.index + 1), held.last().map_or(0, |id| id.index + 1));
        let term = held.last().map_or(1, |id| id.committed_leader_id().term) + u64::from(rng.random_ratio(1, 8));
        let ask = match rng.random_range(0..10) {
            0 => Ask::Vote(group, Vote::new(term, rng.random_range(1..4))),
            1 if next > first + 1 => Ask::Truncate(group, rng.random_range(first + 1..next)),
            2 | 3 if next > first => {
                let upto = rng.random_range(first..next);
                Ask::Purge(group, held.entries[&upto].log_id())
            }
            _ => {
                let text = "x".repeat(rng.random_range(0..200));
                Ask::Append(group, (next..next + rng.random_range(1..4)).map(|i| entry(term, i, &text)).collect())
            }
        };
        apply(&mut state, &ask);
        asks.push(ask);
    }
    asks
}

async fn run_seed(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut drive = Drive::default();
    let mut given = Given::new();
    for life in 0..6 {
        let when = format!("seed {seed}, life {life} (SCHULHOF_SEED={seed} repeats it)");
        // The power may go during recovery too.
        drive.off_after(rng.random_range(1..60));
        match Running::open(&drive) {
            Ok(mut running) => {
                assert!(!drive.is_off(), "{when}: open although the power is off");
                given.check(running.state().await, &when);
                loop {
                    let asks = random_asks(&mut rng, &given);
                    if !given.commit(&mut running, &asks) {
                        break;
                    }
                }
            }
            Err(e) => assert!(drive.is_off(), "{when}: {e}"),
        }
        drive = match rng.random_range(0..4) {
            // Only the process ends: what was not synced may still be lost next time.
            0 => drive.after_kill(),
            1 => drive.after_power_loss(|| false),
            _ => drive.after_power_loss(|| rng.random()),
        };
    }
    let running = Running::open(&drive).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    given.check(running.state().await, &format!("seed {seed}, at the end"));
}

#[tokio::test]
async fn over_many_kills_and_losses_of_power_nothing_acknowledged_is_lost() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("SCHULHOF_SEED") {
        return run_seed(seed).await;
    }
    for seed in 0..number("SCHULHOF_SEEDS").unwrap_or(500) {
        run_seed(seed).await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_by_name_and_what_was_acknowledged_is_there_when_it_has_room() {
    let drive = Drive::default();
    let mut given = Given::new();
    let mut running = Running::open(&drive).unwrap();
    let say = |index| [Ask::Append(Group(1), vec![entry(1, index, "said")])];
    assert!(given.commit(&mut running, &say(0)));
    drive.set_full(true);
    let mut refused = running.begin(say(1)[0].clone());
    assert!(refused.as_mut().now_or_never().is_none());
    running.writer.turn(&running.messages);
    let error = refused.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    given.add(&say(1));
    drop(running);
    drive.set_full(false);
    let running = Running::open(&drive.after_kill()).unwrap();
    given.check(running.state().await, "with room again");
}

#[tokio::test]
async fn a_segment_that_could_not_be_prepared_is_made_when_there_is_room() {
    let (drive, mut given) = (Drive::default(), Given::new());
    let mut running = Running::open(&drive).unwrap();
    drive.set_full(true);
    running.writer.spare = super::writer::prepare_spare(&running.writer.disk, OPTIONS.segment_len);
    drive.set_full(false);
    let first = running.writer.current.number;
    (0..60)
        .for_each(|index| assert!(given.commit(&mut running, &[Ask::Append(Group(1), vec![entry(1, index, "said")])])));
    assert!(running.writer.current.number > first, "it has gone on in another segment");
}
