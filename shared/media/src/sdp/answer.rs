//! The node's answer: ICE-lite, one bundle, DTLS passive, one codec per m-line (RFC 8829 §5.3, RFC 8839, RFC 8842).

use super::{Line, Medium, Offer, URI_AUDIO_LEVEL, URI_MID, URI_REPAIRED_RID, URI_RID, URI_TRANSPORT_CC};
use crate::dtls::Fingerprint;
use std::{fmt::Write, net::SocketAddr};

/// One receiving slot of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotParameters {
    pub ssrc: u32,
    /// Present if the offered line knows retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// Voices may come with their predecessors.
    pub red: bool,
    /// Header extension of the transport-wide number, if the client gives feedback about it.
    pub transport_cc: Option<u8>,
}

pub(crate) struct Parameters<'a> {
    pub ufrag: &'a str,
    pub password: &'a str,
    pub fingerprint: &'a Fingerprint,
    pub candidates: &'a [SocketAddr],
    /// Passive (RFC 6544).
    pub tcp_candidates: &'a [SocketAddr],
    /// For the origin line.
    pub session_number: u32,
    /// For each line of the offer: taken for sending, taken as a slot, or refused.
    pub lines: &'a [Role],
}

/// What the node does with an offered line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// The client sends on it.
    Source,
    /// The client receives on it.
    Slot(SlotParameters),
    /// Stays without media, but in the bundle.
    Idle,
    /// Rejected with port 0.
    Refused,
}

pub(crate) fn answer(offer: &Offer, parameters: &Parameters<'_>) -> String {
    let mut sdp = String::with_capacity(600 * offer.lines.len());
    // Writing into a String cannot fail.
    let _ = write_answer(&mut sdp, offer, parameters);
    sdp
}

fn write_answer(sdp: &mut String, offer: &Offer, parameters: &Parameters<'_>) -> std::fmt::Result {
    write!(sdp, "v=0\r\no=- {} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", parameters.session_number)?;
    write!(sdp, "a=ice-lite\r\na=fingerprint:sha-256 ")?;
    for (i, byte) in parameters.fingerprint.iter().enumerate() {
        write!(sdp, "{}{byte:02X}", if i == 0 { "" } else { ":" })?;
    }
    write!(sdp, "\r\na=group:BUNDLE")?;
    let lines = || offer.lines.iter().zip(parameters.lines);
    for (line, role) in lines() {
        if !matches!(role, Role::Refused) {
            write!(sdp, " {}", line.mid)?;
        }
    }
    write!(sdp, "\r\na=msid-semantic: WMS *\r\na=extmap-allow-mixed\r\n")?;
    let mut first = true;
    for (line, role) in lines() {
        match (role, line.medium) {
            (Role::Refused, _) | (_, None) => write_refused(sdp, line)?,
            (role, Some(medium)) => {
                write_line(sdp, line, medium, *role, parameters, std::mem::take(&mut first))?;
            }
        }
    }
    Ok(())
}

fn write_refused(sdp: &mut String, line: &Line) -> std::fmt::Result {
    let (protocol, format) = match line.medium {
        None => ("UDP/DTLS/SCTP", "webrtc-datachannel".to_owned()),
        Some(_) => ("UDP/TLS/RTP/SAVPF", line.payload_type.to_string()),
    };
    write!(sdp, "m={} 0 {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\na=inactive\r\n", line.kind, line.mid)
}

fn write_line(
    sdp: &mut String,
    line: &Line,
    medium: Medium,
    role: Role,
    parameters: &Parameters<'_>,
    first: bool,
) -> std::fmt::Result {
    let payload_type = line.payload_type;
    let rtx = line.rtx_payload_type.filter(|_| medium == Medium::Video);
    write!(sdp, "m={} 9 UDP/TLS/RTP/SAVPF {payload_type}", line.kind)?;
    if let Some(rtx) = rtx {
        write!(sdp, " {rtx}")?;
    }
    let red = line.red_payload_type.filter(|_| matches!(role, Role::Slot(slot) if slot.red));
    if let Some(red) = red {
        write!(sdp, " {red}")?;
    }
    write!(sdp, "\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\n", line.mid)?;
    write!(sdp, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", parameters.ufrag, parameters.password)?;
    write!(sdp, "a=setup:passive\r\na=rtcp-mux\r\n")?;
    if line.reduced_size_rtcp {
        write!(sdp, "a=rtcp-rsize\r\n")?;
    }
    match medium {
        Medium::Audio => {
            write!(sdp, "a=rtpmap:{payload_type} opus/48000/2\r\n")?;
            write!(sdp, "a=fmtp:{payload_type} minptime=10;useinbandfec=1;usedtx=1\r\n")?;
            if let Some(red) = red {
                write!(sdp, "a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {payload_type}/{payload_type}\r\n")?;
            }
        }
        Medium::Video => {
            write!(sdp, "a=rtpmap:{payload_type} VP8/90000\r\n")?;
            for feedback in ["nack", "nack pli", "ccm fir"] {
                write!(sdp, "a=rtcp-fb:{payload_type} {feedback}\r\n")?;
            }
        }
    }
    if let Some(rtx) = rtx {
        write!(sdp, "a=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={payload_type}\r\n")?;
    }
    match role {
        Role::Source => write_source(sdp, line, medium)?,
        Role::Slot(slot) => write_slot(sdp, line, medium, slot)?,
        Role::Idle | Role::Refused => write!(sdp, "a=inactive\r\n")?,
    }
    // All lines share the transport of the first one.
    if first {
        write_candidates(sdp, parameters)?;
    }
    Ok(())
}

/// Priorities: type preference, local preference falling with the order, component 1 (RFC 8445 §5.1.2.1).
fn write_candidates(sdp: &mut String, parameters: &Parameters<'_>) -> std::fmt::Result {
    let udp = parameters.candidates.len();
    for (i, candidate) in parameters.candidates.iter().enumerate() {
        let priority = (126u32 << 24) | (65_535u32.saturating_sub(i as u32) << 8) | 255;
        let (ip, port) = (candidate.ip(), candidate.port());
        write!(sdp, "a=candidate:{} 1 udp {priority} {ip} {port} typ host\r\n", i + 1)?;
    }
    for (i, candidate) in parameters.tcp_candidates.iter().enumerate() {
        // Below all UDP; direction preference 4, as it is passive (RFC 6544 §4.2).
        let local = (4u32 << 13) | 8_191u32.saturating_sub(i as u32);
        let priority = (90u32 << 24) | (local << 8) | 255;
        let (ip, port) = (candidate.ip(), candidate.port());
        write!(sdp, "a=candidate:{} 1 tcp {priority} {ip} {port} typ host tcptype passive\r\n", udp + i + 1)?;
    }
    write!(sdp, "a=end-of-candidates\r\n")
}

fn write_source(sdp: &mut String, line: &Line, medium: Medium) -> std::fmt::Result {
    let ids = &line.extensions;
    let level = ids.audio_level.filter(|_| medium == Medium::Audio);
    let accepted = [
        (ids.mid, URI_MID),
        (ids.rid, URI_RID),
        (ids.repaired_rid, URI_REPAIRED_RID),
        (level, URI_AUDIO_LEVEL),
        (ids.transport_cc, URI_TRANSPORT_CC),
    ];
    for (id, uri) in accepted {
        if let Some(id) = id {
            let direction = if line.one_way.contains(&id) { "/recvonly" } else { "" };
            write!(sdp, "a=extmap:{id}{direction} {uri}\r\n")?;
        }
    }
    if ids.transport_cc.is_some() {
        write!(sdp, "a=rtcp-fb:{} transport-cc\r\n", line.payload_type)?;
    }
    if !line.rids.is_empty() {
        for rid in &line.rids {
            write!(sdp, "a=rid:{rid} recv\r\n")?;
        }
        write!(sdp, "a=simulcast:recv {}\r\n", line.rids.join(";"))?;
    }
    write!(sdp, "a=recvonly\r\n")
}

fn write_slot(sdp: &mut String, line: &Line, medium: Medium, slot: SlotParameters) -> std::fmt::Result {
    let SlotParameters { ssrc, rtx_ssrc, transport_cc, red: _ } = slot;
    if let Some(id) = transport_cc {
        let direction = if line.one_way.contains(&id) { "/sendonly" } else { "" };
        write!(sdp, "a=extmap:{id}{direction} {URI_TRANSPORT_CC}\r\n")?;
        write!(sdp, "a=rtcp-fb:{} transport-cc\r\n", line.payload_type)?;
    }
    if medium == Medium::Audio && line.nack {
        write!(sdp, "a=rtcp-fb:{} nack\r\n", line.payload_type)?;
    }
    write!(sdp, "a=sendonly\r\na=msid:slot-{mid} track-{mid}\r\n", mid = line.mid)?;
    if let Some(rtx_ssrc) = rtx_ssrc {
        write!(sdp, "a=ssrc-group:FID {ssrc} {rtx_ssrc}\r\n")?;
    }
    for ssrc in std::iter::once(ssrc).chain(rtx_ssrc) {
        write!(sdp, "a=ssrc:{ssrc} cname:schulhof\r\n")?;
    }
    Ok(())
}
