//! Enrolment: how a box that knows nothing but a token gets its certificate, and how it renews it (PROTOCOL.md section 7).
//!
//! ALPN [`ALPN_ENROL`], the only door of a core node that lets in callers without a certificate. One request and one
//! answer per stream, in frames as in [`crate::node`], but with limits of their own: whoever knocks here is unknown.

use crate::id::{NodeName, SchoolId};
use serde::{Deserialize, Serialize};

/// Version of the frames below.
pub const VERSION: u16 = 1;
/// A box to a core node: a certificate, please.
pub const ALPN_ENROL: &[u8] = b"schulhof-enrol/1";

/// Largest request in bytes: a signing request of a P-256 key has some 300.
pub const REQUEST_LEN_MAX: usize = 4 << 10;
/// Largest answer in bytes: two certificates and the addresses of the core.
pub const ANSWER_LEN_MAX: usize = 32 << 10;
/// Largest signing request in bytes.
pub const CSR_LEN_MAX: usize = 2 << 10;
/// Longest name of the box's software in bytes.
pub const SOFTWARE_LEN_MAX: usize = 64;
/// Longest ticket key as text in bytes: 43 are needed.
pub const TICKET_KEY_LEN_MAX: usize = 64;
/// Bytes of a token's secret.
pub const SECRET_LEN: usize = 16;

/// A token can be used for this long.
pub const TOKEN_TTL_MS: u64 = 24 * 3_600 * 1_000;
/// A box's certificate is valid for this long.
pub const CERTIFICATE_TTL_MS: u64 = 30 * 24 * 3_600 * 1_000;

/// Why somebody is not enrolled. Stable: boxes and people act on them.
pub mod code {
    /// No invitation has this secret.
    pub const UNKNOWN_TOKEN: &str = "unknown-token";
    /// A box with another key has used it.
    pub const USED: &str = "used";
    /// Its time is over.
    pub const EXPIRED: &str = "expired";
    /// The invitation, or the box, was revoked by an operator.
    pub const REVOKED: &str = "revoked";
    /// Renewing: no box has this key.
    pub const UNKNOWN_BOX: &str = "unknown-box";
    /// Not a signing request of a P-256 key with a good signature, or not a frame of this protocol.
    pub const MALFORMED: &str = "malformed";
    /// A version that is not spoken here.
    pub const VERSION: &str = "version";
    /// Renewing: the certificate is not a box's, or the signing request is for another key.
    pub const WRONG_ROLE: &str = "wrong-role";
    /// The core has no CA yet: an operator has to install it.
    pub const NO_CA: &str = "no-ca";
}

/// Box -> core.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolRequest {
    /// From a box without a certificate. `csr` is PKCS #10 (RFC 2986) in DER; nothing of it counts but the key. The same
    /// request with the same key may be sent again after a lost answer. `ticket_key` is the public key with which the box
    /// signs tickets (Ed25519, 32 bytes in base64url): media nodes have to know it.
    Join { version: u16, software: String, secret: [u8; SECRET_LEN], csr: Vec<u8>, ticket_key: Option<String> },
    /// From a box with a certificate that is still valid; the same key.
    Renew { version: u16, software: String, csr: Vec<u8> },
}

impl std::fmt::Debug for EnrolRequest {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, version, software) = match self {
            Self::Join { version, software, .. } => ("Join", version, software),
            Self::Renew { version, software, .. } => ("Renew", version, software),
        };
        f.debug_struct(kind).field("version", version).field("software", software).finish_non_exhaustive()
    }
}

/// Core -> box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolAnswer {
    Enrolled(Box<Enrolled>),
    /// Another node can answer: at this address, or (none known) any other one, later.
    Redirect {
        leader: Option<CoreNode>,
    },
    /// Too many ask at once.
    Busy {
        retry_after_ms: u32,
    },
    /// Not with this request. See [`code`].
    Refused {
        code: String,
        detail: String,
    },
}

/// What a box needs to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    pub version: u16,
    /// For which it speaks, and whose name its certificate bears.
    pub school: SchoolId,
    /// What operators call this box.
    pub name: NodeName,
    /// X.509 in DER.
    pub certificate: Vec<u8>,
    /// The CA's certificate in DER; its fingerprint is the token's.
    pub ca: Vec<u8>,
    /// When the certificate ends, in ms since 1970. Renew at two thirds.
    pub expires_ms: u64,
    /// All nodes of the core.
    pub core: Vec<CoreNode>,
}

/// A node of the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreNode {
    /// As in its certificate.
    pub name: NodeName,
    /// `host:port`, QUIC on UDP.
    pub address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = *b"0123456789abcdef";
        let join =
            EnrolRequest::Join { version: VERSION, software: "test".into(), secret, csr: vec![1], ticket_key: None };
        let text = format!("{join:?}");
        assert!(text.contains("Join") && !text.contains("48, 49"), "{text}");
    }
}
