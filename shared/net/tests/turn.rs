//! TURN over TLS at a whole node, on real sockets: a client that can reach nothing but the one port gets its packets to the
//! engine and back; nobody gets anywhere else, and what strangers try is counted and costs the others nothing.

mod support;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rtc_crypto::{RTCCryptoProvider as _, providers::AwsLcRsProvider};
use rtc_stun::{
    attributes::{
        ATTR_CHANNEL_NUMBER, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS,
        ATTR_XOR_RELAYED_ADDRESS, AttrType,
    },
    error_code::ErrorCodeAttribute,
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{
        BINDING_REQUEST, BINDING_SUCCESS, CLASS_REQUEST, Getter as _, METHOD_ALLOCATE, METHOD_CHANNEL_BIND,
        METHOD_CREATE_PERMISSION, Message, MessageType, Method, Setter as _, TransactionId,
    },
    textattrs::TextAttribute,
    xoraddr::XorMappedAddress,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use schulhof_net::media::{Config, Handle, Snapshot, config::TurnTls, serve};
use schulhof_wire::media::{IceServer, JoinAnswer};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use support::{ANY, PATIENCE, config, let_in};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const CHANNEL: u16 = 0x4000;

/// A node with a certificate for localhost, and the CA's that clients trust.
struct Site {
    node: Handle,
    ca: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut of_ca = CertificateParams::new(Vec::new()).unwrap();
        of_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = of_ca.self_signed(&ca_key).unwrap().der().clone();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let cert = own.signed_by(&key, &Issuer::new(of_ca, ca_key)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let turn_tls = TurnTls {
            listen: ANY,
            host: "localhost".into(),
            port: None,
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        std::fs::write(&turn_tls.cert, cert.pem()).unwrap();
        std::fs::write(&turn_tls.key, key.serialize_pem()).unwrap();
        let node = serve(Config { turn_tls: Some(turn_tls), ..config(ANY, 10) }).await.unwrap();
        Self { node, ca, _folder: folder }
    }

    async fn dial(&self) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = TlsConnector::from(Arc::new(tls.with_root_certificates(roots).with_no_client_auth()));
        let stream = TcpStream::connect(self.node.turn_tls().unwrap()).await.unwrap();
        tls.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }

    async fn until(&self, claim: &str, mut holds: impl FnMut(&Snapshot) -> bool) {
        let wait = async {
            while !holds(&self.node.snapshot()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{claim}: {:?}", self.node.snapshot()));
    }
}

/// Somebody who has joined, and who reaches nothing but the one port.
struct Member {
    joined: JoinAnswer,
    server: IceServer,
    stream: TlsStream<TcpStream>,
    nonce: String,
    _control: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Member {
    async fn of(site: &Site, account: &str) -> Self {
        let joined = let_in(&site.node, account).await;
        let url = format!("ws://{}/media/control/{}", site.node.addr(), joined.session);
        let (control, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let [server] = joined.ice_servers.as_slice() else { panic!("{:?}", joined.ice_servers) };
        let port = site.node.turn_tls().unwrap().port();
        assert_eq!(server.urls, [format!("turns:localhost:{port}?transport=tcp")]);
        Self { server: server.clone(), joined, stream: site.dial().await, nonce: String::new(), _control: control }
    }

    fn of_answer(&self, key: &str) -> &str {
        self.joined.answer.lines().find_map(|line| line.strip_prefix(key)).unwrap()
    }

    /// Where the answer says that the node takes datagrams.
    fn candidate(&self) -> SocketAddr {
        let words: Vec<&str> = self.of_answer("a=candidate:1 1 udp ").split(' ').collect();
        SocketAddr::new(words[1].parse().unwrap(), words[2].parse().unwrap())
    }

    async fn receive(&mut self) -> Vec<u8> {
        let frame = async {
            let mut bytes = vec![0; 4];
            self.stream.read_exact(&mut bytes).await.unwrap();
            let len = schulhof_media::turn::message_len(&bytes).unwrap();
            bytes.resize(len, 0);
            self.stream.read_exact(&mut bytes[4..]).await.unwrap();
            bytes
        };
        tokio::time::timeout(PATIENCE, frame).await.expect("the node answers")
    }

    async fn ask(&mut self, method: Method, attributes: &[(AttrType, Vec<u8>)]) -> Message {
        let mut message = Message::new();
        message.build(&[Box::new(MessageType::new(method, CLASS_REQUEST)), Box::new(TransactionId([4; 12]))]).unwrap();
        for (kind, value) in attributes {
            message.add(*kind, value);
        }
        if !self.nonce.is_empty() {
            message.add(ATTR_USERNAME, self.server.username.as_bytes());
            message.add(ATTR_REALM, b"schulhof");
            message.add(ATTR_NONCE, self.nonce.as_bytes());
            let provider = AwsLcRsProvider::default();
            let (user, password) = (self.server.username.clone(), self.server.credential.clone());
            let crypto = provider.crypto();
            MessageIntegrity::new_long_term_integrity_with_provider(user, "schulhof".into(), password, crypto)
                .unwrap()
                .add_to(&mut message)
                .unwrap();
        }
        self.stream.write_all(&message.raw).await.unwrap();
        let mut answer = Message::new();
        answer.unmarshal_binary(&self.receive().await).unwrap();
        answer
    }

    /// Asks twice, as the first refusal tells the nonce.
    async fn allocate(&mut self) -> Message {
        let udp = [(ATTR_REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
        let challenge = self.ask(METHOD_ALLOCATE, &udp).await;
        assert_eq!(code(&challenge), Some(401));
        self.nonce = String::from_utf8(challenge.get(ATTR_NONCE).unwrap()).unwrap();
        self.ask(METHOD_ALLOCATE, &udp).await
    }

    async fn permit(&mut self, peer: SocketAddr) -> Option<u16> {
        code(&self.ask(METHOD_CREATE_PERMISSION, &[(ATTR_XOR_PEER_ADDRESS, xor(peer))]).await)
    }

    async fn bind(&mut self, peer: SocketAddr) -> Option<u16> {
        let number = [CHANNEL.to_be_bytes(), [0; 2]].concat();
        let attributes = [(ATTR_CHANNEL_NUMBER, number), (ATTR_XOR_PEER_ADDRESS, xor(peer))];
        code(&self.ask(METHOD_CHANNEL_BIND, &attributes).await)
    }

    /// A connectivity check through the channel; the result is the address that the engine sees.
    async fn check(&mut self) -> SocketAddr {
        let mut check = Message::new();
        let user = TextAttribute::new(ATTR_USERNAME, format!("{}:test", self.of_answer("a=ice-ufrag:")));
        check.build(&[Box::new(BINDING_REQUEST), Box::new(TransactionId::new()), Box::new(user)]).unwrap();
        let provider = AwsLcRsProvider::default();
        let password = self.of_answer("a=ice-pwd:").to_owned();
        MessageIntegrity::new_short_term_integrity_with_provider(password.clone(), provider.crypto())
            .add_to(&mut check)
            .unwrap();
        FINGERPRINT.add_to(&mut check).unwrap();
        let head = [CHANNEL.to_be_bytes(), (check.raw.len() as u16).to_be_bytes()].concat();
        self.stream.write_all(&[&head[..], &check.raw].concat()).await.unwrap();

        let answer = self.receive().await;
        assert_eq!(answer[..2], CHANNEL.to_be_bytes());
        let len = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
        let mut message = Message::new();
        message.unmarshal_binary(&answer[4..4 + len]).unwrap();
        assert_eq!(message.typ, BINDING_SUCCESS);
        MessageIntegrity::check(&mut message, password.as_bytes(), provider.crypto()).unwrap();
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&message).unwrap();
        SocketAddr::new(mapped.ip, mapped.port)
    }

    /// Allocation, channel and a check that came back.
    async fn connected(site: &Site, account: &str) -> Self {
        let mut member = Self::of(site, account).await;
        let granted = member.allocate().await;
        assert_eq!(code(&granted), None);
        let mut relayed = XorMappedAddress::default();
        relayed.get_from_as(&granted, ATTR_XOR_RELAYED_ADDRESS).unwrap();
        let node = member.candidate();
        assert_eq!(member.permit(node).await, None);
        assert_eq!(member.bind(node).await, None);
        assert_eq!(member.check().await, SocketAddr::new(relayed.ip, relayed.port));
        member
    }
}

/// As a value in a message of the tests' transaction.
fn xor(address: SocketAddr) -> Vec<u8> {
    let mut message = Message::new();
    message.transaction_id = TransactionId([4; 12]);
    let kind = ATTR_XOR_PEER_ADDRESS;
    XorMappedAddress { ip: address.ip(), port: address.port() }.add_to_as(&mut message, kind).unwrap();
    message.get(kind).unwrap()
}

fn code(message: &Message) -> Option<u16> {
    let mut error = ErrorCodeAttribute::default();
    error.get_from(message).ok().map(|()| error.code.0)
}

async fn closed(stream: &mut TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let _ = end.expect("the node closes");
}

#[tokio::test]
async fn packets_get_to_the_engine_and_back_through_the_one_port() {
    let site = Site::new().await;
    let mut member = Member::connected(&site, "anna").await;
    site.until("the connection has proven itself", |now| now.streams.proven == 1).await;
    assert_eq!(site.node.snapshot().streams.turn.allocations, 1);
    for _ in 0..200 {
        member.check().await;
    }
    drop(member);
    site.until("the allocation has ended", |now| now.streams.turn.allocations == 0).await;
}

#[tokio::test]
async fn nobody_but_the_node_can_be_reached_and_the_call_goes_on() {
    let site = Site::new().await;
    let mut member = Member::connected(&site, "anna").await;
    let node = member.candidate();
    // Services of this very machine, which must not be found through the node.
    let own = [node.port() - 1, 22, site.node.turn_tls().unwrap().port()].map(|port| SocketAddr::new(node.ip(), port));
    let others = ["[::1]:80", "[::ffff:10.0.0.1]:80", "[::ffff:127.0.0.1]:80", "169.254.169.254:80", "10.0.0.1:80"];
    let others: Vec<SocketAddr> = others.iter().map(|text| text.parse().unwrap()).collect();
    let mut refused = 0;
    for peer in own.into_iter().chain(others.clone()) {
        assert_eq!(member.bind(peer).await, Some(403), "{peer}");
        refused += 1;
    }
    for peer in others {
        assert_eq!(member.permit(peer).await, Some(403), "{peer}");
        refused += 1;
    }
    member.check().await;
    site.until("all were counted", |now| now.streams.turn.foreign_peers == refused).await;
}

#[tokio::test]
async fn who_has_not_joined_gets_no_allocation_and_is_closed_soon() {
    let site = Site::new().await;
    let mut member = Member::connected(&site, "anna").await;
    let mut stranger = Member::of(&site, "ben").await;
    stranger.server.credential = "0".repeat(32);
    assert_eq!(code(&stranger.allocate().await), Some(401));
    site.until("it was counted", |now| now.streams.turn.unauthorized == 1).await;
    // What is no TURN at all.
    let mut web = site.dial().await;
    web.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    closed(&mut web).await;
    let mut silent = site.dial().await;
    closed(&mut silent).await;
    closed(&mut stranger.stream).await;
    site.until("they were counted", |now| now.streams.too_long == 1 && now.streams.unproven == 2).await;
    // No TLS at all, and a handshake that never goes on.
    let mut plain = TcpStream::connect(site.node.turn_tls().unwrap()).await.unwrap();
    plain.write_all(&[0, 3, 0, 0]).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut rest)).await.expect("the node closes");
    member.check().await;
}

#[tokio::test]
async fn a_node_without_the_port_tells_nothing_of_it() {
    let node = support::node(10).await;
    assert_eq!(node.turn_tls(), None);
    assert!(let_in(&node, "anna").await.ice_servers.is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_named_in_one_line() {
    let nowhere = TurnTls {
        listen: ANY,
        host: "localhost".into(),
        port: None,
        cert: "/nowhere/cert.pem".into(),
        key: "/nowhere/key.pem".into(),
    };
    let error = serve(Config { turn_tls: Some(nowhere), ..config(ANY, 10) }).await.err().unwrap().to_string();
    assert!(error.starts_with("turn_tls: cannot read /nowhere/cert.pem: "), "{error}");
}
