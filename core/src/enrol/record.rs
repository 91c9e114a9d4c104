//! What the meta group keeps about enrolment, and behind which keys. Values are a version byte and postcard.

use schulhof_net::{
    enrol::TokenId,
    identity::{Fingerprint, KeyHash},
};
use schulhof_school::{Kv, KvMut};
use schulhof_wire::{NodeName, SchoolId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const VERSION: u8 = 1;
const CA: &[u8] = b"e/ca";
const TOKENS: &str = "e/t/";
const BOXES: &str = "e/b/";
const CERTIFICATES: &str = "e/c/";
const KEYS: &str = "e/k/";
const COUNTS: &str = "e/n/";

/// The CA that signs the boxes' certificates.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaRecord {
    /// X.509 in DER.
    pub certificate: Vec<u8>,
    /// The private key, sealed under a key that is not in this state (`schulhof_net::identity::SealKey`).
    pub sealed: Vec<u8>,
}

impl std::fmt::Debug for CaRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CaRecord({})", self.fingerprint())
    }
}

impl CaRecord {
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_der(&self.certificate)
    }
}

/// An invitation. Its secret is known to who holds the token, and not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub school: SchoolId,
    /// The operator who made it.
    pub by: String,
    pub invited_ms: u64,
    pub expires_ms: u64,
    /// The box that has come with it.
    pub used: Option<NodeName>,
    pub revoked_ms: Option<u64>,
}

/// A box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxRecord {
    /// What operators call it. Never given to another one.
    pub name: NodeName,
    pub school: SchoolId,
    /// The same through all renewals.
    pub key: KeyHash,
    /// With which it came.
    pub token: TokenId,
    /// What its first-run page shows too.
    pub words: String,
    pub joined_ms: u64,
    /// When the certificate was issued that it has now.
    pub renewed_ms: u64,
    /// When that certificate ends.
    pub expires_ms: u64,
    pub revoked_ms: Option<u64>,
    /// Name and version that it last told.
    pub software: String,
    /// With which it signs tickets (Ed25519 in base64url), for the configuration of media nodes.
    pub ticket_key: Option<String>,
}

fn put(kv: &mut dyn KvMut, key: &[u8], value: &impl Serialize) {
    let bytes = postcard::to_extend(value, vec![VERSION]).expect("a record has nothing that postcard cannot encode");
    kv.put(key, &bytes);
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (&VERSION, rest) = bytes.split_first()? else { return None };
    postcard::from_bytes(rest).ok()
}

fn get<T: DeserializeOwned>(kv: &dyn Kv, key: &[u8]) -> Option<T> {
    decode(&kv.get(key)?)
}

fn key(kind: &str, name: impl std::fmt::Display) -> Vec<u8> {
    format!("{kind}{name}").into_bytes()
}

/// Token ids in full: their own text is the short form for people.
fn token_key(id: TokenId) -> Vec<u8> {
    key(TOKENS, KeyHash(id.0))
}

/// Calls for each record of a kind, with what stands behind the kind in its key.
fn each<T: DeserializeOwned>(kv: &dyn Kv, kind: &str, mut found: impl FnMut(&str, T)) {
    // '/' is followed by '0'.
    let to = format!("{}0", &kind[..kind.len() - 1]);
    kv.scan(kind.as_bytes(), to.as_bytes(), false, &mut |key, value| {
        if let (Ok(name), Some(value)) = (std::str::from_utf8(&key[kind.len()..]), decode(value)) {
            found(name, value);
        }
        true
    });
}

/// All records of enrolment, in the order of their keys but for the CA, which comes last: whoever has it has all of them.
pub fn all(kv: &dyn Kv) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    kv.scan(b"e/", b"e0", false, &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        true
    });
    records.sort_by_key(|(key, _)| key == CA);
    records
}

/// Whether it is a record that this program could have written.
pub(super) fn is_whole(key: &[u8], value: &[u8]) -> bool {
    let is = |kind: &str| key.starts_with(kind.as_bytes()) && key.len() > kind.len();
    match key {
        CA => decode::<CaRecord>(value).is_some(),
        _ if is(TOKENS) => decode::<Invitation>(value).is_some(),
        _ if is(BOXES) => decode::<BoxRecord>(value).is_some(),
        _ if is(KEYS) => decode::<NodeName>(value).is_some(),
        _ if is(COUNTS) => decode::<u32>(value).is_some(),
        _ => is(CERTIFICATES) && !value.is_empty(),
    }
}

pub fn ca(kv: &dyn Kv) -> Option<CaRecord> {
    get(kv, CA)
}

pub(super) fn put_ca(kv: &mut dyn KvMut, record: &CaRecord) {
    put(kv, CA, record);
}

pub fn invitation(kv: &dyn Kv, id: TokenId) -> Option<Invitation> {
    get(kv, &token_key(id))
}

pub(super) fn put_invitation(kv: &mut dyn KvMut, id: TokenId, record: &Invitation) {
    put(kv, &token_key(id), record);
}

pub(super) fn remove_invitation(kv: &mut dyn KvMut, id: TokenId) {
    kv.delete(&token_key(id));
}

pub fn invitations(kv: &dyn Kv) -> Vec<(TokenId, Invitation)> {
    let mut all = Vec::new();
    each(kv, TOKENS, |name, record| {
        if let Some(id) = unhex(name) {
            all.push((TokenId(id), record));
        }
    });
    all
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let bytes: Vec<u8> = digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok()
}

pub fn one_box(kv: &dyn Kv, name: &NodeName) -> Option<BoxRecord> {
    get(kv, &key(BOXES, name))
}

pub fn box_of(kv: &dyn Kv, hash: KeyHash) -> Option<BoxRecord> {
    one_box(kv, &get(kv, &key(KEYS, hash))?)
}

/// The certificate that a box was given last, X.509 in DER.
pub fn certificate(kv: &dyn Kv, name: &NodeName) -> Option<Vec<u8>> {
    kv.get(&key(CERTIFICATES, name))
}

pub(super) fn put_box(kv: &mut dyn KvMut, record: &BoxRecord, certificate: Option<&[u8]>) {
    put(kv, &key(BOXES, &record.name), record);
    put(kv, &key(KEYS, record.key), &record.name);
    if let Some(certificate) = certificate {
        kv.put(&key(CERTIFICATES, &record.name), certificate);
    }
}

pub(super) fn remove_box(kv: &mut dyn KvMut, record: &BoxRecord) {
    for key in [key(BOXES, &record.name), key(KEYS, record.key), key(CERTIFICATES, &record.name)] {
        kv.delete(&key);
    }
}

pub fn boxes(kv: &dyn Kv) -> Vec<BoxRecord> {
    let mut all = Vec::new();
    each(kv, BOXES, |_, record| all.push(record));
    all
}

/// The number of a school's next box: counts on, also when boxes are gone.
pub(super) fn next_number(kv: &mut dyn KvMut, school: &SchoolId) -> u32 {
    let at = key(COUNTS, school);
    let number = get::<u32>(kv, &at).unwrap_or_default() + 1;
    put(kv, &at, &number);
    number
}
