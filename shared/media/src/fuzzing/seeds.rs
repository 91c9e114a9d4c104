//! What the fuzzers begin with: packets as people, browsers and nodes send them, made here by the code that writes them.

use super::{
    PASSWORD, UFRAG,
    conference::{Conference, room},
    script::{Event, Kinds},
};
use crate::{
    rtcp,
    state::registers::{Key, Register, Stamp, Value},
    testing::instant,
    trunk::frame::{Frame, Offered, Person, Picture, VERSION},
    twcc::Arrivals,
};
use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_rtcp::reception_report::ReceptionReport;
use rtc_stun::{
    attributes::ATTR_USERNAME,
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, Message, Setter, TransactionId},
    textattrs::TextAttribute,
};
use schulhof_wire::{
    id::{AccountId, NodeName},
    media::{May, Order, Participant, ParticipantId, SourceKind, Tile, ToNode},
    ticket::MediaRole,
};
use std::time::Duration;

#[path = "../../tests/scenarios/offer.rs"]
mod offer_text;

use offer_text::{AUDIO_LEVEL, MID, OPUS, REPAIRED_RID, RID, RTX, TRANSPORT_CC, VP8};

const PICTURE_LEN: usize = 60;

/// Of a client with all slots.
pub fn offer() -> String {
    let fingerprint: Vec<String> = (0..32).map(|n| format!("{n:02X}")).collect();
    offer_text::offer(&fingerprint.join(":"), 3, 9, true)
}

/// For the door of this name.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "stun" => vec![binding_request()],
        "rtp" => [voice(1, 1), silence(2)].into_iter().chain(camera(1, "q", true)).collect(),
        "rtcp" => vec![publisher_rtcp(1), listener_rtcp(1, 2, &[1, 2, 3, 20]), arrivals()],
        "sdp" => vec![offer().into_bytes(), offer_text::offer("00:11", 1, 1, false).into_bytes()],
        "datagrams" => vec![handshake()],
        "conference" => vec![lesson(), orders()],
        "trunk" => vec![other_node()],
        "turn" => super::turn::seeds(),
        _ => Vec::new(),
    }
}

fn binding_request() -> Vec<u8> {
    let provider = AwsLcRsProvider::default();
    let integrity = MessageIntegrity::new_short_term_integrity_with_provider(PASSWORD.into(), provider.crypto());
    let setters: [Box<dyn Setter>; 5] = [
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId([7; 12])),
        Box::new(TextAttribute::new(ATTR_USERNAME, format!("{UFRAG}:h6vY"))),
        Box::new(integrity),
        Box::new(FINGERPRINT),
    ];
    let mut message = Message::new();
    message.build(&setters).expect("a message");
    message.raw
}

fn rtp(payload_type: u8, marker: bool, sequence: u16, ssrc: u32, elements: &[(u8, &[u8])], body: &[u8]) -> Vec<u8> {
    let mut extension = Vec::new();
    for (id, value) in elements {
        extension.push(id << 4 | (value.len() - 1) as u8);
        extension.extend_from_slice(value);
    }
    extension.resize(extension.len().next_multiple_of(4), 0);
    let mut packet = vec![0x90, u8::from(marker) << 7 | payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 960).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0xBE, 0xDE, 0, (extension.len() / 4) as u8]);
    packet.extend_from_slice(&extension);
    packet.extend_from_slice(body);
    packet
}

fn voice(sequence: u16, ssrc: u32) -> Vec<u8> {
    let elements: [(u8, &[u8]); 3] = [(AUDIO_LEVEL, &[20]), (MID, b"0"), (TRANSPORT_CC, &sequence.to_be_bytes())];
    rtp(OPUS, sequence == 1, sequence, ssrc, &elements, b"a voice")
}

/// Nothing but padding.
fn silence(sequence: u16) -> Vec<u8> {
    let mut packet = rtp(VP8, false, sequence, 40, &[(MID, b"2")], &[0, 0, 0, 4]);
    packet[0] |= 0x20;
    packet
}

/// Two packets of one picture.
fn camera(picture: u16, rid: &str, key: bool) -> Vec<Vec<u8>> {
    let ssrc = 20 + u32::from(rid.as_bytes()[0]);
    let elements: [(u8, &[u8]); 3] = [(MID, b"1"), (RID, rid.as_bytes()), (TRANSPORT_CC, &picture.to_be_bytes())];
    [0x10, 0]
        .into_iter()
        .zip(0..)
        .map(|(start, part)| {
            let id = (0x8000 | picture).to_be_bytes();
            let mut body = vec![0x80 | start, 0xE0, id[0], id[1], picture as u8, 0x20, u8::from(!key), 0, 0];
            body.extend_from_slice(&[0x9D, 0x01, 0x2A, 0x40, 0x01, 0xB4, 0x00]);
            body.resize(PICTURE_LEN, part);
            rtp(VP8, part == 1, 2 * picture + u16::from(part), ssrc, &elements, &body)
        })
        .collect()
}

/// A packet of the camera once more (RFC 4588).
fn repetition(picture: u16, rid: &str) -> Vec<u8> {
    let mut body = (2 * picture).to_be_bytes().to_vec();
    body.extend_from_slice(&[0x90, 0xE0, 0x80, picture as u8, picture as u8, 0x20, 1, 0, 0]);
    rtp(RTX, false, picture, 70, &[(MID, b"1"), (REPAIRED_RID, rid.as_bytes())], &body)
}

fn publisher_rtcp(ssrc: u32) -> Vec<u8> {
    let mut compound = Vec::new();
    rtcp::sender_report(ssrc, 0x0102_0304_0506_0708, 960, 50, 5_000, &mut compound);
    compound
}

fn listener_rtcp(own: u32, slot: u32, lost: &[u16]) -> Vec<u8> {
    let mut compound = Vec::new();
    let report = ReceptionReport { ssrc: slot, fraction_lost: 20, last_sequence_number: 9, ..Default::default() };
    rtcp::receiver_report(own, vec![report], &mut compound);
    rtcp::nack(own, slot, lost, &mut compound);
    rtcp::pli(own, slot, &mut compound);
    compound
}

/// Transport-wide feedback about the first forty packets.
fn arrivals() -> Vec<u8> {
    let mut arrivals = Arrivals::default();
    for number in (0..40).filter(|number| number % 7 != 3) {
        arrivals.receive(number, Duration::from_millis(1_000 + 20 * u64::from(number)));
    }
    let mut compound = Vec::new();
    arrivals.feedback(instant(), 1, 2, &mut compound);
    compound
}

fn control(message: &ToNode) -> Vec<u8> {
    serde_json::to_vec(message).expect("plain data")
}

/// Both send, one listens, loses packets and says so.
fn lesson() -> Vec<u8> {
    let mut script = Vec::new();
    let mut event = |event, pause_ms, packet: &[u8]| Kinds::All.write(event, pause_ms, packet, &mut script);
    let conference = Conference::connected();
    let [audio, video] = conference.slots(1);
    let tile = |kind, height| Tile { participant: ParticipantId("ticket-anna".into()), kind, height };
    let view = ToNode::View { tiles: vec![tile(SourceKind::Camera, 180), tile(SourceKind::Screen, 720)] };
    event(Event::Control(1), 0, &control(&view));
    for n in 1..=24 {
        event(Event::Rtp(0), 10, &voice(n, 10));
        for rid in ["q", "h", "f"] {
            for packet in camera(n, rid, n % 8 == 1) {
                event(Event::Rtp(0), 0, &packet);
            }
        }
        if n % 8 == 0 {
            event(Event::Rtcp(0), 10, &publisher_rtcp(10));
            event(Event::Rtcp(1), 0, &arrivals());
            for (ssrc, before) in [audio[0], video[0]] {
                let lost: Vec<u16> = (n - 3..=n).map(|k| before.wrapping_add(k)).collect();
                event(Event::Rtcp(1), 0, &listener_rtcp(1, ssrc, &lost));
            }
        }
    }
    event(Event::Rtp(0), 20, &repetition(22, "q"));
    event(Event::Rtp(0), 0, &silence(3));
    event(Event::Raw(0), 300, &conference.binding_request(0));
    script
}

/// Everything that is said on a control channel.
fn orders() -> Vec<u8> {
    let ben = || AccountId::new("ben").expect("a name");
    let kind = SourceKind::Camera;
    let orders = [
        Order::Lobby { on: true },
        Order::Admit { account: ben() },
        Order::AdmitAll,
        Order::Refuse { account: ben() },
        Order::Mute { account: ben() },
        Order::MuteAll,
        Order::Lock { kind, on: true },
        Order::Allow { account: ben(), kind, on: true },
        Order::CamerasToModerators { on: true },
        Order::LowerHand { account: ben() },
        Order::LowerHands,
        Order::Spotlight { account: Some(ben()) },
        Order::Role { account: ben(), role: MediaRole::Moderator },
        Order::HandOver { account: ben() },
        Order::Remove { account: ben() },
        Order::Unblock { account: ben() },
        Order::Attendance,
    ];
    let said = orders.into_iter().map(|order| ToNode::Moderate { order });
    let others = [ToNode::Hand { raised: true }, ToNode::Unmute, ToNode::Ping { n: 1 }];
    let mut script = Vec::new();
    for message in others.into_iter().chain(said) {
        for who in [0, 1] {
            Kinds::All.write(Event::Control(who), 20, &control(&message), &mut script);
        }
    }
    script
}

/// A check of an address, and the beginning of a handshake (RFC 6347 §4.2.2) with an empty `ClientHello`.
fn handshake() -> Vec<u8> {
    let conference = Conference::new();
    let mut hello = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12 + 42];
    hello.extend_from_slice(&[1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 0xFE, 0xFD]);
    hello.extend_from_slice(&[5; 32]);
    hello.extend_from_slice(&[0, 0, 0, 2, 0xC0, 0x2B, 1, 0]);
    let alert = [21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 0];
    let mut script = Vec::new();
    let raw = Kinds::Raw;
    raw.write(Event::Raw(1), 0, &conference.binding_request(1), &mut script);
    raw.write(Event::Raw(2), 0, &conference.binding_request(0), &mut script);
    for packet in [&hello[..], &hello[..], &alert[..], &voice(1, 1)[..], &publisher_rtcp(1)[..]] {
        raw.write(Event::Raw(0), 50, packet, &mut script);
    }
    script
}

/// Somebody at the other node, what he sends, and what that node wants.
fn other_node() -> Vec<u8> {
    let relay = NodeName::new("relay").expect("a name");
    let participant = Participant {
        id: ParticipantId("ticket-cem".into()),
        account: AccountId::new("cem").expect("a name"),
        name: "Cem".into(),
        role: MediaRole::Participant,
        microphone: true,
        camera: true,
        screen: false,
        hand: None,
        muted: false,
        may: May { microphone: true, camera: true, screen: true },
    };
    let offered = Offered { alive: true, height: 180, bps: 100_000 };
    let person =
        Person { number: 3, participant, came: (1, 2), camera: vec![offered, offered, offered], screen: vec![offered] };
    let picture = |number, layer| Picture { number, kind: SourceKind::Camera, layer };
    let stamp = Stamp { counter: 3, node: relay.clone() };
    let register = |key, value| Register { key, value, stamp: stamp.clone() };
    let hand = Key::Hand(AccountId::new("cem").expect("a name"));
    let registers = vec![register(Key::Lobby, Value::Flag(true)), register(hand, Value::Time(Some(5)))];
    let frames = [
        Frame::Hello { version: VERSION, node: relay },
        Frame::Open { room: room() },
        Frame::State { room: room(), registers },
        Frame::People { room: room(), people: vec![person] },
        Frame::Want { room: room(), pictures: vec![picture(1, 0), picture(2, 2)] },
        Frame::KeyFrame(picture(1, 0)),
        Frame::Missing { picture: picture(1, 0), sequences: vec![1, 2, 3] },
    ];
    let mut script = Vec::new();
    let mut event = |event, pause_ms, packet: &[u8]| Kinds::Trunk.write(event, pause_ms, packet, &mut script);
    for frame in &frames {
        event(Event::Frame, 20, &postcard::to_stdvec(frame).expect("plain data"));
    }
    for n in 1..10u8 {
        event(Event::Rtp(0), 10, &voice(n.into(), 10));
        event(Event::Datagram, 10, &[0, 0, 0, 3, 0x00, 90, 0, n, 0, 0, n, 0, b'v', b'o', b'i', b'c', b'e']);
        let mut picture = vec![0, 0, 0, 3, 0x48, 0, 0, n, 0, 0, n, 0];
        picture.extend_from_slice(&[
            0x90,
            0xE0,
            0x80,
            n,
            n,
            0x20,
            u8::from(n != 1),
            0,
            0,
            0x9D,
            1,
            0x2A,
            64,
            1,
            180,
            0,
        ]);
        event(Event::Datagram, 0, &picture);
    }
    event(Event::Frame, 0, &postcard::to_stdvec(&Frame::Close { room: room() }).expect("plain data"));
    script
}
