//! Doors for the fuzzers (`shared/fuzz`) and for nobody else: bytes straight to each parser, and sequences of packets to a
//! whole engine. Compiled for fuzzers and tests only; the tests here keep the doors usable without a fuzzer.
//!
//! - [`TARGETS`]: the doors by name; [`seeds`]: what a fuzzer begins with
//! - `turn`: a client of the relay within; `conference`: an engine with two people who are connected, and a trunk; `script`: bytes as a sequence of events

mod conference;
mod script;
pub mod seeds;
mod turn;

use crate::{
    rtcp, rtp,
    sdp::Offer,
    stun::{Agent, Request},
    twcc_report::Report,
    vp8::Descriptor,
};
use conference::Conference;
use rtc_crypto::{RTCCryptoProvider, providers::AwsLcRsProvider};
use std::net::SocketAddr;
pub use turn::turn;

/// Takes whatever bytes there are. A panic is a finding.
pub type Door = fn(&[u8]);

pub const TARGETS: [(&str, Door); 8] = [
    ("stun", stun),
    ("rtp", rtp),
    ("rtcp", rtcp),
    ("sdp", sdp),
    ("datagrams", datagrams),
    ("conference", conference),
    ("trunk", trunk),
    ("turn", turn),
];

const UFRAG: &str = "evtj";
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

/// A binding request at an agent.
pub fn stun(bytes: &[u8]) {
    let Some(request) = Request::parse(bytes) else { return };
    let mut agent = Agent::new(UFRAG.into(), PASSWORD.into());
    let source = SocketAddr::from(([192, 0, 2, 1], 9));
    let accepted = agent.accept(AwsLcRsProvider::default().crypto(), request, source);
    assert_eq!(accepted.is_some(), agent.selected().is_some());
}

/// An RTP packet in plain: header, extensions, padding, VP8.
pub fn rtp(bytes: &[u8]) {
    let Some(header) = rtp::Header::parse(bytes) else { return };
    assert!(header.extensions(bytes).count() <= bytes.len());
    let Some(payload) = rtp::unpadded(&header, &bytes[header.len..]) else { return };
    if let Some(descriptor) = Descriptor::parse(payload) {
        let mut shifted = payload.to_vec();
        descriptor.shift(&mut shifted, 0x7FFF, 255);
        let again = Descriptor::parse(&shifted).expect("a shifted picture is still one");
        assert_eq!((again.key_frame, again.height), (descriptor.key_frame, descriptor.height));
    }
}

/// A compound in plain, and the transport-wide feedback in it.
pub fn rtcp(bytes: &[u8]) {
    let mut feedback = Vec::new();
    let _ = rtcp::parse(bytes, &mut feedback);
    for item in feedback {
        if let rtcp::Feedback::Arrivals(range) = item
            && let Some(report) = Report::parse(&bytes[range])
        {
            assert_eq!(report.statuses(Some(0)).count(), usize::from(report.count));
        }
    }
}

/// An offer, and the join that it asks for.
pub fn sdp(bytes: &[u8]) {
    if let Ok(text) = str::from_utf8(bytes)
        && Offer::parse(text).is_ok()
    {
        Conference::new().join(text);
    }
}

/// Raw datagrams from a checked address and from strangers, before and during the handshake.
pub fn datagrams(bytes: &[u8]) {
    let mut conference = Conference::new();
    script::play(&mut conference, bytes, script::Kinds::Raw);
    conference.check();
}

/// What authentic people send: media, feedback, control messages.
pub fn conference(bytes: &[u8]) {
    let mut conference = Conference::connected();
    script::play(&mut conference, bytes, script::Kinds::All);
    conference.check();
}

/// What another node sends.
pub fn trunk(bytes: &[u8]) {
    let mut conference = Conference::connected();
    conference.greet();
    script::play(&mut conference, bytes, script::Kinds::Trunk);
    conference.check();
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_testkit::Rng;

    /// Damaged in the way a fuzzer does it, only less cleverly.
    fn damaged(rng: &mut Rng, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..rng.index(6) {
            let at = rng.index(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.below(256) as u8;
            }
        }
        if rng.chance(1, 6) {
            bytes.truncate(rng.index(bytes.len() + 1));
        }
        bytes
    }

    #[test]
    fn every_door_takes_its_seeds_and_what_is_left_of_them() {
        for (name, door) in TARGETS {
            let seeds = seeds::of(name);
            assert!(!seeds.is_empty(), "{name} has no seeds");
            let mut rng = Rng::new(5);
            for seed in &seeds {
                door(seed);
                for _ in 0..20 {
                    door(&damaged(&mut rng, seed));
                }
            }
        }
    }

    #[test]
    fn the_seed_of_a_conference_reaches_what_it_is_to_reach() {
        let mut conference = Conference::connected();
        for seed in seeds::of("conference") {
            script::play(&mut conference, &seed, script::Kinds::All);
        }
        let stats = conference.stats();
        assert!(
            stats.forwarded_packets > 20 && stats.retransmitted_packets > 0 && stats.plis_received > 0,
            "{stats:?}"
        );
        assert!(conference.is_open(), "the trunk was given up");
    }

    /// `shared/fuzz` is a workspace of its own, which an ordinary build does not compile.
    #[test]
    fn the_fuzzers_package_has_a_binary_for_each_door() {
        let manifest = include_str!("../../../fuzz/Cargo.toml");
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "shared/fuzz/Cargo.toml lacks {name}");
        }
    }
}
