//! A client of TURN who has good credentials, and says whatever the fuzzer says: signed, or as it is.

use crate::{
    testing::instant,
    turn::{Handled, MESSAGE_LEN_MAX, TurnConnection, TurnServer, credentials::Credentials, message_len},
};
use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_stun::{
    attributes::{
        ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_LIFETIME, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME,
        ATTR_XOR_PEER_ADDRESS, AttrType,
    },
    integrity::MessageIntegrity,
    message::{
        CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION,
        METHOD_REFRESH, METHOD_SEND, Message, MessageClass, MessageType, Method, Setter, TransactionId,
    },
    xoraddr::XorMappedAddress,
};
use std::net::SocketAddr;

const WALL_S: u64 = 1_800_000_000;

fn node() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 8_480))
}

/// The first byte of each message tells whether it is to be signed; then it stands as on the stream.
pub fn turn(mut bytes: &[u8]) {
    let credentials = Credentials::new(&[3; 32]);
    let issued = credentials.issue("abc", WALL_S + 60);
    let mut server = TurnServer::new(credentials, vec![node()]);
    let mut connection = TurnConnection::new(SocketAddr::from(([203, 0, 113, 9], 50_000)), 5, [9; 16]);
    let now = instant();
    let mut answer = Vec::new();
    while let Some((signed, rest)) = bytes.split_first() {
        let Some(len) = message_len(rest).filter(|len| *len > 0 && *len <= rest.len()) else { break };
        let (message, rest) = rest.split_at(len);
        bytes = rest;
        let message = if signed & 1 == 1 { sign(message, &issued.user, &issued.password) } else { message.to_vec() };
        answer.clear();
        let handled = server.handle(now, WALL_S, &mut connection, &message, &mut answer);
        if let Handled::Packet(place) = handled {
            assert!(answer.is_empty() && place.end <= message.len(), "a packet outside of its message");
            assert!(connection.relayed().is_some(), "a packet of somebody who has no allocation");
            let mut head = Vec::new();
            let padding = connection.wrap(place.len(), &mut head).expect("who has sent something can be answered");
            let framed = head.len() + place.len() + padding;
            head.resize(framed, 0);
            assert!(framed > MESSAGE_LEN_MAX || message_len(&head) == Some(framed));
        }
        if !answer.is_empty() {
            assert_eq!(message_len(&answer), Some(answer.len()), "an answer that is no message");
        }
        assert_eq!(server.stats().allocations, u64::from(connection.relayed().is_some()));
    }
    server.close(connection);
    assert_eq!(server.stats().allocations, 0);
}

/// What is no message stays as it is.
fn sign(bytes: &[u8], user: &str, password: &str) -> Vec<u8> {
    let mut message = Message::new();
    if message.unmarshal_binary(bytes).is_err() || message.length as usize + 20 != bytes.len() {
        return bytes.to_vec();
    }
    message.add(ATTR_USERNAME, user.as_bytes());
    message.add(ATTR_REALM, b"schulhof");
    message.add(ATTR_NONCE, "09".repeat(16).as_bytes());
    let provider = AwsLcRsProvider::default();
    let (user, password, crypto) = (user.to_owned(), password.to_owned(), provider.crypto());
    let signed = MessageIntegrity::new_long_term_integrity_with_provider(user, "schulhof".into(), password, crypto)
        .and_then(|integrity| integrity.add_to(&mut message));
    if signed.is_ok() { message.raw } else { bytes.to_vec() }
}

fn message(class: MessageClass, method: Method, attributes: &[(AttrType, &[u8])]) -> Vec<u8> {
    let mut message = Message::new();
    let kind = MessageType::new(method, class);
    message.build(&[Box::new(kind), Box::new(TransactionId([4; 12]))]).expect("a message");
    for (kind, value) in attributes {
        message.add(*kind, value);
    }
    message.raw
}

/// As a browser begins, works and ends.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut address = Message::new();
    address.transaction_id = TransactionId([4; 12]);
    let peer = XorMappedAddress { ip: node().ip(), port: node().port() };
    peer.add_to_as(&mut address, ATTR_DATA).expect("an address");
    let peer = address.attributes.0[0].value.clone();
    let transport: (AttrType, &[u8]) = (ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    let signed = [
        message(CLASS_REQUEST, METHOD_ALLOCATE, &[transport]),
        message(CLASS_REQUEST, METHOD_CREATE_PERMISSION, &[(ATTR_XOR_PEER_ADDRESS, &peer)]),
        message(
            CLASS_REQUEST,
            METHOD_CHANNEL_BIND,
            &[(ATTR_CHANNEL_NUMBER, &[0x40, 1, 0, 0]), (ATTR_XOR_PEER_ADDRESS, &peer)],
        ),
        message(CLASS_REQUEST, METHOD_REFRESH, &[(ATTR_LIFETIME, &[0; 4])]),
    ];
    let plain = [
        message(CLASS_INDICATION, METHOD_SEND, &[(ATTR_XOR_PEER_ADDRESS, &peer), (ATTR_DATA, b"hello")]),
        vec![0x40, 1, 0, 2, b'h', b'i', 0, 0],
    ];
    let with = |mode: u8, message: &Vec<u8>| [&[mode][..], message].concat();
    let order = [
        with(0, &signed[0]),
        with(1, &signed[0]),
        with(1, &signed[1]),
        with(0, &plain[0]),
        with(1, &signed[2]),
        with(0, &plain[1]),
        with(1, &signed[3]),
    ];
    vec![order.concat(), with(0, &plain[0])]
}
