//! The header: the key of the file, wrapped for each recipient, and a MAC over that.

use super::{
    Identity, OpenError, Recipient,
    key::KEY_LEN,
    stream::{aead_key, derive},
};
use aws_lc_rs::{
    aead::{Aad, Nonce},
    hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};

const VERSION_LINE: &str = "age-encryption.org/v1\n";
const STANZA: &str = "-> X25519 ";
const END: &str = "---";
const FILE_KEY_LEN: usize = 16;
const TAG_LEN: usize = 16;
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";
const MAC_INFO: &[u8] = b"header";
/// Characters of 32 bytes in base64 without padding.
const BASE64_LEN: usize = 43;
/// Lines of a header that are looked at: other tools may add stanzas of other kinds.
const LINES_MAX: usize = 200;

/// Key of one file.
pub struct FileKey(pub(super) [u8; FILE_KEY_LEN]);

impl FileKey {
    pub fn random() -> Self {
        let mut key = [0; FILE_KEY_LEN];
        rand::fill(&mut key).expect("the kernel gives random bytes");
        Self(key)
    }

    fn mac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &derive(&self.0, &[], MAC_INFO))
    }
}

/// Bytes that [`write`] gives.
pub fn len(recipients: usize) -> u64 {
    let stanza = STANZA.len() + BASE64_LEN + 1 + BASE64_LEN + 1;
    (VERSION_LINE.len() + recipients * stanza + END.len() + 1 + BASE64_LEN + 1) as u64
}

/// The key that wraps a file's key: from what both ends share, and both public keys.
fn wrap_key(shared: &[u8; KEY_LEN], ephemeral: &[u8; KEY_LEN], recipient: Recipient) -> aws_lc_rs::aead::LessSafeKey {
    let salt = [ephemeral.as_slice(), &recipient.0].concat();
    aead_key(&derive(shared, &salt, WRAP_INFO))
}

/// Each wrapping key is used once.
fn no_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

pub fn write(file_key: &FileKey, recipients: &[Recipient]) -> Vec<u8> {
    let mut header = VERSION_LINE.to_owned();
    for recipient in recipients {
        let ephemeral = Identity::generate();
        let public = ephemeral.recipient().0;
        let shared = ephemeral.agree(recipient.0).expect("a recipient's key was checked when it was made");
        let mut body = file_key.0.to_vec();
        wrap_key(&shared, &public, *recipient)
            .seal_in_place_append_tag(no_nonce(), Aad::empty(), &mut body)
            .expect("16 bytes can be sealed");
        header.extend([STANZA, &BASE64.encode(public), "\n", &BASE64.encode(body), "\n"]);
    }
    header.push_str(END);
    let mac = hmac::sign(&file_key.mac_key(), header.as_bytes());
    header.extend([" ", &BASE64.encode(mac), "\n"]);
    header.into_bytes()
}

/// The file's key, and what follows on the header.
pub fn read<'a>(identities: &[Identity], sealed: &'a [u8]) -> Result<(FileKey, &'a [u8]), OpenError> {
    let mut rest = sealed.strip_prefix(VERSION_LINE.as_bytes()).ok_or(OpenError::NotAge)?;
    let mut unwrapped = None;
    for _ in 0..LINES_MAX {
        let begin = sealed.len() - rest.len();
        let line = next_line(&mut rest)?;
        if let Some(mac) = line.strip_prefix(END) {
            let file_key: FileKey = unwrapped.ok_or(OpenError::OtherIdentity)?;
            let mac = mac.strip_prefix(' ').and_then(|mac| BASE64.decode(mac).ok()).ok_or(OpenError::Header)?;
            let signed = &sealed[..begin + END.len()];
            hmac::verify(&file_key.mac_key(), signed, &mac).map_err(|_| OpenError::Header)?;
            return Ok((file_key, rest));
        }
        let Some(public) = line.strip_prefix(STANZA) else { continue };
        let body = next_line(&mut rest)?;
        if unwrapped.is_none() {
            unwrapped = unwrap(identities, public, body)?;
        }
    }
    Err(OpenError::Header)
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, OpenError> {
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or(OpenError::Header)?;
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    std::str::from_utf8(line).map_err(|_| OpenError::Header)
}

/// `None`: the stanza is for somebody else.
fn unwrap(identities: &[Identity], public: &str, body: &str) -> Result<Option<FileKey>, OpenError> {
    let bytes = |text: &str| -> Result<[u8; KEY_LEN], OpenError> {
        let bytes = BASE64.decode(text).map_err(|_| OpenError::Header)?;
        bytes.try_into().map_err(|_| OpenError::Header)
    };
    let (public, body): (_, [u8; FILE_KEY_LEN + TAG_LEN]) = (bytes(public)?, bytes(body)?);
    for identity in identities {
        let shared = identity.agree(public).ok_or(OpenError::Header)?;
        let mut body = body;
        let key = wrap_key(&shared, &public, identity.recipient());
        if let Ok(opened) = key.open_in_place(no_nonce(), Aad::empty(), &mut body) {
            let key = (&*opened).try_into().map_err(|_| OpenError::Header)?;
            return Ok(Some(FileKey(key)));
        }
    }
    Ok(None)
}
