//! The body: ChaCha20-Poly1305 (RFC 8439) over pieces of 64 KiB, of which the last is marked (STREAM), so that none can be
//! left out, doubled or cut off.

use super::{OpenError, header::FileKey};
use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf, rand,
};

const PIECE_LEN: usize = 64 << 10;
const TAG_LEN: usize = 16;
const SALT_LEN: usize = 16;
const INFO: &[u8] = b"payload";

/// HKDF-SHA-256 (RFC 5869).
pub fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(secret)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes are what HKDF-SHA-256 gives");
    key
}

pub fn aead_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of ChaCha20-Poly1305 has 32 bytes"))
}

/// Number of the piece, and whether it is the last.
fn nonce(piece: usize, last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&(piece as u64).to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Bytes that [`write`] adds for a body of so many.
pub fn len(plain: u64) -> u64 {
    let pieces = plain.div_ceil(PIECE_LEN as u64).max(1);
    SALT_LEN as u64 + plain + pieces * TAG_LEN as u64
}

pub fn write(file_key: &FileKey, plain: &[u8], sealed: &mut Vec<u8>) {
    let mut salt = [0; SALT_LEN];
    rand::fill(&mut salt).expect("the kernel gives random bytes");
    sealed.extend_from_slice(&salt);
    let key = aead_key(&derive(&file_key.0, &salt, INFO));
    let pieces = plain.len().div_ceil(PIECE_LEN).max(1);
    for piece in 0..pieces {
        let from = piece * PIECE_LEN;
        let at = sealed.len();
        sealed.extend_from_slice(&plain[from..plain.len().min(from + PIECE_LEN)]);
        let tag = key
            .seal_in_place_separate_tag(nonce(piece, piece + 1 == pieces), Aad::empty(), &mut sealed[at..])
            .expect("64 KiB can be sealed");
        sealed.extend_from_slice(tag.as_ref());
    }
}

pub fn read(file_key: &FileKey, body: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (salt, mut rest) = body.split_at_checked(SALT_LEN).ok_or(OpenError::Body)?;
    let key = aead_key(&derive(&file_key.0, salt, INFO));
    let mut plain = Vec::with_capacity(rest.len());
    for piece in 0.. {
        let (sealed, after) = rest.split_at(rest.len().min(PIECE_LEN + TAG_LEN));
        let last = after.is_empty();
        let mut sealed = sealed.to_vec();
        let opened = key.open_in_place(nonce(piece, last), Aad::empty(), &mut sealed).map_err(|_| OpenError::Body)?;
        // Only a file without content has a piece without content.
        if opened.is_empty() && piece > 0 {
            return Err(OpenError::Body);
        }
        plain.extend_from_slice(opened);
        if last {
            break;
        }
        rest = after;
    }
    Ok(plain)
}
