//! Passwords: argon2id (RFC 9106) with bounded memory, and no way to tell by time or answer whether an account exists.

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHasher as _, Version,
    password_hash::phc::{Output, PasswordHash},
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::Instant};

/// OWASP's first choice: 19 MiB, two passes, one lane; about 25 ms on a small box.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const MEMORY_KIB_RANDOM: u32 = 256;
/// Hashes of other strengths are verified as long as they cannot be used to exhaust the box.
const MEMORY_KIB_MAX: u32 = 64 * 1024;
const PASSES_MAX: u32 = 4;
/// Longest password in bytes.
pub const PASSWORD_LEN_MAX: usize = 1024;
/// Logins waiting for a core: 1000 at 25 ms each on two cores are served within 13 s, later ones are told to come back.
pub const WAITING_MAX: usize = 1_000;

/// Blocks of 1 KiB for which address space is taken; only what is used becomes memory. Above what glibc ever takes from its
/// heaps (32 MiB, `M_MMAP_THRESHOLD`), so that the kernel gets it back when it is dropped.
const RESERVED_BLOCKS: usize = 40 * 1024;
/// Kept from one login to the next, given back after this without any: a box at rest needs a third less.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// What argon2 works in.
type Memory = Vec<Block>;

/// Verifies passwords, at most as many at once as there are cores.
#[derive(Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// One for each that runs, used again and again: allocated anew on ever other threads, they would pile up in the
    /// allocator until a morning's logins hold a gigabyte.
    memories: Arc<Mutex<Memories>>,
    /// Verified where there is no account, so that it takes as long.
    dummy: Arc<str>,
}

#[derive(Default)]
struct Memories {
    free: Vec<Memory>,
    used: Option<Instant>,
    /// A task waits to give them back.
    awaited: bool,
}

impl Memories {
    fn take(&mut self) -> Memory {
        self.free.pop().unwrap_or_else(|| Vec::with_capacity(RESERVED_BLOCKS))
    }

    fn put(&mut self, mut memory: Memory) {
        memory.truncate(MEMORY_KIB as usize);
        // One that a stronger hash has made grow goes at once.
        if memory.capacity() == RESERVED_BLOCKS {
            self.free.push(memory);
        }
        self.used = Some(Instant::now());
    }

    /// Gives them back when nobody has signed in for a while; otherwise when to look again.
    fn rest(&mut self) -> Option<Duration> {
        let wait = self.used.map_or(Duration::ZERO, |used| KEPT_FOR.saturating_sub(used.elapsed()));
        if !wait.is_zero() {
            return Some(wait);
        }
        self.free = Vec::new();
        self.awaited = false;
        None
    }
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
            memories: Arc::default(),
            dummy: hash(&secret).into(),
        }
    }

    /// Whether the password fits. Without a hash it never does, after the same work.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Overloaded> {
        let _place = self.waiting.clone().try_acquire_owned().map_err(|_| Overloaded)?;
        let permit = self.running.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (dummy, memories) = (self.dummy.clone(), self.memories.clone());
        let verified = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut memory = memories.lock().take();
            let fits = verify(password.as_bytes(), hash.as_deref().unwrap_or(&dummy), &mut memory);
            let awaited = {
                let mut memories = memories.lock();
                memories.put(memory);
                std::mem::replace(&mut memories.awaited, true)
            };
            if !awaited {
                tokio::spawn(give_back(memories));
            }
            hash.is_some() && fits
        });
        Ok(verified.await.unwrap_or(false))
    }

    /// [`hash`] in the same queue.
    pub async fn hash(&self, password: String) -> Result<String, Overloaded> {
        let _place = self.waiting.clone().try_acquire_owned().map_err(|_| Overloaded)?;
        let permit = self.running.clone().acquire_owned().await.expect("the semaphore is never closed");
        let hashed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash(password.as_bytes())
        });
        hashed.await.map_err(|_| Overloaded)
    }
}

async fn give_back(memories: Arc<Mutex<Memories>>) {
    loop {
        // A statement of its own: the lock is not held while waiting.
        let wait = memories.lock().rest();
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return,
        }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// A new hash in PHC form, with a random salt.
pub fn hash(password: &[u8]) -> String {
    hash_with(password, MEMORY_KIB, PASSES)
}

/// The same for a password of 59 random bits, which nobody guesses however little a try costs: a list of two thousand people
/// has as many, and a box must hash them while somebody waits.
pub fn hash_random(password: &[u8]) -> String {
    hash_with(password, MEMORY_KIB_RANDOM, 1)
}

fn hash_with(password: &[u8], memory_kib: u32, passes: u32) -> String {
    let params = Params::new(memory_kib, passes, LANES, None).expect("the parameters are in range");
    let salt: [u8; 16] = rand::random();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password_with_salt(password, &salt).expect("salt and length are in range");
    hash.to_string()
}

fn verify(password: &[u8], phc: &str, memory: &mut Memory) -> bool {
    let Ok(parsed) = PasswordHash::new(phc) else { return false };
    let (Ok(algorithm), Ok(params)) = (Algorithm::try_from(parsed.algorithm.as_str()), Params::try_from(&parsed))
    else {
        return false;
    };
    let version = parsed.version.map_or(Ok(Version::default()), Version::try_from);
    let (Some(salt), Some(expected), Ok(version)) = (&parsed.salt, &parsed.hash, version) else { return false };
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES {
        return false;
    }
    let blocks = params.block_count();
    memory.resize(blocks.max(memory.len()), Block::new());
    let argon2 = Argon2::new(algorithm, version, params);
    let mut hash = vec![0; expected.len()];
    let hashed = argon2.hash_password_into_with_memory(password, salt.as_ref(), &mut hash, &mut memory[..blocks]);
    // `Output` compares in constant time.
    hashed.is_ok() && Output::new(&hash).is_ok_and(|hash| hash == *expected)
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
        let mut memory = Memory::new();
        assert!(!verify(b"x", &greedy, &mut memory));
        assert!(memory.is_empty());
    }

    #[tokio::test]
    async fn many_logins_share_the_memory_of_few() {
        let passwords = Passwords::new();
        let tries: Vec<_> = (0..20).map(|n| passwords.verify(format!("{n}"), None)).collect();
        for fits in futures_util::future::join_all(tries).await {
            assert_eq!(fits, Ok(false));
        }
        let memories = passwords.memories.lock();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        assert!((1..=cores).contains(&memories.free.len()), "{}", memories.free.len());
        assert!(memories.free.iter().all(|memory| memory.len() == MEMORY_KIB as usize));
    }

    #[test]
    fn a_while_after_the_last_login_the_memory_is_given_back() {
        let mut memories = Memories::default();
        let memory = memories.take();
        memories.put(memory);
        assert!(memories.rest().is_some());
        assert_eq!(memories.free.len(), 1, "kept for the next login");
        memories.used = Instant::now().checked_sub(KEPT_FOR);
        assert_eq!(memories.rest(), None);
        assert!(memories.free.is_empty());
    }
}
