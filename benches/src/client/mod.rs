//! One light WebRTC client, sans-IO: offers what a browser offers, checks addresses (ICE, RFC 8445), shakes hands (DTLS-SRTP,
//! RFC 5764), protects what it sends, can open what it gets, and tells what arrived and when. It has no jitter buffer,
//! decoder or bandwidth estimation.
//!
//! Loop: [`Client::handle`] for each datagram, [`Client::handle_timeout`] now and then, [`Client::poll_transmit`] after
//! both.

mod feedback;
mod ice;
mod kit;
mod offer;
mod rtp;

pub use kit::Kit;
pub use offer::Slots;
pub use rtp::{Stream, VP8_HEAD_LEN, payload, vp8_payload};

use anyhow::{Context as _, bail, ensure};
use bytes::BytesMut;
use feedback::Feedback;
use ice::Checker;
use offer::Answer;
use rtc_dtls::{
    endpoint::{Endpoint, EndpointEvent},
    extension::extension_use_srtp::SrtpProtectionProfile,
};
use rtc_shared::TransportProtocol;
use rtc_srtp::{
    config::{Config as SrtpConfig, LABEL_EXTRACTOR_DTLS_SRTP},
    context::Context,
    option::{srtcp_replay_protection, srtp_replay_protection},
    protection_profile::ProtectionProfile,
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Replay windows; wide, as bursts of a loaded machine come late.
const REPLAY_WINDOW: usize = 1_024;

/// The other end, as it describes itself.
pub struct Remote {
    pub addr: SocketAddr,
    pub ufrag: String,
    pub password: String,
    /// SHA-256 of its certificate, upper-case hexadecimal pairs.
    pub fingerprint: String,
}

struct Met {
    addr: SocketAddr,
    fingerprint: String,
    ice: Checker,
}

struct Keys {
    send: Context,
    receive: Context,
}

/// One client. `local` is its socket's address.
pub struct Client {
    kit: Arc<Kit>,
    ufrag: String,
    password: String,
    slots: Slots,
    remote: Option<Met>,
    dtls: Endpoint,
    /// The other end begins the handshake.
    passive: bool,
    dtls_started: bool,
    keys: Option<Keys>,
    feedback: Feedback,
    outbox: VecDeque<Vec<u8>>,
    /// SSRCs of the receiving video slots, in order, once answered.
    pub video_ssrcs: Vec<u32>,
    pub audio_ssrcs: Vec<u32>,
}

impl Client {
    /// `name` distinguishes clients in their ICE credentials.
    pub fn new(kit: Arc<Kit>, local: SocketAddr, name: u32, slots: Slots) -> Self {
        Self {
            kit,
            ufrag: format!("b{name:07}"),
            password: format!("bench-password-{name:08}"),
            slots,
            remote: None,
            dtls: Endpoint::new(local, TransportProtocol::UDP, None),
            passive: false,
            dtls_started: false,
            keys: None,
            feedback: Feedback::default(),
            outbox: VecDeque::new(),
            video_ssrcs: Vec::new(),
            audio_ssrcs: Vec::new(),
        }
    }

    /// The same, for a node that begins the handshake itself.
    pub fn passive(kit: Arc<Kit>, local: SocketAddr, name: u32, slots: Slots) -> Self {
        let dtls = Endpoint::new(local, TransportProtocol::UDP, Some(kit.dtls_passive.clone()));
        Self { dtls, passive: true, dtls_started: true, ..Self::new(kit, local, name, slots) }
    }

    /// Says nothing of arrivals, so that the node sends whatever it has, as to a line without end; receiver reports go on.
    #[must_use]
    pub fn without_arrivals(mut self) -> Self {
        self.feedback.without_arrivals = true;
        self
    }

    /// What an offer or answer says of this end's transport.
    pub fn transport_lines(&self, local: SocketAddr) -> String {
        let (ip, port) = (local.ip(), local.port());
        format!(
            "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=fingerprint:sha-256 {}\r\n\
             a=candidate:1 1 udp 2130706431 {ip} {port} typ host\r\na=end-of-candidates\r\n",
            self.ufrag, self.password, self.kit.fingerprint
        )
    }

    /// SDP, in the order of m-lines that the protocol wants.
    pub fn offer(&self) -> String {
        offer::write(&self.ufrag, &self.password, &self.kit.fingerprint, self.slots)
    }

    /// Takes the answer and begins to check the node's address.
    pub fn answered(&mut self, now: Instant, sdp: &str) -> anyhow::Result<()> {
        let Answer { addr, ufrag, password, fingerprint, audio_ssrcs, video_ssrcs } = offer::read_answer(sdp)?;
        ensure!(video_ssrcs.len() == usize::from(self.slots.video), "the answer has another number of video slots");
        ensure!(audio_ssrcs.len() == usize::from(self.slots.audio), "the answer has another number of audio slots");
        (self.audio_ssrcs, self.video_ssrcs) = (audio_ssrcs, video_ssrcs);
        self.meet(now, &Remote { addr, ufrag, password, fingerprint })
    }

    /// Begins to check the other end's address.
    pub fn meet(&mut self, now: Instant, remote: &Remote) -> anyhow::Result<()> {
        let ice = Checker::new(format!("{}:{}", remote.ufrag, self.ufrag), remote.password.clone(), now);
        self.remote = Some(Met { addr: remote.addr, fingerprint: remote.fingerprint.clone(), ice });
        self.handle_timeout(now)
    }

    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote.as_ref().map(|remote| remote.addr)
    }

    /// Whether media can flow.
    pub fn connected(&self) -> bool {
        self.keys.is_some()
    }

    /// One datagram that is not RTP: STUN, DTLS or RTCP. Others are ignored.
    pub fn handle(&mut self, now: Instant, packet: &[u8]) -> anyhow::Result<()> {
        let Some(remote) = &mut self.remote else { return Ok(()) };
        match packet.first() {
            Some(0..=3) => {
                let answered = remote.ice.response(self.kit.crypto(), packet);
                if answered && !self.dtls_started {
                    self.dtls_started = true;
                    self.dtls.connect(now, remote.addr, self.kit.dtls.clone(), None).context("DTLS")?;
                }
                self.outbox.extend(ice::answer(self.kit.crypto(), packet, &self.password, remote.addr)?);
            }
            Some(20..=63) if self.dtls_started => {
                let events = self.dtls.read(now, remote.addr, None, BytesMut::from(packet)).context("DTLS")?;
                for event in events {
                    match event {
                        EndpointEvent::HandshakeComplete => self.derive_keys()?,
                        EndpointEvent::PeerClosed => bail!("the node closed the connection"),
                        _ => {}
                    }
                }
            }
            Some(128..=191) => {
                if let Some(keys) = &mut self.keys {
                    let rtcp = keys.receive.decrypt_rtcp(packet).context("RTCP")?;
                    self.feedback.sender_report(now, &rtcp);
                }
            }
            _ => {}
        }
        self.collect();
        Ok(())
    }

    /// An RTP packet came at `at` of a steady clock: for feedback. It is not opened ([`Self::open`]).
    pub fn received(&mut self, at: Duration, packet: &[u8]) {
        self.feedback.received(at, packet, offer::EXT_TRANSPORT_CC);
    }

    /// Packets that never came, by the connection's own numbers.
    pub fn lost(&self) -> u64 {
        self.feedback.lost
    }

    /// Packets of voices that there should have been by their own numbers, and those that came.
    pub fn voices(&self) -> (u64, u64) {
        self.feedback.expected(&self.audio_ssrcs)
    }

    /// Address checks, retransmissions of the handshake, feedback; every 20 ms or so.
    pub fn handle_timeout(&mut self, now: Instant) -> anyhow::Result<()> {
        let Some(remote) = &mut self.remote else { return Ok(()) };
        if let Some(request) = remote.ice.request(self.kit.crypto(), now)? {
            self.outbox.push_back(request);
        }
        if self.dtls_started && self.dtls.poll_timeout(&remote.addr).is_some_and(|at| at <= now) {
            self.dtls.handle_timeout(remote.addr, now).context("DTLS")?;
        }
        if let Some(keys) = &mut self.keys {
            for packet in self.feedback.due(now) {
                self.outbox.push_back(keys.send.encrypt_rtcp(&packet)?.to_vec());
            }
        }
        self.collect();
        Ok(())
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front()
    }

    /// Protects an RTP packet of a [`Stream`].
    pub fn seal(&mut self, rtp: &[u8]) -> anyhow::Result<BytesMut> {
        let keys = self.keys.as_mut().context("not connected")?;
        Ok(keys.send.encrypt_rtp(rtp)?)
    }

    /// Opens a protected RTP packet: header and payload in clear.
    pub fn open(&mut self, packet: &[u8]) -> anyhow::Result<BytesMut> {
        let keys = self.keys.as_mut().context("not connected")?;
        Ok(keys.receive.decrypt_rtp(packet)?)
    }

    fn collect(&mut self) {
        while let Some(transmit) = self.dtls.poll_transmit() {
            self.outbox.push_back(transmit.message.to_vec());
        }
    }

    /// The handshake is done: is it the node of the answer, and what are the keys?
    fn derive_keys(&mut self) -> anyhow::Result<()> {
        let remote = self.remote.as_ref().context("no answer yet")?;
        let state = self.dtls.get_connection_state(remote.addr).context("no DTLS connection")?;
        let certificate = state.peer_certificates.first().context("the node showed no certificate")?;
        ensure!(self.kit.fingerprint_of(certificate)? == remote.fingerprint, "another certificate than announced");
        ensure!(
            state.srtp_protection_profile() == SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            "the node chose another SRTP profile than AEAD_AES_128_GCM"
        );
        let mut config = SrtpConfig { profile: ProtectionProfile::AeadAes128Gcm, ..SrtpConfig::default() };
        let material = state
            .export_keying_material(LABEL_EXTRACTOR_DTLS_SRTP, &[], config.keying_material_len())
            .context("keys")?;
        config.set_session_keys_from_keying_material(material.as_ref(), !self.passive)?;
        let (keys, profile, crypto) = (&config.keys, config.profile, self.kit.crypto());
        let send = Context::new(&keys.local_master_key, &keys.local_master_salt, profile, None, None, crypto)?;
        let receive = Context::new(
            &keys.remote_master_key,
            &keys.remote_master_salt,
            profile,
            Some(srtp_replay_protection(REPLAY_WINDOW)),
            Some(srtcp_replay_protection(REPLAY_WINDOW)),
            crypto,
        )?;
        self.keys = Some(Keys { send, receive });
        Ok(())
    }
}

/// Whether a datagram is RTP (and not RTCP, STUN or DTLS), by RFC 7983 and RFC 5761.
pub fn is_rtp(packet: &[u8]) -> bool {
    packet.len() > 12 && (128..192).contains(&packet[0]) && !(192..224).contains(&packet[1])
}
