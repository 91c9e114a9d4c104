//! Content to objects: named by a keyed hash, encrypted, written if it is not there yet.

use super::{
    manifest::Name,
    repository::{NewObject, Repository},
};
use crate::age::{self, Recipient, Sealing};
use schulhof_wire::BlobHash;
use std::io;

/// Names come from a key that the operator's own key and the recipients make: the same on each run, unknown to whoever holds the
/// folder, and another one for other recipients, since what is there already is encrypted for those before.
const NAME_KEY_CONTEXT: &str = "schulhof backup v1: names of objects";

/// Before the hash of a blob when its object's name is made. No content of a chunk or a list begins with it.
const BLOB_CONTEXT: &[u8] = b"schulhof backup v1: blob ";

/// For whom objects are, and how they are called.
pub struct Sealer {
    recipients: Vec<Recipient>,
    name_key: [u8; 32],
}

/// What became of content.
pub struct Stored {
    pub name: Name,
    /// Bytes written; 0: it was there.
    pub written: u64,
}

impl Sealer {
    /// `secret`: the operator's private key.
    pub fn new(mut recipients: Vec<Recipient>, secret: &[u8]) -> Self {
        recipients.sort_unstable();
        recipients.dedup();
        let mut hasher = blake3::Hasher::new_derive_key(NAME_KEY_CONTEXT);
        hasher.update(blake3::hash(secret).as_bytes());
        for recipient in &recipients {
            hasher.update(recipient.to_string().as_bytes());
        }
        Self { recipients, name_key: hasher.finalize().into() }
    }

    pub fn name_key(&self) -> [u8; 32] {
        self.name_key
    }

    /// Keeps it in the folder. Blocks.
    pub fn store(&self, repository: &Repository, content: &[u8]) -> io::Result<Stored> {
        let name = name(&self.name_key, content);
        let len = age::sealed_len(self.recipients.len(), content.len() as u64);
        if repository.has(&name, len)? {
            return Ok(Stored { name, written: 0 });
        }
        repository.put(&name, &self.seal(content))?;
        Ok(Stored { name, written: len })
    }

    /// Whether the object of a blob of that size is there: it is found without reading the blob.
    pub fn has_blob(&self, repository: &Repository, blob: &BlobHash, size: u64) -> io::Result<bool> {
        repository.has(&blob_name(&self.name_key, blob), age::sealed_len(self.recipients.len(), size))
    }

    /// The object of a blob begins.
    pub fn begin_blob(&self, repository: &Repository, blob: &BlobHash) -> io::Result<Sealing<NewObject>> {
        age::seal_to(&self.recipients, repository.begin(&blob_name(&self.name_key, blob))?)
    }

    pub fn seal(&self, content: &[u8]) -> Vec<u8> {
        age::seal(&self.recipients, content)
    }
}

pub fn name(name_key: &[u8; 32], content: &[u8]) -> Name {
    BlobHash(*blake3::keyed_hash(name_key, content).as_bytes())
}

/// Of the object that holds a blob's bytes.
pub fn blob_name(name_key: &[u8; 32], blob: &BlobHash) -> Name {
    name(name_key, &[BLOB_CONTEXT, &blob.0].concat())
}
