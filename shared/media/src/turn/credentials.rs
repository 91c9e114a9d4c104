//! Short-lived credentials (RFC 8489 §9.2): the user name says until when and for whom, the password is an HMAC of it under
//! a secret of the process. So nobody keeps a list, and credentials of before a restart are worth nothing.

use aws_lc_rs::hmac;
use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_stun::integrity::MessageIntegrity;
use std::fmt::Write as _;

/// A name is told in each answer that refuses.
const REALM: &str = "schulhof";
/// `4294967295:` and the name of a connection.
const USER_LEN_MAX: usize = 64;

/// Makes and checks them. Cheap to clone: the door makes them, the worker checks.
#[derive(Clone)]
pub struct Credentials {
    key: hmac::Key,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub user: String,
    pub password: String,
}

impl Credentials {
    /// `secret`: random, of this process.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    pub fn realm(&self) -> &'static str {
        REALM
    }

    /// For whoever `name` is (which is not secret), until `until_s` seconds since 1970.
    pub fn issue(&self, name: &str, until_s: u64) -> Issued {
        let user = format!("{until_s}:{name}");
        Issued { password: self.password(&user), user }
    }

    fn password(&self, user: &str) -> String {
        hex(&hmac::sign(&self.key, user.as_bytes()).as_ref()[..16])
    }

    /// What the user's requests are signed with. Nothing: expired, or no user name of ours.
    pub(super) fn key_of(&self, user: &str, now_s: u64) -> Option<Vec<u8>> {
        let (until_s, _) = user.split_once(':').filter(|_| user.len() <= USER_LEN_MAX)?;
        if until_s.parse::<u64>().ok()? <= now_s {
            return None;
        }
        let provider = AwsLcRsProvider::default();
        let password = self.password(user);
        MessageIntegrity::long_term_integrity_key(user.into(), REALM.into(), password, provider.crypto()).ok()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
