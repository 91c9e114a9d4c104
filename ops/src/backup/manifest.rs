//! What a run writes down, as JSON: `age --decrypt` shows it to whoever has the identity.

use schulhof_core::state::school::{SchoolChunk, Summary};
use schulhof_wire::{BlobHash, LogIndex, SchoolId};
use serde::{Deserialize, Serialize};

/// Version of [`Run`]: 2 has the schools' blobs in the folder, and enrolment.
pub const VERSION: u32 = 2;
pub const VERSION_MIN: u32 = 1;
/// Version of [`Index`].
pub const INDEX_VERSION: u32 = 1;

/// Keyed BLAKE3 of an object's content.
pub type Name = BlobHash;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub version: u32,
    /// What wrote it.
    pub software: String,
    /// When it began, as it is named.
    pub taken: String,
    /// Key of the objects' names.
    pub name_key: BlobHash,
    pub schools: Vec<SchoolRun>,
    /// Schools that were to be in it and are not.
    pub failed: Vec<Failed>,
    /// The core's CA, its invitations and boxes. None: they could not be read, or the run is of version 1.
    #[serde(default)]
    pub enrolment: Option<Vec<Part>>,
}

impl Run {
    /// Whether what messages name is in the folder.
    pub fn has_blobs(&self) -> bool {
        self.version >= 2
    }
}

/// A school as of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchoolRun {
    pub school: SchoolId,
    /// The state is that after this entry.
    pub head: LogIndex,
    /// First entry that the core had kept.
    pub first: LogIndex,
    pub records: u64,
    /// `schulhof_school::view::state_hash`.
    pub state_hash: BlobHash,
    pub entries_hash: BlobHash,
    /// Object with the [`Index`].
    pub index: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    pub school: SchoolId,
    pub why: String,
}

/// Of what a school is made, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    pub version: u32,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub name: Name,
    /// Length of the content.
    pub len: u64,
    /// What is in it, for whoever must do without it.
    pub what: String,
}

impl SchoolRun {
    pub fn new(school: SchoolId, summary: &Summary, index: Name) -> Self {
        Self {
            school,
            head: summary.head,
            first: summary.first,
            records: summary.records,
            state_hash: BlobHash(summary.state_hash),
            entries_hash: BlobHash(summary.entries_hash),
            index,
        }
    }

    pub fn summary(&self) -> Summary {
        Summary {
            head: self.head,
            first: self.first,
            records: self.records,
            state_hash: self.state_hash.0,
            entries_hash: self.entries_hash.0,
        }
    }
}

/// What a chunk holds, in words. Keys begin with a letter for what they are.
pub fn describe(chunk: &SchoolChunk) -> String {
    match chunk {
        SchoolChunk::State(records) => {
            let kind = |record: Option<&(Vec<u8>, Vec<u8>)>| record.map_or("nothing", |(key, _)| kind_of(key));
            let (first, last) = (kind(records.first()), kind(records.last()));
            if first == last { format!("state, {first}") } else { format!("state, {first} to {last}") }
        }
        SchoolChunk::Entries(entries) => match (entries.first(), entries.last()) {
            (Some((first, _)), Some((last, _))) => format!("log, entries {first} to {last}"),
            _ => "log, no entries".into(),
        },
        SchoolChunk::Begin { .. } | SchoolChunk::End(_) => "frame".into(),
    }
}

/// As `schulhof_school` lays out its keys, in their order.
fn kind_of(key: &[u8]) -> &'static str {
    match key.first() {
        Some(b'G') => "groups of accounts",
        Some(b'R') => "rooms of accounts",
        Some(b'a') => "accounts",
        Some(b'b') => "attached files",
        Some(b'c') => "conferences",
        Some(b'd' | b'f') => "devices",
        Some(b'g') => "groups",
        Some(b'h') => "head",
        Some(b'l') => "logins",
        Some(b'm') => "members",
        Some(b'o') => "open conferences",
        Some(b'p') => "passwords",
        Some(b'r') => "rooms",
        Some(b's') => "school",
        Some(b't') => "messages",
        Some(b'x') => "attachments",
        _ => "records of a newer program",
    }
}
