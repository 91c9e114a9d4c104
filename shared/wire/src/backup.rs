//! Backups: whole schools out of the core, and back into an empty one (ALPN [`ALPN_BACKUP`]). Operators only.
//!
//! One stream per question. What a school is made of is opaque here: chunks as the core encodes them, each with its own version and
//! checksum, of which a dump has `Begin`, any number of others, and `End` with hashes over everything.

use crate::id::{NodeName, SchoolId};
use serde::{Deserialize, Serialize};

/// Operator to core: backups.
pub const ALPN_BACKUP: &[u8] = b"schulhof-backup/1";
/// Version of the frames below.
pub const VERSION: u16 = 1;
/// Most schools in one [`FromCore::Schools`].
pub const SCHOOLS_MAX: usize = 10_000;

/// To the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToCore {
    /// Which schools are served? Any node answers.
    Schools { version: u16, after: Option<SchoolId> },
    /// A school as it is now: state and entries. The leader of its group answers, which has applied all that was committed
    /// before.
    Dump { version: u16, school: SchoolId },
}

/// From the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromCore {
    /// In order; fewer than [`SCHOOLS_MAX`]: these were the last.
    Schools { schools: Vec<SchoolId> },
    /// Part of a dump, as the core encodes it.
    Chunk { bytes: Vec<u8> },
    /// The dump was sent whole. A stream that ends without it is cut.
    Whole,
    /// Another node leads the school's group: ask there. None known: ask any, later.
    Redirect { leader: Option<NodeName> },
    /// Too many dumps are under way on this node.
    Busy { retry_after_ms: u32 },
    /// Not ever. `code` is stable: `wrong-role`, `unknown-school`, `version`, `malformed`.
    Refused { code: String, detail: String },
}
