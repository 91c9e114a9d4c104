//! Encryption to a public key in the format of the tool `age` (age-encryption.org/v1, recipients of the type X25519): what
//! is sealed here opens with `age --decrypt`, and the other way round.
//!
//! Small files whole in memory, large ones piece by piece. What it must not do: passphrases, plug-ins, armour. The
//! primitives are those of aws-lc; here is the format alone.
//!
//! - `bech32`: how keys are written (BIP 173)
//! - [`key`]: recipients and identities
//! - `header`: who can open a file
//! - `stream`: its body

mod bech32;
mod header;
pub mod key;
mod stream;

pub use key::{Identity, KeyError, Recipient};
pub use stream::{PIECE_LEN, Pieces, Sealing};

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

/// A header is looked for in so many bytes of a file: that of a hundred recipients and more.
const HEADER_LEN_MAX: usize = 64 << 10;

/// Why a file does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("not an age file of version 1")]
    NotAge,
    #[error("its header is damaged")]
    Header,
    #[error("it is for another identity")]
    OtherIdentity,
    #[error("its body is damaged or cut")]
    Body,
}

/// Encrypts for all of the recipients, of whom each alone can open it.
///
/// # Panics
/// If there is no recipient.
pub fn seal(recipients: &[Recipient], plain: &[u8]) -> Vec<u8> {
    assert!(!recipients.is_empty(), "somebody must be able to open it");
    let file_key = header::FileKey::random();
    let mut sealed = header::write(&file_key, recipients);
    stream::write(&file_key, plain, &mut sealed);
    sealed
}

/// The same for what is too large for the memory: header first, then what is written to the answer.
///
/// # Panics
/// If there is no recipient.
pub fn seal_to<W: io::Write>(recipients: &[Recipient], mut to: W) -> io::Result<Sealing<W>> {
    assert!(!recipients.is_empty(), "somebody must be able to open it");
    let file_key = header::FileKey::random();
    to.write_all(&header::write(&file_key, recipients))?;
    Sealing::begin(&file_key, to)
}

/// A file of which the content is read piece by piece. [`OpenError`] comes as [`io::ErrorKind::InvalidData`].
pub fn open_file(identities: &[Identity], path: &Path) -> io::Result<Pieces> {
    let file = File::open(path)?;
    let mut start = vec![0; HEADER_LEN_MAX.min(usize::try_from(file.metadata()?.len()).unwrap_or(HEADER_LEN_MAX))];
    file.read_exact_at(&mut start, 0)?;
    let (file_key, rest) =
        header::read(identities, &start).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let begin = start.len() - rest.len();
    Pieces::open(&file_key, file, begin as u64)
        .map_err(|e| if e.kind() == io::ErrorKind::UnexpectedEof { io::Error::other(OpenError::Body) } else { e })
}

/// Decrypts; every byte of it is authenticated.
pub fn open(identities: &[Identity], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (file_key, body) = header::read(identities, sealed)?;
    stream::read(&file_key, body)
}

/// Length of a file with so many bytes in it.
pub fn sealed_len(recipients: usize, plain_len: u64) -> u64 {
    header::len(recipients) + stream::len(plain_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `age` 1.1.1 for the identity beside it.
    const FOREIGN: &[u8] = include_bytes!("testdata/by-age-1.1.1.age");
    const FOREIGN_IDENTITY: &str = include_str!("testdata/identity.txt");

    #[test]
    fn a_file_of_the_tool_age_opens() {
        let identities = Identity::read(FOREIGN_IDENTITY).unwrap();
        assert_eq!(open(&identities, FOREIGN).unwrap(), b"Gymnasium Nord\n".repeat(5_000));
    }

    #[test]
    fn what_is_sealed_opens_for_each_recipient_and_for_nobody_else() {
        let (one, other, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
        let recipients = [one.recipient(), other.recipient()];
        for len in [0, 1, 65_535, 65_536, 65_537, 200_000] {
            let plain: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let sealed = seal(&recipients, &plain);
            assert_eq!(sealed.len() as u64, sealed_len(2, len as u64));
            for identity in [&one, &other] {
                assert_eq!(open(std::slice::from_ref(identity), &sealed).unwrap(), plain);
            }
            assert_eq!(open(std::slice::from_ref(&stranger), &sealed), Err(OpenError::OtherIdentity));
        }
    }

    /// As a file, sealed and opened in pieces.
    fn piecewise(identity: &[Identity], sealed: &[u8]) -> io::Result<Vec<u8>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), sealed).unwrap();
        let pieces = open_file(identity, file.path())?;
        let read: io::Result<Vec<_>> = (0..pieces.count()).rev().map(|n| pieces.piece(n)).collect();
        Ok(read?.into_iter().rev().flatten().collect())
    }

    #[test]
    fn in_pieces_it_is_the_same_file() {
        let identity = [Identity::generate()];
        for len in [0, 1, 65_535, 65_536, 65_537, 200_000] {
            let plain: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut sealing = seal_to(&[identity[0].recipient()], Vec::new()).unwrap();
            plain.chunks(40_000).for_each(|some| sealing.write(some).unwrap());
            let sealed = sealing.finish().unwrap();
            assert_eq!(sealed.len() as u64, sealed_len(1, len as u64));
            assert_eq!(open(&identity, &sealed).unwrap(), plain);
            assert_eq!(piecewise(&identity, &sealed).unwrap(), plain);
            let mut changed = sealed.clone();
            changed[sealed.len() - 1] ^= 1;
            assert!(piecewise(&identity, &changed).is_err());
            for cut in [1, 17, 65_552, sealed.len() - 100, sealed.len()] {
                assert!(piecewise(&identity, &sealed[..sealed.len().saturating_sub(cut)]).is_err(), "{len}, {cut}");
            }
            assert!(piecewise(&identity, &[sealed.as_slice(), &[0; 20]].concat()).is_err());
        }
    }

    #[test]
    fn no_byte_can_be_changed_and_none_cut_off() {
        let identity = [Identity::generate()];
        let sealed = seal(&[identity[0].recipient()], &vec![7; 70_000]);
        let tried = (0..400).chain((400..sealed.len()).step_by(1_511)).chain([sealed.len() - 1]);
        for at in tried {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&identity, &changed).is_err(), "byte {at}");
        }
        for len in [0, 30, 300, sealed.len() - 4_480, sealed.len() - 1] {
            assert!(open(&identity, &sealed[..len]).is_err(), "{len} bytes");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(open(&identity, &longer), Err(OpenError::Body));
    }
}
