//! A node's own identity: three PEM files in a folder.

use super::{Fingerprint, IdentityError, KeyHash, NodeKey, PeerIdentity, Role, validity_s};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    CipherSuite,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime, pem::PemObject},
};
use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

/// The CA's certificate.
pub const CA_FILE: &str = "ca.pem";
/// The node's certificate.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// The node's private key, readable by its owner only.
pub const KEY_FILE: &str = "key.pem";

/// Largest PEM file that is read: ours are below 2 KiB.
const PEM_LEN_MAX: u64 = 64 * 1024;
/// Characters of a full line (RFC 7468 section 2).
const PEM_LINE_LEN: usize = 64;

/// Certificate, key and CA of this node; checked when it was made.
pub struct Identity {
    own: PeerIdentity,
    ca: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pem: [(&'static str, String); 3],
}

impl std::fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            own: self.own.clone(),
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            pem: self.pem.clone(),
        }
    }
}

/// The one crypto provider of all our TLS.
/// The key schedule of AES-128-GCM runs on SHA-256, for which processors have instructions; that of rustls's first choice runs on
/// SHA-384, and is what all boxes wait for when they come at once.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(provider)
    });
    PROVIDER.clone()
}

impl Identity {
    /// From a node's own key and what the CA gave for it; checks that they belong together and are valid now.
    pub fn assemble(
        key: &NodeKey,
        ca: &CertificateDer<'static>,
        certificate: CertificateDer<'static>,
    ) -> Result<Self, IdentityError> {
        let identity = Self::new_unchecked(key, ca, certificate)?;
        identity.check_certificate()?;
        Ok(identity)
    }

    /// Without looking at the clock, for certificates that are issued for another time.
    pub(super) fn new_unchecked(
        key: &NodeKey,
        ca: &CertificateDer<'static>,
        certificate: CertificateDer<'static>,
    ) -> Result<Self, IdentityError> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.0.serialize_der()));
        let (ca_pem, certificate_pem) = (pem("CERTIFICATE", ca), pem("CERTIFICATE", &certificate));
        Self::new(ca.clone(), certificate, der, ca_pem, certificate_pem, key.0.serialize_pem())
    }

    fn new(
        ca: CertificateDer<'static>,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        ca_pem: String,
        certificate_pem: String,
        key_pem: String,
    ) -> Result<Self, IdentityError> {
        let own = PeerIdentity::from_certificate(&certificate)?;
        let pem = [(CA_FILE, ca_pem), (CERTIFICATE_FILE, certificate_pem), (KEY_FILE, key_pem)];
        let identity = Self { own, ca, certificate, key, pem };
        identity.check_key()?;
        Ok(identity)
    }

    /// Reads `ca.pem`, `cert.pem` and `key.pem` from the folder; checks that they belong together and are valid now.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = |name: &str| dir.join(name);
        let pem = |path: PathBuf, expected, e: rustls::pki_types::pem::Error| IdentityError::Pem {
            path,
            expected,
            detail: e.to_string(),
        };
        let (ca_pem, certificate_pem, key_pem) =
            (read(&path(CA_FILE))?, read(&path(CERTIFICATE_FILE))?, read(&path(KEY_FILE))?);
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|e| pem(path(CA_FILE), "certificate", e))?;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| pem(path(CERTIFICATE_FILE), "certificate", e))?;
        let key =
            PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| pem(path(KEY_FILE), "private key", e))?;
        let identity = Self::new(ca, certificate, key, ca_pem, certificate_pem, key_pem)?;
        identity.check_certificate()?;
        Ok(identity)
    }

    /// As [`Identity::load`], and it must have the role.
    pub fn load_as(dir: &Path, role: Role) -> Result<Self, IdentityError> {
        let identity = Self::load(dir)?;
        identity.own.clone().expect(role)?;
        Ok(identity)
    }

    /// Writes the three files, the key with mode 0600. The folder is created.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        for (name, text) in &self.pem {
            let path = dir.join(name);
            if *name == KEY_FILE { write_private(&path, text)? } else { write_public(&path, text)? }
        }
        Ok(())
    }

    /// Writes the certificate alone, whole or not at all: key and CA stay as they are when it is renewed.
    pub fn save_certificate(&self, dir: &Path) -> Result<(), IdentityError> {
        let (name, text) = &self.pem[1];
        write_public(&dir.join(name), text)
    }

    /// Whose identity this is.
    pub fn own(&self) -> &PeerIdentity {
        &self.own
    }

    /// By which the CA is recognised.
    pub fn ca_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.ca)
    }

    /// By which the core knows a box, whatever certificate it has at the time.
    pub fn key_hash(&self) -> Result<KeyHash, IdentityError> {
        KeyHash::of(&self.certificate)
    }

    /// When the certificate begins and ends to be valid, in seconds since 1970.
    pub fn validity_s(&self) -> Result<(u64, u64), IdentityError> {
        validity_s(&self.certificate)
    }

    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone()]
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    fn check_key(&self) -> Result<(), IdentityError> {
        let wrong = |e: rustls::Error| IdentityError::WrongKey { who: self.own.to_string(), detail: e.to_string() };
        let signing = provider().key_provider.load_private_key(self.key()).map_err(wrong)?;
        rustls::sign::CertifiedKey::new(self.chain(), signing).keys_match().map_err(wrong)
    }

    pub(super) fn check_certificate(&self) -> Result<(), IdentityError> {
        let who = self.own.to_string();
        let foreign = |e: webpki::Error| IdentityError::WrongCa { who: who.clone(), detail: e.to_string() };
        let anchors = [webpki::anchor_from_trusted_cert(&self.ca).map_err(foreign)?];
        let certificate = webpki::EndEntityCert::try_from(&self.certificate).map_err(foreign)?;
        let verified = certificate.verify_for_usage(
            provider().signature_verification_algorithms.all,
            &anchors,
            &[],
            UnixTime::now(),
            webpki::KeyUsage::client_auth(),
            None,
            None,
        );
        match verified {
            Ok(_) => Ok(()),
            Err(webpki::Error::CertExpired { .. }) => Err(IdentityError::Expired { who }),
            Err(webpki::Error::CertNotValidYet { .. }) => Err(IdentityError::NotYetValid { who }),
            Err(e) => Err(foreign(e)),
        }
    }
}

/// PEM (RFC 7468).
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_LINE_LEN));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + "-----END " + label + "-----\n"
}

pub(super) fn read(path: &Path) -> Result<String, IdentityError> {
    let text = String::from_utf8(read_bytes(path)?);
    text.map_err(|e| IdentityError::Read { path: path.to_owned(), source: std::io::Error::other(e) })
}

pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let fail = |source| IdentityError::Read { path: path.to_owned(), source };
    let len = std::fs::metadata(path).map_err(fail)?.len();
    if len > PEM_LEN_MAX {
        return Err(fail(std::io::Error::other(format!("{len} bytes are too many for a PEM file"))));
    }
    std::fs::read(path).map_err(fail)
}

pub(super) fn write_public(path: &Path, text: &str) -> Result<(), IdentityError> {
    write(path, text.as_bytes(), 0o644)
}

pub(super) fn write_private(path: &Path, text: &str) -> Result<(), IdentityError> {
    write(path, text.as_bytes(), 0o600)
}

pub(super) fn write_private_bytes(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    write(path, bytes, 0o600)
}

/// Whole or not at all: written beside, synced, then renamed.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IdentityError> {
    let fail = |source| IdentityError::Write { path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(fail)?;
    }
    let beside = path.with_extension("new");
    // A left-over of an earlier try could have other rights.
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    std::fs::rename(&beside, path).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::super::Ca;
    use super::*;
    use std::{
        os::unix::fs::PermissionsExt,
        time::{Duration, SystemTime},
    };

    fn dir() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_saved_identity_loads_and_its_key_is_private() {
        let dir = dir();
        let ca = Ca::generate().unwrap();
        ca.issue(Role::Box, "nord").unwrap().save(dir.path()).unwrap();
        let loaded = Identity::load_as(dir.path(), Role::Box).unwrap();
        assert_eq!(loaded.own().to_string(), "box nord");
        let mode = std::fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_loaded_ca_issues_what_the_first_one_would_have() {
        let (ca_dir, node) = (dir(), dir());
        Ca::generate().unwrap().save(ca_dir.path()).unwrap();
        let again = Ca::load(ca_dir.path()).unwrap();
        again.issue(Role::Core, "core-1").unwrap().save(node.path()).unwrap();
        Identity::load(node.path()).unwrap();
    }

    #[test]
    fn a_missing_file_is_named() {
        let dir = dir();
        Ca::generate().unwrap().issue(Role::Box, "nord").unwrap().save(dir.path()).unwrap();
        std::fs::remove_file(dir.path().join(CERTIFICATE_FILE)).unwrap();
        let error = Identity::load(dir.path()).unwrap_err();
        assert!(matches!(&error, IdentityError::Read { path, .. } if path.ends_with(CERTIFICATE_FILE)), "{error}");
    }

    #[test]
    fn an_expired_certificate_is_called_expired() {
        let dir = dir();
        let now = SystemTime::now();
        let (from, until) = (now - Duration::from_hours(2), now - Duration::from_hours(1));
        Ca::generate().unwrap().issue_valid(Role::Box, "nord", from, until).unwrap().save(dir.path()).unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Expired { .. })));
    }

    #[test]
    fn a_wrong_role_is_refused_by_name() {
        let dir = dir();
        Ca::generate().unwrap().issue(Role::Box, "nord").unwrap().save(dir.path()).unwrap();
        let error = Identity::load_as(dir.path(), Role::Core).unwrap_err();
        assert_eq!(error.to_string(), "the certificate belongs to box nord, a core was expected");
    }

    #[test]
    fn files_of_two_cas_are_not_mixed() {
        let dir = dir();
        Ca::generate().unwrap().issue(Role::Box, "nord").unwrap().save(dir.path()).unwrap();
        let other = Ca::generate().unwrap().issue(Role::Box, "nord").unwrap();
        write_public(&dir.path().join(CA_FILE), &other.pem[0].1).unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::WrongCa { .. })));
        write_private(&dir.path().join(KEY_FILE), &other.pem[2].1).unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::WrongKey { .. })));
    }
}
