//! Identifiers. All are short ASCII names, so that they stand unescaped in URLs, keys, logs and file names.
//!
//! Things that people make (rooms, conferences, accounts) are named by the device that makes them, offline too:
//! a random name of 128 bits. The log rejects a name that is taken.

use serde::{Deserialize, Serialize};
use std::fmt;
use ts_rs::TS;

/// Longest identifier in bytes: room for 256 bits in base32, and keys stay small.
pub const ID_LEN_MAX: usize = 64;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("an identifier must not be empty")]
    Empty,
    #[error("an identifier has at most {ID_LEN_MAX} characters, this one has {0}")]
    TooLong(usize),
    #[error("an identifier consists of a-z, A-Z, 0-9, '-', '_' and ':', not {0:?}")]
    BadCharacter(char),
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_LEN_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))) {
        Some(c) => Err(IdError::BadCharacter(c)),
        None => Ok(()),
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, TS)]
        #[serde(transparent)]
        #[ts(type = "string")]
        pub struct $name(String);

        impl $name {
            /// Checks length and characters.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                check(&text)?;
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// A school, such as `nord`. Comes from a certificate or a session, never from a request.
    SchoolId,
    /// A person's account.
    AccountId,
    /// A class, course or other group.
    GroupId,
    /// A messenger room.
    RoomId,
    /// A video conference; also the name of its room on a media node.
    ConferenceId,
    /// An exam in the exam plan.
    ExamId,
    /// What numbers operations without gaps: a browser profile of one account, a door, an import.
    DeviceId,
    /// A core node, relay or box, such as `core-1`.
    NodeName,
}

/// Place of an entry in its school's log, from 1. The only number that a client is ever shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(type = "number")]
pub struct LogIndex(pub u64);

/// A device's own number of an operation, from 1, without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(type = "number")]
pub struct Seq(pub u64);

/// Hybrid logical clock (Kulkarni et al. 2014): milliseconds since 1970 in the upper bits, a counter in the lower 10.
/// Fits a JavaScript number until the year 2248. For showing and sorting by eye; the order of truth is [`LogIndex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, TS)]
#[serde(transparent)]
#[ts(type = "number")]
pub struct Hlc(pub u64);

impl Hlc {
    pub const COUNTER_BITS: u32 = 10;
    /// Above it a reading is no exact JavaScript number any more; no door takes such a one.
    pub const MAX: Self = Self((1 << 53) - 1);

    pub fn from_ms(unix_ms: u64) -> Self {
        Self(unix_ms << Self::COUNTER_BITS)
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> u64 {
        self.0 >> Self::COUNTER_BITS
    }

    /// The next reading: at least `unix_ms`, and later than `self`.
    #[must_use]
    pub fn tick(self, unix_ms: u64) -> Self {
        Self(Self::from_ms(unix_ms).0.max(self.0 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_refuse_what_would_need_escaping() {
        assert!(RoomId::new("a-Z_0:9").is_ok());
        assert_eq!(RoomId::new(""), Err(IdError::Empty));
        assert_eq!(RoomId::new("a/b"), Err(IdError::BadCharacter('/')));
        assert_eq!(RoomId::new("x".repeat(65)), Err(IdError::TooLong(65)));
        assert!(serde_json::from_str::<RoomId>("\"ä\"").is_err());
    }

    #[test]
    fn a_clock_that_jumps_back_still_ticks_forward() {
        let first = Hlc::from_ms(1_000);
        let second = first.tick(500);
        assert!(second > first);
        assert_eq!(second.ms(), 1_000);
        assert_eq!(second.tick(2_000).ms(), 2_000);
    }
}
