//! The certificate authority: one key, certificates for nodes.
//!
//! It holds no list of what it has issued: what the core knows of its boxes, and whom it turns away, stands in the core's
//! own state. Certificates are short-lived.

use super::{
    ANY_CORE, CA_FILE, Fingerprint, Identity, IdentityError, NodeKey, PeerIdentity, RequestedKey, Role,
    files::{KEY_FILE, pem, read, write_private, write_public},
};
use rand::RngCore as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A node's certificate is renewed by issuing it again; a year is the longest that a forgotten one stays valid.
const NODE_VALID: Duration = Duration::from_hours(365 * 24);
/// The CA outlives many generations of nodes.
const CA_VALID: Duration = Duration::from_hours(10 * 365 * 24);
/// Certificates begin this long ago, for nodes whose clock is behind.
const CLOCK_SKEW_MAX: Duration = Duration::from_hours(1);
/// Bytes of a serial number; at most 20 (RFC 5280 section 4.1.2.2).
const SERIAL_LEN: usize = 16;

/// Issues certificates. Its key never leaves the process and its own folder.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

/// The same for every CA, so that a loaded one issues under the same name without parsing its certificate.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Schulhof CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(super) fn issue_error(e: impl std::fmt::Display) -> IdentityError {
    IdentityError::Issue(e.to_string())
}

/// Sets the validity. `rcgen` takes the `time` crate's instants, which add `std` durations.
fn set_validity(params: &mut CertificateParams, from: SystemTime, until: SystemTime) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + from.duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_after = epoch + until.duration_since(UNIX_EPOCH).unwrap_or_default();
}

impl Ca {
    /// A new CA with a new key (ECDSA P-256).
    pub fn generate() -> Result<Self, IdentityError> {
        let key = KeyPair::generate().map_err(issue_error)?;
        let now = SystemTime::now();
        let mut params = params();
        set_validity(&mut params, now - CLOCK_SKEW_MAX, now + CA_VALID);
        let certificate = params.self_signed(&key).map_err(issue_error)?;
        Ok(Self {
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Writes `ca.pem` and `key.pem` (mode 0600) into the folder, which is created.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        write_private(&dir.join(KEY_FILE), &self.issuer.key().serialize_pem())?;
        write_public(&dir.join(CA_FILE), &self.certificate_pem)
    }

    /// Reads what [`Ca::save`] wrote, and checks that key and certificate belong together.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let (ca_path, key_path) = (dir.join(CA_FILE), dir.join(KEY_FILE));
        let certificate_pem = read(&ca_path)?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| IdentityError::Pem { path: ca_path, expected: "certificate", detail: e.to_string() })?;
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|e| IdentityError::Pem {
            path: key_path,
            expected: "private key",
            detail: e.to_string(),
        })?;
        Self::checked(certificate, certificate_pem, key)
    }

    /// From the certificate and [`Ca::key_der`]; checks that they belong together.
    pub fn from_der(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let key = KeyPair::try_from(key).map_err(|e| IdentityError::Seal(e.to_string()))?;
        Self::checked(CertificateDer::from(certificate.to_vec()), pem("CERTIFICATE", certificate), key)
    }

    fn checked(
        certificate: CertificateDer<'static>,
        certificate_pem: String,
        key: KeyPair,
    ) -> Result<Self, IdentityError> {
        let ca = Self { issuer: Issuer::new(params(), key), certificate, certificate_pem };
        // A certificate issued now must verify: otherwise key and certificate are of two CAs.
        ca.issue(Role::Operator, "self-check")?.check_certificate()?;
        Ok(ca)
    }

    /// The private key in PKCS #8: to be sealed, or to be handed to the core that shall issue with it.
    pub fn key_der(&self) -> Vec<u8> {
        self.issuer.key().serialize_der()
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// By which a box that has only a token recognises this CA.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// A new key and a certificate for it, valid for a year.
    pub fn issue(&self, role: Role, name: &str) -> Result<Identity, IdentityError> {
        let now = SystemTime::now();
        self.issue_valid(role, name, now - CLOCK_SKEW_MAX, now + NODE_VALID)
    }

    /// As [`Ca::issue`], for a given time.
    pub fn issue_valid(
        &self,
        role: Role,
        name: &str,
        from: SystemTime,
        until: SystemTime,
    ) -> Result<Identity, IdentityError> {
        let key = NodeKey::generate()?;
        let certificate = self.certify(&key.0, role, name, from, until)?;
        Identity::new_unchecked(&key, &self.certificate, certificate)
    }

    /// A certificate for somebody else's key: for exactly this role and name, whatever the request asked for.
    pub fn sign(
        &self,
        key: &RequestedKey,
        role: Role,
        name: &str,
        now: SystemTime,
        until: SystemTime,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        self.certify(&key.0, role, name, now - CLOCK_SKEW_MAX, until)
    }

    fn certify(
        &self,
        key: &impl PublicKeyData,
        role: Role,
        name: &str,
        from: SystemTime,
        until: SystemTime,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        let own = PeerIdentity::new(role, name)?;
        let mut names = vec![own.dns_name()];
        if role == Role::Core {
            names.push(ANY_CORE.to_owned());
        }
        let mut params = CertificateParams::new(names).map_err(issue_error)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, own.dns_name());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Every node dials and is dialled.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        // Positive, and of full length: the first bit is 0, the second 1.
        let mut serial = [0; SERIAL_LEN];
        rand::rng().fill_bytes(&mut serial);
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        set_validity(&mut params, from, until);
        let certificate = params.signed_by(key, &self.issuer).map_err(issue_error)?;
        Ok(certificate.der().clone())
    }
}
