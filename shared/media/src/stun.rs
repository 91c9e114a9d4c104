//! ICE-lite (RFC 8445 §2.5): answers binding requests that know the session's password, and thereby learns which
//! addresses are the peer's own. No other packet is taken from, or sent to, an address that has not passed this check.

use rtc_crypto::RTCCrypto;
use rtc_stun::{
    attributes::{ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_USE_CANDIDATE, ATTR_USERNAME},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, BINDING_SUCCESS, Message},
    xoraddr::XorMappedAddress,
};
use std::net::SocketAddr;

/// Longest request: a browser's is about 130 bytes.
const REQUEST_LEN_MAX: usize = 600;
/// Addresses of one peer at a time: its interfaces, times address families, and one network change.
const ADDRESSES_MAX: usize = 8;
pub(crate) const UFRAG_LEN: usize = 8;
pub(crate) const PASSWORD_LEN: usize = 24;

/// A binding request, not yet checked.
pub(crate) struct Request {
    message: Message,
    /// Our part of the user name.
    pub ufrag: String,
}

impl Request {
    /// Nothing: no binding request, or not one of ours.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        if packet.len() > REQUEST_LEN_MAX {
            return None;
        }
        let mut message = Message::new();
        message.unmarshal_binary(packet).ok()?;
        if message.typ != BINDING_REQUEST {
            return None;
        }
        // Only what stands before the integrity is protected by it; a fingerprint is all that may follow.
        let integrity = message.attributes.0.iter().position(|attribute| attribute.typ == ATTR_MESSAGE_INTEGRITY)?;
        if message.attributes.0[integrity + 1..].iter().any(|attribute| attribute.typ != ATTR_FINGERPRINT) {
            return None;
        }
        let user = String::from_utf8(message.get(ATTR_USERNAME).ok()?).ok()?;
        let ufrag = user.split(':').next()?.to_owned();
        Some(Self { message, ufrag })
    }
}

/// The end of one session's ICE.
pub(crate) struct Agent {
    pub ufrag: String,
    pub password: String,
    /// Checked addresses, oldest first.
    addresses: Vec<SocketAddr>,
    /// Where packets go to: the nominated address, before that the first.
    selected: Option<SocketAddr>,
    nominated: bool,
}

/// What an accepted request changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The source was not known before.
    pub added: bool,
    /// Pushed out, because there are too many.
    pub removed: Option<SocketAddr>,
}

impl Agent {
    pub fn new(ufrag: String, password: String) -> Self {
        Self { ufrag, password, addresses: Vec::new(), selected: None, nominated: false }
    }

    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Checks the integrity; on success the address is the peer's, and `response` is to be sent back to it.
    pub fn accept(
        &mut self,
        crypto: &dyn RTCCrypto,
        mut request: Request,
        source: SocketAddr,
    ) -> Option<(Accepted, Vec<u8>)> {
        MessageIntegrity::check(&mut request.message, self.password.as_bytes(), crypto).ok()?;
        let response = self.response(crypto, &request.message, source)?;
        let mut accepted = Accepted::default();
        if !self.addresses.contains(&source) {
            if self.addresses.len() == ADDRESSES_MAX {
                let selected = self.selected;
                let oldest = self.addresses.iter().position(|address| Some(*address) != selected)?;
                accepted.removed = Some(self.addresses.remove(oldest));
            }
            self.addresses.push(source);
            accepted.added = true;
        }
        let nominates = request.message.contains(ATTR_USE_CANDIDATE);
        if nominates || (!self.nominated && self.selected.is_none()) {
            self.selected = Some(source);
            self.nominated |= nominates;
        }
        Some((accepted, response))
    }

    /// Another session has proven that this address is now its own.
    pub fn forget(&mut self, address: SocketAddr) {
        self.addresses.retain(|known| *known != address);
        if self.selected == Some(address) {
            self.selected = self.addresses.first().copied();
            self.nominated = false;
        }
    }

    fn response(&self, crypto: &dyn RTCCrypto, request: &Message, source: SocketAddr) -> Option<Vec<u8>> {
        let mut response = Message::new();
        response
            .build(&[
                Box::new(request.transaction_id),
                Box::new(BINDING_SUCCESS),
                // A shell may know IPv4 peers as mapped into IPv6.
                Box::new(XorMappedAddress { ip: source.ip().to_canonical(), port: source.port() }),
                Box::new(MessageIntegrity::new_short_term_integrity_with_provider(self.password.clone(), crypto)),
                Box::new(FINGERPRINT),
            ])
            .ok()?;
        Some(response.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
    use rtc_stun::message::Getter;

    /// RFC 5769 §2.1: sample request with short-term credentials and fingerprint.
    const SAMPLE: [u8; 108] = [
        0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87,
        0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c,
        0x69, 0x65, 0x6e, 0x74, 0x00, 0x24, 0x00, 0x04, 0x6e, 0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f,
        0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76,
        0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e,
        0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf,
    ];
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn agent() -> Agent {
        Agent::new("evtj".into(), PASSWORD.into())
    }

    #[test]
    fn the_sample_request_of_rfc_5769_is_accepted_and_answered() {
        let provider = AwsLcRsProvider::default();
        let request = Request::parse(&SAMPLE).unwrap();
        assert_eq!(request.ufrag, "evtj");
        let mut agent = agent();
        let (accepted, response) = agent.accept(provider.crypto(), request, address(32_853)).unwrap();
        assert_eq!(accepted, Accepted { added: true, removed: None });
        assert_eq!(agent.selected(), Some(address(32_853)));

        let mut message = Message::new();
        message.unmarshal_binary(&response).unwrap();
        assert_eq!(message.typ, BINDING_SUCCESS);
        assert_eq!(message.transaction_id.0, SAMPLE[8..20]);
        MessageIntegrity::check(&mut message, PASSWORD.as_bytes(), provider.crypto()).unwrap();
        FINGERPRINT.check(&message).unwrap();
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&message).unwrap();
        assert_eq!((mapped.ip, mapped.port), (address(1).ip(), 32_853));
    }

    #[test]
    fn a_wrong_password_or_a_changed_byte_is_not_answered() {
        let provider = AwsLcRsProvider::default();
        let request = || Request::parse(&SAMPLE).unwrap();
        let mut stranger = Agent::new("evtj".into(), "another password of ours".into());
        assert!(stranger.accept(provider.crypto(), request(), address(1)).is_none());
        let mut changed = SAMPLE;
        changed[46] ^= 1;
        let mut agent = agent();
        assert!(agent.accept(provider.crypto(), Request::parse(&changed).unwrap(), address(1)).is_none());
        assert_eq!(agent.selected(), None);
    }

    #[test]
    fn what_follows_the_integrity_is_not_believed() {
        let mut nominating = SAMPLE.to_vec();
        nominating.extend_from_slice(&[0x00, 0x25, 0x00, 0x00]);
        nominating[3] += 4;
        assert!(Request::parse(&nominating).is_none());
    }

    #[test]
    fn addresses_are_bounded_and_the_selected_one_stays() {
        let provider = AwsLcRsProvider::default();
        let mut agent = agent();
        for port in 1..=100 {
            agent.accept(provider.crypto(), Request::parse(&SAMPLE).unwrap(), address(port)).unwrap();
        }
        assert_eq!(agent.addresses().len(), ADDRESSES_MAX);
        assert_eq!(agent.selected(), Some(address(1)));
        assert!(agent.addresses().contains(&address(1)));
        agent.forget(address(1));
        assert_eq!(agent.selected(), agent.addresses().first().copied());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail(
            cut in 0usize..=108, flips in prop::collection::vec((0usize..108, any::<u8>()), 0..6)
        ) {
            let mut bytes = SAMPLE;
            for (at, value) in &flips {
                bytes[*at] = *value;
            }
            let provider = AwsLcRsProvider::default();
            if let Some(request) = Request::parse(&bytes[..cut]) {
                let changed = bytes[..100] != SAMPLE[..100];
                let accepted = agent().accept(provider.crypto(), request, address(1)).is_some();
                prop_assert!(!(accepted && changed), "a forged request was accepted");
            }
        }
    }
}
