//! A whole media node on loopback, and how one joins it. For all test files; each uses a part.

#![allow(dead_code)]

use schulhof_net::media::{Config, Handle, serve};
use schulhof_placement::{TicketKey, TicketKeys};
use schulhof_wire::{
    media::{JoinAnswer, JoinRequest},
    problem::{CONTENT_TYPE, Problem},
    ticket::{AUDIO_SLOTS, Claims, MediaNode, MediaRole, NodeKind, VERSION, VIDEO_SLOTS},
};
use std::{
    fmt::Write as _,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn key(n: u8) -> TicketKey {
    TicketKey::generate(&[n; 32])
}

pub async fn node(participants_max: u32) -> Handle {
    node_at(ANY, participants_max).await
}

/// Listens there, and says so in its candidates.
pub async fn node_at(listen: SocketAddr, participants_max: u32) -> Handle {
    serve(config(listen, participants_max)).await.unwrap()
}

pub fn config(listen: SocketAddr, participants_max: u32) -> Config {
    let schools = [("nord", 1), ("sued", 2)];
    Config {
        trunks: None,
        turn_tls: None,
        name: "nord".parse().unwrap(),
        kind: NodeKind::Box,
        listen,
        advertise: vec![listen.ip()],
        url: "http://localhost".into(),
        ticket_keys: schools
            .map(|(name, n)| (name.parse().unwrap(), key(n).public()))
            .into_iter()
            .collect::<TicketKeys>(),
        participants_max,
        admin: ANY,
    }
}

pub fn claims(account: &str) -> Claims {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Claims {
        v: VERSION,
        id: format!("ticket-{account}"),
        school: "nord".parse().unwrap(),
        room: "math".parse().unwrap(),
        account: account.parse().unwrap(),
        name: account.into(),
        role: MediaRole::Participant,
        audio_slots: AUDIO_SLOTS,
        video_slots: VIDEO_SLOTS,
        primary: MediaNode { name: "nord".parse().unwrap(), kind: NodeKind::Box, url: "http://localhost".into() },
        standby: None,
        expires_at_ms: now_ms + 60_000,
    }
}

/// What a browser offers, in short: the m-lines in their order, with what joining needs.
pub fn offer() -> String {
    let lines = 3 + usize::from(AUDIO_SLOTS) + usize::from(VIDEO_SLOTS);
    let bundle = (0..lines).fold(String::new(), |text, mid| text + " " + &mid.to_string());
    let fingerprint = vec!["AB"; 32].join(":");
    let mut sdp = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{bundle}\r\n");
    for mid in 0..lines {
        let audio = mid == 0 || (3..3 + usize::from(AUDIO_SLOTS)).contains(&mid);
        let (medium, formats) = if audio { ("audio", "111") } else { ("video", "96 97") };
        let codecs = if audio {
            "a=rtpmap:111 opus/48000/2\r\n"
        } else {
            "a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
        };
        let direction = if mid < 3 { "sendonly" } else { "recvonly" };
        let _ = write!(
            sdp,
            "m={medium} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:0123456789abcdef01234567\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
             a=mid:{mid}\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
             a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na={direction}\r\na=rtcp-mux\r\n{codecs}"
        );
        if mid == 1 {
            sdp.push_str("a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n");
        }
    }
    sdp
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn problem(&self) -> Problem {
        assert!(self.head.contains(CONTENT_TYPE), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }
}

pub async fn request(node: &Handle, head: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(node.addr()).await.unwrap();
    let text = format!("{head}\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.into() }
}

pub async fn join(node: &Handle, ticket: String, offer: String) -> Answer {
    ask(node, &JoinRequest { ticket, offer, standby: false }).await
}

pub async fn ask(node: &Handle, join: &JoinRequest) -> Answer {
    let body = serde_json::to_string(join).unwrap();
    request(
        node,
        "POST /media/join HTTP/1.1\r\norigin: https://elsewhere.example\r\ncontent-type: application/json",
        &body,
    )
    .await
}

pub async fn let_in(node: &Handle, account: &str) -> JoinAnswer {
    let answer = join(node, key(1).sign(&claims(account)), offer()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}
