//! Browser <-> box over WebSocket: `GET /api/events?after=INDEX&device=DEVICE`.
//!
//! The server first sends [`Event::Hello`], then everything that the account may see and that came after `after`,
//! then goes on live. A browser that was away passes the highest index that it has seen.

use crate::{
    api::DeviceMarks,
    day::Day,
    id::{AccountId, LogIndex, RoomId, Seq},
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Events waiting for one slow browser; past it the connection is closed and the browser resumes by index.
pub const QUEUE_LEN_MAX: usize = 1024;
/// A resume over more entries than this is answered with [`Event::Reload`].
pub const RESUME_LEN_MAX: u64 = 10_000;

/// Server -> browser. `R`, `M`, `C` are `school::{RoomView, MessageView, ConferenceView}`.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event<R, M, C> {
    /// First of all: the newest confirmed index, the device's marks, and whether the core can be reached.
    Hello { head: LogIndex, marks: Option<DeviceMarks>, core_online: bool },
    /// A message is new, or has got its index. Identity is `(device, seq)`; `index` is null until secured.
    Message { head: LogIndex, message: M },
    /// A room is new, or its members, name, last message or unread count changed.
    Room { head: LogIndex, room: R },
    /// The account is no longer in the room.
    RoomGone { head: LogIndex, room: RoomId },
    /// Somebody (perhaps this account on another device) has read up to an index.
    Read { head: LogIndex, room: RoomId, account: AccountId, upto: LogIndex },
    /// A conference was opened or closed.
    Conference { head: LogIndex, conference: C },
    /// The timetable is another one now: ask for it again.
    Timetable { head: LogIndex },
    /// The exam plan is another one now: ask for it again.
    Exams { head: LogIndex },
    /// Something that concerns the account is other than it was on these days.
    Substituted { head: LogIndex, days: Vec<Day> },
    /// This device's operations moved on.
    Marks { marks: DeviceMarks },
    /// An operation that this device submitted was refused by the core when it came to its place.
    Rejected { seq: Seq, reason: String },
    /// The way to the core opened or closed.
    Core { online: bool },
    /// Too far behind, or the box's data was rebuilt: load the pages anew, then connect again.
    Reload { head: LogIndex },
    /// Answer to [`Command::Ping`], with the highest confirmed index.
    Pong { head: LogIndex },
    /// The session ended (logout elsewhere, account locked). The server closes after it.
    SessionEnded,
}

/// Browser -> server.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Heartbeat, every 10 s: `navigator.onLine` lies.
    Ping,
}
