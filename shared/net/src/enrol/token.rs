//! The line that an operator gives to whoever sets up a box: where the core is, by what it is recognised, and a secret.
//!
//! ```text
//! schulhof-box/1/ADDRESS[,ADDRESS...]/FINGERPRINT/SECRET/CHECK
//! ```
//!
//! Made to be copied by hand: one case, no letters that look like digits (Crockford's base32), and a check that tells a slip
//! of the pen from a wrong token. The fingerprint is the first half of the SHA-256 of the CA's certificate: finding another
//! CA with the same half takes 2^128 tries.

use crate::identity::{Fingerprint, sha256};
use rand::RngCore as _;
use schulhof_wire::enrol::SECRET_LEN;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

const PREFIX: &str = "schulhof-box";
const VERSION: &str = "1";
/// Addresses in one token: the line stays short, and one that answers is enough.
pub const ADDRESSES_MAX: usize = 5;
/// A host name has at most 253 characters (RFC 1035); with a port.
const ADDRESS_LEN_MAX: usize = 260;
/// Longest token that is looked at.
const TOKEN_LEN_MAX: usize = 2_048;
const PIN_LEN: usize = 16;
/// Crockford: neither i, l, o nor u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Bytes of the checksum: one slip in a million goes unnoticed here, and is then refused by the core.
const CHECK_LEN: usize = 3;

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this is not a token for a box: it begins with {PREFIX}/")]
    NotAToken,
    #[error("the token is of version {0:?}, this program reads version {VERSION}")]
    Version(String),
    #[error("the token has a slip: copy it again, the last characters do not fit the rest")]
    Slip,
    #[error("the token is incomplete or damaged: {0}")]
    Damaged(&'static str),
}

/// By which the core's CA is recognised: the beginning of its fingerprint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; PIN_LEN]);

impl Pin {
    pub fn of(fingerprint: Fingerprint) -> Self {
        Self(*fingerprint.0.first_chunk().expect("a fingerprint is longer"))
    }

    pub fn fits(&self, fingerprint: Fingerprint) -> bool {
        *self == Self::of(fingerprint)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

/// Known to who holds the token; the core keeps only its [`TokenId`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; SECRET_LEN]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    pub fn generate() -> Self {
        let mut bytes = [0; SECRET_LEN];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub fn id(&self) -> TokenId {
        TokenId(sha256(&[b"schulhof-token/1\n", &self.0[..]].concat()))
    }
}

/// Names an invitation without giving its secret away: SHA-256 over `schulhof-token/1\n` and the secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId(pub [u8; 32]);

impl TokenId {
    /// For people: eight characters.
    pub fn short(&self) -> String {
        encode(&self.0[..5])
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// An invitation, as it is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// `host:port` of core nodes, QUIC on UDP; at least one.
    pub addresses: Vec<String>,
    pub pin: Pin,
    pub secret: Secret,
}

impl Token {
    /// Refuses what would not survive being written down.
    pub fn new(addresses: Vec<String>, ca: Fingerprint, secret: Secret) -> Result<Self, TokenError> {
        if !(1..=ADDRESSES_MAX).contains(&addresses.len()) || !addresses.iter().all(|address| is_address(address)) {
            return Err(TokenError::Damaged("an address is missing or is none"));
        }
        Ok(Self { addresses, pin: Pin::of(ca), secret })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (addresses, pin, secret) = (self.addresses.join(","), encode(&self.pin.0), encode(&self.secret.0));
        let text = format!("{PREFIX}/{VERSION}/{addresses}/{pin}/{secret}");
        write!(f, "{text}/{}", check(&text))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    /// Spaces and line breaks, as mail programs put them in, and capitals do not matter.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_LEN_MAX {
            return Err(TokenError::NotAToken);
        }
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        let parts: Vec<&str> = text.split('/').collect();
        let [prefix, version, rest @ ..] = &parts[..] else { return Err(TokenError::NotAToken) };
        if *prefix != PREFIX {
            return Err(TokenError::NotAToken);
        }
        if *version != VERSION {
            return Err(TokenError::Version((*version).chars().take(8).collect()));
        }
        let [addresses, pin, secret, given] = rest else { return Err(TokenError::Damaged("a part is missing")) };
        let pin: [u8; PIN_LEN] = decode(pin).ok_or(TokenError::Slip)?;
        let secret: [u8; SECRET_LEN] = decode(secret).ok_or(TokenError::Slip)?;
        let token = Self {
            addresses: addresses.split(',').map(str::to_owned).collect(),
            pin: Pin(pin),
            secret: Secret(secret),
        };
        let given: [u8; CHECK_LEN] = decode(given).ok_or(TokenError::Slip)?;
        if token.to_string().rsplit('/').next().and_then(decode) != Some(given) {
            return Err(TokenError::Slip);
        }
        let enough = token.addresses.len() <= ADDRESSES_MAX && token.addresses.iter().all(|a| is_address(a));
        if enough { Ok(token) } else { Err(TokenError::Damaged("an address is missing or is none")) }
    }
}

/// `host:port`, with a host name, IPv4 address or IPv6 address in brackets, in lower case.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let host_fits = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(host_byte),
    };
    text.len() <= ADDRESS_LEN_MAX && host_fits && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn check(text: &str) -> String {
    encode(&sha256(text.as_bytes())[..CHECK_LEN])
}

/// Base32, most significant bit first, the last digit filled up with zero bits.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut held, mut bits) = (0u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(ALPHABET[(held >> bits) as usize & 31].into());
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(ALPHABET[(held << (5 - bits)) as usize & 31].into());
    }
    text
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut bytes = Vec::with_capacity(N + 1);
    let (mut held, mut bits) = (0u32, 0);
    for digit in text.bytes() {
        let digit = match digit {
            b'o' => b'0',
            b'i' | b'l' => b'1',
            digit => digit,
        };
        held = held << 5 | ALPHABET.iter().position(|known| *known == digit)? as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    // What fills up the last digit must be zero, so that each value has one text.
    if held == 0 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        let addresses = vec!["core-1.example.org:7101".into(), "192.0.2.7:7102".into(), "[2001:db8::1]:7103".into()];
        Token::new(addresses, Fingerprint([0xa5; 32]), Secret(*b"0123456789abcdef")).unwrap()
    }

    #[test]
    fn a_token_survives_being_copied_by_hand_and_by_mail() {
        let line = token().to_string();
        assert!(line.starts_with("schulhof-box/1/core-1.example.org:7101,192.0.2.7:7102,"), "{line}");
        assert_eq!(line.parse(), Ok(token()));
        let mailed: String =
            line.chars().enumerate().flat_map(|(i, c)| [(i % 40 == 39).then_some('\n'), Some(c)]).flatten().collect();
        assert_eq!(format!("  {}\r\n", mailed.to_uppercase()).parse(), Ok(token()));
        let parts: Vec<&str> = line.split('/').collect();
        let digits = parts[3..].join("/").replace('0', "O").replace('1', "l");
        let by_hand = format!("{}/{digits}", parts[..3].join("/"));
        assert_eq!(by_hand.parse(), Ok(token()));
    }

    #[test]
    fn every_slip_of_one_character_is_noticed() {
        let line = token().to_string();
        for (at, was) in line.char_indices() {
            for slip in ['7', 'k'] {
                let mut slipped = line.clone();
                slipped.replace_range(at..=at, &slip.to_string());
                if was != slip && !(was == '1' && slip == 'l') {
                    assert!(slipped.parse::<Token>().is_err(), "{slip} at {at}: {slipped}");
                }
            }
            let mut shorter = line.clone();
            shorter.remove(at);
            assert!(shorter.parse::<Token>().is_err(), "without {at}");
        }
        assert_eq!(line.replace("7101", "7107").parse::<Token>(), Err(TokenError::Slip));
    }

    #[test]
    fn what_is_no_token_is_called_so() {
        for text in ["", "hello", "https://example.org/1/2/3/4/5"] {
            assert_eq!(text.parse::<Token>(), Err(TokenError::NotAToken), "{text}");
        }
        assert_eq!("schulhof-box/2/x".parse::<Token>(), Err(TokenError::Version("2".into())));
        assert!(matches!("schulhof-box/1/x:1".parse::<Token>(), Err(TokenError::Damaged(_))));
        assert_eq!("x".repeat(1 << 20).parse::<Token>(), Err(TokenError::NotAToken));
        for address in ["", "host", "host:0", "host:x", ":1", "a b:1", "ho/st:1", "[::1:1", "Host:1"] {
            let made = Token::new(vec![address.into()], Fingerprint([0; 32]), Secret([0; 16]));
            assert!(matches!(made, Err(TokenError::Damaged(_))), "{address}");
        }
    }

    #[test]
    fn a_secret_shows_nowhere_but_in_the_token() {
        let token = token();
        assert!(!format!("{token:?}").contains(&encode(&token.secret.0)));
        assert_ne!(token.secret.id().0[..16], token.secret.0);
        assert_eq!(token.secret.id().short().len(), 8);
    }
}
