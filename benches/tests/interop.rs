//! A whole peer connection that we did not write joins a media node and gets the media of another client.

use anyhow::{Context as _, ensure};
use rtc::{
    media_stream::MediaStreamTrack,
    rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind},
};
use schulhof_bench::{
    client::Kit,
    control::Controls,
    http,
    media::{PAYLOAD_LEN, Pattern, Publisher, server::join_as_publisher},
    ticket::Issuer,
};
use schulhof_net::media::{self, Config};
use schulhof_wire::ticket::{AUDIO_SLOTS, MediaNode, MediaRole, NodeKind, VIDEO_SLOTS};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};
use webrtc::{
    media_stream::{
        track_local::static_rtp::TrackLocalStaticRTP,
        track_remote::{TrackRemote, TrackRemoteEvent},
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
        RTCPeerConnectionState, RTCSessionDescription,
    },
    rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit},
};

const PATIENCE: Duration = Duration::from_secs(15);
const BURST: usize = 3;

struct Handler {
    gathered: tokio::sync::mpsc::UnboundedSender<()>,
    states: mpsc::Sender<RTCPeerConnectionState>,
    packets: mpsc::Sender<rtc::rtp::Packet>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            let _ = self.gathered.send(());
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let _ = self.states.send(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let packets = self.packets.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let _ = packets.send(packet);
                }
            }
        });
    }
}

fn codec(kind: RtpCodecKind) -> RTCRtpCodec {
    let (mime_type, clock_rate, channels) =
        if kind == RtpCodecKind::Audio { ("audio/opus", 48_000, 2) } else { ("video/VP8", 90_000, 0) };
    RTCRtpCodec { mime_type: mime_type.into(), clock_rate, channels, ..RTCRtpCodec::default() }
}

fn track(kind: RtpCodecKind, ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), ..RTCRtpCodingParameters::default() };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: coding,
        codec: codec(kind),
        ..RTCRtpEncodingParameters::default()
    };
    let name = format!("track-{ssrc}");
    Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new("own".into(), name.clone(), name, kind, vec![encoding])))
}

/// A peer connection with the m-lines that a media node wants, and its offer.
async fn peer(
    handler: Handler,
    mut gathered: tokio::sync::mpsc::UnboundedReceiver<()>,
) -> anyhow::Result<(Box<dyn PeerConnection>, String)> {
    let mut codecs = MediaEngine::default();
    codecs.register_default_codecs()?;
    let builder = PeerConnectionBuilder::new()
        .with_media_engine(codecs)
        .with_handler(Arc::new(handler))
        .with_udp_addrs(vec!["127.0.0.1:0".to_owned()]);
    let peer = Box::pin(builder.build()).await?;
    let direction = |direction| Some(RTCRtpTransceiverInit { direction, streams: vec![], send_encodings: vec![] });
    for (kind, ssrc) in [(RtpCodecKind::Audio, 11), (RtpCodecKind::Video, 12), (RtpCodecKind::Video, 13)] {
        peer.add_transceiver_from_track(track(kind, ssrc), direction(RTCRtpTransceiverDirection::Sendonly)).await?;
    }
    for (kind, slots) in [(RtpCodecKind::Audio, AUDIO_SLOTS), (RtpCodecKind::Video, VIDEO_SLOTS)] {
        for _ in 0..slots {
            peer.add_transceiver_from_kind(kind, direction(RTCRtpTransceiverDirection::Recvonly)).await?;
        }
    }
    let offer = peer.create_offer(None).await?;
    peer.set_local_description(offer).await?;
    tokio::time::timeout(PATIENCE, gathered.recv()).await.context("candidates")?;
    let offer = peer.local_description().await.context("no local description")?;
    Ok((Box::new(peer), offer.sdp))
}

#[test]
fn a_foreign_peer_connection_joins_and_receives_what_another_client_sends() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let issuer = Issuer::new(
        [9; 32],
        MediaNode { name: "bench-node".parse()?, kind: NodeKind::Relay, url: "http://localhost".into() },
    );
    let node = runtime.block_on(media::serve(Config {
        trunks: None,
        turn_tls: None,
        name: "bench-node".parse()?,
        kind: NodeKind::Relay,
        listen: any,
        advertise: vec![any.ip()],
        url: "http://localhost".into(),
        ticket_keys: issuer.keys(),
        participants_max: 10,
        admin: any,
    }))?;
    let controls = Controls::new(node.addr())?;
    let (client, socket, stream, _publishes) =
        join_as_publisher(&Kit::new()?, node.addr(), &issuer, &controls, "bench")?;
    let publisher = Publisher::start(client, socket, stream, Pattern::Burst(BURST))?;
    publisher.wait_connected(PATIENCE)?;
    publisher.set_rate(300.0);

    let (gathered, gathering) = tokio::sync::mpsc::unbounded_channel();
    let (states, state) = mpsc::channel();
    let (packets, received) = mpsc::channel();
    let (peer, offer) = runtime.block_on(peer(Handler { gathered, states, packets }, gathering))?;
    let ticket = issuer.ticket("bench", "foreigner", MediaRole::Participant, AUDIO_SLOTS, VIDEO_SLOTS)?;
    let joined = http::join(node.addr(), ticket, offer)?;
    let control = controls.open(&joined.session, vec![]);
    runtime.block_on(peer.set_remote_description(RTCSessionDescription::answer(joined.answer)?))?;

    let end = Instant::now() + PATIENCE;
    while state.recv_timeout(PATIENCE).context("the peer connection did not connect")?
        != RTCPeerConnectionState::Connected
    {
        ensure!(Instant::now() < end, "the peer connection did not connect");
    }
    // 20 frames: sequence numbers without a gap, whole payloads as they were sent, a marker at each frame's end.
    let got: Vec<_> = (0..20 * BURST).map_while(|_| received.recv_timeout(PATIENCE).ok()).collect();
    assert_eq!(got.len(), 20 * BURST, "{:?}", control.told());
    for pair in got.windows(2) {
        assert_eq!(pair[1].header.sequence_number, pair[0].header.sequence_number.wrapping_add(1));
        assert_eq!(pair[0].header.marker, pair[0].header.timestamp != pair[1].header.timestamp);
    }
    for packet in &got {
        assert_eq!(packet.payload.len(), PAYLOAD_LEN);
        assert!(packet.payload[14..].iter().all(|byte| *byte == 0x42));
    }
    let told = control.told();
    assert_eq!((told.welcome, told.roster, told.slots, told.closed), (true, 2, 1, None));

    runtime.block_on(async {
        peer.close().await?;
        node.stop().await;
        anyhow::Ok(())
    })?;
    Ok(())
}
