//! The offer, as Chromium writes it when codecs are limited to Opus and VP8 (RFC 8829, RFC 8853), and the answer read.

use anyhow::{Context as _, ensure};
use rtc_sdp::description::{media::MediaDescription, session::SessionDescription};
use std::{fmt::Write as _, io::Cursor, net::SocketAddr};

/// Receiving slots, per medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    pub audio: u8,
    pub video: u8,
}

pub(super) const MID_MICROPHONE: &str = "0";
pub(super) const MID_CAMERA: &str = "1";
pub(super) const MID_SCREEN: &str = "2";
pub(super) const EXT_AUDIO_LEVEL: u8 = 1;
pub(super) const EXT_TRANSPORT_CC: u8 = 3;
pub(super) const EXT_MID: u8 = 4;
pub(super) const EXT_RID: u8 = 10;
pub(super) const PT_OPUS: u8 = 111;
pub(super) const PT_VP8: u8 = 96;

const AUDIO_LINES: &str = "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n\
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
    a=rtcp-mux\r\na=rtcp-rsize\r\n\
    a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
const VIDEO_LINES: &str = "a=extmap:14 urn:ietf:params:rtp-hdrext:toffset\r\n\
    a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n\
    a=extmap:13 urn:3gpp:video-orientation\r\n\
    a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
    a=extmap:5 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n\
    a=extmap:6 http://www.webrtc.org/experiments/rtp-hdrext/video-content-type\r\n\
    a=extmap:7 http://www.webrtc.org/experiments/rtp-hdrext/video-timing\r\n\
    a=extmap:8 http://www.webrtc.org/experiments/rtp-hdrext/color-space\r\n\
    a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
    a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n\
    a=rtcp-mux\r\na=rtcp-rsize\r\n\
    a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\n\
    a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
const SIMULCAST_LINES: &str = "a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n";

pub(super) fn write(ufrag: &str, password: &str, fingerprint: &str, slots: Slots) -> String {
    let lines = 3 + usize::from(slots.audio) + usize::from(slots.video);
    let bundle: String = (0..lines).fold(String::new(), |text, mid| text + " " + &mid.to_string());
    let mut sdp = format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{bundle}\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n"
    );
    for mid in 0..lines {
        let audio = mid == 0 || (3..3 + usize::from(slots.audio)).contains(&mid);
        let (medium, formats) = if audio { ("audio", "111") } else { ("video", "96 97") };
        let _ = write!(
            sdp,
            "m={medium} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
             a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=mid:{mid}\r\n"
        );
        if mid < 3 {
            let _ = write!(sdp, "a=sendonly\r\na=msid:- bench-track-{mid}\r\n");
        } else {
            sdp.push_str("a=recvonly\r\n");
        }
        sdp.push_str(if audio { AUDIO_LINES } else { VIDEO_LINES });
        if mid == 1 {
            sdp.push_str(SIMULCAST_LINES);
        }
    }
    sdp
}

pub(super) struct Answer {
    pub addr: SocketAddr,
    pub ufrag: String,
    pub password: String,
    pub fingerprint: String,
    pub audio_ssrcs: Vec<u32>,
    pub video_ssrcs: Vec<u32>,
}

pub(super) fn read_answer(sdp: &str) -> anyhow::Result<Answer> {
    let answer = SessionDescription::unmarshal(&mut Cursor::new(sdp)).context("the answer")?;
    let media = &answer.media_descriptions;
    let anywhere = |key: &str| {
        let in_media = media.iter().find_map(|m| m.attribute(key).flatten());
        in_media.or_else(|| answer.attribute(key).map(String::as_str)).map(str::to_owned)
    };
    let ufrag = anywhere("ice-ufrag").context("no ice-ufrag")?;
    let password = anywhere("ice-pwd").context("no ice-pwd")?;
    let fingerprint = anywhere("fingerprint").context("no fingerprint")?;
    let fingerprint = fingerprint.strip_prefix("sha-256 ").context("not sha-256")?.to_uppercase();
    let candidate = anywhere("candidate").context("no candidate")?;
    let fields: Vec<&str> = candidate.split_whitespace().collect();
    ensure!(fields.len() >= 6, "not a candidate: {candidate}");
    let addr = SocketAddr::new(fields[4].parse()?, fields[5].parse()?);
    let ssrcs = |medium: &str| -> anyhow::Result<Vec<u32>> {
        media.iter().filter(|m| m.media_name.media == medium && m.has_attribute("sendonly")).map(ssrc).collect()
    };
    Ok(Answer { addr, ufrag, password, fingerprint, audio_ssrcs: ssrcs("audio")?, video_ssrcs: ssrcs("video")? })
}

fn ssrc(slot: &MediaDescription) -> anyhow::Result<u32> {
    let line = slot.attribute("ssrc").flatten().context("a slot has no SSRC")?;
    Ok(line.split(' ').next().context("an empty ssrc line")?.parse()?)
}
