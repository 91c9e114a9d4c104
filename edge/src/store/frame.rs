//! Frames from the core: state, kept entries and outbox change in one transaction.

use super::{
    Shared, StoreError,
    kv::WriteKv,
    logins::{changed_accounts, end_sessions},
    replica::apply_part,
    tables::{ENTRIES, OUTBOX, STATE, StoredEntry},
};
use crate::live::{Changed, Notice, Rejected};
use redb::{Database, Durability, ReadableTable as _, WriteTransaction};
use schulhof_school::Operation;
use schulhof_sync::{BoxSync, Confirmed, Received, RejectedOwn, SyncError};
use schulhof_wire::{live::RESUME_LEN_MAX, node::ToBox};
use std::collections::BTreeSet;

/// Entries kept for browsers that were away: what a resume may ask for, and what comes while it reads.
const ENTRIES_KEPT: u64 = RESUME_LEN_MAX + 1_000;

/// What frames did.
pub(super) struct Applied {
    pub received: Received,
    pub notice: Notice,
    /// Something was written.
    pub committed: bool,
    /// And is on the disk.
    pub durable: bool,
}

/// Applies frames that have come together. The outer error is the disk's, the inner one the core's; either way nothing was
/// committed. A part of a state comes alone.
pub(super) fn apply_frames(
    db: &Database,
    sync: &mut BoxSync,
    shared: &Shared,
    now_ms: u64,
    mut frames: Vec<ToBox>,
) -> Result<Result<Applied, SyncError>, StoreError> {
    if let Some(part) = frames.pop_if(|frame| matches!(frame, ToBox::Snapshot { .. })) {
        return apply_part(db, sync, shared, now_ms, part);
    }
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::None)?;
    let mut notice = Notice::default();
    let received = {
        let mut kv = WriteKv::new(txn.open_table(STATE)?);
        let received = sync.receive_all(now_ms, &mut kv, frames);
        kv.check()?;
        let received = match received {
            Ok(received) => received,
            Err(error) => return Ok(Err(error)),
        };
        let mut devices = BTreeSet::new();
        for confirmed in &received.entries {
            let index = Some(confirmed.entry.index);
            notice.changes.extend(confirmed.changes.iter().map(|change| Changed { index, change: change.clone() }));
            devices.extend(confirmed.operation.as_ref().map(|operation| operation.device.clone()));
        }
        let overlay = received.overlay_changes.iter().map(|change| Changed { index: None, change: change.clone() });
        notice.changes.extend(overlay);
        notice.marks = devices.iter().map(|device| sync.marks(&kv, device)).collect();
        notice.rejected = rejected(&received);
        let accounts = changed_accounts(&notice.changes);
        notice.ended = end_sessions(&txn, &sync.read(&kv), shared, &accounts)?;
        kv.check()?;
        received
    };
    let committed = !received.entries.is_empty() || !received.drop_outbox.is_empty() || !received.verdicts.is_empty();
    if committed {
        keep_entries(&txn, &received)?;
        let mut outbox = txn.open_table(OUTBOX)?;
        for position in &received.drop_outbox {
            outbox.remove(position)?;
        }
        drop(outbox);
        txn.commit()?;
    } else {
        txn.abort()?;
    }
    Ok(Ok(Applied { received, notice, committed, durable: false }))
}

/// Who wrote it may be here now, by whichever node it was submitted.
fn rejected(received: &Received) -> Vec<Rejected> {
    let of_entry = |confirmed: &Confirmed| {
        let (operation, reason) = (confirmed.operation.as_ref()?, confirmed.entry.rejected.clone()?);
        let Operation { device, seq, actor, .. } = operation.clone();
        Some(Rejected { device, seq, actor, reason })
    };
    let mut rejected: Vec<Rejected> = received.entries.iter().filter_map(of_entry).collect();
    for RejectedOwn { device, seq, actor, reason } in received.rejected_own.clone() {
        // Besides those: numbers that were taken, and kinds that are unknown here.
        let own = Rejected { device, seq, actor, reason };
        if !rejected.contains(&own) {
            rejected.push(own);
        }
    }
    rejected
}

fn keep_entries(txn: &WriteTransaction, received: &Received) -> Result<(), StoreError> {
    let mut entries = txn.open_table(ENTRIES)?;
    for entry in &received.verdicts {
        entries.insert(entry.index.0, StoredEntry::new(entry.clone(), &[]).encode().as_slice())?;
    }
    for confirmed in &received.entries {
        let stored = StoredEntry::new(confirmed.entry.clone(), &confirmed.changes);
        entries.insert(confirmed.entry.index.0, stored.encode().as_slice())?;
    }
    let newest = received.entries.last().map_or(0, |confirmed| confirmed.entry.index.0);
    let oldest_kept = newest.saturating_sub(ENTRIES_KEPT);
    while entries.first()?.is_some_and(|(index, _)| index.value() < oldest_kept) {
        entries.pop_first()?;
    }
    Ok(())
}
