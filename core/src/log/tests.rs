//! The log as a whole: what survives, what is refused, what is deleted.

use super::*;
use crate::raft::types::{Command, Entry, Epoch, LogId, TypeConfig, Vote};
use openraft::{
    RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
    type_config::TypeConfigExt,
    vote::RaftLeaderId,
};
use schulhof_wire::{SchoolId, node::EncodedOperation};

const GROUPS: [Group; 2] = [Group(1), Group(2)];
const OPTIONS: Options = Options { segment_len: 64 << 10, cached_len_max: 4 << 10 };

pub fn id(term: u64, index: u64) -> LogId {
    let leader = openraft::alias::LeaderIdOf::<TypeConfig>::new(term, 1);
    LogId { leader_id: leader.to_committed(), index }
}

pub fn entry(term: u64, index: u64, text: &str) -> Entry {
    let operations = Arc::new(vec![EncodedOperation(text.as_bytes().to_vec())]);
    let school = SchoolId::new("nord").unwrap();
    Entry::new_normal(id(term, index), Command::Operations { school, epoch: Epoch::FIRST, operations })
}

fn on(dir: &Path) -> Folder {
    Folder::create(dir).unwrap()
}

fn open(dir: &Path) -> Result<Log, LogError> {
    Log::open(dir, GROUPS, OPTIONS)
}

async fn append<const N: usize>(log: &mut GroupLog, entries: [Entry; N]) {
    let (done, synced) = TypeConfig::oneshot();
    log.append(entries, IOFlushed::signal(done)).await.unwrap();
    synced.await.unwrap().unwrap();
}

async fn texts(log: &mut GroupLog) -> Vec<String> {
    let text = |entry: Entry| match entry.payload {
        openraft::EntryPayload::Normal(Command::Operations { operations, .. }) => {
            String::from_utf8(operations[0].0.clone()).unwrap()
        }
        _ => panic!("only normal entries are written here"),
    };
    log.try_get_log_entries(..).await.unwrap().into_iter().map(text).collect()
}

/// Flips a bit of the given place in a segment.
fn damage(dir: &Path, segment: u64, offset: u64) {
    let file = segment::open(&on(dir), segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// Offsets of the records of a segment.
fn offsets(dir: &Path, segment: u64) -> Vec<usize> {
    let bytes = std::fs::read(segment::path(&on(dir), segment)).unwrap();
    let mut offset = segment::HEADER_LEN;
    let mut found = Vec::new();
    while let Some(framed) = record::read(&bytes, segment, offset) {
        found.push(offset);
        offset = framed.next;
    }
    found
}

#[tokio::test]
async fn what_was_synced_is_there_after_a_restart_and_groups_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let (mut one, mut two) = (log.group(Group(1)), log.group(Group(2)));
    append(&mut one, [entry(1, 0, "a"), entry(1, 1, "b"), entry(1, 2, "c")]).await;
    append(&mut two, [entry(1, 0, "x")]).await;
    one.truncate_after(Some(id(1, 1))).await.unwrap();
    append(&mut one, [entry(2, 2, "d")]).await;
    let vote = Vote::new(7, 3);
    two.save_vote(&vote).await.unwrap();
    log.close();

    let log = open(dir.path()).unwrap();
    let (mut one, mut two) = (log.group(Group(1)), log.group(Group(2)));
    assert_eq!(texts(&mut one).await, ["a", "b", "d"]);
    assert_eq!(texts(&mut two).await, ["x"]);
    assert_eq!(two.read_vote().await.unwrap(), Some(vote));
    assert_eq!(one.read_vote().await.unwrap(), None);
    assert_eq!(one.get_log_state().await.unwrap().last_log_id, Some(id(2, 2)));
    // And it goes on from there.
    append(&mut one, [entry(2, 3, "e")]).await;
    assert_eq!(texts(&mut one).await, ["a", "b", "d", "e"]);
}

#[tokio::test]
async fn a_torn_end_is_cut_and_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    append(&mut log.group(Group(1)), [entry(1, 0, "kept")]).await;
    append(&mut log.group(Group(1)), [entry(1, 1, "torn 1"), entry(1, 2, "torn 2"), entry(1, 3, "torn 3")]).await;
    log.close();
    // Of the last write, the record in the middle did not reach the disk.
    let records = offsets(dir.path(), 1);
    let middle = records[records.len() - 2] as u64;
    damage(dir.path(), 1, middle + 14);

    let log = open(dir.path()).unwrap();
    let mut one = log.group(Group(1));
    assert_eq!(texts(&mut one).await, ["kept", "torn 1"]);
    append(&mut one, [entry(2, 2, "new")]).await;
    log.close();
    let log = open(dir.path()).unwrap();
    assert_eq!(texts(&mut log.group(Group(1))).await, ["kept", "torn 1", "new"]);
}

#[tokio::test]
async fn a_flipped_byte_before_a_later_write_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    for i in 0..5 {
        append(&mut log.group(Group(1)), [entry(1, i, "said and acknowledged")]).await;
    }
    log.close();
    let records = offsets(dir.path(), 1);
    for hit in &records[..records.len() - 1] {
        // In the length, in the checksum, in the payload.
        for byte in [0, 5, 20] {
            damage(dir.path(), 1, (hit + byte) as u64);
            let error = open(dir.path()).err().expect("the log must not open");
            let LogError::Damaged { path, offset, .. } = &error else { panic!("{error}") };
            assert_eq!((path, offset), (&segment::path(&on(dir.path()), 1), hit), "{error}");
            assert!(error.to_string().starts_with("damaged log record at "), "{error}");
            damage(dir.path(), 1, (hit + byte) as u64);
        }
    }
    assert!(open(dir.path()).is_ok(), "unharmed again");
}

#[tokio::test]
async fn a_zeroed_block_before_a_later_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    for i in 0..3 {
        append(&mut log.group(Group(1)), [entry(1, i, "said and acknowledged")]).await;
    }
    log.close();
    let records = offsets(dir.path(), 1);
    segment::zero(&*segment::open(&on(dir.path()), 1).unwrap(), records[1], records[2]).unwrap();
    let error = open(dir.path()).err().expect("the log must not open");
    assert!(matches!(error, LogError::Damaged { offset, .. } if offset == records[1]), "{error}");
}

async fn fill(log: &Log, group: Group, entries: std::ops::Range<u64>) {
    let text = "x".repeat(1000);
    let mut log = log.group(group);
    for i in entries {
        append(&mut log, [entry(1, i, &text)]).await;
    }
}

#[tokio::test]
async fn segments_roll_and_are_read_back_over_their_borders() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    log.group(Group(2)).save_vote(&Vote::new(3, 1)).await.unwrap();
    fill(&log, Group(1), 0..200).await;
    assert!(log.segments().0 >= 3, "{:?}", log.segments());
    for _ in 0..2 {
        // Most are no longer in memory; the second time none is.
        assert_eq!(texts(&mut log.group(Group(1))).await.len(), 200);
        let portion = log.group(Group(1)).limited_get_log_entries(10, 190).await.unwrap();
        assert_eq!(portion.iter().map(|e| e.log_id().index).collect::<Vec<_>>(), (10..190).collect::<Vec<_>>());
        log.close();
        let log = open(dir.path()).unwrap();
        assert_eq!(texts(&mut log.group(Group(1))).await.len(), 200);
        log.close();
    }
}

#[tokio::test]
async fn segments_go_when_all_groups_have_purged_them_and_votes_stay() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    let (mut one, mut two) = (log.group(Group(1)), log.group(Group(2)));
    let vote = Vote::new(3, 1);
    two.save_vote(&vote).await.unwrap();
    fill(&log, Group(2), 0..1).await;
    fill(&log, Group(1), 0..200).await;
    let before = log.segments().0;
    one.purge(id(1, 198)).await.unwrap();
    assert_eq!(texts(&mut one).await.len(), 1);
    // Group 2 still needs the first segment.
    let (after, _) = settled(&log, |_, holding| holding == [Group(2)]).await;
    assert_eq!(after, before);
    two.purge(id(1, 0)).await.unwrap();
    settled(&log, |segments, _| segments <= 2).await;
    log.close();

    let log = open(dir.path()).unwrap();
    let (mut one, mut two) = (log.group(Group(1)), log.group(Group(2)));
    assert_eq!(two.read_vote().await.unwrap(), Some(vote));
    assert_eq!(two.get_log_state().await.unwrap().last_purged_log_id, Some(id(1, 0)));
    assert_eq!(texts(&mut one).await.len(), 1);
    assert_eq!(one.get_log_state().await.unwrap().last_purged_log_id, Some(id(1, 198)));
}

/// Deleting follows on the sync that `purge` waits for.
async fn settled(log: &Log, wanted: impl Fn(usize, &[Group]) -> bool) -> (usize, Vec<Group>) {
    let wait = async {
        loop {
            let (segments, holding) = log.segments();
            if wanted(segments, &holding) {
                return (segments, holding);
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.expect("segments settle")
}

#[tokio::test]
async fn a_missing_segment_and_a_lost_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).unwrap();
    fill(&log, Group(1), 0..200).await;
    log.close();
    // The end of the first segment is gone, as if never written.
    let records = offsets(dir.path(), 1);
    let (last, file) = (*records.last().unwrap(), segment::open(&on(dir.path()), 1).unwrap());
    let mut kept = vec![0; OPTIONS.segment_len - last];
    file.read_exact_at(&mut kept, last as u64).unwrap();
    segment::zero(&*file, last, OPTIONS.segment_len).unwrap();
    let error = open(dir.path()).err().expect("the log must not open");
    assert!(matches!(error, LogError::Damaged { offset, .. } if offset == last), "{error}");
    file.write_all_at(&kept, last as u64).unwrap();
    std::fs::remove_file(segment::path(&on(dir.path()), 2)).unwrap();
    let error = open(dir.path()).err().expect("the log must not open");
    assert!(error.to_string().contains("segment 2 before it is missing"), "{error}");
}

#[tokio::test]
async fn after_a_failed_write_nothing_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().close();
    // The next segment cannot be made: as on a full disk.
    let _ = std::fs::remove_file(dir.path().join("spare.new"));
    std::fs::create_dir(dir.path().join("spare.new")).unwrap();
    let log = open(dir.path()).unwrap();
    let mut one = log.group(Group(1));
    let text = "x".repeat(1000);
    let mut acknowledged = 0;
    let error = loop {
        let (done, synced) = TypeConfig::oneshot();
        one.append([entry(1, acknowledged, &text)], IOFlushed::signal(done)).await.unwrap();
        match synced.await.unwrap() {
            Ok(()) => acknowledged += 1,
            Err(e) => break e,
        }
        assert!(acknowledged < 1000, "the segment never ends");
    };
    // And so it stays, with the first error as the reason.
    let again = one.save_vote(&Vote::new(9, 1)).await.unwrap_err();
    assert!(again.to_string().contains(&error.to_string()), "{again} is not about {error}");
    log.close();
    std::fs::remove_dir(dir.path().join("spare.new")).unwrap();
    let log = open(dir.path()).unwrap();
    assert_eq!(texts(&mut log.group(Group(1))).await.len() as u64, acknowledged);
    assert_eq!(log.group(Group(1)).read_vote().await.unwrap(), None);
}
