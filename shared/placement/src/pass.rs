//! Passes: signing by the box, checking by the gateway. Text form and fields: [`schulhof_wire::pass`].
//!
//! That the account is not locked and has the same password still is asked of the school's state by whoever checks.

use crate::{
    keys::TicketKeys,
    ticket::TicketKey,
    token::{self, TokenError},
};
use schulhof_wire::{
    SchoolId,
    pass::{PASS_LEN_MAX, PassClaims, SIGNED_PREFIX, VALID_MS, VERSION},
};

/// A box's clock may be ahead by so much: its passes look as if they were of the future.
const CLOCK_SKEW_MAX_MS: u64 = 3_600_000;
/// Longest name of a session in bytes: 256 bits in hexadecimal.
const SESSION_LEN_MAX: usize = 64;

/// Why a pass is not honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    #[error("a pass has at most {PASS_LEN_MAX} bytes, this one has {0}")]
    TooLong(usize),
    #[error("not a pass: {0}")]
    Malformed(&'static str),
    #[error("the pass has version {0}, this node knows {VERSION}")]
    Version(u16),
    #[error("no key is known for the school {0}")]
    UnknownSchool(SchoolId),
    #[error("the signature is not of the school's key")]
    Forged,
    #[error("the pass would be valid for longer than any is")]
    OutOfBounds,
    #[error("the pass expired {0} ms ago")]
    Expired(u64),
}

impl PassError {
    /// Stable, for problem documents and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "pass-too-long",
            Self::Malformed(_) => "pass-malformed",
            Self::Version(_) => "pass-version",
            Self::UnknownSchool(_) => "pass-unknown-school",
            Self::Forged => "pass-forged",
            Self::OutOfBounds => "pass-out-of-bounds",
            Self::Expired(_) => "pass-expired",
        }
    }
}

impl From<TokenError> for PassError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed(why) => Self::Malformed(why),
            TokenError::Version(version) => Self::Version(version),
            TokenError::UnknownSchool(school) => Self::UnknownSchool(school),
            TokenError::Forged => Self::Forged,
        }
    }
}

impl TicketKey {
    /// The pass's text.
    pub fn sign_pass(&self, claims: &PassClaims) -> String {
        token::sign(self, claims, SIGNED_PREFIX)
    }
}

impl TicketKeys {
    /// The claims of a pass, if a key of its school signed it and it is valid at `now_ms` (milliseconds since 1970).
    pub fn verify_pass(&self, text: &str, now_ms: u64) -> Result<PassClaims, PassError> {
        if text.len() > PASS_LEN_MAX {
            return Err(PassError::TooLong(text.len()));
        }
        let claims: PassClaims = token::verify(self, text, SIGNED_PREFIX, VERSION)?;
        // Even a box does not make passes that outlive a lock of its school for long.
        if claims.expires_ms > now_ms.saturating_add(VALID_MS + CLOCK_SKEW_MAX_MS)
            || claims.session.len() > SESSION_LEN_MAX
        {
            return Err(PassError::OutOfBounds);
        }
        if claims.expires_ms <= now_ms {
            return Err(PassError::Expired(now_ms - claims.expires_ms));
        }
        Ok(claims)
    }
}
