//! Messages of TURN as STUN writes them (RFC 8489 §5): read with bounds, answered in kind.

use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_stun::{
    attributes::{
        ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_DONT_FRAGMENT, ATTR_LIFETIME, ATTR_MESSAGE_INTEGRITY, ATTR_NONCE,
        ATTR_REALM, ATTR_REQUESTED_ADDRESS_FAMILY, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS,
        AttrType,
    },
    error_code::{ErrorCode, ErrorCodeAttribute},
    integrity::MessageIntegrity,
    message::{
        CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_SUCCESS_RESPONSE, METHOD_DATA, Message, MessageClass,
        MessageType, Method, Setter,
    },
    uattrs::UnknownAttributes,
    xoraddr::XorMappedAddress,
};
use std::{net::SocketAddr, ops::Range};

const HEADER_LEN: usize = 20;
const ATTRIBUTE_HEAD_LEN: usize = 4;
/// Attributes of one message; Chromium's have up to nine.
const ATTRIBUTES_MAX: usize = 24;
/// Those that a client may insist on.
const KNOWN: [AttrType; 11] = [
    ATTR_USERNAME,
    ATTR_MESSAGE_INTEGRITY,
    ATTR_REALM,
    ATTR_NONCE,
    ATTR_CHANNEL_NUMBER,
    ATTR_LIFETIME,
    ATTR_XOR_PEER_ADDRESS,
    ATTR_DATA,
    ATTR_REQUESTED_TRANSPORT,
    ATTR_REQUESTED_ADDRESS_FAMILY,
    ATTR_DONT_FRAGMENT,
];

/// How a request ends (RFC 8656 §19).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted,
    BadRequest,
    Unauthorized,
    Forbidden,
    UnknownAttribute,
    Mismatch,
    StaleNonce,
    UnsupportedFamily,
    WrongCredentials,
    UnsupportedTransport,
    QuotaReached,
    InsufficientCapacity,
}

impl Verdict {
    fn error(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Granted => return None,
            Self::BadRequest => (400, "Bad Request"),
            Self::Unauthorized => (401, "Unauthenticated"),
            Self::Forbidden => (403, "Forbidden"),
            Self::UnknownAttribute => (420, "Unknown Attribute"),
            Self::Mismatch => (437, "Allocation Mismatch"),
            Self::StaleNonce => (438, "Stale Nonce"),
            Self::UnsupportedFamily => (440, "Address Family not Supported"),
            Self::WrongCredentials => (441, "Wrong Credentials"),
            Self::UnsupportedTransport => (442, "Unsupported Transport Protocol"),
            Self::QuotaReached => (486, "Allocation Quota Reached"),
            Self::InsufficientCapacity => (508, "Insufficient Capacity"),
        })
    }
}

/// A message of a client.
pub(super) struct Request {
    message: Message,
}

impl Request {
    /// Nothing: no message, or one with far too many attributes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut message = Message::new();
        message.unmarshal_binary(bytes).ok()?;
        let whole = bytes.len() == HEADER_LEN + message.length as usize;
        (whole && message.attributes.0.len() <= ATTRIBUTES_MAX).then_some(Self { message })
    }

    pub fn method(&self) -> Method {
        self.message.typ.method
    }

    pub fn class(&self) -> MessageClass {
        self.message.typ.class
    }

    /// What stands behind the integrity is not protected by it, and is not seen (RFC 8489 §14.5).
    fn protected(&self) -> &[rtc_stun::attributes::RawAttribute] {
        let attributes = &self.message.attributes.0;
        let end = attributes.iter().position(|attribute| attribute.typ == ATTR_MESSAGE_INTEGRITY);
        &attributes[..end.unwrap_or(attributes.len())]
    }

    pub fn value(&self, kind: AttrType) -> Option<Vec<u8>> {
        self.protected().iter().find(|attribute| attribute.typ == kind).map(|attribute| attribute.value.clone())
    }

    pub fn text(&self, kind: AttrType) -> Option<String> {
        String::from_utf8(self.value(kind)?).ok()
    }

    pub fn nonce(&self) -> Option<String> {
        self.text(ATTR_NONCE)
    }

    /// All addresses of a kind; nothing for one that is none.
    pub fn addresses(&self, kind: AttrType) -> impl Iterator<Item = Option<SocketAddr>> {
        let transaction_id = self.message.transaction_id;
        self.protected().iter().filter(move |attribute| attribute.typ == kind).map(move |attribute| {
            // The reader takes the first of a message: a message of each of its own.
            let mut one = Message::new();
            one.transaction_id = transaction_id;
            one.add(kind, &attribute.value);
            let mut address = XorMappedAddress::default();
            address.get_from_as(&one, kind).ok()?;
            Some(SocketAddr::new(address.ip, address.port))
        })
    }

    pub fn is_signed(&self) -> bool {
        self.message.contains(ATTR_MESSAGE_INTEGRITY)
    }

    pub fn has_signed(&mut self, key: &[u8]) -> bool {
        let provider = AwsLcRsProvider::default();
        MessageIntegrity::check(&mut self.message, key, provider.crypto()).is_ok()
    }

    fn unknown(&self) -> Vec<AttrType> {
        let known = |kind: &AttrType| KNOWN.contains(kind);
        self.protected().iter().map(|attribute| attribute.typ).filter(|kind| kind.required() && !known(kind)).collect()
    }

    pub fn answer(&self, verdict: Verdict, fill: &mut dyn FnMut(&mut Reply), answer: &mut Vec<u8>) {
        self.write(verdict, None, fill, answer);
    }

    pub fn answer_signed(&self, verdict: Verdict, key: &[u8], fill: &mut dyn FnMut(&mut Reply), answer: &mut Vec<u8>) {
        self.write(verdict, Some(key), fill, answer);
    }

    /// `fill` adds what a success says; of refusals, only the challenge.
    fn write(&self, verdict: Verdict, key: Option<&[u8]>, fill: &mut dyn FnMut(&mut Reply), answer: &mut Vec<u8>) {
        let error = verdict.error();
        let class = if error.is_none() { CLASS_SUCCESS_RESPONSE } else { CLASS_ERROR_RESPONSE };
        let mut reply = Reply { message: Message::new() };
        reply.message.transaction_id = self.message.transaction_id;
        reply.message.typ = MessageType::new(self.method(), class);
        reply.message.write_header();
        if let Some((code, reason)) = error {
            let attribute = ErrorCodeAttribute { code: ErrorCode(code), reason: reason.into() };
            // Its reason is short enough.
            let _ = attribute.add_to(&mut reply.message);
        }
        if verdict == Verdict::UnknownAttribute {
            let _ = UnknownAttributes(self.unknown()).add_to(&mut reply.message);
        }
        if error.is_none() || matches!(verdict, Verdict::Unauthorized | Verdict::StaleNonce) {
            fill(&mut reply);
        }
        if let Some(key) = key {
            let provider = AwsLcRsProvider::default();
            let integrity = MessageIntegrity::new_raw_integrity_with_provider(key.to_vec(), provider.crypto());
            if integrity.add_to(&mut reply.message).is_err() {
                return;
            }
        }
        answer.extend_from_slice(&reply.message.raw);
    }

    /// Something that the client insists on and the server does not know.
    pub fn asks_too_much(&self) -> bool {
        !self.unknown().is_empty()
    }
}

pub(super) struct Reply {
    message: Message,
}

impl Reply {
    pub fn attribute(&mut self, kind: AttrType, value: &[u8]) {
        self.message.add(kind, value);
    }

    pub fn address(&mut self, kind: AttrType, address: SocketAddr) {
        let address = XorMappedAddress { ip: address.ip().to_canonical(), port: address.port() };
        // It is an address.
        let _ = address.add_to_as(&mut self.message, kind);
    }

    pub fn challenge(&mut self, realm: &str, nonce: &str) {
        self.attribute(ATTR_REALM, realm.as_bytes());
        self.attribute(ATTR_NONCE, nonce.as_bytes());
    }
}

/// Where the value of an attribute stands in a message that has been parsed.
pub(super) fn place_of(message: &[u8], kind: AttrType) -> Option<Range<usize>> {
    let mut at = HEADER_LEN;
    while let Some([a, b, high, low]) = message.get(at..)?.first_chunk::<ATTRIBUTE_HEAD_LEN>() {
        let start = at + ATTRIBUTE_HEAD_LEN;
        let end = start + usize::from(u16::from_be_bytes([*high, *low]));
        if u16::from_be_bytes([*a, *b]) == kind.value() {
            return (end <= message.len()).then_some(start..end);
        }
        at = start + (end - start).next_multiple_of(4);
    }
    None
}

/// Appends a Data indication (RFC 8656 §11.6) up to the packet of this length, which is its last attribute.
pub(super) fn data_indication(peer: SocketAddr, packet_len: usize, head: &mut Vec<u8>) -> Option<()> {
    let mut reply = Reply { message: Message::new() };
    reply.message.typ = MessageType::new(METHOD_DATA, CLASS_INDICATION);
    reply.message.write_header();
    reply.address(ATTR_XOR_PEER_ADDRESS, peer);
    let start = head.len();
    head.extend_from_slice(&reply.message.raw);
    head.extend_from_slice(&ATTR_DATA.value().to_be_bytes());
    head.extend_from_slice(&u16::try_from(packet_len).ok()?.to_be_bytes());
    let len = head.len() - start - HEADER_LEN + packet_len.next_multiple_of(4);
    head[start + 2..start + 4].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
    Some(())
}
