use super::{answer::answer, *};
use std::fmt::Write;

/// As Chromium writes it, shortened.
pub(crate) fn chromium(audio: usize, video: usize) -> String {
    let count = 3 + audio + video;
    let mids: Vec<String> = (0..count).map(|mid| mid.to_string()).collect();
    let mut sdp = format!(
        "v=0\r\no=- 46 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=extmap-allow-mixed\r\n\
         a=msid-semantic: WMS\r\n",
        mids.join(" ")
    );
    let transport = |mid: usize| {
        let fingerprint = (0..32).map(|n| format!("{n:02X}")).collect::<Vec<_>>().join(":");
        format!(
            "c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:Wzgv\r\na=ice-pwd:Vqf0Ok5L5m8m1S2x3Y4z5A6b\r\n\
             a=ice-options:trickle\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=mid:{mid}\r\n\
             a=rtcp-mux\r\na=rtcp-rsize\r\n"
        )
    };
    let mut line = |mid: usize, is_video: bool, rest: &str| {
        let (formats, codecs) = if is_video {
            (
                "video 9 UDP/TLS/RTP/SAVPF 96 97 103",
                "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 nack\r\n\
                 a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:103 H264/90000\r\n\
                 a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1\r\n",
            )
        } else {
            (
                "audio 9 UDP/TLS/RTP/SAVPF 63 111",
                "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\n\
                 a=fmtp:111 minptime=10;useinbandfec=1\r\n",
            )
        };
        let level = if is_video { "" } else { "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" };
        let _ = write!(
            sdp,
            "m={formats}\r\n{}{level}a=extmap:3 {URI_TRANSPORT_CC}\r\na=extmap:4 {URI_MID}\r\n\
             a=extmap:10 {URI_RID}\r\na=extmap:11 {URI_REPAIRED_RID}\r\na=extmap:13 urn:3gpp:video-orientation\r\n\
             {codecs}{rest}",
            transport(mid)
        );
    };
    line(0, false, "a=sendonly\r\na=msid:s a\r\na=ssrc:11 cname:c\r\na=ssrc:11 msid:s a\r\n");
    line(
        1,
        true,
        "a=sendonly\r\na=msid:s v\r\na=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n",
    );
    line(2, true, "a=sendonly\r\na=msid:- w\r\na=ssrc-group:FID 21 22\r\na=ssrc:21 cname:c\r\na=ssrc:22 cname:c\r\n");
    for mid in 3..3 + audio {
        line(mid, false, "a=recvonly\r\n");
    }
    for mid in 3 + audio..count {
        line(mid, true, "a=recvonly\r\n");
    }
    sdp
}

#[test]
fn an_offer_of_chromium_is_understood() {
    let offer = Offer::parse(&chromium(3, 9)).unwrap();
    assert_eq!(offer.fingerprint[..3], [0, 1, 2]);
    assert_eq!(offer.lines.len(), 15);
    let microphone = &offer.lines[0];
    assert_eq!((microphone.payload_type, microphone.rtx_payload_type), (111, None), "Opus, not its redundancy");
    assert_eq!(microphone.extensions.audio_level, Some(1));
    assert_eq!(microphone.ssrcs, [(11, None)]);
    let camera = &offer.lines[1];
    assert_eq!((camera.direction, camera.payload_type, camera.rtx_payload_type), (Direction::Send, 96, Some(97)));
    assert_eq!(camera.rids, ["q", "h", "f"]);
    let ids =
        Extensions { mid: Some(4), rid: Some(10), repaired_rid: Some(11), audio_level: None, transport_cc: Some(3) };
    assert_eq!(camera.extensions, ids);
    assert_eq!(offer.lines[2].ssrcs, [(21, Some(22))]);
    assert_eq!(offer.lines[14].direction, Direction::Receive);
    assert!(offer.lines[14].transport_feedback && offer.lines[14].nack && !offer.lines[3].nack);
    assert_eq!(offer.lines[14].medium, Some(Medium::Video));
}

#[test]
fn the_answer_takes_the_sources_and_names_the_slots() {
    let offer = Offer::parse(&chromium(1, 1)).unwrap();
    let slot =
        |ssrc, rtx_ssrc, transport_cc| Role::Slot(SlotParameters { ssrc, rtx_ssrc, transport_cc, red: ssrc == 7 });
    let lines = [Role::Source, Role::Source, Role::Source, slot(7, None, None), slot(8, Some(9), Some(3))];
    let text = answer(
        &offer,
        &Parameters {
            ufrag: "user",
            password: "password",
            fingerprint: &[0xAB; 32],
            candidates: &["127.0.0.1:8480".parse().unwrap(), "[::1]:8480".parse().unwrap()],
            tcp_candidates: &["127.0.0.1:8480".parse().unwrap()],
            session_number: 5,
            lines: &lines,
        },
    );
    assert!(
        text.starts_with("v=0\r\no=- 5 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=fingerprint:sha-256 AB:AB:")
    );
    assert!(text.contains("a=group:BUNDLE 0 1 2 3 4\r\n"));
    let sections: Vec<&str> = text.split("m=").skip(1).collect();
    assert!(sections[0].starts_with("audio 9 UDP/TLS/RTP/SAVPF 111\r\n"));
    assert!(sections[0].contains("a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"));
    assert!(sections[0].contains("a=candidate:1 1 udp 2130706431 127.0.0.1 8480 typ host\r\n"));
    assert!(sections[0].contains("a=candidate:2 1 udp 2130706175 ::1 8480 typ host\r\n"));
    assert!(
        sections[0].contains(
            "a=candidate:3 1 tcp 1520435199 127.0.0.1 8480 typ host tcptype passive\r\na=end-of-candidates\r\n"
        )
    );
    assert!(sections[1].starts_with("video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"));
    assert!(
        sections[1].contains("a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\na=recvonly")
    );
    assert!(sections[1].contains("a=rtcp-fb:96 transport-cc\r\n"));
    assert!(!sections[1].contains("video-orientation"), "only what the node understands");
    assert!(!sections[1].contains("candidate"));
    assert!(sections[3].starts_with("audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"), "a voice may come with its predecessor");
    assert!(sections[3].contains("a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"));
    assert!(sections[3].contains("a=sendonly\r\n") && sections[3].contains("a=ssrc:7 cname:schulhof\r\n"));
    assert!(sections[4].contains("a=ssrc-group:FID 8 9\r\na=ssrc:8 cname:schulhof\r\na=ssrc:9 cname:schulhof\r\n"));
    assert!(!sections[3].contains("transport-cc"), "Chromium's voice gives no feedback in this offer");
    assert!(sections[4].contains(&format!("a=extmap:3 {URI_TRANSPORT_CC}\r\na=rtcp-fb:96 transport-cc\r\n")));
    for section in sections {
        assert!(section.contains("a=setup:passive\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"));
        assert!(section.contains("a=ice-ufrag:user\r\na=ice-pwd:password\r\n"));
    }
}

#[test]
fn an_extension_for_one_direction_is_answered_for_that_direction() {
    let text =
        chromium(0, 0).replace("a=extmap:10 ", "a=extmap:10/sendonly ").replace("a=extmap:3 ", "a=extmap:3/recvonly ");
    let offer = Offer::parse(&text).unwrap();
    assert_eq!((offer.lines[1].extensions.rid, offer.lines[1].extensions.transport_cc), (Some(10), None));
    let parameters = Parameters {
        ufrag: "u",
        password: "p",
        fingerprint: &[0; 32],
        candidates: &["127.0.0.1:1".parse().unwrap()],
        tcp_candidates: &[],
        session_number: 1,
        lines: &[Role::Source; 3],
    };
    let answer = answer(&offer, &parameters);
    assert!(answer.contains("a=extmap:10/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"));
    assert!(!answer.contains("transport-wide-cc"));
}

#[test]
fn a_data_channel_is_refused_alone() {
    let mut text = chromium(0, 0).replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 data");
    text.push_str(
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:data\r\na=sctp-port:5000\r\n",
    );
    let offer = Offer::parse(&text).unwrap();
    let lines = [Role::Source, Role::Source, Role::Source, Role::Refused];
    let parameters = Parameters {
        ufrag: "u",
        password: "p",
        fingerprint: &[0; 32],
        candidates: &["127.0.0.1:1".parse().unwrap()],
        tcp_candidates: &[],
        session_number: 1,
        lines: &lines,
    };
    let answer = answer(&offer, &parameters);
    assert!(answer.contains("a=group:BUNDLE 0 1 2\r\n"));
    assert!(answer.contains("m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
}

#[test]
fn an_offer_that_cannot_work_is_refused_with_its_reason() {
    let good = chromium(1, 1);
    let refused = |text: String| Offer::parse(&text).unwrap_err();
    assert_eq!(refused("x".repeat(65 * 1024)), OfferError::TooLong);
    assert_eq!(refused("hello".into()), OfferError::Syntax);
    assert_eq!(refused("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".into()), OfferError::Lines);
    assert_eq!(refused(good.replace("sha-256", "sha-1")), OfferError::Fingerprint);
    assert_eq!(refused(good.replace("actpass", "passive")), OfferError::Setup);
    assert_eq!(refused(good.replace("VP8", "VP9")), OfferError::Codec("video", "VP8/90000"));
    assert_eq!(refused(good.replace("a=rtcp-mux\r\n", "")), OfferError::RtcpMux);
    assert_eq!(refused(good.replace("BUNDLE 0", "BUNDLE")), OfferError::Bundle);
    assert_eq!(refused(good.replace("a=mid:1\r\n", "a=mid:0\r\n")), OfferError::Mid);
    assert_eq!(refused(good.replace("a=mid:1\r\n", "a=mid:<b>\r\n")), OfferError::Mid);
    assert_eq!(refused(good.replace("send q;h;f", "send q;h;f;g")), OfferError::Rid);
    assert_eq!(refused(good.replace("send q;h;f", "send q;q")), OfferError::Rid);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_fail(
        cut in 0usize..6_000, edits in proptest::collection::vec((0usize..6_000, 0u8..128), 0..8)
    ) {
        let mut bytes = chromium(1, 2).into_bytes();
        for (at, byte) in edits {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(cut);
        let _ = Offer::parse(&String::from_utf8(bytes).unwrap());
    }
}
