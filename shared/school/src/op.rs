//! Operations: what a person or a door does. JSON in the log, so that neighbouring versions can read each other.

use crate::{exam, timetable};
use schulhof_wire::{AccountId, BlobHash, ConferenceId, Day, DeviceId, ExamId, GroupId, Hlc, LogIndex, RoomId, Seq};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Longest text of a message in bytes.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024;
/// Longest name of a person, group, room or conference in characters.
pub const NAME_LEN_MAX: usize = 120;
/// Most members named in one operation.
pub const MEMBERS_LEN_MAX: usize = 2_000;
/// Most changes in a part of an import, and most parts.
pub const PART_CHANGES_MAX: usize = 1_000;
pub const IMPORT_PARTS_MAX: u32 = 256;
/// Longest name of a record in a list of the school's administration, in bytes.
pub const RECORD_LEN_MAX: usize = 64;
/// Most attachments of a message.
pub const ATTACHMENTS_MAX: usize = 10;
/// Longest media type in bytes (RFC 6838 allows 127 for each half; none in use comes near).
pub const MIME_LEN_MAX: usize = 127;

/// One operation. `(device, seq)` is its identity: submitted twice, on whichever way, it counts once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Operation {
    pub device: DeviceId,
    pub seq: Seq,
    /// Who acts: put in by the door from the session, never taken from a browser.
    pub actor: Actor,
    pub at: Hlc,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Account(AccountId),
    /// The cloud operator: creates a school's first accounts. Accepted by the core from an operator's certificate only.
    Operator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Pupil,
    Teacher,
    Admin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    Class,
    Course,
    Staff,
}

/// What is done. New kinds are added, old ones never change their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", deny_unknown_fields)]
pub enum Body {
    /// Name of the school; operator or admin.
    #[serde(rename = "school.name")]
    SchoolName { name: String },

    /// `login` is unique in the school, lower case. `password` is an argon2id hash in PHC form, never a password.
    #[serde(rename = "account.create")]
    AccountCreate { account: AccountId, login: String, name: String, role: Role, password: String },
    #[serde(rename = "account.password")]
    AccountPassword { account: AccountId, password: String },
    #[serde(rename = "account.lock")]
    AccountLock { account: AccountId, locked: bool },

    /// A part of an import, from 0: what it will change. Kept aside; part 0 forgets what was kept before.
    #[serde(rename = "import.part")]
    ImportPart { import: DeviceId, part: u32, changes: Vec<PeopleChange> },
    /// Does what the import's parts say, in their order: all of it, or nothing if a rule forbids any.
    #[serde(rename = "import.apply")]
    ImportApply { import: DeviceId, parts: u32 },
    /// Takes back the newest import. What people have done since stays: an account that was used is locked, not removed.
    #[serde(rename = "import.undo")]
    ImportUndo { import: DeviceId },

    /// A group has a messenger room of its own, named like the group's id.
    #[serde(rename = "group.create")]
    GroupCreate { group: GroupId, name: String, kind: GroupKind },
    #[serde(rename = "group.members")]
    GroupMembers { group: GroupId, add: Vec<AccountId>, remove: Vec<AccountId> },

    /// A free room of named people: teachers and admins open one.
    #[serde(rename = "room.create")]
    RoomCreate { room: RoomId, name: String, members: Vec<AccountId> },
    #[serde(rename = "room.members")]
    RoomMembers { room: RoomId, add: Vec<AccountId>, remove: Vec<AccountId> },
    /// The room of two people. Its id is made from both accounts (see `view::direct_room_id`), so that both ends that create it
    /// offline create the same; creating it again is accepted and changes nothing.
    #[serde(rename = "room.direct")]
    RoomDirect { with: AccountId },

    #[serde(rename = "message.post")]
    MessagePost {
        room: RoomId,
        /// May be empty if something is attached.
        text: String,
        /// Not written when there are none: operations from before keep their bytes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[ts(optional, as = "Option<Vec<Attachment>>")]
        attachments: Vec<Attachment>,
    },
    /// Has read everything up to a confirmed index. Marks only move forward.
    #[serde(rename = "read.mark")]
    ReadMark { room: RoomId, upto: LogIndex },

    /// Opens a conference in a messenger room: its members may join. `expected` people are reserved for (default: the members).
    #[serde(rename = "conference.open")]
    ConferenceOpen { conference: ConferenceId, room: RoomId, title: String, expected: Option<u32> },
    #[serde(rename = "conference.close")]
    ConferenceClose { conference: ConferenceId },

    /// Bells, A and B weeks, and whether pupils see who teaches.
    #[serde(rename = "timetable.settings")]
    TimetableSettings { settings: timetable::Settings },
    /// A part of a timetable, from 0. Kept aside; part 0 forgets what was kept before.
    #[serde(rename = "timetable.part")]
    TimetablePart { import: DeviceId, part: u32, items: Vec<timetable::Item> },
    /// Makes the parts a plan, or nothing if a rule forbids any.
    #[serde(rename = "timetable.apply")]
    TimetableApply { import: DeviceId, parts: u32, scope: timetable::Scope },
    /// Takes a plan away, named like its import: what it lay over holds again.
    #[serde(rename = "timetable.remove")]
    TimetableRemove { plan: DeviceId },
    /// Who a teacher's short name is; nobody: none any more.
    #[serde(rename = "timetable.teacher")]
    TimetableTeacher { short: String, account: Option<AccountId> },
    /// A text for everybody about a day; empty: none.
    #[serde(rename = "timetable.day")]
    TimetableDay { day: Day, text: String },
    /// The info screen in the lobby is found under a secret, of which this is the BLAKE3; none: there is no screen.
    #[serde(rename = "timetable.screen")]
    TimetableScreen { key: Option<BlobHash> },
    /// Whether boxes apply files from their folder, in the name of who says so.
    #[serde(rename = "timetable.watch")]
    TimetableWatch { on: bool },
    /// Changes a plan by hand.
    #[serde(rename = "timetable.edit")]
    TimetableEdit { plan: DeviceId, remove: Vec<timetable::Lesson>, add: Vec<timetable::Lesson> },
    /// Changes substitutions by hand.
    #[serde(rename = "timetable.change")]
    TimetableChange { remove: Vec<timetable::changes::Substitution>, add: Vec<timetable::changes::Substitution> },

    /// How many exams anybody is to write, on which days nobody does, and who may change others'.
    #[serde(rename = "exam.rules")]
    ExamRules { rules: exam::Rules },
    /// Planned by who acts, whose it stays. Refused where the school's rules say so.
    #[serde(rename = "exam.plan")]
    ExamPlan { exam: ExamId, plan: exam::Exam },
    /// In the place of what was planned before.
    #[serde(rename = "exam.change")]
    ExamChange { exam: ExamId, plan: exam::Exam },
    #[serde(rename = "exam.cancel")]
    ExamCancel { exam: ExamId },
}

/// What an import changes about one person or group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PeopleChange {
    /// A new account with a first password, which must be changed at the first signing in. `source` and `record` say who it is
    /// in the lists of the school's administration: the same person in every later list.
    Account {
        account: AccountId,
        source: DeviceId,
        record: String,
        login: String,
        name: String,
        role: Role,
        /// argon2id hash in PHC form.
        password: String,
    },
    Name {
        account: AccountId,
        name: String,
    },
    Role {
        account: AccountId,
        role: Role,
    },
    /// Who left is locked, who is back is not.
    Lock {
        account: AccountId,
        locked: bool,
    },
    Group {
        group: GroupId,
        name: String,
        kind: GroupKind,
    },
    Members {
        group: GroupId,
        add: Vec<AccountId>,
        remove: Vec<AccountId>,
    },
}

/// A file that a message brings along. Its bytes are a blob, which the core keeps before it orders the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// BLAKE3 of the bytes.
    pub hash: BlobHash,
    /// As the sender's machine called it, without folders.
    pub name: String,
    /// Media type (RFC 6838) without parameters, lower case; what the sender says, and not to be trusted.
    pub mime: String,
    /// Bytes.
    #[ts(type = "number")]
    pub size: u64,
}

impl Body {
    /// A message of text alone.
    pub fn post(room: RoomId, text: impl Into<String>) -> Self {
        Self::MessagePost { room, text: text.into(), attachments: Vec::new() }
    }

    /// Blobs that the core must have before it orders this.
    pub fn blobs(&self) -> impl Iterator<Item = BlobHash> + '_ {
        let attachments = match self {
            Self::MessagePost { attachments, .. } => attachments.as_slice(),
            _ => &[],
        };
        attachments.iter().map(|attachment| attachment.hash)
    }
}

/// What every operation has, of whichever kind and version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Envelope {
    pub device: DeviceId,
    pub seq: Seq,
    pub actor: Actor,
}

/// Not an operation of any version.
#[derive(Debug, thiserror::Error)]
#[error("not an operation: {0}")]
pub struct MalformedOperation(#[from] serde_json::Error);

impl Envelope {
    /// Reads device, number and actor of an encoded operation, whatever its body.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedOperation> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

impl Operation {
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an operation is always valid JSON")
    }

    /// An unknown kind of body is an error that names it, and so is an unknown field of a known kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_an_error_that_names_it_but_its_envelope_is_readable() {
        let bytes =
            br#"{"device":"d","seq":3,"actor":{"account":"a"},"at":1,"body":{"type":"poll.create","poll":"p"}}"#;
        let error = Operation::decode(bytes).unwrap_err().to_string();
        assert!(error.contains("unknown variant `poll.create`"), "{error}");
        let envelope = Envelope::decode(bytes).unwrap();
        assert_eq!(envelope.seq, Seq(3));
        assert_eq!(envelope.actor, Actor::Account(AccountId::new("a").unwrap()));
    }

    #[test]
    fn an_unknown_field_or_a_bad_identifier_is_an_error() {
        for body in [
            r#"{"type":"message.post","room":"r","text":"x","urgent":true}"#,
            r#"{"type":"message.post","room":"r/../s","text":"x"}"#,
            r#"{"type":"message.post","room":"r"}"#,
            r#"{"type":"message.post","room":"r","text":7}"#,
            r#"{"type":"message.post","room":"r","text":"x","attachments":[{"hash":"00","name":"a","mime":"a/b","size":1}]}"#,
        ] {
            let bytes = format!(r#"{{"device":"d","seq":1,"actor":"operator","at":1,"body":{body}}}"#);
            assert!(Operation::decode(bytes.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_message_without_attachments_has_the_bytes_that_it_always_had() {
        let text =
            r#"{"device":"d","seq":1,"actor":"operator","at":1,"body":{"type":"message.post","room":"r","text":"x"}}"#;
        let op = Operation::decode(text.as_bytes()).unwrap();
        assert_eq!(op.body, Body::post(RoomId::new("r").unwrap(), "x"));
        assert_eq!(String::from_utf8(op.encode()).unwrap(), text);
    }

    #[test]
    fn an_operation_survives_encoding() {
        let op = Operation {
            device: DeviceId::new("d").unwrap(),
            seq: Seq(1),
            actor: Actor::Operator,
            at: Hlc::from_ms(1_700_000_000_000),
            body: Body::SchoolName { name: "Grundschule \u{e4}\n\"x\"".into() },
        };
        assert_eq!(Operation::decode(&op.encode()).unwrap(), op);
    }
}
