//! Randomness from a seed: HMAC-SHA-256 over a counter (NIST SP 800-108). With a secret seed nobody can guess the next
//! name of a session or ICE password; with a fixed seed a test runs the same way twice.

use aws_lc_rs::hmac;

pub(crate) struct Rng {
    key: hmac::Key,
    counter: u64,
}

/// The characters of an `ice-char` (RFC 8839 §5.4): exactly 64, so that every byte maps without bias.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Rng {
    pub fn new(seed: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), counter: 0 }
    }

    /// The next `N` bytes; at most one block of 32.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32) };
        self.counter += 1;
        let block = hmac::sign(&self.key, &self.counter.to_be_bytes());
        let mut bytes = [0; N];
        bytes.copy_from_slice(&block.as_ref()[..N]);
        bytes
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes())
    }

    /// `N` characters of 6 random bits each, fit for ICE's user fragment and password.
    pub fn ice_text<const N: usize>(&mut self) -> String {
        self.bytes::<N>().iter().map(|byte| char::from(ICE_CHARS[usize::from(byte & 63)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let (mut a, mut b, mut c) = (Rng::new(&[1; 32]), Rng::new(&[1; 32]), Rng::new(&[2; 32]));
        let first = a.bytes::<16>();
        assert_eq!(first, b.bytes::<16>());
        assert_ne!(first, c.bytes::<16>());
        assert_ne!(first, a.bytes::<16>(), "bytes must not repeat");
        assert_eq!(a.ice_text::<24>().len(), 24);
    }
}
