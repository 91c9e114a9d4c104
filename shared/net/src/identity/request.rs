//! A node's own key and its signing request (PKCS #10, RFC 2986); and what the CA takes of such a request: the key.

use super::{
    IdentityError, KEY_FILE, KeyHash,
    ca::issue_error,
    files::{read, write_private},
};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _,
};
use rustls::pki_types::CertificateSigningRequestDer;
use schulhof_wire::enrol::CSR_LEN_MAX;
use std::{io, path::Path};

/// An uncompressed point on P-256 (SEC 1 section 2.3.3).
const POINT_LEN: usize = 65;

/// A private key (ECDSA P-256) that never leaves the machine it was made on.
pub struct NodeKey(pub(super) KeyPair);

impl NodeKey {
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue_error)?))
    }

    /// The key in the folder; made there (mode 0600) if there is none. Whoever asks for a certificate again after a crash
    /// asks for the same key.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        match Self::load(dir) {
            Err(IdentityError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                write_private(&dir.join(KEY_FILE), &key.0.serialize_pem())?;
                Ok(key)
            }
            other => other,
        }
    }

    /// The key in the folder.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(KEY_FILE);
        KeyPair::from_pem(&read(&path)?).map(Self).map_err(|e| IdentityError::Pem {
            path,
            expected: "private key",
            detail: e.to_string(),
        })
    }

    /// The signing request in DER. It proves that the key is here, and asks for nothing else.
    pub fn request(&self) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.0).map_err(issue_error)?.der().to_vec())
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of_spki(&self.0.subject_public_key_info())
    }
}

/// The key of a signing request whose signature was good.
pub struct RequestedKey(pub(super) rcgen::PublicKey);

impl RequestedKey {
    /// Names, usages and everything else that the request may ask for are not looked at.
    pub fn of(request: &[u8]) -> Result<Self, IdentityError> {
        if request.len() > CSR_LEN_MAX {
            return Err(IdentityError::Request(format!("{} bytes, at most {CSR_LEN_MAX}", request.len())));
        }
        let parsed = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
            .map_err(|e| IdentityError::Request(e.to_string()))?;
        let key = parsed.public_key;
        if *key.algorithm() != PKCS_ECDSA_P256_SHA256 || key.der_bytes().len() != POINT_LEN {
            return Err(IdentityError::Request("the key is not an ECDSA key on P-256".into()));
        }
        Ok(Self(key))
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of_spki(&self.0.subject_public_key_info())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ca, Identity, PeerIdentity, Role, validity_s};
    use super::*;
    use rcgen::{BasicConstraints, IsCa};
    use rustls::pki_types::CertificateDer;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn a_certificate_for_a_request_makes_an_identity_with_the_key_that_stayed_at_home() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Ca::generate().unwrap();
        let key = NodeKey::load_or_create(dir.path()).unwrap();
        let requested = RequestedKey::of(&key.request().unwrap()).unwrap();
        assert_eq!(requested.hash(), key.hash());
        let now = SystemTime::now();
        let until = now + Duration::from_hours(720);
        let certificate = ca.sign(&requested, Role::Box, "nord", now, until).unwrap();
        assert_eq!(KeyHash::of(&certificate).unwrap(), key.hash());
        let (from_s, until_s) = validity_s(&certificate).unwrap();
        assert_eq!(until_s, until.duration_since(UNIX_EPOCH).unwrap().as_secs());
        assert!(from_s <= now.duration_since(UNIX_EPOCH).unwrap().as_secs());

        let again = NodeKey::load_or_create(dir.path()).unwrap();
        Identity::assemble(&again, ca.certificate(), certificate).unwrap().save(dir.path()).unwrap();
        assert_eq!(Identity::load_as(dir.path(), Role::Box).unwrap().own().to_string(), "box nord");
    }

    #[test]
    fn what_a_request_asks_for_is_not_what_it_gets() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["core-1.core.schulhof.internal".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let greedy = params.serialize_request(&key).unwrap();
        let ca = Ca::generate().unwrap();
        let now = SystemTime::now();
        let requested = RequestedKey::of(greedy.der()).unwrap();
        let certificate = ca.sign(&requested, Role::Box, "nord", now, now + Duration::from_hours(1)).unwrap();
        assert_eq!(PeerIdentity::from_certificate(&certificate).unwrap().to_string(), "box nord");
        let parsed = x509_parser::parse_x509_certificate(&certificate).unwrap().1;
        assert!(!parsed.is_ca());
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
    }

    #[test]
    fn a_request_with_a_wrong_signature_or_another_kind_of_key_is_refused() {
        let key = NodeKey::generate().unwrap();
        let mut request = key.request().unwrap();
        RequestedKey::of(&request).unwrap();
        let last = request.len() - 1;
        request[last] ^= 1;
        assert!(matches!(RequestedKey::of(&request), Err(IdentityError::Request(_))));
        for bytes in [&[][..], b"\x30\x03abc", &[0xff; CSR_LEN_MAX + 1]] {
            assert!(matches!(RequestedKey::of(bytes), Err(IdentityError::Request(_))));
        }
        let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let request = CertificateParams::default().serialize_request(&ed25519).unwrap();
        assert!(matches!(RequestedKey::of(request.der()), Err(IdentityError::Request(_))));
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let request = CertificateParams::default().serialize_request(&p384).unwrap();
        assert!(matches!(RequestedKey::of(request.der()), Err(IdentityError::Request(_))));
    }

    #[test]
    fn a_foreign_certificate_or_key_makes_no_identity() {
        let (ca, key) = (Ca::generate().unwrap(), NodeKey::generate().unwrap());
        let requested = RequestedKey::of(&key.request().unwrap()).unwrap();
        let now = SystemTime::now();
        let certificate = ca.sign(&requested, Role::Box, "nord", now, now + Duration::from_hours(1)).unwrap();
        let other = NodeKey::generate().unwrap();
        assert!(matches!(
            Identity::assemble(&other, ca.certificate(), certificate.clone()),
            Err(IdentityError::WrongKey { .. })
        ));
        let foreign = Ca::generate().unwrap();
        assert!(matches!(
            Identity::assemble(&key, foreign.certificate(), certificate),
            Err(IdentityError::WrongCa { .. })
        ));
        let nonsense = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
        assert!(matches!(Identity::assemble(&key, ca.certificate(), nonsense), Err(IdentityError::Foreign(_))));
    }
}
