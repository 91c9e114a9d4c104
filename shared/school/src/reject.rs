//! Why a rule forbids an operation: stable codes, kept in the log and translated by clients.

use std::fmt;

macro_rules! rejects {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)+) => {
        /// Why a rule forbids an operation. The code (kebab-case, [`Reject::code`]) is what the log and the clients keep;
        /// codes are never renamed, since replicas compare them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reject {
            $($(#[$doc])* $name,)+
        }

        impl Reject {
            /// Every reason, for translations and tests.
            pub const ALL: &[Reject] = &[$(Reject::$name,)+];

            pub fn code(self) -> &'static str {
                match self {
                    $(Reject::$name => $code,)+
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Reject::$name => $text,)+
                }
            }
        }
    };
}

rejects! {
    /// The kind of operation is unknown to the version that ordered it.
    UnknownOperation = "unknown-operation", "this kind of operation is not known here";
    DeviceOfAnother = "device-of-another", "another account owns this device";
    OperationTooLong = "operation-too-long", "an operation has at most 65536 bytes: do it in parts";
    UnknownActor = "unknown-actor", "the acting account does not exist";
    AccountLocked = "account-locked", "the acting account is locked";
    NotAllowed = "not-allowed", "the acting account's role has no right to do this";
    NotAMember = "not-a-member", "only members may do this in the room";
    MayNotWrite = "may-not-write", "these two may not write to each other directly";
    UnknownAccount = "unknown-account", "a named account does not exist";
    UnknownGroup = "unknown-group", "the group does not exist";
    UnknownRoom = "unknown-room", "the room does not exist";
    UnknownConference = "unknown-conference", "the conference does not exist";
    UnknownIndex = "unknown-index", "there is no entry with this index yet";
    IdTaken = "id-taken", "the identifier is taken";
    IdReserved = "id-reserved", "identifiers of this form are made by the school itself";
    LoginTaken = "login-taken", "the login is taken";
    BadLogin = "bad-login", "a login has 1 to 64 characters from a-z, 0-9, '.', '-' and '_', and begins with a letter or digit";
    BadPasswordHash = "bad-password-hash", "a password travels as argon2id hash in PHC form only";
    NameEmpty = "name-empty", "a name must not be empty";
    NameTooLong = "name-too-long", "a name has at most 120 characters";
    NameBadCharacter = "name-bad-character", "a name has no control characters";
    TextEmpty = "text-empty", "a message must not be empty";
    TextTooLong = "text-too-long", "a message has at most 16384 bytes";
    TextBadCharacter = "text-bad-character", "a message has no control characters besides newline and tab";
    TooManyAttachments = "too-many-attachments", "a message has at most 10 attachments";
    AttachmentName = "attachment-name", "an attachment's name has 1 to 120 characters and no folders";
    AttachmentType = "attachment-type", "an attachment's media type has the form type/subtype, in lower case";
    AttachmentSize = "attachment-size", "an attachment has 1 byte to 100 MiB";
    TooManyMembers = "too-many-members", "too many members";
    /// Rooms of groups follow their group, rooms of two stay with these two.
    MembersFixed = "members-fixed", "members of this room cannot be changed";
    DirectWithSelf = "direct-with-self", "a direct room needs two people";
    BadExpected = "bad-expected", "the expected number of people is out of bounds";
    PasswordFirst = "password-first", "the first password must be changed before anything else";
    BadImport = "bad-import", "the import is too large, or its parts are not all there";
    NotNewest = "not-newest", "only the newest import can be undone";
    BadRecord = "bad-record", "a record has 1 to 64 bytes without control characters";
    RecordTaken = "record-taken", "another account is this record already";
    OwnAccount = "own-account", "nobody locks the own account or takes the own role away";
    BadExam = "bad-exam", "an exam or a rule of the exam plan is out of bounds";
    UnknownExam = "unknown-exam", "this exam is not in the plan";
    ExamBlocked = "exam-blocked", "nobody writes exams on this day";
    ExamClash = "exam-clash", "somebody writes another exam at this time";
    ExamDayFull = "exam-day-full", "somebody would have more exams on this day than the school allows";
    ExamWeekFull = "exam-week-full", "somebody would have more exams in this week than the school allows";
    BadTimetable = "bad-timetable", "a lesson, a period or a name of the timetable is out of bounds";
    UnknownPlan = "unknown-plan", "this plan does not exist";
    ShortTaken = "short-taken", "this short name is somebody else's";
    TooManyConferences = "too-many-conferences", "too many conferences are open in this room";
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_in_kebab_case() {
        let codes: BTreeSet<_> = Reject::ALL.iter().map(|reject| reject.code()).collect();
        assert_eq!(codes.len(), Reject::ALL.len());
        assert!(codes.iter().all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    }
}
