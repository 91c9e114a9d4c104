//! Who is signed in: sessions by the hash of their token, in memory for every request and in the store over restarts.
//!
//! The token is 256 random bits and stands only in the browser's cookie; here stands its BLAKE3 hash, so that neither the
//! disk nor a backup can be used to sign in. A session ends at logout, after [`IDLE_MAX_MS`] without a request, at
//! [`AGE_MAX_MS`], and when the account is locked or gets another password.

use parking_lot::RwLock;
use schulhof_wire::{AccountId, pass::PassClaims};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Half a day without a request: who comes back the next morning signs in.
pub const IDLE_MAX_MS: u64 = 12 * 3_600_000;
/// A week at most, however busy.
pub const AGE_MAX_MS: u64 = 7 * 24 * 3_600_000;
/// Time of the last request is kept this exactly: a write per request would be too much.
pub const TOUCH_EVERY_MS: u64 = 5 * 60_000;
/// Devices of one account at once; one more ends the oldest.
const PER_ACCOUNT_MAX: usize = 20;
/// All sessions: five each of 10,000 people, 10 MB.
const SESSIONS_MAX: usize = 50_000;
/// Characters of a session's public name.
const PUBLIC_NAME_LEN: usize = 32;
/// Bytes of a token.
const TOKEN_LEN: usize = 32;

/// The secret in the cookie, in hexadecimal.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn generate() -> Self {
        Self(random_hex::<TOKEN_LEN>())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Random bytes in hexadecimal.
pub fn random_hex<const LEN: usize>() -> String {
    let bytes: [u8; LEN] = rand::random();
    bytes.iter().fold(String::with_capacity(2 * LEN), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Names a session without being able to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub [u8; 32]);

impl SessionKey {
    pub fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }

    /// Of whoever shows a pass: all passes of one session at the box are one session here.
    pub fn of_pass(claims: &PassClaims) -> Self {
        // No token has these characters.
        Self::of(&format!("pass {} {}", claims.account, claims.session))
    }

    /// Names the session outside of this box, where it must be of no use.
    pub fn public_name(&self) -> String {
        let hash = blake3::hash(&self.0).to_hex();
        hash[..PUBLIC_NAME_LEN].to_owned()
    }
}

/// What is kept of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub account: AccountId,
    /// Hash of the password's hash at the time of signing in: another password ends the session.
    pub password_mark: [u8; 32],
    pub created_ms: u64,
    pub seen_ms: u64,
}

impl Session {
    pub fn new(account: AccountId, password_phc: &str, now_ms: u64) -> Self {
        Self { account, password_mark: password_mark(password_phc), created_ms: now_ms, seen_ms: now_ms }
    }

    /// What a pass stands for: it ends with the pass, as if it had begun [`AGE_MAX_MS`] before.
    pub fn of_pass(account: AccountId, password_mark: [u8; 32], expires_ms: u64, now_ms: u64) -> Self {
        Self { account, password_mark, created_ms: expires_ms.saturating_sub(AGE_MAX_MS), seen_ms: now_ms }
    }

    /// Milliseconds until it ends if nothing happens; 0: it has.
    pub fn left_ms(&self, now_ms: u64) -> u64 {
        let by_age = (self.created_ms + AGE_MAX_MS).saturating_sub(now_ms);
        let by_idle = (self.seen_ms + IDLE_MAX_MS).saturating_sub(now_ms);
        by_age.min(by_idle)
    }
}

/// Hash of a password's hash, see [`Session::password_mark`].
pub fn password_mark(phc: &str) -> [u8; 32] {
    *blake3::hash(phc.as_bytes()).as_bytes()
}

/// All sessions, in memory. The writer of the store is the only one that changes it.
#[derive(Debug, Default)]
pub struct Sessions(RwLock<HashMap<SessionKey, Held>>);

#[derive(Debug)]
struct Held {
    session: Session,
    /// Stands in the store, too. A pass can be shown again instead.
    kept: bool,
}

impl Sessions {
    pub fn new(stored: impl IntoIterator<Item = (SessionKey, Session)>) -> Self {
        Self(RwLock::new(stored.into_iter().map(|(key, session)| (key, Held { session, kept: true })).collect()))
    }

    /// The session, if it has not ended.
    pub fn get(&self, key: &SessionKey, now_ms: u64) -> Option<Session> {
        self.0.read().get(key).map(|held| &held.session).filter(|session| session.left_ms(now_ms) > 0).cloned()
    }

    pub fn insert(&self, key: SessionKey, session: Session, kept: bool) {
        self.0.write().insert(key, Held { session, kept });
    }

    pub fn remove(&self, key: &SessionKey) -> Option<Session> {
        self.0.write().remove(key).map(|held| held.session)
    }

    /// The session was used. Gives it if that has to be kept.
    pub fn touch(&self, key: &SessionKey, now_ms: u64) -> Option<Session> {
        let mut sessions = self.0.write();
        let held = sessions.get_mut(key)?;
        held.session.seen_ms = held.session.seen_ms.max(now_ms);
        held.kept.then(|| held.session.clone())
    }

    /// Sessions of one account.
    pub fn of_account(&self, account: &AccountId) -> Vec<(SessionKey, Session)> {
        let sessions = self.0.read();
        let own = sessions.iter().filter(|(_, held)| held.session.account == *account);
        own.map(|(key, held)| (*key, held.session.clone())).collect()
    }

    /// Whose sessions there are.
    pub fn accounts(&self) -> BTreeSet<AccountId> {
        self.0.read().values().map(|held| held.session.account.clone()).collect()
    }

    /// Which ones have to go before one more of `account` is added.
    pub fn crowded_out(&self, account: &AccountId, now_ms: u64) -> Vec<SessionKey> {
        let mut gone: Vec<SessionKey> = Vec::new();
        let sessions = self.0.read();
        if sessions.len() >= SESSIONS_MAX {
            gone.extend(sessions.iter().filter(|(_, held)| held.session.left_ms(now_ms) == 0).map(|(key, _)| *key));
            if gone.is_empty() {
                let oldest = sessions.iter().min_by_key(|(key, held)| (held.session.seen_ms, **key));
                gone.extend(oldest.map(|(key, _)| *key));
            }
        }
        let own = sessions.iter().filter(|(_, held)| held.session.account == *account);
        let mut own: Vec<_> = own.map(|(key, held)| (held.session.seen_ms, *key)).collect();
        own.sort_unstable();
        let extra = (own.len() + 1).saturating_sub(PER_ACCOUNT_MAX);
        gone.extend(own.into_iter().take(extra).map(|(_, key)| key));
        gone
    }

    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eva() -> AccountId {
        AccountId::new("eva").unwrap()
    }

    #[test]
    fn a_token_has_256_bits_and_its_key_does_not_give_it_away() {
        let (a, b) = (Token::generate(), Token::generate());
        assert_eq!(a.as_str().len(), 64);
        assert_ne!(a.as_str(), b.as_str());
        assert_ne!(SessionKey::of(a.as_str()), SessionKey::of(b.as_str()));
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let mut session = Session::new(eva(), "phc", 0);
        assert_eq!(session.left_ms(IDLE_MAX_MS - 1), 1);
        assert_eq!(session.left_ms(IDLE_MAX_MS), 0);
        session.seen_ms = AGE_MAX_MS - 1;
        assert_eq!(session.left_ms(AGE_MAX_MS - 1), 1);
        assert_eq!(session.left_ms(AGE_MAX_MS), 0);
    }

    #[test]
    fn one_device_too_many_ends_the_one_unused_for_longest() {
        let key = |n: u8| SessionKey([n; 32]);
        let sessions =
            Sessions::new((0..PER_ACCOUNT_MAX as u8).map(|n| (key(n), Session::new(eva(), "phc", u64::from(n)))));
        assert_eq!(sessions.crowded_out(&eva(), 100), vec![key(0)]);
        assert!(sessions.touch(&key(0), 50).is_some());
        assert_eq!(sessions.crowded_out(&eva(), 100), vec![key(1)]);
        assert!(sessions.crowded_out(&AccountId::new("ali").unwrap(), 100).is_empty());
    }
}
