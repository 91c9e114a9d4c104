//! RTCP both ways: what peers ask for, and what the engine says (RFC 3550 §6, RFC 4585, RFC 5104 §4.3.1, RFC 5506).
//!
//! Only the kinds that the engine acts on are parsed; the walk over a compound is bounded by the datagram.

use bytes::Bytes;
use rtc_rtcp::{
    payload_feedbacks::{full_intra_request::FullIntraRequest, picture_loss_indication::PictureLossIndication},
    receiver_report::ReceiverReport,
    reception_report::ReceptionReport,
    sender_report::SenderReport,
    transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack},
};
use rtc_shared::marshal::{Marshal, Unmarshal};
use std::ops::Range;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const GENERIC_NACK: u8 = 1;
const TRANSPORT_WIDE: u8 = 15;
const PLI: u8 = 1;
const FIR: u8 = 4;
/// Sequence numbers taken from one datagram; who lost more needs a key frame.
const NACKS_MAX: usize = 128;
/// Blocks in one report: the count has five bits.
const REPORTS_MAX: usize = 31;

/// What a peer says, as far as it matters here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Feedback {
    /// PLI or FIR about one of our streams.
    KeyFrame { ssrc: u32 },
    /// The listener lost these packets of our stream.
    Nack { ssrc: u32, sequences: Vec<u16> },
    /// The publisher's clock.
    SenderReport { ssrc: u32, ntp: u64 },
    /// How our stream arrives at the listener.
    Reception(ReceptionReport),
    /// When our packets arrived at the listener: the bytes of the packet, for [`crate::twcc_report`].
    Arrivals(Range<usize>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no RTCP")]
pub(crate) struct BadRtcp;

/// Reads a plain compound (or reduced-size) packet.
pub(crate) fn parse(mut compound: &[u8], feedback: &mut Vec<Feedback>) -> Result<(), BadRtcp> {
    let mut nacks = 0;
    let mut at = 0;
    while !compound.is_empty() {
        let head = compound.first_chunk::<4>().ok_or(BadRtcp)?;
        if head[0] >> 6 != 2 {
            return Err(BadRtcp);
        }
        let len = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
        let (mut packet, rest) = compound.split_at_checked(len).ok_or(BadRtcp)?;
        match (head[1], head[0] & 0x1F) {
            (SENDER_REPORT, _) => {
                let report = SenderReport::unmarshal(&mut packet).map_err(|_| BadRtcp)?;
                feedback.push(Feedback::SenderReport { ssrc: report.ssrc, ntp: report.ntp_time });
                feedback.extend(report.reports.into_iter().map(Feedback::Reception));
            }
            (RECEIVER_REPORT, _) => {
                let report = ReceiverReport::unmarshal(&mut packet).map_err(|_| BadRtcp)?;
                feedback.extend(report.reports.into_iter().map(Feedback::Reception));
            }
            (TRANSPORT_FEEDBACK, GENERIC_NACK) => {
                let nack = TransportLayerNack::unmarshal(&mut packet).map_err(|_| BadRtcp)?;
                let sequences: Vec<u16> =
                    nack.nacks.into_iter().flatten().take(NACKS_MAX.saturating_sub(nacks)).collect();
                nacks += sequences.len();
                feedback.push(Feedback::Nack { ssrc: nack.media_ssrc, sequences });
            }
            (TRANSPORT_FEEDBACK, TRANSPORT_WIDE) => feedback.push(Feedback::Arrivals(at..at + len)),
            (PAYLOAD_FEEDBACK, PLI) => {
                let pli = PictureLossIndication::unmarshal(&mut packet).map_err(|_| BadRtcp)?;
                feedback.push(Feedback::KeyFrame { ssrc: pli.media_ssrc });
            }
            (PAYLOAD_FEEDBACK, FIR) => {
                let fir = FullIntraRequest::unmarshal(&mut packet).map_err(|_| BadRtcp)?;
                feedback.extend(fir.fir.into_iter().map(|entry| Feedback::KeyFrame { ssrc: entry.ssrc }));
            }
            _ => {}
        }
        compound = rest;
        at += len;
    }
    Ok(())
}

/// Appends the encoded packet. What cannot be encoded (it can, by construction) is left out.
fn append(packet: &impl Marshal, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    buffer.resize(start + packet.marshal_size(), 0);
    if packet.marshal_to(&mut buffer[start..]).is_err() {
        buffer.truncate(start);
    }
}

pub(crate) fn pli(sender_ssrc: u32, media_ssrc: u32, buffer: &mut Vec<u8>) {
    append(&PictureLossIndication { sender_ssrc, media_ssrc }, buffer);
}

/// `sequences` in ascending order (modulo wrap).
pub(crate) fn nack(sender_ssrc: u32, media_ssrc: u32, sequences: &[u16], buffer: &mut Vec<u8>) {
    let mut nacks: Vec<NackPair> = Vec::new();
    for sequence in sequences {
        match nacks.last_mut() {
            Some(pair) if (1..=16).contains(&sequence.wrapping_sub(pair.packet_id)) => {
                pair.lost_packets |= 1 << (sequence.wrapping_sub(pair.packet_id) - 1);
            }
            _ => nacks.push(NackPair::new(*sequence)),
        }
    }
    append(&TransportLayerNack { sender_ssrc, media_ssrc, nacks }, buffer);
}

pub(crate) fn receiver_report(ssrc: u32, mut reports: Vec<ReceptionReport>, buffer: &mut Vec<u8>) {
    reports.truncate(REPORTS_MAX);
    append(&ReceiverReport { ssrc, reports, profile_extensions: Bytes::new() }, buffer);
}

pub(crate) fn sender_report(
    ssrc: u32,
    ntp_time: u64,
    rtp_time: u32,
    packet_count: u32,
    octet_count: u32,
    buffer: &mut Vec<u8>,
) {
    let report = SenderReport {
        ssrc,
        ntp_time,
        rtp_time,
        packet_count,
        octet_count,
        reports: Vec::new(),
        profile_extensions: Bytes::new(),
    };
    append(&report, buffer);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_said_is_understood_in_one_compound() {
        let mut compound = Vec::new();
        sender_report(7, 0x0102_0304_0506_0708, 90, 3, 400, &mut compound);
        let report = ReceptionReport { ssrc: 8, fraction_lost: 25, ..Default::default() };
        receiver_report(7, vec![report.clone()], &mut compound);
        pli(7, 9, &mut compound);
        nack(7, 10, &[65_530, 65_535, 3, 20, 40], &mut compound);
        let mut feedback = Vec::new();
        parse(&compound, &mut feedback).unwrap();
        assert_eq!(
            feedback,
            [
                Feedback::SenderReport { ssrc: 7, ntp: 0x0102_0304_0506_0708 },
                Feedback::Reception(report),
                Feedback::KeyFrame { ssrc: 9 },
                Feedback::Nack { ssrc: 10, sequences: vec![65_530, 65_535, 3, 20, 40] },
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_fail_or_ask_for_too_much(
            kinds in prop::collection::vec((192u8..224, 0u8..32, 0u16..12), 1..5),
            mut bytes in prop::collection::vec(any::<u8>(), 0..400)
        ) {
            // Plausible headers first, so that the typed parsers are reached.
            let mut at = 0;
            for (kind, count, words) in kinds {
                if bytes.len() < at + 4 {
                    break;
                }
                bytes[at] = 0x80 | count;
                bytes[at + 1] = kind;
                bytes[at + 2..at + 4].copy_from_slice(&words.to_be_bytes());
                at += 4 + 4 * usize::from(words);
            }
            bytes.truncate(at.max(4));
            let mut feedback = Vec::new();
            let _ = parse(&bytes, &mut feedback);
            let nacks: usize = feedback
                .iter()
                .map(|feedback| if let Feedback::Nack { sequences, .. } = feedback { sequences.len() } else { 0 })
                .sum();
            prop_assert!(nacks <= NACKS_MAX);
        }
    }
}
