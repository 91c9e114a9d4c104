//! Whether bytes are what an object's key says.

use schulhof_wire::blob::{BlobHash, OBJECT_LEN_MAX, ObjectKey, Recipe, Space};

/// Bytes of the hash behind a recipe.
const SEAL_LEN: usize = 32;

/// Hash of bytes.
pub fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash(*blake3::hash(bytes).as_bytes())
}

/// A recipe as an object: the recipe, and a hash over it, since its name is the hash of something else.
pub fn seal(recipe: &Recipe) -> Vec<u8> {
    let mut bytes = postcard::to_stdvec(recipe).expect("a recipe is plain data");
    let seal = hash(&bytes);
    bytes.extend_from_slice(&seal.0);
    bytes
}

/// The recipe in an object, if it is whole.
pub fn unseal(bytes: &[u8]) -> Option<Recipe> {
    let body = bytes.len().checked_sub(SEAL_LEN)?;
    let (body, seal) = bytes.split_at(body);
    if hash(body).0 != seal {
        return None;
    }
    postcard::from_bytes(body).ok().filter(Recipe::is_sound)
}

/// Whether an object belongs to its key.
pub fn fits(key: &ObjectKey, bytes: &[u8]) -> bool {
    if bytes.len() > OBJECT_LEN_MAX {
        return false;
    }
    match key.space {
        Space::Part | Space::Snapshot => hash(bytes) == key.hash,
        Space::Blob => unseal(bytes).is_some_and(|recipe| recipe.blob == key.hash),
    }
}
