//! The CA's private key at rest: sealed with AES-256-GCM (NIST SP 800-38D) under a key that lies in a file beside the core
//! nodes' identities and never in the replicated state. Whoever gets a copy of the state alone cannot issue anything.

use super::{
    Ca, IdentityError,
    files::{self, write_private_bytes},
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rand::RngCore as _;
use std::path::Path;

/// Beside a core node's certificate, the same on all core nodes.
pub const SEAL_FILE: &str = "ca.seal";
const SEAL_LEN: usize = 32;
/// First byte of what is sealed.
const VERSION: u8 = 1;
/// Bound to the sealed bytes together with the CA's certificate: a sealed key is of no use beside another certificate.
const CONTEXT: &[u8] = b"schulhof-ca/1\n";

/// Seals and opens.
pub struct SealKey(RandomizedNonceKey);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

fn context(certificate: &[u8]) -> Vec<u8> {
    [CONTEXT, certificate].concat()
}

impl SealKey {
    /// Reads [`SEAL_FILE`] in the folder.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(SEAL_FILE);
        let bytes = files::read_bytes(&path)?;
        if bytes.len() != SEAL_LEN {
            return Err(IdentityError::Seal(format!("{} has {} bytes, not {SEAL_LEN}", path.display(), bytes.len())));
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes);
        key.map(Self).map_err(|_| IdentityError::Seal(format!("{} is no key", path.display())))
    }

    /// Writes a new [`SEAL_FILE`] (mode 0600) into the folder.
    pub fn create(dir: &Path) -> Result<(), IdentityError> {
        let mut bytes = [0; SEAL_LEN];
        rand::rng().fill_bytes(&mut bytes);
        write_private_bytes(&dir.join(SEAL_FILE), &bytes)
    }

    /// The CA's key, sealed: version, nonce, ciphertext, tag.
    pub fn seal(&self, ca: &Ca) -> Result<Vec<u8>, IdentityError> {
        let mut bytes = ca.key_der();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(context(ca.certificate())), &mut bytes)
            .map_err(|_| IdentityError::Seal("the CA's key cannot be sealed".into()))?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&bytes);
        Ok(sealed)
    }

    /// The CA again, checked to be of one piece.
    pub fn open(&self, certificate: &[u8], sealed: &[u8]) -> Result<Ca, IdentityError> {
        let damaged = || IdentityError::Seal("the CA's key was sealed with another key, or is damaged".into());
        let (&version, rest) = sealed.split_first().ok_or_else(damaged)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        if version != VERSION {
            return Err(IdentityError::Seal(format!("the CA's key is sealed in a form {version} that is not known")));
        }
        let mut bytes = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(context(certificate)), &mut bytes).map_err(|_| damaged())?;
        Ca::from_der(certificate, opened)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    #[test]
    fn a_sealed_ca_issues_again_and_only_under_its_own_key_and_certificate() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        SealKey::create(dir.path()).unwrap();
        SealKey::create(other.path()).unwrap();
        let key = SealKey::load(dir.path()).unwrap();
        let ca = Ca::generate().unwrap();
        let sealed = key.seal(&ca).unwrap();
        let text = ca.key_der();
        assert!(!sealed.windows(16).any(|part| text.windows(16).any(|own| own == part)), "nothing stays readable");

        let again = SealKey::load(dir.path()).unwrap().open(ca.certificate(), &sealed).unwrap();
        again.issue(Role::Core, "core-1").unwrap();
        assert!(SealKey::load(other.path()).unwrap().open(ca.certificate(), &sealed).is_err(), "another key");
        assert!(key.open(Ca::generate().unwrap().certificate(), &sealed).is_err(), "another certificate");
        for at in [0, 1, NONCE_LEN + 1, sealed.len() - 1] {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key.open(ca.certificate(), &damaged).is_err(), "byte {at} flipped");
        }
        assert!(key.open(ca.certificate(), &sealed[..5]).is_err());
    }

    #[test]
    fn a_seal_key_of_a_wrong_length_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SEAL_FILE), b"short").unwrap();
        let error = SealKey::load(dir.path()).unwrap_err().to_string();
        assert!(error.contains(SEAL_FILE) && error.contains("5 bytes"), "{error}");
    }
}
