use super::{credentials::Issued, *};
use crate::testing::instant;
use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_stun::{
    attributes::{ATTR_NONCE, ATTR_REALM, ATTR_SOFTWARE, AttrType},
    error_code::ErrorCodeAttribute,
    integrity::MessageIntegrity,
    message::{Getter, METHOD_DATA, Message, MessageType, Method, Setter, TransactionId},
    xoraddr::XorMappedAddress,
};

const WALL_S: u64 = 1_800_000_000;

fn node() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 8_480))
}

fn client_address() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], 50_000))
}

/// A hand-made client: it says what the test wants it to say.
struct Client {
    server: TurnServer,
    connection: TurnConnection,
    user: String,
    password: String,
    nonce: String,
    now: Instant,
}

impl Client {
    fn new() -> Self {
        let credentials = Credentials::new(&[3; 32]);
        let Issued { user, password } = credentials.issue("abc", WALL_S + 60);
        let server = TurnServer::new(credentials, vec![node(), "[2001:db8::7]:8480".parse().unwrap()]);
        let connection = TurnConnection::new(client_address(), 5, [9; 16]);
        Self { server, connection, user, password, nonce: "09".repeat(16), now: instant() }
    }

    fn allocated() -> Self {
        let mut client = Self::new();
        assert_eq!(code(&client.allocate()), None);
        client
    }

    fn say(&mut self, bytes: &[u8]) -> (Handled, Option<Message>) {
        let mut answer = Vec::new();
        let handled = self.server.handle(self.now, WALL_S, &mut self.connection, bytes, &mut answer);
        if answer.is_empty() {
            return (handled, None);
        }
        assert_eq!(message_len(&answer), Some(answer.len()));
        let mut message = Message::new();
        message.unmarshal_binary(&answer).unwrap();
        (handled, Some(message))
    }

    fn request(&self, method: Method, attributes: &[(AttrType, &[u8])]) -> Vec<u8> {
        let mut message = Message::new();
        message.build(&[Box::new(MessageType::new(method, CLASS_REQUEST)), Box::new(TransactionId([4; 12]))]).unwrap();
        for (kind, value) in attributes {
            message.add(*kind, value);
        }
        message.add(ATTR_USERNAME, self.user.as_bytes());
        message.add(ATTR_REALM, b"schulhof");
        message.add(ATTR_NONCE, self.nonce.as_bytes());
        let provider = AwsLcRsProvider::default();
        let (user, password) = (self.user.clone(), self.password.clone());
        MessageIntegrity::new_long_term_integrity_with_provider(user, "schulhof".into(), password, provider.crypto())
            .unwrap()
            .add_to(&mut message)
            .unwrap();
        message.raw
    }

    fn ask(&mut self, method: Method, attributes: &[(AttrType, &[u8])]) -> Message {
        let request = self.request(method, attributes);
        self.say(&request).1.expect("a request is answered")
    }

    fn allocate(&mut self) -> Message {
        self.ask(METHOD_ALLOCATE, &[(ATTR_REQUESTED_TRANSPORT, &[UDP, 0, 0, 0])])
    }

    fn permit(&mut self, peer: SocketAddr) -> Option<u16> {
        code(&self.ask(METHOD_CREATE_PERMISSION, &[(ATTR_XOR_PEER_ADDRESS, &xor(peer))]))
    }

    fn bind(&mut self, number: u16, peer: SocketAddr) -> Option<u16> {
        let attributes: [(AttrType, &[u8]); 2] =
            [(ATTR_CHANNEL_NUMBER, &[(number >> 8) as u8, number as u8, 0, 0]), (ATTR_XOR_PEER_ADDRESS, &xor(peer))];
        code(&self.ask(METHOD_CHANNEL_BIND, &attributes))
    }

    fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let mut message = Message::new();
        let kind = MessageType::new(METHOD_SEND, CLASS_INDICATION);
        message.build(&[Box::new(kind), Box::new(TransactionId([4; 12]))]).unwrap();
        message.add(ATTR_XOR_PEER_ADDRESS, &xor(peer));
        message.add(ATTR_DATA, data);
        self.packet(&message.raw)
    }

    fn packet(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.say(bytes) {
            (Handled::Packet(place), None) => Some(bytes[place].to_vec()),
            (Handled::Done, _) => None,
            other => panic!("{other:?}"),
        }
    }
}

/// As a value in a message of the tests' transaction.
fn xor(address: SocketAddr) -> Vec<u8> {
    let mut message = Message::new();
    message.transaction_id = TransactionId([4; 12]);
    XorMappedAddress { ip: address.ip(), port: address.port() }.add_to_as(&mut message, ATTR_DATA).unwrap();
    message.attributes.0[0].value.clone()
}

fn address(message: &Message, kind: AttrType) -> SocketAddr {
    let mut address = XorMappedAddress::default();
    address.get_from_as(message, kind).unwrap();
    SocketAddr::new(address.ip, address.port)
}

fn code(message: &Message) -> Option<u16> {
    let mut error = ErrorCodeAttribute::default();
    error.get_from(message).ok().map(|()| error.code.0)
}

type Change = fn(&mut Client);

/// What nobody may reach through the node: itself in other clothes, its neighbours, the cloud's metadata, the world.
fn foreign() -> Vec<SocketAddr> {
    let others = [
        "127.0.0.1:8480",
        "[::1]:8480",
        "[::ffff:10.0.0.1]:8480",
        "[::ffff:192.0.2.7]:8480",
        "169.254.169.254:80",
        "10.0.0.1:8480",
        "0.0.0.0:8480",
        "255.255.255.255:8480",
        "203.0.113.9:50000",
        "[fe80::1]:8480",
    ];
    others.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn who_shows_the_credentials_gets_an_allocation_and_is_told_its_addresses() {
    let mut client = Client::new();
    let mut bare = Message::new();
    bare.build(&[Box::new(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST)), Box::new(TransactionId([4; 12]))])
        .unwrap();
    let challenge = client.say(&bare.raw).1.unwrap();
    assert_eq!(code(&challenge), Some(401));
    assert_eq!(challenge.get(ATTR_REALM).unwrap(), b"schulhof");
    assert_eq!(challenge.get(ATTR_NONCE).unwrap(), client.nonce.as_bytes());

    let granted = client.allocate();
    assert_eq!(code(&granted), None);
    assert_eq!(address(&granted, ATTR_XORMAPPED_ADDRESS), client_address());
    let relayed = address(&granted, ATTR_XOR_RELAYED_ADDRESS);
    assert_eq!((relayed.ip(), Some(relayed)), (node().ip(), client.connection.relayed()));
    assert_eq!(granted.get(ATTR_LIFETIME).unwrap(), 600u32.to_be_bytes());
    assert_eq!(code(&client.allocate()), Some(437), "a connection has one");
    assert_eq!(client.server.stats().allocations, 1);
}

#[test]
fn packets_reach_the_node_and_its_answers_come_from_where_they_were_sent_to() {
    let mut client = Client::allocated();
    assert_eq!(client.permit(SocketAddr::new(node().ip(), 1)), None, "a permission is for the address");
    let mut head = Vec::new();
    assert_eq!(client.connection.wrap(5, &mut head), None, "nobody has been talked to");
    assert_eq!(client.send(node(), b"hello").unwrap(), b"hello");

    assert_eq!(client.connection.wrap(5, &mut head), Some(3));
    let indication = [&head[..], b"reply\0\0\0"].concat();
    assert_eq!(message_len(&indication), Some(indication.len()));
    let mut message = Message::new();
    message.unmarshal_binary(&indication).unwrap();
    assert_eq!(message.typ, MessageType::new(METHOD_DATA, CLASS_INDICATION));
    assert_eq!(
        (address(&message, ATTR_XOR_PEER_ADDRESS), message.get(ATTR_DATA).unwrap()),
        (node(), b"reply".to_vec())
    );

    assert_eq!(client.bind(0x4001, node()), None);
    assert_eq!(client.bind(0x4001, node()), None, "binding again refreshes");
    assert_eq!(client.packet(&[0x40, 1, 0, 2, b'h', b'i', 0, 0]).unwrap(), b"hi");
    head.clear();
    assert_eq!(client.connection.wrap(4, &mut head), Some(0));
    assert_eq!(head, [0x40, 1, 0, 4]);
}

#[test]
fn nobody_but_the_node_itself_can_be_reached() {
    let mut client = Client::allocated();
    let mut refused = 0;
    for peer in foreign() {
        assert_eq!(client.permit(peer), Some(403), "{peer}");
        assert_eq!(client.bind(0x4000, peer), Some(403), "{peer}");
        assert_eq!(client.send(peer, b"hello"), None, "{peer}");
        refused += 3;
        assert_eq!(client.server.stats().foreign_peers, refused);
    }
    for port in [0, 22, 80, 443, 8_479, 8_481] {
        let peer = SocketAddr::new(node().ip(), port);
        assert_eq!(client.bind(0x4000, peer), Some(403), "another port of the node: {port}");
        assert_eq!(client.send(peer, b"hello"), None, "another port of the node: {port}");
    }
    // One good address among others grants nothing for them.
    let both: [(AttrType, &[u8]); 2] =
        [(ATTR_XOR_PEER_ADDRESS, &xor(node())), (ATTR_XOR_PEER_ADDRESS, &xor(foreign()[0]))];
    assert_eq!(code(&client.ask(METHOD_CREATE_PERMISSION, &both)), Some(403));
    assert_eq!(client.packet(&[0x40, 0, 0, 1, b'x', 0, 0, 0]), None, "no channel was bound");
    // The legitimate call goes on.
    assert_eq!(client.bind(0x4000, node()), None);
    assert_eq!(client.packet(&[0x40, 0, 0, 1, b'x', 0, 0, 0]).unwrap(), b"x");
}

#[test]
fn forged_expired_and_foreign_credentials_are_refused_and_counted() {
    let attempts: [(&str, Change); 5] = [
        ("another password", |client| client.password = "0".repeat(32)),
        ("a longer life", |client| client.user = client.user.replace("1800000060", "1900000060")),
        ("another process", |client| {
            let issued = Credentials::new(&[4; 32]).issue("abc", WALL_S + 60);
            (client.user, client.password) = (issued.user, issued.password);
        }),
        ("expired", |client| {
            let issued = Credentials::new(&[3; 32]).issue("abc", WALL_S);
            (client.user, client.password) = (issued.user, issued.password);
        }),
        ("no time", |client| client.user = "abc".into()),
    ];
    for (what, change) in attempts {
        let mut client = Client::new();
        change(&mut client);
        assert_eq!(code(&client.allocate()), Some(401), "{what}");
        assert_eq!(client.server.stats().unauthorized, 1, "{what}");
        assert_eq!(client.connection.relayed(), None, "{what}");
    }
    let mut client = Client::new();
    client.nonce = "0a".repeat(16);
    assert_eq!(code(&client.allocate()), Some(438), "the nonce of another connection");
    let mut client = Client::allocated();
    let other = Credentials::new(&[3; 32]).issue("def", WALL_S + 60);
    (client.user, client.password) = (other.user, other.password);
    assert_eq!(client.bind(0x4000, node()), Some(441), "somebody else on the connection");
}

#[test]
fn allocations_of_one_person_are_bounded_and_given_back() {
    let mut client = Client::new();
    let mut connections = Vec::new();
    for number in 0..OF_CREDENTIAL_MAX {
        assert_eq!(code(&client.allocate()), None, "{number}");
        let next = TurnConnection::new(client_address(), 6 + u32::from(number), [9; 16]);
        connections.push(std::mem::replace(&mut client.connection, next));
    }
    assert_eq!(code(&client.allocate()), Some(486));
    assert_eq!(client.server.stats().over_quota, 1);
    client.server.close(connections.pop().unwrap());
    assert_eq!(code(&client.allocate()), None);
    // Given up by the client itself.
    assert_eq!(code(&client.ask(METHOD_REFRESH, &[(ATTR_LIFETIME, &[0; 4])])), None);
    assert_eq!(client.connection.relayed(), None);
    for connection in connections {
        client.server.close(connection);
    }
    assert_eq!(client.server.stats().allocations, 0);
    assert!(client.server.users.is_empty());
}

#[test]
fn channels_are_bounded_and_never_change_their_meaning() {
    let mut client = Client::allocated();
    assert_eq!(client.bind(0x4000, node()), None);
    let v6 = "[2001:db8::7]:8480".parse().unwrap();
    assert_eq!(client.bind(0x4000, v6), Some(400), "the number stands for another peer");
    assert_eq!(client.bind(0x4001, node()), Some(400), "the peer has another number");
    assert_eq!(client.bind(0x4001, v6), None);
    for number in [0, 0x3FFF, 0x5000, 0xFFFF] {
        assert_eq!(client.bind(number, node()), Some(400), "{number:x}");
    }
}

#[test]
fn an_allocation_that_is_not_refreshed_ends() {
    let mut client = Client::allocated();
    client.now += Duration::from_secs(LIFETIME.as_secs() - 1);
    assert!(!client.connection.is_over(client.now));
    assert_eq!(code(&client.ask(METHOD_REFRESH, &[])), None);
    client.now += Duration::from_secs(LIFETIME.as_secs() - 1);
    assert!(!client.connection.is_over(client.now));
    client.now += Duration::from_secs(1);
    assert!(client.connection.is_over(client.now));
}

#[test]
fn what_the_server_does_not_give_is_refused_in_the_words_of_the_rfc() {
    let mut client = Client::new();
    let tcp = client.ask(METHOD_ALLOCATE, &[(ATTR_REQUESTED_TRANSPORT, &[6, 0, 0, 0])]);
    assert_eq!(code(&tcp), Some(442));
    assert_eq!(code(&client.ask(METHOD_ALLOCATE, &[])), Some(400));
    let unknown = client.ask(METHOD_ALLOCATE, &[(AttrType(0x7ABC), &[1]), (ATTR_SOFTWARE, b"x")]);
    assert_eq!(code(&unknown), Some(420));
    assert_eq!(client.bind(0x4000, node()), Some(437), "no allocation");
    assert_eq!(client.permit(node()), Some(437));
    assert_eq!(client.send(node(), b"hello"), None);
    let family: [(AttrType, &[u8]); 2] =
        [(ATTR_REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]), (ATTR_REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])];
    let v6 = client.ask(METHOD_ALLOCATE, &family);
    assert!(address(&v6, ATTR_XOR_RELAYED_ADDRESS).is_ipv6());
}

#[test]
fn messages_have_their_length_before_they_are_parsed() {
    assert_eq!(message_len(&[0, 1, 0]), None);
    assert_eq!(message_len(&[0, 1, 0, 8]), Some(28));
    assert_eq!(message_len(&[0, 1, 0, 7]), Some(0), "no STUN");
    assert_eq!(message_len(&[0x40, 1, 0, 5]), Some(12));
    assert_eq!(message_len(&[0, 1, 0x20, 0]), Some(0), "too long");
    assert_eq!(message_len(&[0x40, 1, 0xFF, 0xFF]), Some(0));
    assert_eq!(message_len(b"GET "), Some(0), "HTTP would be too long");
    for first in [4, 0x16, 0x50, 0x80, 0xFF] {
        assert_eq!(message_len(&[first, 0, 0, 0]), Some(0));
    }
}
