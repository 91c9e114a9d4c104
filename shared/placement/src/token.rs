//! The signed text form that tickets and passes share: `base64url(claims as JSON) "." base64url(signature)`, no padding.
//!
//! Ed25519 (RFC 8032) over the first part *as sent*, so that nothing depends on how JSON is written, behind a prefix that
//! names the kind, so that one kind is never taken for another.

use crate::{
    keys::TicketKeys,
    ticket::{SIGNATURE_LEN, TicketKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use schulhof_wire::SchoolId;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Why a text is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    Malformed(&'static str),
    Version(u16),
    UnknownSchool(SchoolId),
    Forged,
}

/// What is read before the signature is checked: enough to choose the key, tolerant of fields of later versions.
#[derive(Deserialize)]
struct Head {
    v: u16,
    school: SchoolId,
}

pub fn sign(key: &TicketKey, claims: &impl Serialize, prefix: &[u8]) -> String {
    let claims = serde_json::to_vec(claims).expect("claims are plain data");
    let mut text = BASE64URL.encode(claims);
    let signature = key.signature(&[prefix, text.as_bytes()].concat());
    text.push('.');
    BASE64URL.encode_string(signature, &mut text);
    text
}

/// The claims, if a key of the school that they name signed them. The caller has bounded the text's length.
pub fn verify<C: DeserializeOwned>(
    keys: &TicketKeys,
    text: &str,
    prefix: &[u8],
    version: u16,
) -> Result<C, TokenError> {
    let (signed, signature) = text.split_once('.').ok_or(TokenError::Malformed("no signature"))?;
    let signature = BASE64URL.decode(signature).map_err(|_| TokenError::Malformed("the signature is not base64url"))?;
    let signature: [u8; SIGNATURE_LEN] =
        signature.try_into().map_err(|_| TokenError::Malformed("the signature has not 64 bytes"))?;
    let json = BASE64URL.decode(signed).map_err(|_| TokenError::Malformed("the claims are not base64url"))?;
    let head: Head = serde_json::from_slice(&json).map_err(|_| TokenError::Malformed("the claims are not claims"))?;
    if head.v != version {
        return Err(TokenError::Version(head.v));
    }
    let message = [prefix, signed.as_bytes()].concat();
    match keys.get(&head.school) {
        None => return Err(TokenError::UnknownSchool(head.school)),
        Some(keys) if !keys.iter().any(|key| key.has_signed(&message, &signature)) => return Err(TokenError::Forged),
        Some(_) => {}
    }
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed("the claims lack or exceed the fields"))
}
