//! Certificates and who stands behind them.
//!
//! What this is: reading a node's identity from its folder, naming the peer of a connection, and the small CA that issues
//! certificates. What it must not do: decide who may do what; a door compares [`PeerIdentity`] with what it allows.
//!
//! Role and name stand in a DNS subject alternative name of the X.509 certificate (RFC 5280 section 4.2.1.6):
//! `core-1.core.schulhof.internal`, `nord.box.schulhof.internal` (a box is named like its school),
//! `relay-1.relay.schulhof.internal`, `g-1.gateway.schulhof.internal`, `up.operator.schulhof.internal`. Core nodes
//! additionally carry [`ANY_CORE`], for clients that take whichever core node answers.

mod ca;
mod files;
mod fingerprint;
mod request;
mod seal;

pub use ca::Ca;
pub(crate) use files::provider;
pub use files::{CA_FILE, CERTIFICATE_FILE, Identity, KEY_FILE};
pub(crate) use fingerprint::sha256;
pub use fingerprint::{Fingerprint, KeyHash, validity_s};
pub use request::{NodeKey, RequestedKey};
pub use seal::{SEAL_FILE, SealKey};

use rustls::pki_types::CertificateDer;
use schulhof_wire::{NodeName, SchoolId};
use std::{fmt, path::PathBuf};

/// Under which all nodes are named. Reserved for private use (RFC 9476).
pub const DOMAIN: &str = "schulhof.internal";
/// The name that every core node carries besides its own.
pub const ANY_CORE: &str = "core.schulhof.internal";
/// Longest name in a certificate: one DNS label (RFC 1035 section 2.3.4).
pub const NAME_LEN_MAX: usize = 63;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Core,
    Box,
    Relay,
    /// A person or program that operates the cloud: creates schools, reads the state of all.
    Operator,
    /// Serves the schools' people from the cloud: names any school, and acts as their accounts, never as an operator.
    Gateway,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Core, Self::Box, Self::Relay, Self::Operator, Self::Gateway];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Box => "box",
            Self::Relay => "relay",
            Self::Operator => "operator",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an identity cannot be read, issued or recognised. One line each, naming the file where there is one.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("{path} does not hold a {expected} in PEM form: {detail}")]
    Pem { path: PathBuf, expected: &'static str, detail: String },
    #[error("the certificate of {who} expired; issue a new one")]
    Expired { who: String },
    #[error("the certificate of {who} is not valid yet; check the clock")]
    NotYetValid { who: String },
    #[error("the certificate of {who} was not issued by the CA beside it: {detail}")]
    WrongCa { who: String, detail: String },
    #[error("the private key does not belong to the certificate of {who}: {detail}")]
    WrongKey { who: String, detail: String },
    #[error("the certificate belongs to {who}, a {} was expected", .expected.as_str())]
    WrongRole { who: PeerIdentity, expected: Role },
    #[error("not a certificate of this system: {0}")]
    Foreign(String),
    #[error(
        "{0:?} cannot stand in a certificate: names there have a-z, 0-9 and '-', at most {NAME_LEN_MAX} characters"
    )]
    Name(String),
    #[error("cannot issue a certificate: {0}")]
    Issue(String),
    #[error("not a signing request that is taken here: {0}")]
    Request(String),
    #[error("{0}")]
    Seal(String),
}

/// Role and name as the CA has confirmed them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIdentity {
    pub role: Role,
    pub name: NodeName,
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

impl PeerIdentity {
    /// Checks that the name fits into a certificate.
    pub fn new(role: Role, name: &str) -> Result<Self, IdentityError> {
        let fits = !name.is_empty()
            && name.len() <= NAME_LEN_MAX
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        match NodeName::new(name) {
            Ok(name) if fits => Ok(Self { role, name }),
            _ => Err(IdentityError::Name(name.to_owned())),
        }
    }

    /// Who is at the other end. The certificate was already verified against the CA by the handshake.
    pub fn of(connection: &quinn::Connection) -> Result<Self, IdentityError> {
        let leaf = peer_certificate(connection)
            .ok_or_else(|| IdentityError::Foreign("the peer showed no certificate".into()))?;
        Self::from_certificate(&leaf)
    }

    /// Reads the name; does not verify who issued it.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|e| IdentityError::Foreign(e.to_string()))?;
        let mut found = None;
        for name in parsed.valid_dns_names() {
            let Some(identity) = Self::from_dns_name(name) else { continue };
            // Two names of ours in one certificate: nobody may be two at once.
            if found.replace(identity).is_some() {
                return Err(IdentityError::Foreign("it names more than one node".into()));
            }
        }
        found.ok_or_else(|| IdentityError::Foreign(format!("no name under {DOMAIN}")))
    }

    fn from_dns_name(name: &str) -> Option<Self> {
        let rest = name.strip_suffix(DOMAIN)?.strip_suffix('.')?;
        let (name, role) = rest.split_once('.')?;
        let role = Role::ALL.into_iter().find(|r| r.as_str() == role)?;
        Self::new(role, name).ok()
    }

    /// The DNS name that stands in the certificate.
    pub fn dns_name(&self) -> String {
        format!("{}.{}.{DOMAIN}", self.name, self.role)
    }

    /// The school that a box speaks for; nobody else speaks for one alone.
    pub fn school(&self) -> Option<SchoolId> {
        match self.role {
            Role::Box => SchoolId::new(self.name.as_str()).ok(),
            Role::Core | Role::Relay | Role::Operator | Role::Gateway => None,
        }
    }

    /// Itself, if it has that role.
    pub fn expect(self, role: Role) -> Result<Self, IdentityError> {
        if self.role == role { Ok(self) } else { Err(IdentityError::WrongRole { who: self, expected: role }) }
    }
}

/// The certificate that the peer of a connection has shown, if any; verified by the handshake.
pub fn peer_certificate(connection: &quinn::Connection) -> Option<CertificateDer<'static>> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_gives_back_role_and_name() {
        for role in Role::ALL {
            let identity = PeerIdentity::new(role, "nord-2").unwrap();
            assert_eq!(PeerIdentity::from_dns_name(&identity.dns_name()), Some(identity));
        }
        for foreign in [ANY_CORE, "a.box.example.org", "a.b.box.schulhof.internal", "a.king.schulhof.internal", "x"] {
            assert_eq!(PeerIdentity::from_dns_name(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn names_that_dns_cannot_carry_are_refused() {
        for name in ["", "Nord", "a.b", "a_b", "-a", "a-", &"x".repeat(64)] {
            assert!(matches!(PeerIdentity::new(Role::Box, name), Err(IdentityError::Name(_))), "{name}");
        }
    }

    #[test]
    fn only_a_box_speaks_for_a_school() {
        assert_eq!(PeerIdentity::new(Role::Box, "nord").unwrap().school(), SchoolId::new("nord").ok());
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Box) {
            assert_eq!(PeerIdentity::new(role, "nord").unwrap().school(), None, "{role}");
        }
    }
}
