//! A school's state that comes in parts instead of as entries: staged beside the confirmed one, and put in its place whole.
//!
//! Nothing that people see changes before the last part has come and was found to be what the core promised. A crash before
//! that leaves the old state, and the rest of a load that nobody goes on with: [`discard`] removes it at the next start. What
//! waits in the outbox stays through all of it.

use super::{
    Shared, StoreError,
    frame::Applied,
    kv::WriteKv,
    logins::end_sessions,
    tables::{Damaged, ENTRIES, OUTBOX, STATE},
};
use crate::live::{Changed, Notice};
use redb::{Database, Durability, ReadableTableMetadata as _, TableDefinition, WriteTransaction};
use schulhof_school::view;
use schulhof_sync::{BoxSync, Received, Staging, SyncError};
use schulhof_wire::{LogIndex, node::ToBox};

/// What has come of a state so far.
const STAGED: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("state-staged");

/// Removes what a load that was broken off has left.
pub(super) fn discard(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.delete_table(STAGED)?;
    Ok(())
}

/// Takes one part. The outer error is the disk's, the inner one the core's; either way nothing was committed.
pub(super) fn apply_part(
    db: &Database,
    sync: &mut BoxSync,
    shared: &Shared,
    now_ms: u64,
    frame: ToBox,
) -> Result<Result<Applied, SyncError>, StoreError> {
    let mut txn = db.begin_write()?;
    let received = {
        let mut kv = WriteKv::new(txn.open_table(STATE)?);
        let received = sync.receive(now_ms, &mut kv, frame);
        kv.check()?;
        match received {
            Ok(received) => received,
            Err(error) => return Ok(Err(error)),
        }
    };
    let mut applied = Applied { received, notice: Notice::default(), committed: true, durable: false };
    match applied.received.staging.take() {
        None => {}
        Some(Staging::Begin { head }) => {
            tracing::info!(head = head.0, "the school's state is loaded");
            discard(&txn)?;
            txn.open_table(STAGED)?;
        }
        Some(Staging::Records(records)) => {
            let mut staged = txn.open_table(STAGED)?;
            for (key, value) in &records {
                staged.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Some(Staging::End { head, records }) => {
            switch(&txn, head, records)?;
            applied.received = rebase(&txn, sync, shared, now_ms, &mut applied.notice)?;
            applied.durable = true;
            tracing::info!(head = head.0, records, "the school's state is here");
        }
    }
    if !applied.durable {
        txn.set_durability(Durability::None)?;
    }
    txn.commit()?;
    Ok(Ok(applied))
}

/// The staged state takes the place of the confirmed one.
fn switch(txn: &WriteTransaction, head: LogIndex, records: u64) -> Result<(), StoreError> {
    let staged = WriteKv::new(txn.open_table(STAGED)?);
    let found = view::head(&staged);
    staged.check()?;
    drop(staged);
    if found != head || txn.open_table(STAGED)?.len()? != records {
        return Err(Damaged("state-staged").into());
    }
    txn.delete_table(STATE)?;
    txn.rename_table(STAGED, STATE)?;
    // Those kept for browsers that were away end before a gap.
    txn.delete_table(ENTRIES)?;
    txn.open_table(ENTRIES)?;
    Ok(())
}

/// What waits is laid over the new state, and whoever looks at the old one is told to look anew.
fn rebase(
    txn: &WriteTransaction,
    sync: &mut BoxSync,
    shared: &Shared,
    now_ms: u64,
    notice: &mut Notice,
) -> Result<Received, StoreError> {
    let kv = WriteKv::new(txn.open_table(STATE)?);
    let received = sync.switched(now_ms, &kv);
    let mut outbox = txn.open_table(OUTBOX)?;
    for position in &received.drop_outbox {
        outbox.remove(position)?;
    }
    notice.reload = true;
    let overlay = received.overlay_changes.iter().map(|change| Changed { index: None, change: change.clone() });
    notice.changes.extend(overlay);
    // Any account may have been locked or given another password in what was not seen entry by entry.
    notice.ended = end_sessions(txn, &sync.read(&kv), shared, &shared.sessions.accounts())?;
    kv.check()?;
    Ok(received)
}
