//! The two secrets of an endpoint that outlive a restart.

use super::QuicError;
use rand::RngCore;
use std::{io, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// In the data folder, mode 0600.
const FILE: &str = "quic.key";
const RESET_KEY_LEN: usize = 32;
const CID_KEY_LEN: usize = 8;

/// With the same keys after a restart, an endpoint recognises the connection ids that it gave out before and answers
/// packets of lost connections with a stateless reset (RFC 9000 section 10.3): peers reconnect at once.
pub(super) struct EndpointKeys {
    pub(super) reset: [u8; RESET_KEY_LEN],
    pub(super) cid: u64,
}

impl EndpointKeys {
    /// For endpoints that only dial: nobody has to recognise them later.
    pub(super) fn ephemeral() -> Self {
        let mut bytes = [0; RESET_KEY_LEN + CID_KEY_LEN];
        rand::rng().fill_bytes(&mut bytes);
        Self::from_bytes(&bytes)
    }

    /// Reads the keys from the data folder, or makes them there.
    pub(super) fn load_or_create(dir: &Path) -> Result<Self, QuicError> {
        let path = dir.join(FILE);
        let fail = |source| QuicError::Keys { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(bytes) => {
                let bytes: [u8; RESET_KEY_LEN + CID_KEY_LEN] = bytes.try_into().map_err(|bytes: Vec<u8>| {
                    fail(io::Error::other(format!("{} bytes instead of 40; delete it to make new ones", bytes.len())))
                })?;
                Ok(Self::from_bytes(&bytes))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let mut bytes = [0; RESET_KEY_LEN + CID_KEY_LEN];
                rand::rng().fill_bytes(&mut bytes);
                std::fs::create_dir_all(dir).map_err(fail)?;
                // Renamed when whole: a crash in between leaves no short file.
                let beside = path.with_extension("new");
                let _ = std::fs::remove_file(&beside);
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create_new(true).mode(0o600).open(&beside).map_err(fail)?;
                file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(fail)?;
                std::fs::rename(&beside, &path).map_err(fail)?;
                Ok(Self::from_bytes(&bytes))
            }
            Err(e) => Err(fail(e)),
        }
    }

    fn from_bytes(bytes: &[u8; RESET_KEY_LEN + CID_KEY_LEN]) -> Self {
        let (mut reset, mut cid) = ([0; RESET_KEY_LEN], [0; CID_KEY_LEN]);
        reset.copy_from_slice(&bytes[..RESET_KEY_LEN]);
        cid.copy_from_slice(&bytes[RESET_KEY_LEN..]);
        Self { reset, cid: u64::from_le_bytes(cid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_after_a_restart_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let first = EndpointKeys::load_or_create(dir.path()).unwrap();
        let second = EndpointKeys::load_or_create(dir.path()).unwrap();
        assert_eq!((first.reset, first.cid), (second.reset, second.cid));
        std::fs::write(dir.path().join(FILE), b"short").unwrap();
        assert!(matches!(EndpointKeys::load_or_create(dir.path()), Err(QuicError::Keys { .. })));
    }
}
