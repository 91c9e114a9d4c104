//! One client. Its DTLS, SRTP, STUN and RTCP are not the engine's own code but the webrtc project's.

use crate::{feedback::Feedback, nacking::Nacking, offer, sending::Sender, world::NODE};
use bytes::BytesMut;
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_dtls::{
    config::{ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig},
    crypto::Certificate,
    endpoint::{Endpoint, EndpointEvent},
    extension::extension_use_srtp::SrtpProtectionProfile,
};
use rtc_shared::{TransportProtocol, marshal::Marshal};
use rtc_srtp::{context::Context, protection_profile::ProtectionProfile};
use rtc_stun::{
    attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute},
    fingerprint::FINGERPRINT,
    integrity::MessageIntegrity,
    message::{BINDING_REQUEST, BINDING_SUCCESS, Message, Setter, TransactionId},
    textattrs::TextAttribute,
};
use schulhof_media::SessionId;
use schulhof_wire::media::ParticipantId;
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// RTCP that came in, as far as tests look at it.
pub type Rtcp = Box<dyn rtc_rtcp::packet::Packet>;

/// A received RTP packet, plain.
#[derive(Clone, Debug)]
pub struct Packet {
    pub at: Instant,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload_type: u8,
    pub payload: Vec<u8>,
    /// Transport-wide.
    pub number: Option<u16>,
    /// The voice's packet before it, if it came along: timestamp and payload.
    pub before: Option<(u32, Vec<u8>)>,
}

impl Packet {
    /// RFC 2198: two blocks, the earlier one first.
    fn unpack(&mut self) {
        if self.payload_type != offer::RED {
            return;
        }
        let head = u32::from_be_bytes(self.payload[..4].try_into().unwrap());
        assert_eq!((head >> 24, self.payload[4]), (0x80 | u32::from(offer::OPUS), offer::OPUS), "two blocks of Opus");
        let (offset, len) = (head >> 10 & 0x3FFF, (head & 0x3FF) as usize);
        let rest = self.payload.split_off(5);
        let (before, own) = rest.split_at(len);
        self.before = Some((self.timestamp.wrapping_sub(offset), before.to_vec()));
        (self.payload_type, self.payload) = (offer::OPUS, own.to_vec());
    }

    /// Of the test's pictures: picture id, TL0PICIDX, key frame, and who sent which layer.
    pub fn picture(&self) -> (u16, u8, bool, String) {
        let id = u16::from_be_bytes([self.payload[2] & 0x7F, self.payload[3]]);
        let key = self.payload[0] & 0x10 != 0 && self.payload[6] & 1 == 0;
        let text = String::from_utf8_lossy(&self.payload[17..]).into_owned();
        (id, self.payload[4], key, text.split('|').next().unwrap_or_default().to_owned())
    }
}

pub struct Client {
    pub name: String,
    session: Option<SessionId>,
    /// The first is the one in use.
    pub addresses: Vec<SocketAddr>,
    pub outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
    provider: Arc<AwsLcRsProvider>,
    config: Arc<HandshakeConfig>,
    /// As offered.
    pub fingerprint: String,
    pub dtls: Endpoint,
    pub dtls_started: bool,
    /// Starts the handshake before any binding request was answered.
    pub hasty: bool,
    ufrag: String,
    password: String,
    keys: Option<(Context, Context)>,
    checked_at: Option<Instant>,
    pub stun_answers: u32,
    pub answer: String,
    pub(crate) senders: BTreeMap<&'static str, Sender>,
    pub(crate) transport_sequence: u16,
    /// Media on audio and video slots, retransmissions already unpacked.
    pub audio: Vec<Vec<Packet>>,
    pub video: Vec<Vec<Packet>>,
    audio_ssrcs: Vec<u32>,
    video_ssrcs: Vec<u32>,
    rtx_ssrcs: Vec<u32>,
    pub repaired: u32,
    /// Packets of nothing but padding.
    pub padded: u32,
    pub rtcp: Vec<Rtcp>,
    /// Answers the engine's NACKs.
    pub repairs: bool,
    /// Tells when packets arrived; nothing: not offered.
    pub feedback: Option<Feedback>,
    /// All media in the order of sending, also what gets lost on the way; nothing: not asked for.
    pub overheard: Option<Vec<Packet>>,
    /// Asks for lost packets by itself.
    pub nacking: Option<Nacking>,
}

fn node() -> SocketAddr {
    NODE.parse().unwrap()
}

impl Client {
    pub fn new(now: Instant, name: &str, address: SocketAddr) -> Self {
        let provider = Arc::new(AwsLcRsProvider::default());
        let certificate = Certificate::generate_self_signed(vec!["client".into()], provider.crypto()).unwrap();
        let hash = provider.crypto().hash(HashAlgorithm::Sha256, &certificate.certificate[0]).unwrap();
        let fingerprint = hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider.clone())
            .with_certificates(vec![certificate])
            // Browsers offer the slow profile first.
            .with_srtp_protection_profiles(vec![
                SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
                SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            ])
            .with_insecure_skip_verify(true)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(Duration::from_millis(250))
            .build(true, Some(node()))
            .unwrap();
        Self {
            name: name.to_owned(),
            session: None,
            addresses: vec![address],
            outgoing: VecDeque::new(),
            provider,
            config: Arc::new(config),
            fingerprint,
            dtls: Endpoint::new(address, TransportProtocol::UDP, None),
            dtls_started: false,
            hasty: false,
            ufrag: String::new(),
            password: String::new(),
            keys: None,
            checked_at: None,
            stun_answers: 0,
            answer: String::new(),
            senders: BTreeMap::new(),
            transport_sequence: 0,
            audio: Vec::new(),
            video: Vec::new(),
            audio_ssrcs: Vec::new(),
            video_ssrcs: Vec::new(),
            rtx_ssrcs: Vec::new(),
            repaired: 0,
            padded: 0,
            rtcp: Vec::new(),
            repairs: true,
            feedback: Some(Feedback::new(now)),
            overheard: None,
            nacking: None,
        }
    }

    pub fn id(&self) -> ParticipantId {
        ParticipantId(format!("ticket-{}", self.name))
    }

    pub fn session(&self) -> SessionId {
        self.session.expect("joined")
    }

    pub fn offer(&self) -> String {
        offer::offer(&self.fingerprint, 3, 9, self.feedback.is_some())
    }

    pub fn is_connected(&self) -> bool {
        self.keys.is_some()
    }

    /// Takes the answer and sends the first connectivity check.
    pub fn answered(&mut self, now: Instant, session: SessionId, answer: &str) {
        self.session = Some(session);
        answer.clone_into(&mut self.answer);
        let value = |key: &str| answer.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        self.ufrag = value("a=ice-ufrag:");
        self.password = value("a=ice-pwd:");
        for section in answer.split("m=").skip(4) {
            let ssrcs: Vec<u32> = section
                .lines()
                .filter_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next()?.parse().ok())
                .collect();
            if section.starts_with("audio") {
                self.audio_ssrcs.extend(&ssrcs);
            } else {
                self.video_ssrcs.push(ssrcs[0]);
                self.rtx_ssrcs.extend(ssrcs.get(1));
            }
        }
        self.audio = vec![Vec::new(); self.audio_ssrcs.len()];
        self.video = vec![Vec::new(); self.video_ssrcs.len()];
        if self.hasty {
            self.start_dtls(now);
        } else {
            self.check(now, false);
        }
    }

    fn start_dtls(&mut self, now: Instant) {
        self.dtls_started = true;
        self.dtls.connect(now, node(), self.config.clone(), None).unwrap();
        self.flush_dtls();
    }

    /// A binding request from the first address.
    pub fn check(&mut self, now: Instant, nominate: bool) {
        self.checked_at = Some(now);
        let request = self.binding_request(nominate, &self.password.clone());
        self.outgoing.push_back((self.addresses[0], request));
    }

    pub fn binding_request(&self, nominate: bool, password: &str) -> Vec<u8> {
        let mut setters: Vec<Box<dyn Setter>> = vec![
            Box::new(BINDING_REQUEST),
            Box::new(TransactionId::new()),
            Box::new(TextAttribute::new(ATTR_USERNAME, format!("{}:test", self.ufrag))),
        ];
        if nominate {
            setters.push(Box::new(Flag(ATTR_USE_CANDIDATE)));
        }
        let mut message = Message::new();
        message.build(&setters).unwrap();
        MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), self.provider.crypto())
            .add_to(&mut message)
            .unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    pub fn tick(&mut self, now: Instant) {
        if self.dtls.poll_timeout(&node()).is_some_and(|at| at <= now) {
            let _ = self.dtls.handle_timeout(node(), now);
            self.flush_dtls();
        }
        if self.is_connected()
            && let Some(report) = self.feedback.as_mut().and_then(|feedback| feedback.due(now))
        {
            self.send_plain_rtcp(&report);
        }
        for nack in self.nacking.as_mut().map(|nacking| nacking.due(now)).unwrap_or_default() {
            self.send_rtcp(&nack);
        }
        let again = Duration::from_millis(if self.stun_answers == 0 { 50 } else { 2_500 });
        if self.session.is_some() && self.checked_at.is_none_or(|at| now - at >= again) {
            self.check(now, self.stun_answers > 0);
        }
    }

    fn flush_dtls(&mut self) {
        while let Some(transmit) = self.dtls.poll_transmit() {
            self.outgoing.push_back((self.addresses[0], transmit.message.to_vec()));
        }
    }

    pub fn receive(&mut self, now: Instant, packet: &[u8]) {
        match packet[0] {
            0..=3 => {
                let mut message = Message::new();
                message.unmarshal_binary(packet).unwrap();
                assert_eq!(message.typ, BINDING_SUCCESS);
                MessageIntegrity::check(&mut message, self.password.as_bytes(), self.provider.crypto()).unwrap();
                self.stun_answers += 1;
                if self.stun_answers == 1 {
                    self.check(now, true);
                }
                if !self.dtls_started {
                    self.start_dtls(now);
                }
            }
            20..=63 => self.receive_dtls(now, packet),
            _ if (192..224).contains(&packet[1]) => self.receive_rtcp(packet),
            _ => self.receive_rtp(now, packet),
        }
    }

    fn receive_dtls(&mut self, now: Instant, packet: &[u8]) {
        let events = self.dtls.read(now, node(), None, BytesMut::from(packet)).unwrap_or_default();
        for event in events {
            if let EndpointEvent::HandshakeComplete = event {
                let state = self.dtls.get_connection_state(node()).unwrap();
                assert_eq!(state.srtp_protection_profile(), SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm);
                let expected =
                    self.answer.lines().find_map(|line| line.strip_prefix("a=fingerprint:sha-256 ")).unwrap();
                let hash = self.provider.crypto().hash(HashAlgorithm::Sha256, &state.peer_certificates[0]).unwrap();
                let actual = hash.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
                assert_eq!(actual, expected, "the node must prove who it is");
                let material = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], 56).unwrap();
                let material: &[u8] = material.as_ref();
                let context = |key: usize, salt: usize| {
                    let (key, salt) = (&material[key..key + 16], &material[salt..salt + 12]);
                    let profile = ProtectionProfile::AeadAes128Gcm;
                    Context::new(key, salt, profile, None, None, self.provider.crypto()).unwrap()
                };
                self.keys = Some((context(0, 32), context(16, 44)));
            }
        }
        self.flush_dtls();
    }

    /// Opens a packet. Nothing else: it may be one that gets lost on its way.
    fn open(&mut self, now: Instant, packet: &[u8]) -> Packet {
        let (_, remote) = self.keys.as_mut().expect("media before the handshake");
        let plain = remote.decrypt_rtp(packet).expect("sealed with the right key and index");
        let word = |at: usize| u32::from_be_bytes(plain[at..at + 4].try_into().unwrap());
        let mut start = 12;
        let mut number = None;
        if plain[0] & 0x10 != 0 {
            assert_eq!(plain[12..16], [0xBE, 0xDE, 0, 1]);
            assert_eq!(plain[16], offer::TRANSPORT_CC << 4 | 1, "the transport-wide number and nothing else");
            start = 20;
            number = Some(u16::from_be_bytes([plain[17], plain[18]]));
        }
        let padding = if plain[0] & 0x20 == 0 { 0 } else { usize::from(*plain.last().unwrap()) };
        let mut packet = Packet {
            at: now,
            ssrc: word(8),
            sequence: u16::from_be_bytes([plain[2], plain[3]]),
            timestamp: word(4),
            marker: plain[1] & 0x80 != 0,
            payload_type: plain[1] & 0x7F,
            payload: plain[start..plain.len() - padding].to_vec(),
            number,
            before: None,
        };
        packet.unpack();
        packet
    }

    /// Sees a packet when it is sent.
    pub fn overhear(&mut self, now: Instant, packet: &[u8]) {
        let is_media = packet[0] >= 128 && !(192..224).contains(&packet[1]);
        if is_media && self.overheard.is_some() {
            let mut packet = self.open(now, packet);
            if let Some(slot) = self.rtx_ssrcs.iter().position(|ssrc| *ssrc == packet.ssrc)
                && !packet.payload.is_empty()
            {
                packet.ssrc = self.video_ssrcs[slot];
                packet.sequence = u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
                packet.payload.drain(..2);
            }
            self.overheard.as_mut().unwrap().push(packet);
        }
    }

    fn receive_rtp(&mut self, now: Instant, packet: &[u8]) {
        let mut packet = self.open(now, packet);
        if let Some(number) = packet.number {
            self.feedback.as_mut().expect("not negotiated").arrived(now, number);
        }
        if let Some(slot) = self.rtx_ssrcs.iter().position(|ssrc| *ssrc == packet.ssrc) {
            assert_eq!(packet.payload_type, offer::RTX);
            if packet.payload.is_empty() {
                self.padded += 1;
                return;
            }
            packet.sequence = u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
            packet.payload.drain(..2);
            self.repaired += 1;
            packet.ssrc = self.video_ssrcs[slot];
            self.note(&packet);
            self.video[slot].push(packet);
        } else if let Some(slot) = self.video_ssrcs.iter().position(|ssrc| *ssrc == packet.ssrc) {
            assert_eq!(packet.payload_type, offer::VP8);
            self.note(&packet);
            self.video[slot].push(packet);
        } else {
            let slot = self.audio_ssrcs.iter().position(|ssrc| *ssrc == packet.ssrc).expect("a slot of the answer");
            assert_eq!(packet.payload_type, offer::OPUS);
            self.note(&packet);
            self.audio[slot].push(packet);
        }
    }

    fn note(&mut self, packet: &Packet) {
        if let Some(nacking) = &mut self.nacking {
            nacking.arrived(packet.ssrc, packet.sequence);
        }
    }

    fn receive_rtcp(&mut self, packet: &[u8]) {
        let (_, remote) = self.keys.as_mut().expect("RTCP before the handshake");
        let plain = remote.decrypt_rtcp(packet).expect("sealed with the right key");
        let packets = rtc_rtcp::packet::unmarshal(&mut plain.freeze()).expect("RTCP that others read");
        for packet in packets {
            use rtc_rtcp::{
                payload_feedbacks::picture_loss_indication::PictureLossIndication,
                transport_feedbacks::transport_layer_nack::TransportLayerNack,
            };
            if let Some(pli) = packet.as_any().downcast_ref::<PictureLossIndication>()
                && let Some(sender) = self.senders.values_mut().find(|sender| sender.ssrc == pli.media_ssrc)
            {
                sender.key_frame_wanted = true;
            }
            if let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>()
                && self.repairs
            {
                let sequences: Vec<u16> = nack.nacks.iter().copied().flatten().collect();
                self.repair(nack.media_ssrc, &sequences);
            }
            self.rtcp.push(packet);
        }
    }

    /// Received RTCP of one kind.
    pub fn rtcp_of<T: 'static>(&self) -> Vec<&T> {
        self.rtcp.iter().filter_map(|packet| packet.as_any().downcast_ref::<T>()).collect()
    }

    pub fn video_ssrc(&self, slot: usize) -> u32 {
        self.video_ssrcs[slot]
    }

    pub fn send_rtcp(&mut self, packet: &impl Marshal) {
        let plain = packet.marshal().unwrap();
        self.send_plain_rtcp(&plain);
    }

    fn send_plain_rtcp(&mut self, plain: &[u8]) {
        let (local, _) = self.keys.as_mut().unwrap();
        let sealed = local.encrypt_rtcp(plain).unwrap();
        self.outgoing.push_back((self.addresses[0], sealed.to_vec()));
    }

    pub fn seal(&mut self, packet: &[u8]) {
        let (local, _) = self.keys.as_mut().unwrap();
        let sealed = local.encrypt_rtp(packet).unwrap();
        self.outgoing.push_back((self.addresses[0], sealed.to_vec()));
    }

    /// From now on all packets come from another address.
    pub fn move_to(&mut self, address: SocketAddr) {
        self.addresses.insert(0, address);
    }
}

/// An attribute without a value.
struct Flag(rtc_stun::attributes::AttrType);

impl Setter for Flag {
    fn add_to(&self, message: &mut Message) -> rtc_shared::error::Result<()> {
        let RawAttribute { typ, value, .. } = RawAttribute { typ: self.0, length: 0, value: vec![] };
        message.add(typ, &value);
        Ok(())
    }
}
