//! What an offer says, as far as it matters. Everything is bounded and checked here; nothing of the offer's text goes
//! into the answer but names (mid, rid) of harmless characters.

use super::{URI_AUDIO_LEVEL, URI_MID, URI_REPAIRED_RID, URI_RID, URI_TRANSPORT_CC};
use crate::{dtls::Fingerprint, layers::LAYERS_MAX};
use rtc_sdp::description::{media::MediaDescription, session::SessionDescription};
use schulhof_wire::media::SDP_LEN_MAX;
use std::io::Cursor;

/// m-lines of one offer: three to send, twelve to receive, and some that are refused one by one.
const LINES_MAX: usize = 32;
/// `a=` lines of one m-line that are looked at: browsers write about 150.
const ATTRIBUTES_MAX: usize = 1_000;
/// A mid or rid that is longer does not fit a one-byte header extension.
const NAME_LEN_MAX: usize = 16;
/// SSRCs that an m-line without simulcast announces: itself and its retransmissions; some for foreign clients.
const SSRCS_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OfferError {
    #[error("it is longer than {SDP_LEN_MAX} bytes")]
    TooLong,
    #[error("it is not SDP")]
    Syntax,
    #[error("it has no m-line, or more than {LINES_MAX}")]
    Lines,
    #[error("it has no sha-256 fingerprint")]
    Fingerprint,
    #[error("the DTLS role must be left to the node (a=setup:actpass)")]
    Setup,
    #[error("an m-line has no usable a=mid")]
    Mid,
    #[error("an m-line is not in the BUNDLE group")]
    Bundle,
    #[error("an m-line has no a=rtcp-mux")]
    RtcpMux,
    #[error("an m-line for {0} has no {1}")]
    Codec(&'static str, &'static str),
    #[error("an m-line has an unusable a=rid or more than {LAYERS_MAX}")]
    Rid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    Audio,
    Video,
}

/// Seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Send,
    Receive,
    Inactive,
}

/// Ids of the header extensions that are used; none: not offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub mid: Option<u8>,
    pub rid: Option<u8>,
    pub repaired_rid: Option<u8>,
    pub audio_level: Option<u8>,
    pub transport_cc: Option<u8>,
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub mid: String,
    /// Nothing: a kind of media that the node refuses, such as data channels; then only name and formats matter.
    pub medium: Option<Medium>,
    pub direction: Direction,
    /// Of Opus or VP8.
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
    /// Of voices with their predecessors (RFC 2198).
    pub red_payload_type: Option<u8>,
    pub extensions: Extensions,
    /// Ids that were offered for the line's direction only; they are answered for it (RFC 8285 §5).
    pub one_way: Vec<u8>,
    /// Of a simulcast, in the order of the offer, which is from small to large.
    pub rids: Vec<String>,
    /// Announced SSRC and, if told, that of its retransmissions.
    pub ssrcs: Vec<(u32, Option<u32>)>,
    pub reduced_size_rtcp: bool,
    /// The client gives transport-wide feedback about the payload type, and asks for lost packets of it.
    pub transport_feedback: bool,
    pub nack: bool,
    /// First words of the m-line, for refusing it.
    pub kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub fingerprint: Fingerprint,
    pub lines: Vec<Line>,
}

impl Offer {
    pub fn parse(text: &str) -> Result<Self, OfferError> {
        if text.len() > SDP_LEN_MAX {
            return Err(OfferError::TooLong);
        }
        let session = SessionDescription::unmarshal(&mut Cursor::new(text)).map_err(|_| OfferError::Syntax)?;
        let descriptions = &session.media_descriptions;
        if descriptions.is_empty() || descriptions.len() > LINES_MAX {
            return Err(OfferError::Lines);
        }
        if descriptions.iter().any(|line| line.attributes.len() > ATTRIBUTES_MAX) {
            return Err(OfferError::Syntax);
        }
        let everywhere = |key: &'static str| {
            let of_session = session.attributes.iter().filter(move |a| a.key == key).filter_map(|a| a.value.as_deref());
            of_session.chain(descriptions.iter().flat_map(move |line| values(line, key)))
        };
        let fingerprint = everywhere("fingerprint").find_map(parse_fingerprint).ok_or(OfferError::Fingerprint)?;
        if everywhere("setup").any(|role| !matches!(role, "actpass" | "active")) {
            return Err(OfferError::Setup);
        }
        let bundled: Vec<&str> = session
            .attributes
            .iter()
            .filter(|attribute| attribute.key == "group")
            .filter_map(|attribute| attribute.value.as_deref()?.strip_prefix("BUNDLE "))
            .flat_map(str::split_ascii_whitespace)
            .collect();
        let lines = descriptions.iter().map(|line| parse_line(line, &bundled)).collect::<Result<Vec<_>, _>>()?;
        let mut mids: Vec<&str> = lines.iter().map(|line| line.mid.as_str()).collect();
        mids.sort_unstable();
        if mids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(OfferError::Mid);
        }
        Ok(Self { fingerprint, lines })
    }
}

fn values<'a>(line: &'a MediaDescription, key: &'a str) -> impl Iterator<Item = &'a str> {
    line.attributes.iter().filter(move |attribute| attribute.key == key).filter_map(|a| a.value.as_deref())
}

/// `sha-256 AB:CD:...`
fn parse_fingerprint(value: &str) -> Option<Fingerprint> {
    let (algorithm, digits) = value.split_once(' ')?;
    if !algorithm.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let mut fingerprint = [0; 32];
    let mut pairs = digits.trim().split(':');
    for byte in &mut fingerprint {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(fingerprint)
}

fn is_name(text: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn parse_line(line: &MediaDescription, bundled: &[&str]) -> Result<Line, OfferError> {
    let mid = values(line, "mid").next().filter(|mid| is_name(mid)).ok_or(OfferError::Mid)?.to_owned();
    let (medium, kind) = match line.media_name.media.as_str() {
        "audio" => (Some(Medium::Audio), "audio"),
        "video" => (Some(Medium::Video), "video"),
        _ => (None, "application"),
    };
    let mut parsed = Line {
        mid,
        medium,
        direction: direction(line),
        payload_type: 0,
        rtx_payload_type: None,
        red_payload_type: None,
        extensions: Extensions::default(),
        one_way: Vec::new(),
        rids: Vec::new(),
        ssrcs: Vec::new(),
        reduced_size_rtcp: line.has_attribute("rtcp-rsize"),
        transport_feedback: false,
        nack: false,
        kind,
    };
    let Some(medium) = medium else { return Ok(parsed) };
    if !bundled.contains(&parsed.mid.as_str()) {
        return Err(OfferError::Bundle);
    }
    if !line.has_attribute("rtcp-mux") {
        return Err(OfferError::RtcpMux);
    }
    let codec = match medium {
        Medium::Audio => "opus/48000/2",
        Medium::Video => "VP8/90000",
    };
    parsed.payload_type = payload_type(line, codec).ok_or(OfferError::Codec(kind, codec))?;
    parsed.rtx_payload_type = rtx_payload_type(line, parsed.payload_type);
    parsed.red_payload_type = red_payload_type(line, parsed.payload_type);
    (parsed.extensions, parsed.one_way) = extensions(line, parsed.direction);
    parsed.transport_feedback = gives_feedback(line, parsed.payload_type, "transport-cc");
    parsed.nack = gives_feedback(line, parsed.payload_type, "nack");
    if parsed.direction == Direction::Send {
        parsed.rids = rids(line)?;
        if parsed.rids.is_empty() {
            parsed.ssrcs = ssrcs(line);
        }
    }
    Ok(parsed)
}

fn direction(line: &MediaDescription) -> Direction {
    if line.has_attribute("recvonly") {
        Direction::Receive
    } else if line.has_attribute("inactive") {
        Direction::Inactive
    } else {
        // `sendrecv` is the default; the node sends on lines of its own.
        Direction::Send
    }
}

/// Of `a=rtpmap:96 VP8/90000`, the first in the m-line's order of preference.
fn payload_type(line: &MediaDescription, codec: &str) -> Option<u8> {
    let is_codec = |payload_type: &str| {
        values(line, "rtpmap").any(|value| {
            value
                .split_once(' ')
                .is_some_and(|(number, name)| number == payload_type && name.trim().eq_ignore_ascii_case(codec))
        })
    };
    let format = line.media_name.formats.iter().find(|format| is_codec(format))?;
    format.parse().ok().filter(|payload_type| *payload_type < 128)
}

/// Of `a=rtpmap:97 rtx/90000` with `a=fmtp:97 apt=96` (RFC 4588 §8.6).
fn rtx_payload_type(line: &MediaDescription, payload_type: u8) -> Option<u8> {
    let apt = format!("apt={payload_type}");
    let (rtx, _) = values(line, "fmtp")
        .filter_map(|value| value.split_once(' '))
        .find(|(_, parameters)| parameters.split(';').any(|parameter| parameter.trim() == apt))?;
    let is_rtx = values(line, "rtpmap").any(|value| {
        value
            .split_once(' ')
            .is_some_and(|(number, name)| number == rtx && name.to_ascii_lowercase().starts_with("rtx/"))
    });
    rtx.parse().ok().filter(|payload_type| is_rtx && *payload_type < 128)
}

/// Of `a=rtpmap:63 red/48000/2` with `a=fmtp:63 111/111` (RFC 2198 §5): a packet and its predecessor, both Opus.
fn red_payload_type(line: &MediaDescription, payload_type: u8) -> Option<u8> {
    let red = self::payload_type(line, "red/48000/2")?;
    let both = format!("{red} {payload_type}/{payload_type}");
    values(line, "fmtp").any(|value| value.trim() == both).then_some(red)
}

/// Of `a=rtcp-fb:96 transport-cc` (RFC 4585 §4.2).
fn gives_feedback(line: &MediaDescription, payload_type: u8, feedback: &str) -> bool {
    values(line, "rtcp-fb").any(|value| {
        value.split_once(' ').is_some_and(|(format, kind)| {
            kind.trim() == feedback && (format == "*" || format.parse() == Ok(payload_type))
        })
    })
}

/// Of `a=extmap:1 URI` or `a=extmap:1/sendonly URI` (RFC 8285 §5).
fn extensions(line: &MediaDescription, direction: Direction) -> (Extensions, Vec<u8>) {
    let one_way_word = if direction == Direction::Receive { "recvonly" } else { "sendonly" };
    let mut extensions = Extensions::default();
    let mut one_way = Vec::new();
    for value in values(line, "extmap") {
        let Some((id, rest)) = value.split_once(' ') else { continue };
        let (id, direction) = id.split_once('/').unwrap_or((id, "sendrecv"));
        let Ok(id) = id.parse::<u8>() else { continue };
        // 0 is padding, 15 is reserved in the one-byte form.
        if id == 0 || id == 15 || !(direction == "sendrecv" || direction == one_way_word) {
            continue;
        }
        let place = match rest.split_ascii_whitespace().next().unwrap_or_default() {
            URI_MID => &mut extensions.mid,
            URI_RID => &mut extensions.rid,
            URI_REPAIRED_RID => &mut extensions.repaired_rid,
            URI_AUDIO_LEVEL => &mut extensions.audio_level,
            URI_TRANSPORT_CC => &mut extensions.transport_cc,
            _ => continue,
        };
        if place.is_none() {
            *place = Some(id);
            if direction == one_way_word {
                one_way.push(id);
            }
        }
    }
    (extensions, one_way)
}

/// Of `a=rid:q send` and `a=simulcast:send q;h;f` (RFC 8853 §5.1); alternatives and paused marks are taken as they come.
fn rids(line: &MediaDescription) -> Result<Vec<String>, OfferError> {
    let offered: Vec<&str> = values(line, "rid")
        .filter_map(|value| value.split_once(' '))
        .filter(|(_, rest)| rest.split_ascii_whitespace().next() == Some("send"))
        .map(|(rid, _)| rid)
        .collect();
    let ordered = values(line, "simulcast").next().and_then(|value| {
        let mut words = value.split_ascii_whitespace();
        words.find(|word| *word == "send")?;
        words.next()
    });
    let rids: Vec<String> = match ordered {
        Some(list) => list
            .split(';')
            .filter_map(|alternatives| alternatives.split(',').next())
            .map(|rid| rid.trim_start_matches('~').to_owned())
            .collect(),
        None => offered.iter().map(|rid| (*rid).to_owned()).collect(),
    };
    let mut sorted: Vec<&String> = rids.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    if rids.len() > LAYERS_MAX || sorted.len() < rids.len() || !rids.iter().all(|rid| is_name(rid)) {
        return Err(OfferError::Rid);
    }
    Ok(rids)
}

/// Of `a=ssrc:1 cname:x` and `a=ssrc-group:FID 1 2` (RFC 5576).
fn ssrcs(line: &MediaDescription) -> Vec<(u32, Option<u32>)> {
    let pairs: Vec<(u32, u32)> = values(line, "ssrc-group")
        .filter_map(|value| {
            let mut words = value.strip_prefix("FID ")?.split_ascii_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    let mut ssrcs: Vec<(u32, Option<u32>)> = Vec::new();
    for value in values(line, "ssrc") {
        let Some(ssrc) = value.split_ascii_whitespace().next().and_then(|ssrc| ssrc.parse::<u32>().ok()) else {
            continue;
        };
        let repairs_another = pairs.iter().any(|(_, rtx)| *rtx == ssrc);
        if !repairs_another && ssrcs.len() < SSRCS_MAX && ssrcs.iter().all(|(known, _)| *known != ssrc) {
            ssrcs.push((ssrc, pairs.iter().find(|(base, _)| *base == ssrc).map(|(_, rtx)| *rtx)));
        }
    }
    ssrcs
}
