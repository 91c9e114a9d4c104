//! Backups: whole schools out of the core, and back into an empty one (ALPN [`ALPN_BACKUP`]). Operators only.
//!
//! One stream per question. What a school is made of is opaque here: chunks as the core encodes them, each with its own version and
//! checksum, of which a dump has `Begin`, any number of others, and `End` with hashes over everything.

use crate::{
    blob::BlobHash,
    id::{LogIndex, NodeName, SchoolId},
};
use serde::{Deserialize, Serialize};

/// Operator to core: backups.
pub const ALPN_BACKUP: &[u8] = b"schulhof-backup/1";
/// Version of the frames below.
pub const VERSION: u16 = 1;
/// Most schools in one [`FromCore::Schools`].
pub const SCHOOLS_MAX: usize = 10_000;
/// A frame with records ends when their bytes have reached this.
pub const RECORDS_LEN: usize = 256 << 10;

/// To the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToCore {
    /// Which schools are served? Any node answers.
    Schools { version: u16, after: Option<SchoolId> },
    /// A school as it is now: state and entries. The leader of its group answers, which has applied all that was committed
    /// before.
    Dump { version: u16, school: SchoolId },
    /// The school shall have a place in the core, if it has none. The leader of the meta group answers.
    Place { version: u16, school: SchoolId },
    /// A dump is to be loaded: after [`FromCore::Ready`] the chunks follow as [`ToCore::Chunk`], on the same stream, from `Begin` to
    /// `End`. `replace`: what is there is thrown away. The leader of its group answers.
    Load { version: u16, school: SchoolId, replace: bool },
    /// Part of a dump.
    Chunk {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The school was loaded at that epoch and is to be served there. The leader of the meta group answers.
    Serve { version: u16, school: SchoolId, epoch: u64 },
    /// The CA with its key sealed, invitations and boxes, as of one moment. The leader of the meta group answers.
    Enrolment { version: u16 },
    /// Records of enrolment go back into a core that has no CA. The one with the CA comes last: afterwards nothing is taken any more.
    /// The leader of the meta group answers.
    LoadEnrolment { version: u16, records: Vec<Record> },
}

/// Key and value as the core keeps them.
pub type Record = (Vec<u8>, Vec<u8>);

/// From the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCore {
    /// In order; fewer than [`SCHOOLS_MAX`]: these were the last.
    Schools { schools: Vec<SchoolId> },
    /// Part of a dump, as the core encodes it.
    Chunk {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The dump was sent whole. A stream that ends without it is cut.
    Whole,
    /// Another node leads the school's group: ask there. None known: ask any, later.
    Redirect { leader: Option<NodeName> },
    /// Too many dumps are under way on this node.
    Busy { retry_after_ms: u32 },
    /// Not ever. `code` is stable: `wrong-role`, `unknown-school`, `version`, `malformed`; to [`ToCore::Load`] also `not-empty`, `damaged`,
    /// `moved`, `not-in-order`; to [`ToCore::Serve`] also `epoch`; to [`ToCore::LoadEnrolment`]
    /// also `ca-exists`, `damaged`.
    Refused { code: String, detail: String },
    /// Chunks are taken.
    Ready,
    /// The school is loaded, and nothing is taken for it until it is served. Head and state hash are of what stands in the core's tables.
    Loaded { epoch: u64, head: LogIndex, state_hash: BlobHash },
    /// To [`ToCore::Place`], [`ToCore::Serve`] and [`ToCore::LoadEnrolment`].
    Done,
    /// Records of enrolment; [`FromCore::Whole`] follows on the last.
    Records { records: Vec<Record> },
}
