//! Passwords: argon2id (RFC 9106) with bounded memory, and no way to tell by time or answer whether an account exists.

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version, password_hash::phc::PasswordHash,
};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// OWASP's first choice: 19 MiB, two passes, one lane; about 25 ms on a small box.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes of other strengths are verified as long as they cannot be used to exhaust the box.
const MEMORY_KIB_MAX: u32 = 64 * 1024;
const PASSES_MAX: u32 = 4;
/// Longest password in bytes.
pub const PASSWORD_LEN_MAX: usize = 1024;
/// Logins waiting for a core: 1000 at 25 ms each on two cores are served within 13 s, later ones are told to come back.
const WAITING_MAX: usize = 1_000;

/// Verifies passwords, at most as many at once as there are cores.
#[derive(Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Verified where there is no account, so that it takes as long.
    dummy: Arc<str>,
}

/// More logins at once than the box holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins at once")]
pub struct Overloaded;

impl Passwords {
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let secret: [u8; 32] = rand::random();
        Self {
            running: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            dummy: hash(&secret).into(),
        }
    }

    /// Whether the password fits. Without a hash it never does, after the same work.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Overloaded> {
        let _place = self.waiting.clone().try_acquire_owned().map_err(|_| Overloaded)?;
        let permit = self.running.clone().acquire_owned().await.expect("the semaphore is never closed");
        let dummy = self.dummy.clone();
        let verified = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let fits = verify(password.as_bytes(), hash.as_deref().unwrap_or(&dummy));
            hash.is_some() && fits
        });
        Ok(verified.await.unwrap_or(false))
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// A new hash in PHC form, with a random salt.
pub fn hash(password: &[u8]) -> String {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are in range");
    let salt: [u8; 16] = rand::random();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password_with_salt(password, &salt).expect("salt and length are in range");
    hash.to_string()
}

fn verify(password: &[u8], phc: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(phc) else { return false };
    let Ok(params) = Params::try_from(&parsed) else { return false };
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES {
        return false;
    }
    Argon2::default().verify_password(password, &parsed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_fits_and_no_other() {
        let passwords = Passwords::new();
        let stored = hash(b"geheim");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(passwords.verify("geheim".into(), Some(stored.clone())).await, Ok(true));
        assert_eq!(passwords.verify("Geheim".into(), Some(stored)).await, Ok(false));
        assert_eq!(passwords.verify("geheim".into(), None).await, Ok(false));
        assert_eq!(passwords.verify("geheim".into(), Some("*".into())).await, Ok(false));
    }

    #[test]
    fn a_stored_hash_cannot_ask_for_a_gigabyte() {
        let greedy = hash(b"x").replace("m=19456", "m=1048576");
        assert!(!verify(b"x", &greedy));
    }
}
