//! Tickets: signing by the box, checking by media nodes.
//!
//! Text form and fields: [`schulhof_wire::ticket`]; signatures: [`crate::token`]. Checking goes from cheap to dear: length,
//! shape, version, school, signature, and only then the claims are believed. Every way of being wrong has its own stable
//! code.

use crate::{
    keys::TicketKeys,
    token::{self, TokenError},
};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use schulhof_wire::{
    NodeName, SchoolId,
    ticket::{AUDIO_SLOTS, Claims, TICKET_LEN_MAX, VERSION, VIDEO_SLOTS},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Length of an Ed25519 public key and of a seed in bytes (RFC 8032 §5.1.5).
pub const KEY_LEN: usize = 32;
pub(crate) const SIGNATURE_LEN: usize = 64;
/// Longest name shown to others, in bytes: it is repeated in every roster.
pub const NAME_LEN_MAX: usize = 256;
/// Longest reservation id in bytes: 256 bits as base64 and room to spare.
pub const TICKET_ID_LEN_MAX: usize = 64;

impl From<TokenError> for TicketError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed(why) => Self::Malformed(why),
            TokenError::Version(version) => Self::Version(version),
            TokenError::UnknownSchool(school) => Self::UnknownSchool(school),
            TokenError::Forged => Self::Forged,
        }
    }
}

/// Why a ticket is not honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("a ticket has at most {TICKET_LEN_MAX} bytes, this one has {0}")]
    TooLong(usize),
    #[error("not a ticket: {0}")]
    Malformed(&'static str),
    #[error("the ticket has version {0}, this node knows {VERSION}")]
    Version(u16),
    #[error("no key is known for the school {0}")]
    UnknownSchool(SchoolId),
    #[error("the signature is not of the school's key")]
    Forged,
    #[error("the ticket promises what no node gives: {0}")]
    OutOfBounds(&'static str),
    #[error("the ticket expired {0} ms ago")]
    Expired(u64),
    #[error("the ticket is for other nodes than {0}")]
    WrongNode(NodeName),
}

impl TicketError {
    /// Stable, for problem documents and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "ticket-too-long",
            Self::Malformed(_) => "ticket-malformed",
            Self::Version(_) => "ticket-version",
            Self::UnknownSchool(_) => "ticket-unknown-school",
            Self::Forged => "ticket-forged",
            Self::OutOfBounds(_) => "ticket-out-of-bounds",
            Self::Expired(_) => "ticket-expired",
            Self::WrongNode(_) => "ticket-other-node",
        }
    }
}

/// A text or file is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not an Ed25519 public key in base64url of {KEY_LEN} bytes")]
    NotAPublicKey,
    #[error("not an Ed25519 private key in PKCS#8")]
    NotAPrivateKey,
}

/// A school's private ticket key; lives on its box.
pub struct TicketKey {
    pair: Ed25519KeyPair,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl TicketKey {
    /// From 32 random bytes, which the caller draws from the system.
    pub fn generate(seed: &[u8; KEY_LEN]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are an Ed25519 seed");
        Self { pair }
    }

    /// Reads PKCS#8 (RFC 5958), version 1 or 2, DER.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyError::NotAPrivateKey)?;
        Ok(Self { pair })
    }

    /// PKCS#8 version 2, DER: what [`Self::from_pkcs8`] reads.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        let document = self.pair.to_pkcs8().expect("a loaded key can be written");
        document.as_ref().to_vec()
    }

    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; KEY_LEN];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The ticket's text.
    pub fn sign(&self, claims: &Claims) -> String {
        token::sign(self, claims, &[])
    }

    pub(crate) fn signature(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// The public half, as it stands in configurations: base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_LEN]);

impl PublicKey {
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64URL.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64URL.decode(text).map_err(|_| KeyError::NotAPublicKey)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::NotAPublicKey)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl TicketKeys {
    /// The claims of a ticket, if a known school signed it, it is still valid at `now_ms` (milliseconds since 1970), and
    /// it lets one in at `node`.
    pub fn verify(&self, text: &str, now_ms: u64, node: &NodeName) -> Result<Claims, TicketError> {
        if text.len() > TICKET_LEN_MAX {
            return Err(TicketError::TooLong(text.len()));
        }
        let claims: Claims = token::verify(self, text, &[], VERSION)?;
        check_bounds(&claims)?;
        if claims.expires_at_ms <= now_ms {
            return Err(TicketError::Expired(now_ms - claims.expires_at_ms));
        }
        if claims.node(node).is_none() {
            return Err(TicketError::WrongNode(node.clone()));
        }
        Ok(claims)
    }
}

/// Even a school's own box may not promise more than a node gives to anybody.
fn check_bounds(claims: &Claims) -> Result<(), TicketError> {
    if claims.audio_slots > AUDIO_SLOTS {
        return Err(TicketError::OutOfBounds("audio_slots"));
    }
    if claims.video_slots > VIDEO_SLOTS {
        return Err(TicketError::OutOfBounds("video_slots"));
    }
    if claims.name.len() > NAME_LEN_MAX {
        return Err(TicketError::OutOfBounds("name"));
    }
    if claims.id.is_empty() || claims.id.len() > TICKET_ID_LEN_MAX {
        return Err(TicketError::OutOfBounds("id"));
    }
    Ok(())
}
