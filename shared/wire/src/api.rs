//! Browser <-> box over HTTP: JSON bodies. The entities themselves (`RoomView`, `MessageView`, operation bodies) are
//! types of `shared/school`; here stands what surrounds them.

use crate::{
    blob::BlobHash,
    id::{AccountId, DeviceId, Hlc, LogIndex, NodeName, SchoolId, Seq},
    pass::GatewayView,
    ticket::NodeKind,
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Largest JSON body that the box reads, in bytes. Checked before parsing.
pub const BODY_LEN_MAX: usize = 256 * 1024;
/// Most operations in one submission; a browser with more sends several.
pub const SUBMIT_OPERATIONS_MAX: usize = 200;
/// Most messages in one page of history.
pub const PAGE_LEN_MAX: u32 = 200;

/// `POST /api/login`.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    pub login: String,
    pub password: String,
}

/// `GET /api/session`, and the answer to a login.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct SessionView {
    pub account: AccountId,
    pub login: String,
    pub name: String,
    /// `pupil`, `teacher` or `admin`.
    pub role: String,
    pub school: SchoolId,
    pub school_name: String,
    pub served_by: NodeName,
    pub served_by_kind: NodeKind,
    /// Whether the core can be reached right now.
    pub core_online: bool,
    /// The password is the first one, from a sheet of paper: nothing but `POST /api/password` is taken before.
    #[serde(default)]
    pub must_change_password: bool,
    /// Where to go when this node cannot be reached; absent if there is no gateway, or this is it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[ts(optional)]
    pub gateway: Option<GatewayView>,
}

/// `POST /api/operations`: numbered on by the device, at most [`SUBMIT_OPERATIONS_MAX`]. `B` is `school::Body`.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest<B> {
    /// Who wrote, as far as the page knows. The actor is the session's account all the same; if somebody else has signed in
    /// on the same browser meanwhile, nothing is taken (401 `other-account`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[ts(optional)]
    pub account: Option<AccountId>,
    pub device: DeviceId,
    pub operations: Vec<Submitted<B>>,
}

/// One operation as a browser writes it; the box adds the actor from the session.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Submitted<B> {
    pub seq: Seq,
    pub at: Hlc,
    pub body: B,
}

/// The answer: sent after the operations are durable on the box.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct SubmitAnswer {
    pub results: Vec<SubmitResult>,
    /// Where the device stands now.
    pub marks: DeviceMarks,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SubmitResult {
    pub seq: Seq,
    pub state: SubmitState,
    /// With `refused`: the stable code of the reason (`not-a-member`, ...).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[ts(optional)]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum SubmitState {
    /// Durable on this box, first mark.
    Saved,
    /// Was submitted before; counts once.
    Duplicate,
    /// Numbers before this one are missing: send from `marks.saved + 1`.
    Gap,
    /// The rules forbid it. It has no number in the log: the device uses the number for its next operation.
    Refused,
}

/// `GET /api/devices/{device}`: how far a device's operations have come. Also part of answers and live events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct DeviceMarks {
    pub device: DeviceId,
    /// Highest number that is durable on the box.
    pub saved: Seq,
    /// Highest number that a majority of the core has committed.
    pub secured: Seq,
}

/// Body of `GET /api/rooms/{room}/messages?before=&limit=`. `M` is `school::MessageView`, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct Page<M> {
    pub items: Vec<M>,
    /// Pass as `before` to get what is older; none at the beginning.
    pub older: Option<LogIndex>,
}

/// `POST /api/blobs`: begins an upload, or asks how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// Bytes, 1 to [`BLOB_LEN_MAX`](crate::blob::BLOB_LEN_MAX).
    #[ts(type = "number")]
    pub size: u64,
    /// BLAKE3 of all bytes.
    pub hash: BlobHash,
}

/// The answer: go on at `have`. With `have` = `size` the blob is here and may be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct UploadAnswer {
    /// Names the upload: the hash.
    pub upload: BlobHash,
    /// Bytes of each `PUT /api/blobs/{upload}?offset=` but the last.
    #[ts(type = "number")]
    pub chunk_len: u64,
    #[ts(type = "number")]
    pub have: u64,
}

/// Answer to `PUT /api/blobs/{upload}?offset=`: bytes that are here, durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct UploadProgress {
    #[ts(type = "number")]
    pub have: u64,
}

/// `POST /api/conferences/{conference}/ticket`.
// One per join, built and sent: a box around the claims would gain nothing.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TicketAnswer {
    Granted {
        /// To be shown to the media node as it is.
        ticket: String,
        claims: crate::ticket::Claims,
    },
    /// Nothing is free: come back after the (jittered) time.
    Queued { position: u32, retry_after_ms: u32 },
}
