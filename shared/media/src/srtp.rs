//! SRTP and SRTCP with AEAD_AES_128_GCM, one direction of one peer (RFC 3711, RFC 7714). Raw keys, in place, no state
//! per stream: indices and replay windows are the caller's ([`crate::replay`]), and are kept only for streams that have
//! authenticated once.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rtc_crypto::{BlockCipherAlgorithm, RTCCrypto};

pub(crate) const TAG_LEN: usize = 16;
/// SRTCP: what stands in the clear at the front (RFC 7714 §9.2).
pub(crate) const RTCP_HEADER_LEN: usize = 8;
/// SRTCP: encryption flag and index at the end.
const RTCP_TRAILER_LEN: usize = 4;
const RTCP_ENCRYPTED: u32 = 1 << 31;
/// Indices of SRTCP have 31 bits; a peer gets its session ended long before (68 years at one packet a second).
pub(crate) const RTCP_INDEX_MAX: u32 = RTCP_ENCRYPTED - 1;

const LABEL_RTP_KEY: u8 = 0;
const LABEL_RTP_SALT: u8 = 2;
const LABEL_RTCP_KEY: u8 = 3;
const LABEL_RTCP_SALT: u8 = 5;

/// A master key and salt, as the DTLS handshake yields for each direction (RFC 5764 §4.2).
pub(crate) struct MasterKey {
    pub key: [u8; 16],
    pub salt: [u8; 12],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cipher is not available")]
pub(crate) struct CipherUnavailable;

/// AES-CM as key derivation (RFC 3711 §4.3.1, key derivation rate 0). A salt of 96 bits is padded with zeros on the
/// right (RFC 7714 §11).
fn derive(
    crypto: &dyn RTCCrypto,
    key: &[u8; 16],
    salt: &[u8; 14],
    label: u8,
    block: u8,
) -> Result<[u8; 16], CipherUnavailable> {
    let mut bytes = [0; 16];
    bytes[..14].copy_from_slice(salt);
    bytes[7] ^= label;
    bytes[15] = block;
    crypto.block_encrypt(BlockCipherAlgorithm::Aes128, key, &mut bytes).map_err(|_| CipherUnavailable)?;
    Ok(bytes)
}

struct Cipher {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Cipher {
    fn new(
        crypto: &dyn RTCCrypto,
        master: &MasterKey,
        key_label: u8,
        salt_label: u8,
    ) -> Result<Self, CipherUnavailable> {
        let mut master_salt = [0; 14];
        master_salt[..12].copy_from_slice(&master.salt);
        let key = derive(crypto, &master.key, &master_salt, key_label, 0)?;
        let salt = derive(crypto, &master.key, &master_salt, salt_label, 0)?;
        let mut cipher = Self::raw(&key, [0; 12])?;
        cipher.salt.copy_from_slice(&salt[..12]);
        Ok(cipher)
    }

    fn raw(key: &[u8; 16], salt: [u8; 12]) -> Result<Self, CipherUnavailable> {
        let key = UnboundKey::new(&AES_128_GCM, key).map_err(|_| CipherUnavailable)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// RFC 7714 §8.1 and §9.1: `SSRC` at 2, `tail` (ROC and sequence number, or SRTCP index) at 6, xor salt.
    fn nonce(&self, ssrc: u32, tail: u64) -> Nonce {
        let mut iv = self.salt;
        for (byte, ssrc) in iv[2..6].iter_mut().zip(ssrc.to_be_bytes()) {
            *byte ^= ssrc;
        }
        for (byte, tail) in iv[6..].iter_mut().zip(&tail.to_be_bytes()[2..]) {
            *byte ^= tail;
        }
        Nonce::assume_unique_for_key(iv)
    }
}

/// Seals or opens the packets of one direction.
pub(crate) struct Context {
    rtp: Cipher,
    rtcp: Cipher,
}

impl Context {
    pub fn new(crypto: &dyn RTCCrypto, master: &MasterKey) -> Result<Self, CipherUnavailable> {
        Ok(Self {
            rtp: Cipher::new(crypto, master, LABEL_RTP_KEY, LABEL_RTP_SALT)?,
            rtcp: Cipher::new(crypto, master, LABEL_RTCP_KEY, LABEL_RTCP_SALT)?,
        })
    }

    /// Seals `header` and `payload` of a packet in place; the tag goes behind the payload. `index` = ROC and sequence
    /// number, 48 bits; it must never be used for two different packets of one SSRC.
    #[inline]
    pub fn seal_rtp(&self, ssrc: u32, index: u64, header: &[u8], payload: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let nonce = self.rtp.nonce(ssrc, index);
        let tag = self.rtp.key.seal_in_place_separate_tag(nonce, Aad::from(header), payload).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Opens a packet in place: the plain payload of the result stands at the front of `sealed` (payload and tag).
    #[inline]
    pub fn open_rtp<'a>(&self, ssrc: u32, index: u64, header: &[u8], sealed: &'a mut [u8]) -> Option<&'a [u8]> {
        let nonce = self.rtp.nonce(ssrc, index);
        self.rtp.key.open_in_place(nonce, Aad::from(header), sealed).ok().map(|plain| &*plain)
    }

    /// Seals one RTCP packet (or compound), from `start` to the end of `buffer`, in place and appends tag and index.
    /// What is shorter than a header is left out.
    pub fn seal_rtcp(&self, index: u32, buffer: &mut Vec<u8>, start: usize) -> Option<()> {
        let packet = buffer.get_mut(start..)?;
        let (header, body) = packet.split_at_mut_checked(RTCP_HEADER_LEN)?;
        let ssrc = u32::from_be_bytes(header[4..].try_into().ok()?);
        let trailer = (index | RTCP_ENCRYPTED).to_be_bytes();
        let mut aad = [0; RTCP_HEADER_LEN + RTCP_TRAILER_LEN];
        aad[..RTCP_HEADER_LEN].copy_from_slice(header);
        aad[RTCP_HEADER_LEN..].copy_from_slice(&trailer);
        let nonce = self.rtcp.nonce(ssrc, u64::from(index));
        let tag = self.rtcp.key.seal_in_place_separate_tag(nonce, Aad::from(aad), body).ok()?;
        buffer.extend_from_slice(tag.as_ref());
        buffer.extend_from_slice(&trailer);
        Some(())
    }

    /// Opens one SRTCP packet in place: its index and how many bytes at the front of `packet` are the plain compound.
    /// Unencrypted SRTCP is refused.
    pub fn open_rtcp(&self, packet: &mut [u8]) -> Option<(u32, usize)> {
        let body_end = packet.len().checked_sub(RTCP_TRAILER_LEN)?;
        if body_end < RTCP_HEADER_LEN + TAG_LEN {
            return None;
        }
        let (sealed, trailer) = packet.split_at_mut(body_end);
        let word = u32::from_be_bytes((&*trailer).try_into().ok()?);
        if word & RTCP_ENCRYPTED == 0 {
            return None;
        }
        let index = word & RTCP_INDEX_MAX;
        let (header, body) = sealed.split_at_mut(RTCP_HEADER_LEN);
        let ssrc = u32::from_be_bytes(header[4..].try_into().ok()?);
        let mut aad = [0; RTCP_HEADER_LEN + RTCP_TRAILER_LEN];
        aad[..RTCP_HEADER_LEN].copy_from_slice(header);
        aad[RTCP_HEADER_LEN..].copy_from_slice(trailer);
        let nonce = self.rtcp.nonce(ssrc, u64::from(index));
        let plain = self.rtcp.key.open_in_place(nonce, Aad::from(aad), body).ok()?;
        Some((index, RTCP_HEADER_LEN + plain.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        bytes.try_into().expect("length of the vector")
    }

    /// Session keys as given by RFC 7714 §16 and §17, without derivation.
    fn vector_context() -> Context {
        let key = hex("000102030405060708090a0b0c0d0e0f");
        let salt = hex("517569642070726f2071756f");
        Context { rtp: Cipher::raw(&key, salt).unwrap(), rtcp: Cipher::raw(&key, salt).unwrap() }
    }

    const PLAIN: &[u8; 38] = b"Gallia est omnis divisa in partes tres";

    #[test]
    fn session_keys_are_derived_as_in_rfc_3711_appendix_b3() {
        let provider = AwsLcRsProvider::default();
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let derived = |label, block| derive(provider.crypto(), &key, &salt, label, block).unwrap();
        assert_eq!(derived(0, 0), hex::<16>("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(2, 0)[..14], hex::<14>("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(derived(1, 0), hex::<16>("CEBE321F6FF7716B6FD4AB49AF256A15"));
    }

    #[test]
    fn a_packet_is_sealed_and_opened_as_in_rfc_7714_section_16_1() {
        let context = vector_context();
        let header: [u8; 12] = hex("8040f17b 8041f8d3 5501a0b2");
        let mut payload = *PLAIN;
        let tag = context.seal_rtp(0x5501_a0b2, 0xf17b, &header, &mut payload).unwrap();
        let sealed: [u8; 54] =
            hex("f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833\
             899d7f27 beb16a91 52cf765e e4390cce");
        assert_eq!([&payload[..], &tag[..]].concat(), sealed);
        let mut received = sealed;
        assert_eq!(context.open_rtp(0x5501_a0b2, 0xf17b, &header, &mut received).unwrap(), PLAIN);
        let mut forged = sealed;
        forged[53] ^= 1;
        assert!(context.open_rtp(0x5501_a0b2, 0xf17b, &header, &mut forged).is_none());
        let mut other_roc = sealed;
        assert!(context.open_rtp(0x5501_a0b2, 0x1_f17b, &header, &mut other_roc).is_none());
    }

    #[test]
    fn rtcp_is_sealed_and_opened_as_in_rfc_7714_section_17_1() {
        let context = vector_context();
        let plain: [u8; 52] =
            hex("81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef \
             deadbeef deadbeef");
        let mut packet = plain.to_vec();
        context.seal_rtcp(0x5d4, &mut packet, 0).unwrap();
        let sealed: [u8; 72] =
            hex("81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 \
             86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4");
        assert_eq!(packet, sealed);
        let mut forged = packet.clone();
        forged[3] ^= 1;
        assert!(context.open_rtcp(&mut forged).is_none(), "the header is authenticated");
        let (index, len) = context.open_rtcp(&mut packet).unwrap();
        assert_eq!((index, &packet[..len]), (0x5d4, &plain[..]));
    }

    #[test]
    fn short_and_unencrypted_rtcp_is_refused() {
        let context = vector_context();
        for len in 0..64 {
            assert!(context.open_rtcp(&mut vec![0x80; len]).is_none(), "{len} bytes");
        }
        let mut buffer = vec![0; 7];
        assert!(context.seal_rtcp(1, &mut buffer, 0).is_none());
    }
}
