//! Sessions as they are written: begun, ended, and ended with their account.

use super::{Shared, StoreError, stage::Staged, tables::SESSIONS, writer::OpenSession};
use crate::{
    clock::unix_ms,
    live::Changed,
    session::{Session, SessionKey, password_mark},
};
use redb::WriteTransaction;
use schulhof_school::{Change, Kv, view};
use schulhof_wire::AccountId;
use std::{collections::BTreeSet, sync::Arc};

pub(super) fn open_session(
    txn: &WriteTransaction,
    state: &impl Kv,
    shared: &Arc<Shared>,
    open: OpenSession,
    staged: &mut Staged,
) -> Result<bool, StoreError> {
    let OpenSession { key, session, replaces, kept } = open;
    if password_now(state, &session.account) != Some(session.password_mark) {
        return Ok(false);
    }
    for gone in shared.sessions.crowded_out(&session.account, unix_ms()).into_iter().chain(replaces) {
        end_session(txn, shared, gone, &mut staged.notice.ended)?;
    }
    if kept {
        put_session(txn, &key, &session)?;
        staged.durable = true;
    }
    // Known from here on, so that a lock or another password in the same commit ends it too. Nobody has the token yet.
    shared.sessions.insert(key, session, kept);
    let shared = shared.clone();
    staged.replies.push(Box::new(move |committed| {
        if committed.is_err() {
            shared.sessions.remove(&key);
        }
    }));
    Ok(true)
}

pub(super) fn put_session(txn: &WriteTransaction, key: &SessionKey, session: &Session) -> Result<(), StoreError> {
    let bytes = postcard::to_stdvec(session).expect("a session is always encodable");
    txn.open_table(SESSIONS)?.insert(&key.0[..], bytes.as_slice())?;
    Ok(())
}

pub(super) fn end_session(
    txn: &WriteTransaction,
    shared: &Shared,
    key: SessionKey,
    ended: &mut Vec<SessionKey>,
) -> Result<(), StoreError> {
    // At once, whether or not the commit succeeds: an ended session must not be used.
    shared.sessions.remove(&key);
    txn.open_table(SESSIONS)?.remove(&key.0[..])?;
    ended.push(key);
    Ok(())
}

/// Ends the sessions of accounts that are locked, gone, or have another password.
pub(super) fn end_sessions(
    txn: &WriteTransaction,
    state: &impl Kv,
    shared: &Shared,
    accounts: &BTreeSet<AccountId>,
) -> Result<Vec<SessionKey>, StoreError> {
    let mut ended = Vec::new();
    for account in accounts {
        let mark = password_now(state, account);
        for (key, session) in shared.sessions.of_account(account) {
            if mark != Some(session.password_mark) {
                end_session(txn, shared, key, &mut ended)?;
            }
        }
    }
    Ok(ended)
}

/// The mark of an account's password; none for those that may not sign in.
fn password_now(state: &impl Kv, account: &AccountId) -> Option<[u8; 32]> {
    let known = view::account(state, account).and_then(|known| view::credentials(state, &known.login));
    known.filter(|known| !known.locked).map(|known| password_mark(&known.password))
}

/// Accounts that were made, locked, unlocked or given another password.
pub(super) fn changed_accounts(changes: &[Changed]) -> BTreeSet<AccountId> {
    let accounts = changes.iter().filter_map(|changed| match &changed.change {
        Change::Account { account } => Some(account.clone()),
        _ => None,
    });
    accounts.collect()
}
