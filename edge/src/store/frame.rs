//! One frame from the core: state, kept entries and outbox change in one transaction.

use super::{
    Shared, StoreError,
    kv::WriteKv,
    logins::{changed_accounts, end_sessions},
    tables::{ENTRIES, OUTBOX, STATE, StoredEntry},
};
use crate::live::{Changed, Notice};
use redb::{Database, Durability, ReadableTable as _, WriteTransaction};
use schulhof_sync::{BoxSync, Received, SyncError};
use schulhof_wire::{live::RESUME_LEN_MAX, node::ToBox};
use std::collections::BTreeSet;

/// Entries kept for browsers that were away: what a resume may ask for, and what comes while it reads.
const ENTRIES_KEPT: u64 = RESUME_LEN_MAX + 1_000;

/// What a frame did.
pub(super) struct Applied {
    pub received: Received,
    pub notice: Notice,
    /// Something was written.
    pub committed: bool,
}

/// Applies a frame. The outer error is the disk's, the inner one the core's; either way nothing was committed.
pub(super) fn apply_frame(
    db: &Database,
    sync: &mut BoxSync,
    shared: &Shared,
    now_ms: u64,
    frame: ToBox,
) -> Result<Result<Applied, SyncError>, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::None)?;
    let mut notice = Notice::default();
    let received = {
        let mut kv = WriteKv::new(txn.open_table(STATE)?);
        let received = sync.receive(now_ms, &mut kv, frame);
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
        let rejected = received.rejected_own.iter();
        notice.rejected = rejected.map(|own| (own.device.clone(), own.seq, own.reason.clone())).collect();
        let accounts = changed_accounts(&notice.changes);
        notice.ended = end_sessions(&txn, &sync.read(&kv), shared, &accounts)?;
        kv.check()?;
        received
    };
    let committed = !received.entries.is_empty() || !received.drop_outbox.is_empty();
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
    Ok(Ok(Applied { received, notice, committed }))
}

fn keep_entries(txn: &WriteTransaction, received: &Received) -> Result<(), StoreError> {
    let mut entries = txn.open_table(ENTRIES)?;
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
