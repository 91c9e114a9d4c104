//! One school's state and kept entries as a stream of chunks: what a replica is loaded from (`node::ToBox::Snapshot`), and what
//! backups and moves are made of.
//!
//! A stream is `Begin`, any number of `State`, then of `Entries`, then `End`, whose summary says what it must have come to.
//!
//! Encoded: version u8 | CRC-32 of what follows u32 little endian | postcard of [`SchoolChunk`].

use crate::id::{LogIndex, SchoolId};
use serde::{Deserialize, Serialize};

/// Longest encoded chunk that is read. They are some 512 KiB, but one record may go beyond that, and lengths take their place.
pub const CHUNK_LEN_MAX: usize = 2 << 20;
/// Version of [`SchoolChunk`] and of how it is encoded.
pub const CHUNK_VERSION: u8 = 1;
const HEADER_LEN: usize = 5;

/// Part of a school's dump. Add variants at the end only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchoolChunk {
    Begin {
        school: SchoolId,
        /// The state is that after this entry.
        head: LogIndex,
        /// First kept entry; one above `head` if none is kept or asked for.
        first: LogIndex,
    },
    /// (key of `schulhof_school`, value), in order.
    State(#[serde(with = "records")] Vec<(Vec<u8>, Vec<u8>)>),
    /// (index, entry as the store has it), without gaps from `first` to `head`.
    Entries(#[serde(with = "records")] Vec<(u64, Vec<u8>)>),
    End(Summary),
}

/// Byte strings as a whole: byte by byte, as serde takes them for sequences, costs many times as much.
mod records {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq as _};
    use serde_bytes::{ByteBuf, Bytes};

    /// A record, and what stands for it here.
    pub trait Record: Sized {
        type Owned<'de>: Deserialize<'de>;
        fn borrowed(&self) -> impl Serialize;
        fn from_owned(owned: Self::Owned<'_>) -> Self;
    }

    impl Record for (Vec<u8>, Vec<u8>) {
        type Owned<'de> = (ByteBuf, ByteBuf);
        fn borrowed(&self) -> impl Serialize {
            (Bytes::new(&self.0), Bytes::new(&self.1))
        }
        fn from_owned((key, value): Self::Owned<'_>) -> Self {
            (key.into_vec(), value.into_vec())
        }
    }

    impl Record for (u64, Vec<u8>) {
        type Owned<'de> = (u64, ByteBuf);
        fn borrowed(&self) -> impl Serialize {
            (self.0, Bytes::new(&self.1))
        }
        fn from_owned((index, value): Self::Owned<'_>) -> Self {
            (index, value.into_vec())
        }
    }

    pub fn serialize<S: Serializer, R: Record>(records: &[R], serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(records.len()))?;
        for record in records {
            sequence.serialize_element(&record.borrowed())?;
        }
        sequence.end()
    }

    pub fn deserialize<'de, D: Deserializer<'de>, R: Record>(deserializer: D) -> Result<Vec<R>, D::Error> {
        let owned = Vec::<R::Owned<'de>>::deserialize(deserializer)?;
        Ok(owned.into_iter().map(R::from_owned).collect())
    }
}

/// What a whole dump comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub head: LogIndex,
    pub first: LogIndex,
    pub records: u64,
    /// `schulhof_school::view::state_hash` over the `State` records.
    pub state_hash: [u8; 32],
    /// The same over the kept entries, with the index as eight bytes, big endian, for a key.
    pub entries_hash: [u8; 32],
}

impl SchoolChunk {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![CHUNK_VERSION, 0, 0, 0, 0];
        bytes = postcard::to_extend(self, bytes).expect("a chunk has nothing that postcard cannot encode");
        let crc = crc32fast::hash(&bytes[HEADER_LEN..]);
        bytes[1..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What is wrong with it is said in words: whoever reads knows where it came from.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > CHUNK_LEN_MAX {
            return Err(format!("a chunk of {} bytes", bytes.len()));
        }
        let Some((header, rest)) = bytes.split_at_checked(HEADER_LEN) else { return Err("a chunk is cut".into()) };
        if header[0] != CHUNK_VERSION {
            return Err(format!("a chunk of version {}, known is {CHUNK_VERSION}", header[0]));
        }
        if crc32fast::hash(rest).to_le_bytes() != header[1..] {
            return Err("a chunk is damaged".into());
        }
        postcard::from_bytes(rest).map_err(|e| format!("a chunk is unreadable: {e}"))
    }
}
