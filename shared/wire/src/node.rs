//! Box <-> core and box <-> relay over QUIC with mutual TLS (ALPN per door): postcard frames, each behind its length as
//! u32 big endian, bounded by [`FRAME_LEN_MAX`] before a byte is read. The first frame of a stream names the version.
//!
//! Who speaks is known from the certificate alone; a school named in a frame must be the certificate's own (an operator
//! may name any).

use crate::id::{ConferenceId, LogIndex, NodeName, SchoolId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Version of the frames of reservations.
pub const VERSION: u16 = 1;
/// Version of the frames of sync. A node speaks its own and the one before: whoever connects names one, and is answered in it.
pub const SYNC_VERSION: u16 = 2;
/// The oldest version of sync that is spoken. Without [`ToBox::Snapshot`] and [`ToBox::RedirectTo`].
pub const SYNC_VERSION_MIN: u16 = 1;
/// Box (or operator) to core: the log.
pub const ALPN_SYNC: &[u8] = b"schulhof-sync/1";
/// Core to core: Raft.
pub const ALPN_RAFT: &[u8] = b"schulhof-raft/1";
/// Box to relay: reservations.
pub const ALPN_RESERVE: &[u8] = b"schulhof-reserve/1";
/// Two media nodes about the rooms that are at both: box -> relay (PROTOCOL.md section 6.1).
pub const ALPN_TRUNK: &[u8] = b"schulhof-trunk/1";

/// Largest frame in bytes.
pub const FRAME_LEN_MAX: usize = 4 << 20;
/// Most operations in one [`ToCore::Submit`].
pub const BATCH_LEN_MAX: usize = 1_000;
/// Largest encoded operation in bytes.
pub const OPERATION_LEN_MAX: usize = 64 * 1024;

/// An encoded `school::Operation` (JSON), opaque here so that nodes of neighbouring versions pass on what they don't know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedOperation(#[serde(with = "serde_bytes")] pub Vec<u8>);

/// Box -> core on the sync stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToCore {
    /// First frame. `after` is the last index that the box holds.
    Hello { version: u16, software: String, school: SchoolId, after: LogIndex },
    /// Operations in the order of each device's numbers. Sent again after a reconnect until they come back as entries.
    Submit { batch: u64, operations: Vec<EncodedOperation> },
    /// Keep-alive on the level of the log; answered by [`ToBox::Head`].
    Ping,
}

/// Core -> box on the sync stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToBox {
    /// First frame. `head` is the school's last committed index.
    Welcome {
        version: u16,
        head: LogIndex,
    },
    /// Another node leads the school's group: go there. None known: try any, later.
    Redirect {
        leader: Option<NodeName>,
    },
    /// Ordered, committed entries, following on the last one without a gap.
    Entries {
        entries: Vec<Entry>,
    },
    /// The batch was committed (its entries come by [`ToBox::Entries`]); operations that were duplicates make no entry.
    Committed {
        batch: u64,
    },
    Head {
        head: LogIndex,
    },
    /// Not now: nothing of the batch was taken.
    Busy {
        batch: u64,
        retry_after_ms: u32,
    },
    /// Not ever: the connection ends. `code` is stable: `wrong-school`, `unknown-school`, `version`, `malformed`, `ahead`,
    /// `behind`.
    Refused {
        code: String,
        detail: String,
    },
    /// From version 2 on. Instead of entries, to a replica that holds nothing and would need many, or that lacks entries
    /// which are no longer kept: an encoded `chunk::SchoolChunk` of the school's state, from `Begin` to `End`. Entries
    /// follow from the one after the state's on.
    Snapshot {
        #[serde(with = "serde_bytes")]
        chunk: Vec<u8>,
    },
    /// From version 2 on. After the last [`ToBox::Snapshot`]: of the entries before it the recent ones that were rejected, so
    /// that who wrote them can be told.
    Verdicts {
        entries: Vec<Entry>,
    },
    /// From version 2 on. [`ToBox::Redirect`] to a node that the box may not have heard of.
    RedirectTo {
        leader: NodeName,
        address: SocketAddr,
    },
}

/// One place in a school's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub index: LogIndex,
    pub operation: EncodedOperation,
    /// `None`: accepted. `Some(code)`: rejected with that stable reason; still an entry, so that all replicas agree.
    pub rejected: Option<String>,
}

/// Box -> relay on a reservation stream (one request, one answer).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRelay {
    /// Room for `participants` in a conference of the box's school, until released or not renewed for
    /// [`RESERVATION_TTL_MS`]. Asking again for the same room replaces the number.
    Reserve {
        version: u16,
        room: ConferenceId,
        participants: u32,
    },
    Release {
        version: u16,
        room: ConferenceId,
    },
    Load {
        version: u16,
    },
    /// As [`ToRelay::Reserve`], by a gateway for one of its schools.
    ReserveFor {
        version: u16,
        school: SchoolId,
        room: ConferenceId,
        participants: u32,
    },
    /// As [`ToRelay::Release`], by a gateway.
    ReleaseFor {
        version: u16,
        school: SchoolId,
        room: ConferenceId,
    },
    /// By a box: it carries this conference again, its people may come home.
    Return {
        version: u16,
        room: ConferenceId,
    },
    /// By an operator: nobody is taken in any more, everybody is asked to move, and the relay ends when it is empty. Asking
    /// again tells how far it is.
    Drain {
        version: u16,
    },
}

/// Code of a relay that promises nothing any more.
pub const DRAINING: &str = "draining";

/// A reservation that is not renewed for this long ends.
pub const RESERVATION_TTL_MS: u64 = 60_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromRelay {
    Reserved,
    /// Nothing free; `position` counts who waits.
    Full {
        position: u32,
        retry_after_ms: u32,
    },
    Released,
    Load {
        participants: u32,
        reserved: u32,
        participants_max: u32,
    },
    Refused {
        code: String,
        detail: String,
    },
    /// Those in the room are asked.
    Asked,
    /// So many are left.
    Draining {
        participants: u32,
        rooms: u32,
    },
}
