//! The body: ChaCha20-Poly1305 (RFC 8439) over pieces of 64 KiB, of which the last is marked (STREAM), so that none can be
//! left out, doubled or cut off.

use super::{OpenError, header::FileKey};
use aws_lc_rs::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    hkdf, rand,
};
use std::{fs::File, io, os::unix::fs::FileExt as _};

/// Bytes of content in each piece but the last.
pub const PIECE_LEN: usize = 64 << 10;
const TAG_LEN: usize = 16;
const SEALED_PIECE_LEN: u64 = (PIECE_LEN + TAG_LEN) as u64;
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
    let sealing = Sealing::begin(file_key, sealed).and_then(|mut sealing| {
        sealing.write(plain)?;
        sealing.finish()
    });
    sealing.expect("memory takes what is written to it");
}

/// Seals a body as it comes; holds one piece.
pub struct Sealing<W> {
    key: LessSafeKey,
    to: W,
    /// Pieces that are written.
    pieces: usize,
    /// The next one: it may be the last, which is known when more comes or the end.
    next: Vec<u8>,
}

impl<W: io::Write> Sealing<W> {
    pub fn begin(file_key: &FileKey, mut to: W) -> io::Result<Self> {
        let mut salt = [0; SALT_LEN];
        rand::fill(&mut salt).expect("the kernel gives random bytes");
        to.write_all(&salt)?;
        Ok(Self {
            key: aead_key(&derive(&file_key.0, &salt, INFO)),
            to,
            pieces: 0,
            next: Vec::with_capacity(PIECE_LEN),
        })
    }

    pub fn write(&mut self, mut plain: &[u8]) -> io::Result<()> {
        while !plain.is_empty() {
            if self.next.len() == PIECE_LEN {
                self.seal(false)?;
            }
            let (now, later) = plain.split_at(plain.len().min(PIECE_LEN - self.next.len()));
            self.next.extend_from_slice(now);
            plain = later;
        }
        Ok(())
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(self.pieces, last), Aad::empty(), &mut self.next)
            .expect("64 KiB can be sealed");
        self.to.write_all(&self.next)?;
        self.to.write_all(tag.as_ref())?;
        self.pieces += 1;
        self.next.clear();
        Ok(())
    }

    /// The end of it; gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        Ok(self.to)
    }
}

/// A body in a file, opened piece by piece in whichever order.
pub struct Pieces {
    key: LessSafeKey,
    file: File,
    /// Where the first one begins.
    begin: u64,
    /// Bytes of all of them, sealed.
    len: u64,
}

impl Pieces {
    /// `begin`: where the body begins, behind the header.
    pub fn open(file_key: &FileKey, file: File, begin: u64) -> io::Result<Self> {
        let mut salt = [0; SALT_LEN];
        file.read_exact_at(&mut salt, begin)?;
        let begin = begin + SALT_LEN as u64;
        let len = file.metadata()?.len().saturating_sub(begin);
        Ok(Self { key: aead_key(&derive(&file_key.0, &salt, INFO)), file, begin, len })
    }

    pub fn count(&self) -> usize {
        self.len.div_ceil(SEALED_PIECE_LEN).max(1) as usize
    }

    /// Content of a piece, [`PIECE_LEN`] bytes but for the last. Authenticated; that there is no other behind the last one, too.
    pub fn piece(&self, n: usize) -> io::Result<Vec<u8>> {
        let from = n as u64 * SEALED_PIECE_LEN;
        let mut sealed = vec![0; self.len.saturating_sub(from).min(SEALED_PIECE_LEN) as usize];
        self.file.read_exact_at(&mut sealed, self.begin + from)?;
        let len = open_piece(&self.key, n, n + 1 == self.count(), &mut sealed)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            .len();
        sealed.truncate(len);
        Ok(sealed)
    }
}

fn open_piece<'a>(key: &LessSafeKey, n: usize, last: bool, sealed: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
    let opened = key.open_in_place(nonce(n, last), Aad::empty(), sealed).map_err(|_| OpenError::Body)?;
    // Only a file without content has a piece without content.
    if opened.is_empty() && n > 0 { Err(OpenError::Body) } else { Ok(opened) }
}

pub fn read(file_key: &FileKey, body: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (salt, mut rest) = body.split_at_checked(SALT_LEN).ok_or(OpenError::Body)?;
    let key = aead_key(&derive(&file_key.0, salt, INFO));
    let mut plain = Vec::with_capacity(rest.len());
    for piece in 0.. {
        let (sealed, after) = rest.split_at(rest.len().min(PIECE_LEN + TAG_LEN));
        let last = after.is_empty();
        let mut sealed = sealed.to_vec();
        plain.extend_from_slice(open_piece(&key, piece, last, &mut sealed)?);
        if last {
            break;
        }
        rest = after;
    }
    Ok(plain)
}
