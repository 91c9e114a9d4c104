//! Passes: how a browser that is signed in at its box is known at the gateway.
//!
//! Text form as tickets have it (see [`crate::ticket`]): `base64url(claims as JSON) "." base64url(signature)`, but the
//! Ed25519 signature is over [`SIGNED_PREFIX`] and the first part, so that no ticket is a pass and no pass a ticket. The box
//! signs with the school's ticket key; signing and checking are in `shared/placement`. The browser shows its pass as
//! `Authorization: Bearer PASS`, or on a WebSocket among the subprotocols, as `bearer.PASS` beside [`SUBPROTOCOL`].

use crate::id::{AccountId, SchoolId};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub const VERSION: u16 = 1;
/// Before the first part, in what is signed.
pub const SIGNED_PREFIX: &[u8] = b"schulhof-pass/1\n";
/// Longest pass in bytes, checked before decoding.
pub const PASS_LEN_MAX: usize = 2048;
/// How long a pass is valid: over a night without the box. Every `GET /api/session` at the box gives a new one.
pub const VALID_MS: u64 = 24 * 3_600_000;
/// The WebSocket subprotocol that the server selects.
pub const SUBPROTOCOL: &str = "schulhof";
/// Before the pass in the list of subprotocols.
pub const SUBPROTOCOL_BEARER: &str = "bearer.";

/// Whom a pass lets in. It stands for a session at the box, and for no longer than [`PassClaims::expires_ms`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassClaims {
    /// [`VERSION`].
    pub v: u16,
    /// Whose key signed; the only school that it opens.
    pub school: SchoolId,
    pub account: AccountId,
    /// Names the session at the box without being able to use it there.
    pub session: String,
    /// BLAKE3 of the password's hash (PHC), in hexadecimal: with another password the pass ends.
    pub password_mark: String,
    /// Milliseconds since 1970.
    pub issued_ms: u64,
    pub expires_ms: u64,
}

/// Where the browser turns when its box is gone: part of `SessionView`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GatewayView {
    /// Origin of the gateway for this school, without a slash at the end. The API there is the box's.
    pub url: String,
    /// To be shown there as it is.
    pub pass: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_have_the_documented_shape() {
        let json = r#"{"v":1,"school":"nord","account":"eva","session":"s","password_mark":"00","issued_ms":1,"expires_ms":2}"#;
        let claims: PassClaims = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&claims).unwrap(), json);
        let more = json.replace("\"v\":1", "\"v\":1,\"role\":\"admin\"");
        assert!(serde_json::from_str::<PassClaims>(&more).is_err(), "unknown fields are refused");
    }
}
