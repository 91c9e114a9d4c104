//! DTLS 1.2 as the passive end (RFC 6347, RFC 5764): the handshake whose only fruit are the SRTP keys. One certificate
//! for all sessions; the peer's must have the fingerprint of its offer.
//!
//! Around `rtc-dtls` stand the limits that it lacks: datagrams per session, fragments that are not absurdly small (it
//! reassembles recursively), and no records of epochs that can never come (it would keep them).

use crate::srtp::MasterKey;
use bytes::BytesMut;
use rtc_crypto::{HashAlgorithm, RTCCryptoProvider, providers::AwsLcRsProvider};
use rtc_dtls::{
    config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig},
    crypto::Certificate,
    endpoint::{Endpoint, EndpointEvent},
    extension::extension_use_srtp::SrtpProtectionProfile,
};
use rtc_shared::TransportProtocol;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// SHA-256 of a certificate.
pub(crate) type Fingerprint = [u8; 32];

/// Datagrams of one session in its whole life. A handshake takes about 6, its losses and repetitions some more; after
/// it there is only the final alert.
const DATAGRAMS_MAX: u16 = 128;
/// A datagram within Ethernet's MTU.
const DATAGRAM_LEN_MAX: usize = 1_500;
/// A handshake message may be cut into pieces not smaller than this, but for its last.
const FRAGMENT_LEN_MIN: usize = 64;
/// Flights are repeated after this long: browsers connect within a few ms, and a lost flight must not cost a second.
const FLIGHT_INTERVAL: Duration = Duration::from_millis(200);
/// Up to 3.2 s between two repetitions: seven of them fill the time that a session has for its handshake.
const DOUBLINGS_MAX: u32 = 4;

const CONTENT_HANDSHAKE: u8 = 22;
const RECORD_HEADER_LEN: usize = 13;
const HANDSHAKE_HEADER_LEN: usize = 12;

/// The association's key inside the endpoint. The peer may change its address at any time; the endpoint never learns.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// The node's certificate and how its handshakes go.
pub(crate) struct Identity {
    pub provider: Arc<dyn RTCCryptoProvider>,
    config: Arc<HandshakeConfig>,
    pub fingerprint: Fingerprint,
}

impl Identity {
    /// A fresh self-signed certificate; its key never leaves the process.
    pub fn generate() -> Result<Self, String> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::default());
        let certificate = Certificate::generate_self_signed(vec!["schulhof".to_owned()], provider.crypto())
            .map_err(|error| error.to_string())?;
        let der = certificate.certificate.first().ok_or("no certificate was made")?;
        let fingerprint = fingerprint(provider.as_ref(), der).ok_or("no SHA-256")?;
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider.clone())
            .with_certificates(vec![certificate])
            // Browsers list the five times slower AES-CM first, and the first common one would be taken.
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            // No certification authority is involved: the fingerprint is compared instead.
            .with_insecure_skip_verify(true)
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_flight_interval(FLIGHT_INTERVAL)
            .build(false, None)
            .map_err(|error| error.to_string())?;
        Ok(Self { provider, config: Arc::new(config), fingerprint })
    }
}

fn fingerprint(provider: &dyn RTCCryptoProvider, der: &[u8]) -> Option<Fingerprint> {
    provider.crypto().hash(HashAlgorithm::Sha256, der).ok()?.try_into().ok()
}

/// What a datagram led to.
pub(crate) enum Progress {
    Pending,
    /// The peer is who it should be: its key, and ours.
    Done {
        remote: MasterKey,
        local: MasterKey,
    },
    /// The peer said goodbye.
    Closed,
    /// The peer is somebody else, or has no usable profile.
    Refused,
    /// Over budget or senseless; nothing has changed.
    Dropped,
}

/// One session's association.
pub(crate) struct Handshake {
    endpoint: Endpoint,
    expected: Fingerprint,
    datagrams: u16,
    /// Of the running flight.
    repetitions: u32,
    done: bool,
}

impl Handshake {
    pub fn new(identity: &Identity, local: SocketAddr, expected: Fingerprint) -> Self {
        Self {
            endpoint: Endpoint::new(local, TransportProtocol::UDP, Some(identity.config.clone())),
            expected,
            datagrams: 0,
            repetitions: 0,
            done: false,
        }
    }

    pub fn is_done(&self) -> bool {
        self.done
    }

    /// A datagram from a checked address. Afterwards [`Self::poll_transmit`] until it is empty.
    pub fn read(&mut self, identity: &Identity, now: Instant, datagram: &[u8]) -> Progress {
        if self.datagrams == DATAGRAMS_MAX || !is_admissible(datagram) {
            return Progress::Dropped;
        }
        self.datagrams += 1;
        let timer = self.endpoint.poll_timeout(&PEER);
        let events = self.endpoint.read(now, PEER, None, BytesMut::from(datagram));
        if self.endpoint.poll_timeout(&PEER) != timer {
            self.repetitions = 0;
        }
        let Ok(events) = events else {
            // A fatal alert, or a record that this state does not allow. The handshake may still go on: alerts before
            // its end are not authenticated. Its time limit is the session's.
            return Progress::Dropped;
        };
        let mut progress = Progress::Pending;
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => progress = self.finish(identity).unwrap_or(Progress::Refused),
                EndpointEvent::PeerClosed if self.done => return Progress::Closed,
                _ => {}
            }
        }
        progress
    }

    fn finish(&mut self, identity: &Identity) -> Option<Progress> {
        let state = self.endpoint.get_connection_state(PEER)?;
        let certificate = state.peer_certificates.first()?;
        if fingerprint(identity.provider.as_ref(), certificate)? != self.expected
            || state.srtp_protection_profile() != SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm
        {
            return None;
        }
        // RFC 5764 §4.2: client's key, server's key, client's salt, server's salt.
        let material = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], 2 * (16 + 12)).ok()?;
        let material: &[u8] = material.as_ref();
        let master = |key: usize, salt: usize| -> Option<MasterKey> {
            Some(MasterKey {
                key: material.get(key..key + 16)?.try_into().ok()?,
                salt: material.get(salt..salt + 12)?.try_into().ok()?,
            })
        };
        self.done = true;
        Some(Progress::Done { remote: master(0, 32)?, local: master(16, 44)? })
    }

    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        self.endpoint.poll_transmit().map(|transmit| transmit.message)
    }

    /// When the running flight is to be repeated: after one interval, two, four, ... `rtc-dtls` itself knows neither longer
    /// intervals nor more than seven repetitions; so it is called late.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let late = FLIGHT_INTERVAL * ((1 << self.repetitions.min(DOUBLINGS_MAX)) - 1);
        self.endpoint.poll_timeout(&PEER).map(|at| at + late)
    }

    /// False: the peer has not answered any of the repetitions.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.repetitions += 1;
        self.endpoint.handle_timeout(PEER, now).is_ok()
    }

    /// Says goodbye.
    pub fn close(&mut self, now: Instant) {
        if self.done {
            self.endpoint.stop(now, PEER);
        }
    }
}

/// Does the datagram consist of whole records of epochs 0 and 1, with handshake fragments of sensible size?
fn is_admissible(datagram: &[u8]) -> bool {
    if datagram.is_empty() || datagram.len() > DATAGRAM_LEN_MAX {
        return false;
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        let Some(header) = rest.first_chunk::<RECORD_HEADER_LEN>() else { return false };
        let epoch = u16::from_be_bytes([header[3], header[4]]);
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let Some(body) = rest.get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + len) else { return false };
        if epoch > 1 || (epoch == 0 && header[0] == CONTENT_HANDSHAKE && !are_fragments_sensible(body)) {
            return false;
        }
        rest = &rest[RECORD_HEADER_LEN + len..];
    }
    true
}

/// Of the plain handshake messages in one record (RFC 6347 §4.2.2).
fn are_fragments_sensible(mut record: &[u8]) -> bool {
    let u24 = |bytes: &[u8]| usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    while !record.is_empty() {
        let Some(header) = record.first_chunk::<HANDSHAKE_HEADER_LEN>() else { return false };
        let (message, offset, fragment) = (u24(&header[1..4]), u24(&header[6..9]), u24(&header[9..12]));
        let is_last = offset + fragment == message;
        if offset + fragment > message || (fragment < FRAGMENT_LEN_MIN && !is_last) {
            return false;
        }
        let Some(rest) = record.get(HANDSHAKE_HEADER_LEN + fragment..) else { return false };
        record = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 0xFE, 0xFD];
        record.extend_from_slice(&epoch.to_be_bytes());
        record.extend_from_slice(&[0; 6]);
        record.extend_from_slice(&(body.len() as u16).to_be_bytes());
        record.extend_from_slice(body);
        record
    }

    fn fragment(message: u8, offset: u8, len: u8) -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, message, 0, 0, 0, 0, offset, 0, 0, len];
        bytes.resize(12 + usize::from(len), 0);
        bytes
    }

    #[test]
    fn records_that_would_pile_up_are_not_let_in() {
        assert!(is_admissible(&record(CONTENT_HANDSHAKE, 0, &fragment(200, 0, 200))));
        assert!(is_admissible(&record(CONTENT_HANDSHAKE, 0, &[fragment(100, 0, 70), fragment(100, 70, 30)].concat())));
        assert!(is_admissible(&[record(20, 0, &[1]), record(CONTENT_HANDSHAKE, 1, &[7; 40])].concat()));
        assert!(!is_admissible(&[]));
        assert!(!is_admissible(&record(23, 2, &[7; 40])), "an epoch that never comes");
        assert!(!is_admissible(&record(CONTENT_HANDSHAKE, 0, &fragment(200, 0, 1))), "one byte at a time");
        assert!(!is_admissible(&record(CONTENT_HANDSHAKE, 0, &fragment(100, 90, 70))), "beyond its own end");
        assert!(!is_admissible(&record(CONTENT_HANDSHAKE, 0, &fragment(200, 0, 200))[..50]), "cut off");
    }
}
