//! What nodes and browsers say to each other: versioned message types, and nothing else.
//!
//! Place: the leaf of the workspace. Everything may use it, it uses no other crate of ours.
//! It holds no behaviour beyond encoding, limits and validation of identifiers: no clock, no sockets,
//! no randomness. `PROTOCOL.md` beside this crate describes the same messages in words; a change here
//! changes it in the same commit.
//!
//! - [`id`]: names of things (school, account, room, device, ...)
//! - [`api`]: browser <-> box over HTTP
//! - [`import`]: browser <-> box over HTTP: a list of the school's people
//! - [`timetable`]: browser <-> box over HTTP: files of a timetable program
//! - [`day`]: calendar days
//! - [`live`]: browser <-> box over WebSocket
//! - [`pass`]: what lets a browser of a box into the gateway
//! - [`ticket`]: what lets a browser into a media node
//! - [`media`]: browser <-> media node (join, control channel)
//! - [`node`]: box <-> core and box <-> relay over QUIC
//! - [`admin`]: operator <-> core over QUIC
//! - [`blob`]: blobs, over QUIC
//! - [`backup`]: operator <-> core over QUIC: whole schools
//! - [`chunk`]: a school's state in parts, for replicas, moves and backups
//! - [`enrol`]: how a box gets its certificate, over QUIC
//! - [`problem`]: errors as `application/problem+json` (RFC 9457)

pub mod admin;
pub mod api;
pub mod backup;
pub mod blob;
pub mod chunk;
pub mod day;
pub mod enrol;
pub mod id;
pub mod import;
pub mod live;
pub mod media;
pub mod node;
pub mod pass;
pub mod problem;
pub mod ticket;
pub mod timetable;

pub use blob::BlobHash;
pub use day::Day;
pub use id::{AccountId, ConferenceId, DeviceId, ExamId, GroupId, Hlc, LogIndex, NodeName, RoomId, SchoolId, Seq};
