//! The ways to a media node's engine, on real sockets: UDP and TCP (RFC 6544), IPv4 and IPv6; and what strangers get on
//! them: little, counted, and never at the cost of who has joined.

mod support;

use rtc_crypto::{RTCCryptoProvider as _, providers::AwsLcRsProvider};
use rtc_stun::{
    attributes::ATTR_USERNAME,
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, BINDING_SUCCESS, Getter as _, Message, Setter as _, TransactionId},
    textattrs::TextAttribute,
    xoraddr::XorMappedAddress,
};
use schulhof_media::DropReason;
use schulhof_net::media::{Handle, Snapshot};
use std::{net::SocketAddr, time::Duration};
use support::{PATIENCE, let_in, node, node_at};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Somebody who has joined: what his answer says.
struct Member {
    ufrag: String,
    password: String,
    answer: String,
    /// Open, so that the node keeps the session.
    _control: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Member {
    async fn of(node: &Handle, account: &str) -> Self {
        let joined = let_in(node, account).await;
        let url = format!("ws://{}/media/control/{}", node.addr(), joined.session);
        let (control, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let answer = joined.answer;
        let value = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        Self { ufrag: value("a=ice-ufrag:"), password: value("a=ice-pwd:"), answer, _control: control }
    }

    /// Where the answer says that the node is.
    fn candidate(&self, protocol: &str) -> SocketAddr {
        let mut candidates = self.answer.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
        let words: Vec<&str> =
            candidates.find(|line| line.split(' ').nth(2) == Some(protocol)).unwrap().split(' ').collect();
        assert_eq!(words.ends_with(&["tcptype", "passive"]), protocol == "tcp");
        SocketAddr::new(words[4].parse().unwrap(), words[5].parse().unwrap())
    }

    fn check(&self) -> Vec<u8> {
        check(&self.ufrag, &self.password)
    }

    /// The address that the node's answer to a check names.
    fn mapped(&self, response: &[u8]) -> SocketAddr {
        let mut message = Message::new();
        message.unmarshal_binary(response).unwrap();
        assert_eq!(message.typ, BINDING_SUCCESS);
        let provider = AwsLcRsProvider::default();
        MessageIntegrity::check(&mut message, self.password.as_bytes(), provider.crypto()).unwrap();
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&message).unwrap();
        SocketAddr::new(mapped.ip, mapped.port)
    }
}

/// A binding request (RFC 8445 §7.2.2).
fn check(ufrag: &str, password: &str) -> Vec<u8> {
    let mut message = Message::new();
    let user = TextAttribute::new(ATTR_USERNAME, format!("{ufrag}:test"));
    message.build(&[Box::new(BINDING_REQUEST), Box::new(TransactionId::new()), Box::new(user)]).unwrap();
    let provider = AwsLcRsProvider::default();
    MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), provider.crypto())
        .add_to(&mut message)
        .unwrap();
    FINGERPRINT.add_to(&mut message).unwrap();
    message.raw
}

async fn send(stream: &mut TcpStream, packet: &[u8]) {
    let frame = [&(packet.len() as u16).to_be_bytes(), packet].concat();
    stream.write_all(&frame).await.unwrap();
}

async fn receive(stream: &mut TcpStream) -> Vec<u8> {
    let frame = async {
        let mut packet = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut packet).await.unwrap();
        packet
    };
    tokio::time::timeout(PATIENCE, frame).await.expect("the node answers")
}

/// The node has closed the connection.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let _ = end.expect("the node closes");
}

async fn until(node: &Handle, claim: &str, mut holds: impl FnMut(&Snapshot) -> bool) {
    let wait = async {
        while !holds(&node.snapshot()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{claim}: {:?}", node.snapshot()));
}

/// A check over both ways, each answered with the address that it came from.
async fn both_ways_work(node: &Handle, account: &str) -> (Member, TcpStream) {
    let member = Member::of(node, account).await;
    let any = SocketAddr::new(node.addr().ip(), 0);
    let udp = UdpSocket::bind(any).await.unwrap();
    udp.send_to(&member.check(), member.candidate("udp")).await.unwrap();
    let mut response = [0; 200];
    let (len, source) = tokio::time::timeout(PATIENCE, udp.recv_from(&mut response)).await.unwrap().unwrap();
    assert_eq!(source, member.candidate("udp"));
    assert_eq!(member.mapped(&response[..len]), udp.local_addr().unwrap());

    let mut tcp = TcpStream::connect(member.candidate("tcp")).await.unwrap();
    send(&mut tcp, &member.check()).await;
    assert_eq!(member.mapped(&receive(&mut tcp).await), tcp.local_addr().unwrap());
    until(node, "the connection is known", |now| now.streams.proven > 0).await;
    (member, tcp)
}

#[tokio::test]
async fn checks_are_answered_over_udp_and_tcp() {
    let node = node(10).await;
    both_ways_work(&node, "anna").await;
    // HTTP goes on at the same port.
    Member::of(&node, "ben").await;
}

#[tokio::test]
async fn the_same_over_ipv6() {
    let node = node_at("[::1]:0".parse().unwrap(), 10).await;
    both_ways_work(&node, "anna").await;
}

#[tokio::test]
async fn a_connection_of_ones_own_ends_with_the_session() {
    let node = node(10).await;
    let (_member, mut tcp) = both_ways_work(&node, "anna").await;
    // The same ticket again.
    let again = Member::of(&node, "anna").await;
    closed(&mut tcp).await;
    until(&node, "it was closed", |now| now.streams.idle == 1 && now.streams.open == 0).await;
    let mut tcp = TcpStream::connect(again.candidate("tcp")).await.unwrap();
    send(&mut tcp, &again.check()).await;
    again.mapped(&receive(&mut tcp).await);
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_connection() {
    let node = node(10).await;
    let mut stranger = TcpStream::connect(node.addr()).await.unwrap();
    stranger.write_all(&1_501u16.to_be_bytes()).await.unwrap();
    closed(&mut stranger).await;
    let (_member, mut tcp) = both_ways_work(&node, "anna").await;
    tcp.write_all(&[0xFF, 0xFF]).await.unwrap();
    closed(&mut tcp).await;
    until(&node, "both were counted", |now| now.streams.too_long == 2).await;
}

#[tokio::test]
async fn who_does_not_know_a_password_gets_no_answer_and_is_closed_after_a_few_bytes() {
    let node = node(10).await;
    let member = Member::of(&node, "anna").await;
    let mut stranger = TcpStream::connect(node.addr()).await.unwrap();
    let mut sent = 0;
    while sent <= 4_096 {
        let forged = check(&member.ufrag, "guessed-guessed-guessed!");
        sent += forged.len() + 2;
        send(&mut stranger, &forged).await;
    }
    let mut answers = Vec::new();
    // Closed with bytes unread is a reset.
    let _ = tokio::time::timeout(PATIENCE, stranger.read_to_end(&mut answers)).await.expect("the node closes");
    assert!(answers.is_empty(), "a stranger gets no packet at all");
    until(&node, "it was counted", |now| now.streams.unproven == 1 && now.engine.dropped(DropReason::Stun) > 0).await;

    // One who says little is closed by and by, whatever he says.
    let mut quiet = TcpStream::connect(node.addr()).await.unwrap();
    send(&mut quiet, &[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    closed(&mut quiet).await;
    until(&node, "it was counted", |now| {
        now.streams.unproven == 2 && now.engine.dropped(DropReason::UnvalidatedAddress) == 1
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_connections_is_refused_and_who_has_joined_goes_on() {
    let node = node(10).await;
    let member = Member::of(&node, "anna").await;
    let mut tcp = TcpStream::connect(member.candidate("tcp")).await.unwrap();
    send(&mut tcp, &member.check()).await;
    member.mapped(&receive(&mut tcp).await);
    let mut flood = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(node.addr()).await.unwrap();
        stream.write_all(&[0]).await.unwrap();
        flood.push(stream);
    }
    until(&node, "most are refused", |now| now.streams.refused >= 300 - 64).await;
    assert!(node.snapshot().streams.open <= 65);
    send(&mut tcp, &member.check()).await;
    member.mapped(&receive(&mut tcp).await);
    until(&node, "those that came in are closed", |now| now.streams.open == 1 && now.streams.unproven == 64).await;
    send(&mut tcp, &member.check()).await;
    member.mapped(&receive(&mut tcp).await);
}

#[tokio::test]
async fn nonsense_on_a_connection_of_ones_own_harms_neither_it_nor_others() {
    let node = node(10).await;
    let (member, mut tcp) = both_ways_work(&node, "anna").await;
    let (other, mut quiet) = both_ways_work(&node, "ben").await;
    let mut state = 0x5eed_u64;
    println!("seed {state:#x}");
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let received = node.snapshot().streams.received_frames;
    for _ in 0..3_000 {
        let len = random(120) as usize;
        let mut packet: Vec<u8> = (0..len).map(|_| random(256) as u8).collect();
        if let Some(first) = packet.first_mut() {
            *first = [0, 1, 20, 22, 63, 128, 144, 191, 255][random(9) as usize];
        }
        send(&mut tcp, &packet).await;
    }
    send(&mut tcp, &member.check()).await;
    member.mapped(&receive(&mut tcp).await);
    send(&mut quiet, &other.check()).await;
    other.mapped(&receive(&mut quiet).await);
    until(&node, "all of it was looked at", |now| now.streams.received_frames > received + 2_900).await;
    let snapshot = node.snapshot();
    for reason in [DropReason::Malformed, DropReason::Stun, DropReason::Dtls, DropReason::EarlyMedia] {
        assert!(snapshot.engine.dropped(reason) > 0, "{reason:?}: {snapshot:?}");
    }
}
