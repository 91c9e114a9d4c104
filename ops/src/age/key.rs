//! Recipients (`age1...`, public) and identities (`AGE-SECRET-KEY-1...`, secret): X25519 keys (RFC 7748).

use super::bech32;
use aws_lc_rs::{
    agreement::{self, PrivateKey, UnparsedPublicKey, X25519},
    rand,
};
use std::{fmt, str::FromStr};

const RECIPIENT_PREFIX: &str = "age";
const IDENTITY_PREFIX: &str = "age-secret-key-";
pub(super) const KEY_LEN: usize = 32;
/// Longest identity file that is read, in bytes: a few keys and comments.
pub const IDENTITY_FILE_LEN_MAX: u64 = 64 << 10;

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("{0:?} is no age recipient (age1...); is it mistyped?")]
    Recipient(String),
    /// The text is not repeated: it may be secret.
    #[error("line {0} is no age identity (AGE-SECRET-KEY-1...)")]
    Identity(usize),
    #[error("there is no age identity in it")]
    None,
}

/// Whom something is encrypted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient(pub(super) [u8; KEY_LEN]);

/// Who can open it.
pub struct Identity {
    secret: [u8; KEY_LEN],
    key: PrivateKey,
    recipient: Recipient,
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT_PREFIX, &self.0))
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError::Recipient(text.to_owned());
        let (prefix, bytes) = bech32::decode(text).ok_or_else(wrong)?;
        let bytes = bytes.try_into().map_err(|_| wrong())?;
        if prefix == RECIPIENT_PREFIX { Ok(Self(bytes)) } else { Err(wrong()) }
    }
}

impl fmt::Debug for Identity {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {}", self.recipient)
    }
}

impl Identity {
    /// A new one.
    pub fn generate() -> Self {
        let mut secret = [0; KEY_LEN];
        rand::fill(&mut secret).expect("the kernel gives random bytes");
        Self::from_secret(secret).expect("any 32 bytes are an X25519 key")
    }

    fn from_secret(secret: [u8; KEY_LEN]) -> Option<Self> {
        let key = PrivateKey::from_private_key(&X25519, &secret).ok()?;
        let public = key.compute_public_key().ok()?;
        let recipient = Recipient(public.as_ref().try_into().ok()?);
        Some(Self { secret, key, recipient })
    }

    /// All identities in the text of a file; lines that begin with `#` are comments.
    pub fn read(text: &str) -> Result<Vec<Self>, KeyError> {
        let mut identities = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let decoded = bech32::decode(line).filter(|(prefix, _)| prefix == IDENTITY_PREFIX);
            let secret = decoded.and_then(|(_, bytes)| bytes.try_into().ok());
            identities.push(secret.and_then(Self::from_secret).ok_or(KeyError::Identity(number))?);
        }
        if identities.is_empty() { Err(KeyError::None) } else { Ok(identities) }
    }

    /// Text of a file with it, as `age-keygen` writes it. Secret.
    pub fn write(&self) -> String {
        let secret = bech32::encode(IDENTITY_PREFIX, &self.secret).to_ascii_uppercase();
        format!("# public key: {}\n{secret}\n", self.recipient)
    }

    pub fn recipient(&self) -> Recipient {
        self.recipient
    }

    /// The secret that this one and the owner of a public key share. `None`: no honest peer has such a key.
    pub(super) fn agree(&self, public: [u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let public = UnparsedPublicKey::new(&X25519, public);
        agreement::agree(&self.key, public, (), |shared| shared.try_into().map_err(|_| ())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let identity = Identity::generate();
        let read = Identity::read(&identity.write()).unwrap();
        assert_eq!((read.len(), read[0].recipient()), (1, identity.recipient()));
        assert_eq!(identity.recipient().to_string().parse(), Ok(identity.recipient()));
        assert!(!format!("{identity:?}").contains("SECRET"));
    }

    #[test]
    fn what_is_no_key_is_said_without_the_secret() {
        let secret = Identity::generate().write().lines().nth(1).unwrap().to_owned();
        assert_eq!(Identity::read("# nothing\n\n").unwrap_err(), KeyError::None);
        assert_eq!(Identity::read(&format!("# x\n{}", &secret[..60])).unwrap_err(), KeyError::Identity(2));
        assert!(matches!(secret.parse::<Recipient>(), Err(KeyError::Recipient(_))), "an identity is no recipient");
        assert!("age1qqqq".parse::<Recipient>().is_err());
    }
}
