//! Offers and answers as Janus wants them: one picture each way (RFC 8829).

use crate::client::Remote;
use anyhow::Context as _;

/// Of the one m-line of a publisher.
pub const MID: &str = "0";

const CODEC: &str =
    "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 transport-cc\r\n";

/// A publisher's. `transport`: ICE, DTLS and the address, as lines.
pub fn offer(transport: &str, ssrc: u32) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {MID}\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 127.0.0.1\r\na=mid:{MID}\r\na=sendonly\r\na=rtcp-mux\r\n\
         a=setup:actpass\r\n{transport}{CODEC}\
         a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
         a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=ssrc:{ssrc} cname:bench\r\n"
    )
}

/// A subscriber's, to Janus's offer.
pub fn answer(offer: &str, transport: &str) -> anyhow::Result<String> {
    let media = line(offer, "m=video ").context("no picture is offered")?;
    let format = media.split(' ').nth(2).context("no format is offered")?;
    let mid = line(offer, "a=mid:").context("no mid is offered")?;
    Ok(format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mid}\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF {format}\r\nc=IN IP4 127.0.0.1\r\na=mid:{mid}\r\na=recvonly\r\na=rtcp-mux\r\n\
         a=setup:active\r\n{transport}a=rtpmap:{format} VP8/90000\r\na=rtcp-fb:{format} nack\r\n\
         a=rtcp-fb:{format} nack pli\r\n"
    ))
}

/// How Janus is reached, by its offer or answer.
pub fn remote(sdp: &str) -> anyhow::Result<Remote> {
    let ufrag = line(sdp, "a=ice-ufrag:").context("no ice-ufrag")?.to_owned();
    let password = line(sdp, "a=ice-pwd:").context("no ice-pwd")?.to_owned();
    let fingerprint = line(sdp, "a=fingerprint:").context("no fingerprint")?;
    let fingerprint = fingerprint.split(' ').nth(1).context("no fingerprint")?.to_uppercase();
    let candidate = line(sdp, "a=candidate:").with_context(|| format!("no candidate: {sdp}"))?;
    let mut fields = candidate.split(' ').skip(4);
    let (ip, port) = fields.next().zip(fields.next()).context("an incomplete candidate")?;
    Ok(Remote { addr: format!("{ip}:{port}").parse()?, ufrag, password, fingerprint })
}

/// Of the first stream.
pub fn ssrc(sdp: &str) -> anyhow::Result<u32> {
    let line = line(sdp, "a=ssrc:").with_context(|| format!("no SSRC is announced: {sdp}"))?;
    Ok(line.split(' ').next().unwrap_or_default().parse()?)
}

fn line<'a>(sdp: &'a str, key: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix(key))
}
