//! An engine with a room of two people who have their keys already, and a trunk to another node. Whatever is done to it,
//! what it sends must be what a listener can open, and no SRTP index may stand for two packets.

use super::seeds;
use crate::{
    Config, Engine, SessionId, TransmitSink, TrunkId,
    rtp::{self, Header},
    session::Keys,
    source::Peer,
    srtp::{Context, MasterKey},
    testing::instant,
    trunk::{Frame, Out, frame::VERSION},
};
use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_stun::{
    attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, Message, Setter, TransactionId},
    textattrs::TextAttribute,
};
use schulhof_wire::{
    id::{AccountId, ConferenceId, NodeName, SchoolId},
    media::ToNode,
    ticket::{AUDIO_SLOTS, Claims, MediaNode, MediaRole, NodeKind, VERSION as TICKET_VERSION, VIDEO_SLOTS},
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Longest datagram that a network brings.
const DATAGRAM_LEN_MAX: usize = 1_500;
const STEP: Duration = Duration::from_millis(10);

pub(super) struct Conference {
    engine: Engine,
    now: Instant,
    people: Vec<Person>,
    trunk: Option<TrunkId>,
    sink: Sink,
}

struct Person {
    session: SessionId,
    peer: Peer,
    /// As the engine has it, for both directions: the person's end is its mirror.
    keys: Option<Keys>,
    rtcp_index: u32,
}

fn address(who: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 10_000 + who as u16))
}

fn school() -> SchoolId {
    SchoolId::new("nord").expect("a name")
}

pub(super) fn room() -> ConferenceId {
    ConferenceId::new("math").expect("a name")
}

fn claims(name: &str, role: MediaRole) -> Claims {
    let name_of_node = NodeName::new("nord").expect("a name");
    Claims {
        v: TICKET_VERSION,
        id: format!("ticket-{name}"),
        school: school(),
        room: room(),
        account: AccountId::new(name).expect("a name"),
        name: name.to_owned(),
        role,
        audio_slots: AUDIO_SLOTS,
        video_slots: VIDEO_SLOTS,
        primary: MediaNode { name: name_of_node, kind: NodeKind::Box, url: "http://localhost".into() },
        standby: None,
        expires_at_ms: 1,
    }
}

impl Conference {
    /// Two people who have proven their addresses, and whose handshakes have not begun.
    pub fn new() -> Self {
        let now = instant();
        let node = NodeName::new("nord").expect("a name");
        let config = Config::new(node, NodeKind::Box, vec![address(99)], [7; 32]);
        let engine = Engine::new(config, now).expect("an engine");
        let mut conference = Self { engine, now, people: Vec::new(), trunk: None, sink: Sink::default() };
        for (who, (name, role)) in
            [("anna", MediaRole::Moderator), ("ben", MediaRole::Participant)].into_iter().enumerate()
        {
            let joined = conference.engine.join(now, claims(name, role), &seeds::offer()).expect("a good offer");
            let peer = conference.engine.by_id[&joined.session];
            conference.people.push(Person { session: joined.session, peer, keys: None, rtcp_index: 0 });
            let mut check = conference.binding_request(who);
            conference.engine.handle_datagram(now, address(who), &mut check);
        }
        conference.pass_ms(20);
        conference
    }

    /// As after their handshakes, both sending everything.
    pub fn connected() -> Self {
        let mut conference = Self::new();
        let provider = AwsLcRsProvider::default();
        for (who, person) in conference.people.iter_mut().enumerate() {
            let context = |n: u8| {
                let master = MasterKey { key: [n; 16], salt: [n; 12] };
                Context::new(provider.crypto(), &master).expect("the cipher")
            };
            let (up, down) = (2 * who as u8, 2 * who as u8 + 1);
            person.keys = Some(Keys { local: context(down), remote: context(up) });
            let session = conference.engine.sessions.get_mut(person.peer).expect("joined");
            session.keys = Some(Keys { local: context(down), remote: context(up) });
        }
        for who in 0..conference.people.len() {
            conference.control(who, ToNode::Publish { microphone: true, camera: true, screen: true });
        }
        conference.reconnect();
        conference.pass_ms(100);
        conference
    }

    /// A valid check of the person's address.
    pub fn binding_request(&self, who: usize) -> Vec<u8> {
        let agent = &self.engine.sessions.get(self.people[who].peer).expect("joined").agent;
        let provider = AwsLcRsProvider::default();
        let setters: [Box<dyn Setter>; 6] = [
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId([who as u8; 12])),
            Box::new(TextAttribute::new(ATTR_USERNAME, format!("{}:test", agent.ufrag))),
            Box::new(RawAttribute { typ: ATTR_USE_CANDIDATE, length: 0, value: Vec::new() }),
            Box::new(MessageIntegrity::new_short_term_integrity_with_provider(
                agent.password.clone(),
                provider.crypto(),
            )),
            Box::new(FINGERPRINT),
        ];
        let mut message = Message::new();
        message.build(&setters).expect("a message");
        message.raw
    }

    pub fn join(&mut self, offer: &str) {
        if let Ok(joined) = self.engine.join(self.now, claims("eve", MediaRole::Participant), offer) {
            self.pass_ms(20);
            assert!(self.engine.contains(joined.session));
        }
    }

    /// SSRCs of somebody's audio and video slots, and the number before each one's next packet.
    pub fn slots(&self, who: usize) -> [Vec<(u32, u16)>; 2] {
        let session = self.engine.sessions.get(self.people[who].peer).expect("joined");
        let of = |slots: &[crate::slot::Slot]| slots.iter().map(|slot| (slot.ssrc, slot.top() as u16)).collect();
        [of(&session.audio), of(&session.video)]
    }

    #[cfg(test)]
    pub fn stats(&self) -> crate::Stats {
        self.engine.stats()
    }

    /// A plain packet, sealed as its sender does. What has no header goes as it is.
    pub fn rtp(&mut self, who: usize, plain: &[u8]) {
        let plain = &plain[..plain.len().min(DATAGRAM_LEN_MAX)];
        let mut packet = plain.to_vec();
        let person = &self.people[who];
        if let (Some(header), Some(keys)) = (Header::parse(plain), &person.keys)
            && let Some(session) = self.engine.sessions.get(person.peer)
        {
            let known = session.streams.iter().find(|stream| stream.ssrc == header.ssrc);
            let index = known.and_then(|stream| stream.replay.index_of(header.sequence));
            let index = index.unwrap_or(u64::from(header.sequence));
            let (head, body) = packet.split_at_mut(header.len);
            let tag = keys.remote.seal_rtp(header.ssrc, index, head, body).expect("sealed");
            packet.extend_from_slice(&tag);
        }
        self.raw(who, &packet);
    }

    pub fn rtcp(&mut self, who: usize, plain: &[u8]) {
        let mut packet = plain[..plain.len().min(DATAGRAM_LEN_MAX)].to_vec();
        let person = &mut self.people[who];
        if let Some(keys) = &person.keys {
            person.rtcp_index += 1;
            keys.remote.seal_rtcp(person.rtcp_index, &mut packet, 0);
        }
        self.raw(who, &packet);
    }

    pub fn control(&mut self, who: usize, message: ToNode) {
        self.engine.control(self.now, self.people[who].session, message);
        self.settle();
    }

    /// From somebody's address, or from a stranger's.
    pub fn raw(&mut self, from: usize, packet: &[u8]) {
        let mut packet = packet[..packet.len().min(DATAGRAM_LEN_MAX)].to_vec();
        self.engine.handle_datagram(self.now, address(from), &mut packet);
        self.settle();
    }

    pub fn forget(&mut self, who: usize) {
        self.engine.forget(address(who));
    }

    /// The other node says who it is, and that it has people in the room.
    pub fn greet(&mut self) {
        self.frame(Frame::Hello { version: VERSION, node: NodeName::new("relay").expect("a name") });
        self.frame(Frame::Open { room: room() });
        self.pass_ms(20);
    }

    pub fn frame(&mut self, frame: Frame) {
        let Some(trunk) = self.trunk else { return };
        self.engine.trunk_frame(self.now, trunk, frame);
        self.settle();
    }

    pub fn datagram(&mut self, datagram: &[u8]) {
        let Some(trunk) = self.trunk else { return };
        self.engine.trunk_datagram(self.now, trunk, datagram);
        self.settle();
    }

    pub fn reconnect(&mut self) {
        if let Some(trunk) = self.trunk.take() {
            self.engine.close_trunk(self.now, trunk);
        }
        self.trunk = self.engine.open_trunk(self.now, school()).ok();
    }

    #[cfg(test)]
    pub fn is_open(&self) -> bool {
        self.trunk.is_some()
    }

    pub fn pass_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            // Long pauses in long steps: a peer's silence is what matters in them.
            self.now = end.min(self.now + STEP.max((end - self.now) / 8));
            if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
                self.engine.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.engine.drain_transmits(&mut self.sink);
        while self.engine.poll_control().is_some() {}
        while let Some((trunk, out)) = self.engine.poll_trunk() {
            if matches!(out, Out::Close(_)) && self.trunk == Some(trunk) {
                self.engine.close_trunk(self.now, trunk);
                self.trunk = None;
            }
        }
    }

    /// What was sent can be opened by whom it was sent to, and no index was used twice.
    pub fn check(mut self) {
        let packets = std::mem::take(&mut self.sink.packets);
        for (who, person) in self.people.iter().enumerate() {
            let Some(keys) = &person.keys else { continue };
            let mut listener = Listener::default();
            for (_, packet) in packets.iter().filter(|(dest, _)| *dest == address(who)) {
                listener.receive(&keys.local, packet);
            }
        }
    }
}

#[derive(Default)]
struct Sink {
    packets: Vec<(SocketAddr, Vec<u8>)>,
}

impl TransmitSink for Sink {
    fn run(&mut self, dest: SocketAddr, packets: &[u8], segment_len: usize) {
        self.packets.extend(packets.chunks(segment_len).map(|packet| (dest, packet.to_vec())));
    }
}

/// Receives as a browser does: by sequence numbers close to the highest.
#[derive(Default)]
struct Listener {
    tops: HashMap<u32, u64>,
    seen: HashMap<(u32, u64), Vec<u8>>,
}

impl Listener {
    fn receive(&mut self, context: &Context, packet: &[u8]) {
        if packet.first().is_none_or(|first| first >> 6 != 2) || rtp::is_rtcp(packet) {
            return;
        }
        let header = Header::parse(packet).expect("an RTP packet");
        let top = *self.tops.entry(header.ssrc).or_insert(u64::from(header.sequence));
        let distance = header.sequence.wrapping_sub(top as u16).cast_signed();
        let index = top.checked_add_signed(i64::from(distance)).expect("not before the first one");
        self.tops.insert(header.ssrc, top.max(index));
        let mut opened = packet.to_vec();
        let (head, sealed) = opened.split_at_mut(header.len);
        assert!(context.open_rtp(header.ssrc, index, head, sealed).is_some(), "a listener cannot open {index}");
        let before = self.seen.entry((header.ssrc, index)).or_insert_with(|| packet.to_vec());
        assert!(before == packet, "two packets under the index {index}");
    }
}
