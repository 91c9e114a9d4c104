//! Short names of certificates and keys: SHA-256, as every other tool prints it.

use super::IdentityError;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::fmt;
use x509_parser::prelude::{FromDer as _, X509Certificate};

macro_rules! hashes {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

hashes! {
    /// SHA-256 of a certificate in DER: what `openssl x509 -fingerprint -sha256` shows.
    Fingerprint,
    /// SHA-256 of a public key as a certificate holds it (SubjectPublicKeyInfo in DER, as in RFC 7469). A box keeps its key
    /// when its certificate is renewed, so this names the box.
    KeyHash,
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Fingerprint {
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self::of_der(certificate)
    }

    pub fn of_der(certificate: &[u8]) -> Self {
        Self(sha256(certificate))
    }
}

impl KeyHash {
    pub(super) fn of_spki(spki: &[u8]) -> Self {
        Self(sha256(spki))
    }

    /// Of the key that a certificate is for.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        Ok(Self::of_spki(parse(certificate)?.public_key().raw))
    }
}

/// When a certificate begins and ends to be valid, in seconds since 1970.
pub fn validity_s(certificate: &CertificateDer<'_>) -> Result<(u64, u64), IdentityError> {
    let parsed = parse(certificate)?;
    let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
    Ok((seconds(parsed.validity().not_before), seconds(parsed.validity().not_after)))
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IdentityError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err(IdentityError::Foreign("bytes follow the certificate".into())),
        Err(e) => Err(IdentityError::Foreign(e.to_string())),
    }
}
