//! Operations: what a person or a door does. JSON in the log, so that neighbouring versions can read each other.

use schulhof_wire::{AccountId, ConferenceId, DeviceId, GroupId, Hlc, LogIndex, RoomId, Seq};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Longest text of a message in bytes.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024;
/// Longest name of a person, group, room or conference in characters.
pub const NAME_LEN_MAX: usize = 120;
/// Most members named in one operation.
pub const MEMBERS_LEN_MAX: usize = 2_000;

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
    MessagePost { room: RoomId, text: String },
    /// Has read everything up to a confirmed index. Marks only move forward.
    #[serde(rename = "read.mark")]
    ReadMark { room: RoomId, upto: LogIndex },

    /// Opens a conference in a messenger room: its members may join. `expected` people are reserved for (default: the members).
    #[serde(rename = "conference.open")]
    ConferenceOpen { conference: ConferenceId, room: RoomId, title: String, expected: Option<u32> },
    #[serde(rename = "conference.close")]
    ConferenceClose { conference: ConferenceId },
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
        ] {
            let bytes = format!(r#"{{"device":"d","seq":1,"actor":"operator","at":1,"body":{body}}}"#);
            assert!(Operation::decode(bytes.as_bytes()).is_err(), "{body}");
        }
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
