//! What can go wrong with the box's disk, from the operation's point of view.

use super::{journal::JournalError, tables::Damaged};

/// Why the store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    // Not sources: the text holds them, and chains print their sources again.
    #[error("the box's store cannot be opened: {0}")]
    Open(redb::DatabaseError),
    #[error("the box's store: {0}")]
    Redb(redb::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the box's store: a broken invariant (see the log)")]
    Panicked,
    #[error("the writer's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        Self::Open(error)
    }
}

macro_rules! from_redb {
    ($($error:ident),+) => {$(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> Self {
                Self::Redb(error.into())
            }
        }
    )+};
}

from_redb!(StorageError, TableError, TransactionError, CommitError, SetDurabilityError);

/// Why something was not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("too little free disk space")]
    DiskFull,
    #[error("the disk failed")]
    Storage,
    #[error("more waits than the box can hold")]
    Busy,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the store is being opened again")]
    Closed,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("reading was interrupted")]
    Interrupted,
}

impl From<redb::StorageError> for ReadError {
    fn from(error: redb::StorageError) -> Self {
        Self::Store(error.into())
    }
}

impl From<redb::TableError> for ReadError {
    fn from(error: redb::TableError) -> Self {
        Self::Store(error.into())
    }
}

impl From<redb::TransactionError> for ReadError {
    fn from(error: redb::TransactionError) -> Self {
        Self::Store(error.into())
    }
}
