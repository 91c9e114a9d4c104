//! Bringing a school's people in from a list: what the box tells a browser about it. The box reads the file and says what it
//! would change ([`ImportPlan`]); nothing happens before the admin says so.

use crate::id::{AccountId, DeviceId, Hlc};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Largest list in bytes: some 20,000 people.
pub const LIST_LEN_MAX: usize = 4 << 20;
/// Most problems that are named.
pub const PROBLEMS_MAX: usize = 100;

/// `POST /api/imports?role=`: what the list would change. The body is the file as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImportPlan {
    /// Names the import; to be applied under this name.
    pub import: DeviceId,
    pub format: ListFormat,
    /// People in the list.
    #[ts(type = "number")]
    pub rows: usize,
    pub new_groups: Vec<String>,
    pub new_people: Vec<NewPerson>,
    pub changed: Vec<ChangedPerson>,
    /// In the list before and not any more: their accounts are locked.
    pub leavers: Vec<Leaver>,
    /// People about whom nothing changes.
    #[ts(type = "number")]
    pub unchanged: usize,
    /// With any, the list cannot be applied. The first [`PROBLEMS_MAX`].
    pub problems: Vec<ListProblem>,
}

/// How the file was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ListFormat {
    /// `utf-8`, `iso-8859-15` or `windows-1252`.
    pub encoding: String,
    /// `;`, `,` or a tab.
    pub delimiter: char,
    pub columns: Vec<ListColumn>,
}

/// A column of the list, and what it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ListColumn {
    pub name: String,
    /// `None`: it is not used.
    pub field: Option<ListField>,
}

/// What a column may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ListField {
    /// The number under which the school's administration knows the person: the same person in every list.
    Record,
    FirstName,
    LastName,
    /// First and last name in one.
    Name,
    /// Class; several parted by `~` or `,`.
    Class,
    Role,
    Login,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct NewPerson {
    pub account: AccountId,
    pub name: String,
    pub login: String,
    pub role: String,
    pub classes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ChangedPerson {
    pub account: AccountId,
    /// As the list says.
    pub name: String,
    /// If the list says another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[ts(optional)]
    pub name_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[ts(optional)]
    pub role: Option<String>,
    pub joins: Vec<String>,
    pub leaves: Vec<String>,
    /// Was locked as a leaver, and is in the list again.
    pub returns: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Leaver {
    pub account: AccountId,
    pub name: String,
}

/// What is wrong with the list, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ListProblem {
    /// Line of the file, from 1; 0: the whole file.
    #[ts(type = "number")]
    pub line: usize,
    /// Column of the list, from 1; 0: the whole line.
    #[ts(type = "number")]
    pub column: usize,
    /// `no-header`, `missing-column`, `broken-quotes`, `too-few-fields`, `empty-field`, `bad-name`, `bad-login`, `login-taken`,
    /// `bad-role`, `twice`, `too-long`, `not-text`, `too-many-rows`.
    pub code: String,
    /// The value that was found, shortened; or the name of what is missing.
    pub value: String,
}

/// `POST /api/imports/{import}/apply`: done. The passwords are shown this once and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImportDone {
    pub passwords: Vec<FirstPassword>,
}

/// For a sheet of paper: must be changed at the first signing in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct FirstPassword {
    pub account: AccountId,
    pub name: String,
    pub login: String,
    pub password: String,
    pub classes: Vec<String>,
}

/// `GET /api/imports`: one that was applied, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ImportView {
    pub import: DeviceId,
    pub at: Hlc,
    pub by_name: String,
    pub created: u32,
    pub changed: u32,
    pub locked: u32,
    /// Whether it can be undone: the newest one only.
    pub may_undo: bool,
}

/// `POST /api/password`: the own one.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    pub old: String,
    pub new: String,
}
