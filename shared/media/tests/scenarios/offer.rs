//! The offer of a test client: what the protocol asks for, in the shape of a browser's.

use std::fmt::Write;

pub const MID: u8 = 4;
pub const RID: u8 = 10;
pub const REPAIRED_RID: u8 = 11;
pub const AUDIO_LEVEL: u8 = 1;
pub const TRANSPORT_CC: u8 = 3;
pub const OPUS: u8 = 111;
pub const RED: u8 = 63;
pub const VP8: u8 = 96;
pub const RTX: u8 = 97;

/// `feedback`: the client gives transport-wide feedback about what it receives.
pub fn offer(fingerprint: &str, audio_slots: usize, video_slots: usize, feedback: bool) -> String {
    let lines = 3 + audio_slots + video_slots;
    let mids: Vec<String> = (0..lines).map(|mid| mid.to_string()).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=extmap-allow-mixed\r\n",
        mids.join(" ")
    );
    for mid in 0..lines {
        let video = matches!(mid, 1 | 2) || mid >= 3 + audio_slots;
        let (media, codecs) = if video {
            (
                format!("video 9 UDP/TLS/RTP/SAVPF {VP8} {RTX}"),
                format!("a=rtpmap:{VP8} VP8/90000\r\na=rtpmap:{RTX} rtx/90000\r\na=fmtp:{RTX} apt={VP8}\r\n"),
            )
        } else {
            (
                format!("audio 9 UDP/TLS/RTP/SAVPF {OPUS} {RED}"),
                format!(
                    "a=rtpmap:{OPUS} opus/48000/2\r\na=rtpmap:{RED} red/48000/2\r\na=fmtp:{RED} {OPUS}/{OPUS}\r\na=rtcp-fb:{OPUS} nack\r\na=extmap:{AUDIO_LEVEL} urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
                ),
            )
        };
        let codecs = match (feedback && mid > 2, video) {
            (true, true) => format!("{codecs}a=rtcp-fb:{VP8} transport-cc\r\n"),
            (true, false) => format!("{codecs}a=rtcp-fb:{OPUS} transport-cc\r\n"),
            (false, _) => codecs,
        };
        let rest = match mid {
            0 | 2 => "a=sendonly\r\n",
            1 => "a=sendonly\r\na=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n",
            _ => "a=recvonly\r\n",
        };
        write!(
            sdp,
            "m={media}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:test\r\na=ice-pwd:testtesttesttesttesttest\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=mid:{mid}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
             a=extmap:{TRANSPORT_CC} http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
             a=extmap:{MID} urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
             a=extmap:{RID} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
             a=extmap:{REPAIRED_RID} urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n{codecs}{rest}"
        )
        .unwrap();
    }
    sdp
}
