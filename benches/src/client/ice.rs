//! The controlling end of ICE with one candidate pair: binding requests until one is answered, then for consent (RFC 7675).
//! Requests of the other end are answered: some check on their side, too, before they begin the handshake.

use rtc_crypto::RTCCrypto;
use rtc_stun::{
    attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, BINDING_SUCCESS, Message, TransactionId},
    textattrs::TextAttribute,
    xoraddr::XorMappedAddress,
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const CHECK_EVERY: Duration = Duration::from_millis(50);
const CONSENT_EVERY: Duration = Duration::from_secs(2);
/// A host candidate's priority for peer-reflexive ones (RFC 8445 §5.1.2).
const PRIORITY: u32 = 1_845_501_695;

pub(super) struct Checker {
    user: String,
    password: String,
    next: Instant,
    answered: bool,
    pending: Option<TransactionId>,
}

impl Checker {
    pub fn new(user: String, password: String, now: Instant) -> Self {
        Self { user, password, next: now, answered: false, pending: None }
    }

    /// A request, if one is due.
    pub fn request(&mut self, crypto: &dyn RTCCrypto, now: Instant) -> anyhow::Result<Option<Vec<u8>>> {
        if now < self.next {
            return Ok(None);
        }
        self.next = now + if self.answered { CONSENT_EVERY } else { CHECK_EVERY };
        let id = TransactionId::new();
        self.pending = Some(id);
        let raw = |typ, value: Vec<u8>| Box::new(RawAttribute { typ, length: 0, value });
        let mut message = Message::new();
        message.build(&[
            Box::new(id),
            Box::new(BINDING_REQUEST),
            Box::new(TextAttribute::new(ATTR_USERNAME, self.user.clone())),
            raw(ATTR_ICE_CONTROLLING, vec![7; 8]),
            raw(ATTR_USE_CANDIDATE, vec![]),
            raw(ATTR_PRIORITY, PRIORITY.to_be_bytes().to_vec()),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(self.password.clone(), crypto)),
            Box::new(FINGERPRINT),
        ])?;
        Ok(Some(message.raw))
    }

    /// True for the answer to our last request, if its integrity holds.
    pub fn response(&mut self, crypto: &dyn RTCCrypto, packet: &[u8]) -> bool {
        let mut message = Message::new();
        let good = message.unmarshal_binary(packet).is_ok()
            && message.typ == BINDING_SUCCESS
            && self.pending == Some(message.transaction_id)
            && MessageIntegrity::check(&mut message, self.password.as_bytes(), crypto).is_ok();
        self.answered |= good;
        good
    }
}

/// The answer to a binding request from `from`, if it was made with our password.
pub(super) fn answer(
    crypto: &dyn RTCCrypto,
    packet: &[u8],
    password: &str,
    from: SocketAddr,
) -> anyhow::Result<Option<Vec<u8>>> {
    let mut request = Message::new();
    let good = request.unmarshal_binary(packet).is_ok()
        && request.typ == BINDING_REQUEST
        && MessageIntegrity::check(&mut request, password.as_bytes(), crypto).is_ok();
    if !good {
        return Ok(None);
    }
    let mut message = Message::new();
    message.build(&[
        Box::new(request.transaction_id),
        Box::new(BINDING_SUCCESS),
        Box::new(XorMappedAddress { ip: from.ip(), port: from.port() }),
        Box::new(MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto)),
        Box::new(FINGERPRINT),
    ])?;
    Ok(Some(message.raw))
}
