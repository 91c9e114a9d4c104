//! Blobs: attachments and other bytes that an operation names by their BLAKE3 hash (ALPN [`ALPN_BLOB`]).
//!
//! A blob is cut into parts of [`PART_LEN`] bytes (the last one may be shorter). Parts are kept by their own hash; a
//! [`Recipe`] says which parts make a blob, and exists only when all of them do. Everything is kept per school.
//!
//! Box (own school) and gateway (any school) on a stream: [`ToBlob::Hello`] first, then any number of requests, each
//! answered in its order; they may be sent without waiting for the answers. Core nodes speak the same with each other
//! about single objects, and so does an operator who makes a backup.

use crate::id::SchoolId;
use serde::{Deserialize, Serialize, de::Error as _};
use std::{fmt, str::FromStr};
use ts_rs::TS;

/// Blobs of a school: box, gateway, operator and core node to core node.
pub const ALPN_BLOB: &[u8] = b"schulhof-blob/1";
/// Version of the frames below.
pub const VERSION: u16 = 1;
/// Bytes of a part: what a browser sends at once.
pub const PART_LEN: usize = 256 * 1024;
/// Largest blob in bytes.
pub const BLOB_LEN_MAX: u64 = 100 << 20;
/// Largest object in bytes: fits into a frame.
pub const OBJECT_LEN_MAX: usize = 2 << 20;
/// Most keys in one [`ToBlob::Has`], one [`ToBlob::HasObjects`] and one page of [`FromBlob::Keys`].
pub const KEYS_MAX: usize = 1_000;

/// BLAKE3 of bytes; in text 64 hexadecimal digits, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, TS)]
#[ts(type = "string")]
pub struct BlobHash(pub [u8; 32]);

/// Why a text is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 64 digits of 0-9 and a-f")]
pub struct HashError;

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(HashError),
        };
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| HashError)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_chunks::<2>().0) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(hash))
    }
}

impl Serialize for BlobHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for BlobHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            std::borrow::Cow::<str>::deserialize(d)?.parse().map_err(D::Error::custom)
        } else {
            <[u8; 32]>::deserialize(d).map(Self)
        }
    }
}

/// What an object is, and with that how its name and its bytes belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Space {
    /// Part of a blob; named by the hash of its bytes.
    Part,
    /// A [`Recipe`]; named by the hash of the blob that it makes.
    Blob,
    /// Part of a school's snapshot; named by the hash of its bytes.
    Snapshot,
}

impl Space {
    pub const ALL: [Self; 3] = [Self::Part, Self::Blob, Self::Snapshot];

    /// As it stands in paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Part => "part",
            Self::Blob => "blob",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Names an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    pub school: SchoolId,
    pub space: Space,
    pub hash: BlobHash,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.space.as_str(), self.hash, self.school)
    }
}

/// Which parts make a blob, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    pub blob: BlobHash,
    pub size: u64,
    pub parts: Vec<BlobHash>,
}

impl Recipe {
    /// Whether the number of parts fits the size.
    pub fn is_sound(&self) -> bool {
        self.size <= BLOB_LEN_MAX && self.parts.len() as u64 == self.size.div_ceil(PART_LEN as u64)
    }

    /// Length of a part.
    pub fn part_len(&self, part: usize) -> usize {
        let before = (part * PART_LEN) as u64;
        self.size.saturating_sub(before).min(PART_LEN as u64) as usize
    }
}

/// To the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToBlob {
    /// First frame of a stream.
    Hello { version: u16, school: SchoolId },
    /// Which of these parts are there? At most [`KEYS_MAX`]. They stay for a day at least, so that the rest can follow.
    Has { parts: Vec<BlobHash> },
    /// A part. Answered when it is durable.
    Put {
        part: BlobHash,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// All parts are there: from now on the blob is. Answered when that is durable.
    Commit { recipe: Recipe },
    /// Is the blob there, and how is it made?
    Stat { blob: BlobHash },
    /// A part of a blob.
    Get { part: BlobHash },
    /// Core nodes and operators: an object is to be kept, on this node.
    PutObject {
        key: ObjectKey,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Core nodes and operators: an object as this node has it.
    GetObject { key: ObjectKey },
    /// Core nodes and operators: which of these objects does this node have? At most [`KEYS_MAX`].
    HasObjects { keys: Vec<ObjectKey> },
    /// Core nodes and operators: objects of the stream's school behind one, in order.
    List { space: Space, after: Option<BlobHash> },
    /// Core nodes: these objects are to be answered as missing from now on, for a day at most. [`FromBlob::Has`]: whether they are;
    /// not those which this node has promised to somebody within a day.
    Condemn { keys: Vec<ObjectKey> },
    /// Core nodes: these are answered as before.
    Spare { keys: Vec<ObjectKey> },
    /// Core nodes: of these objects remove those that are condemned still. [`FromBlob::Has`]: whether.
    Remove { keys: Vec<ObjectKey> },
}

/// From the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromBlob {
    Welcome {
        version: u16,
    },
    /// One answer per question, in its order.
    Has {
        has: Vec<bool>,
    },
    /// To [`ToBlob::Put`], [`ToBlob::Commit`], [`ToBlob::PutObject`].
    Kept,
    Recipe {
        recipe: Recipe,
    },
    Bytes {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// There is no such thing; to [`ToBlob::Commit`]: these parts are not here.
    Missing {
        parts: Vec<BlobHash>,
    },
    /// In order; fewer than [`KEYS_MAX`]: these were the last.
    Keys {
        hashes: Vec<BlobHash>,
    },
    /// Not now; nothing was taken. Ask again then, elsewhere if there is another node.
    Busy {
        retry_after_ms: u32,
    },
    /// Not ever. `code` is stable: `wrong-school`, `unknown-school`, `wrong-role`, `version`, `malformed` end the stream;
    /// `too-large`, `wrong-hash`, `too-much-unfinished`, `damaged` are about the one request.
    Refused {
        code: String,
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits_in_text_and_32_bytes_on_the_wire() {
        let hash = BlobHash(std::array::from_fn(|n| n as u8 * 7));
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(text.len(), 66);
        assert_eq!(serde_json::from_str::<BlobHash>(&text).unwrap(), hash);
        for wrong in ["", "ab", &"g".repeat(64), &"A".repeat(64), &"ä".repeat(32)] {
            assert_eq!(wrong.parse::<BlobHash>(), Err(HashError), "{wrong}");
        }
    }

    #[test]
    fn a_recipe_has_as_many_parts_as_its_size_needs() {
        let recipe = |size, parts| Recipe { blob: BlobHash([0; 32]), size, parts: vec![BlobHash([1; 32]); parts] };
        assert!(recipe(0, 0).is_sound());
        assert!(recipe(1, 1).is_sound());
        assert!(recipe(PART_LEN as u64 + 1, 2).is_sound());
        assert!(!recipe(PART_LEN as u64, 2).is_sound());
        assert!(!recipe(BLOB_LEN_MAX + 1, 401).is_sound());
        assert_eq!(recipe(PART_LEN as u64 + 1, 2).part_len(1), 1);
    }
}
