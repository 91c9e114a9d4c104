//! The state of a group's schools: what the log's entries have led to, in one redb file per group.
//!
//! What this is: the replicated state machine. Each operation of a batch is given its place by `schulhof_sync::order`;
//! entries, the schools' state, the last applied log id and the membership change in one transaction. What it must not
//! do: look at clocks or configuration while applying, since all replicas must come to the same bytes.
//!
//! What is applied is not durable at once: the log is, and is replayed from the last durable commit. That comes after a
//! bounded amount of work, and before anything is purged from the log.
//!
//! - `file`: redb's file, and when it is committed; `recent`: the last entries, in memory
//! - `kv`: `schulhof_school`'s store over a redb table
//! - [`place`]: whether this group serves a school, and at which epoch
//! - `store`: applying and reading
//! - `machine`: openraft's traits
//! - `snapshot`: all of it as a stream of chunks, for a node that was away for too long
//! - [`stored`]: which states of schools lie in the object store
//! - [`tail`]: how much of a school's log is kept
//! - [`school`]: one school's part of it as a stream of chunks, for whoever needs a school and not a group

mod file;
mod kv;
mod machine;
pub mod place;
mod recent;
pub mod school;
mod snapshot;
mod store;
pub mod stored;
pub mod tail;

pub use machine::Machine;
pub use snapshot::{Chunk, Dump, Received, SnapshotData};
pub use store::Store;

/// One line, as an IO error: what openraft takes from a storage.
fn io_error(error: impl Into<redb::Error>) -> std::io::Error {
    match error.into() {
        redb::Error::Io(e) => e,
        other => std::io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod place_tests;
#[cfg(test)]
mod school_tests;
#[cfg(test)]
mod tests;
