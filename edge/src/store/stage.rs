//! What one commit does: operations, sessions and placements, staged one after the other.

use super::{
    Shared, StoreError, WriteError,
    kv::WriteKv,
    logins::{changed_accounts, end_session, end_sessions, open_session, put_session},
    space::Space,
    tables::{OUTBOX, PLACEMENTS, STATE},
    writer::Command,
};
use crate::live::{Changed, Notice};
use redb::WriteTransaction;
use schulhof_school::Operation;
use schulhof_sync::{BoxSync, Submit};
use schulhof_wire::{
    DeviceId,
    api::{SubmitAnswer, SubmitResult, SubmitState},
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Said when the commit has succeeded or failed.
pub(super) type Reply = Box<dyn FnOnce(Result<(), WriteError>)>;

/// What a commit has to do, and what is said afterwards.
#[derive(Default)]
pub(super) struct Staged {
    /// Operations that an answer promises to be on the disk, by position in the outbox.
    pub saved: Vec<(u64, Vec<u8>)>,
    /// Something else that an answer promises to be on the disk.
    pub durable: bool,
    /// Something that may be lost.
    pub soft: bool,
    pub notice: Notice,
    pub replies: Vec<Reply>,
}

pub(super) fn stage(
    txn: &WriteTransaction,
    sync: &mut BoxSync,
    shared: &Arc<Shared>,
    space: Space,
    commands: Vec<Command>,
    staged: &mut Staged,
) -> Result<(), StoreError> {
    let state = WriteKv::new(txn.open_table(STATE)?);
    for command in commands {
        match command {
            Command::Submit { reply, .. } if space < Space::Plenty => {
                let _ = reply.send(Err(WriteError::DiskFull));
            }
            Command::Submit { device, operations, reply } => {
                let answer = submit(txn, &state, sync, shared, &device, operations, staged)?;
                staged.after(reply, answer);
            }
            Command::Marks { device, reply } => {
                let marks = sync.marks(&state, &device);
                staged.after(reply, Ok(marks));
            }
            Command::OpenSession { reply, .. } if space == Space::Empty => {
                let _ = reply.send(Err(WriteError::DiskFull));
            }
            Command::OpenSession { open, reply } => {
                let opened = open_session(txn, &sync.read(&state), shared, open, staged)?;
                staged.after(reply, Ok(opened));
            }
            Command::CloseSession { key, reply } => {
                end_session(txn, shared, key, &mut staged.notice.ended)?;
                staged.durable = true;
                staged.after(reply, Ok(()));
            }
            Command::TouchSession { key } => {
                if let Some(session) = shared.sessions.touch(&key, 0) {
                    put_session(txn, &key, &session)?;
                    staged.soft = true;
                }
            }
            Command::PutPlacement { conference, placed } => {
                let mut table = txn.open_table(PLACEMENTS)?;
                match placed.map(|placed| postcard::to_stdvec(&placed).expect("a placement is always encodable")) {
                    Some(bytes) => table.insert(conference.as_str(), bytes.as_slice())?,
                    None => table.remove(conference.as_str())?,
                };
                staged.durable = true;
            }
            Command::Frame { .. } | Command::Recover => unreachable!("taken out before"),
        }
        state.check()?;
    }
    Ok(())
}

impl Staged {
    /// Answers after the commit.
    fn after<T: 'static>(&mut self, reply: oneshot::Sender<Result<T, WriteError>>, answer: Result<T, WriteError>) {
        self.replies.push(Box::new(move |committed| {
            // Whoever asked may be gone.
            let _ = reply.send(committed.and(answer));
        }));
    }
}

fn submit(
    txn: &WriteTransaction,
    state: &WriteKv<'_>,
    sync: &mut BoxSync,
    shared: &Shared,
    device: &DeviceId,
    operations: Vec<Operation>,
    staged: &mut Staged,
) -> Result<Result<SubmitAnswer, WriteError>, StoreError> {
    let mut results = Vec::with_capacity(operations.len());
    let mut changes = Vec::new();
    let mut outbox = txn.open_table(OUTBOX)?;
    let mut full = false;
    for operation in operations {
        let seq = operation.seq;
        let result = |state, reason: Option<&str>| SubmitResult { seq, state, reason: reason.map(str::to_owned) };
        results.push(match sync.submit(state, operation) {
            Submit::Saved { position, encoded, changes: new } => {
                outbox.insert(position, encoded.as_slice())?;
                staged.saved.push((position, encoded));
                changes.extend(new.into_iter().map(|change| Changed { index: None, change }));
                result(SubmitState::Saved, None)
            }
            Submit::Duplicate => result(SubmitState::Duplicate, None),
            Submit::Gap { .. } => result(SubmitState::Gap, None),
            Submit::Refused(reject) => {
                metrics::counter!("schulhof_edge_refused_total", "code" => reject.code()).increment(1);
                result(SubmitState::Refused, Some(reject.code()))
            }
            // The rest has no result: the device sends it again.
            Submit::Full => {
                full = true;
                break;
            }
        });
    }
    drop(outbox);
    if full && results.is_empty() {
        return Ok(Err(WriteError::Busy));
    }
    let saved = results.iter().filter(|result| result.state == SubmitState::Saved).count();
    metrics::counter!("schulhof_edge_operations_total").increment(saved as u64);
    let accounts = changed_accounts(&changes);
    let ended = end_sessions(txn, &sync.read(state), shared, &accounts)?;
    staged.durable |= !ended.is_empty();
    staged.notice.ended.extend(ended);
    staged.notice.changes.extend(changes);
    let marks = sync.marks(state, device);
    if saved > 0 {
        staged.notice.marks.retain(|before| before.device != *device);
        staged.notice.marks.push(marks.clone());
    }
    Ok(Ok(SubmitAnswer { results, marks }))
}
