//! Bringing a timetable in from the files of a timetable program: what the box tells a browser about one. As with lists of
//! people ([`import`](crate::import)): read and compared first, applied when an admin says so.

use crate::{
    day::Day,
    id::{DeviceId, Hlc},
    import::{ListFormat, ListProblem},
};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Largest file in bytes: some 60,000 rows.
pub const FILE_LEN_MAX: usize = 4 << 20;
/// Most lines of a comparison that are shown.
pub const LINES_SHOWN_MAX: usize = 200;

/// `POST /api/timetable/imports?kind=`: what the file would change. The body is the file as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TimetableDraft {
    /// Names the import; to be applied under this name.
    pub import: DeviceId,
    pub kind: FileKind,
    pub format: ListFormat,
    /// The first day for which it would hold.
    pub from: Day,
    /// Lessons or substitutions in the file.
    #[ts(type = "number")]
    pub entries: usize,
    #[ts(type = "number")]
    pub added_count: usize,
    #[ts(type = "number")]
    pub removed_count: usize,
    /// The first [`LINES_SHOWN_MAX`] of each.
    pub added: Vec<TimetableLine>,
    pub removed: Vec<TimetableLine>,
    /// Classes in the file that no group of the school is called like: nobody would see their lessons.
    pub unknown_classes: Vec<String>,
    /// With any, the file cannot be applied.
    pub problems: Vec<ListProblem>,
}

/// Which of the program's files it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// GPU001: the lessons of a week.
    Plan,
    /// GPU014: substitutions.
    Changes,
    /// GPU002: in which weeks the plan's lessons are held.
    Weeks,
    /// GPU009: break duties.
    Duties,
}

/// `GET /api/timetable/watch`: the folder on the box in which a timetable program leaves its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct WatchView {
    /// Whether this node has such a folder.
    pub folder: bool,
    /// What became of each file since the node began.
    pub files: Vec<WatchedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct WatchedFile {
    pub name: String,
    pub kind: FileKind,
    pub at: Hlc,
    pub state: WatchedState,
    #[ts(type = "number")]
    pub entries: usize,
    /// The first few.
    pub problems: Vec<ListProblem>,
    /// Why it was refused.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum WatchedState {
    Applied,
    /// Said what is known.
    Same,
    /// Nothing was changed.
    Broken,
    /// Could not be read, or a rule forbade it.
    Refused,
}

/// A lesson or a substitution in a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TimetableLine {
    /// 1 is Monday.
    pub day: u8,
    /// Of a substitution.
    pub date: Option<Day>,
    /// Of a substitution: what happens, as in `ChangeKind`.
    pub kind: Option<String>,
    pub period: u8,
    pub classes: String,
    pub teachers: String,
    pub subject: String,
    pub rooms: String,
}
