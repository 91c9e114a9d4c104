//! Encryption to a public key in the format of the tool `age` (age-encryption.org/v1, recipients of the type X25519): what
//! is sealed here opens with `age --decrypt`, and the other way round.
//!
//! Whole files in memory, as a backup's objects are small. What it must not do: passphrases, plug-ins, armour. The
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
