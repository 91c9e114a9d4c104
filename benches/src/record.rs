//! `schulhof-bench record`: writes down when the packets of somebody's camera come, and how long they are, by layer. Three
//! clients join the conference of whoever's camera is on, each looks at another layer. See `ops/browser/record.mjs`.

use crate::{
    client::{Client, Kit, Slots, is_rtp},
    control::{Control, Controls},
    http,
    media::{
        recording::{Frame, HEIGHTS, Packet, Recording},
        wait,
    },
};
use anyhow::{Context as _, ensure};
use schulhof_net::udp::{MediaSocket, Poller, RecvBatch};
use schulhof_wire::{
    media::{ParticipantId, SourceKind, Tile, ToNode},
    ticket::VIDEO_SLOTS,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

const CAMERA_MAX: Duration = Duration::from_secs(30);
/// Until an encoder has its full rate, and the node believes the line.
const WARM_UP: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Args {
    /// HTTP door of the media node
    #[arg(long)]
    node: SocketAddr,
    /// Tickets for the conference, one for each layer
    #[arg(long, num_args = 3, value_delimiter = ',')]
    tickets: Vec<String>,
    /// Seconds to record
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Where to; what stands there is replaced
    #[arg(long)]
    to: PathBuf,
    /// First line of the file
    #[arg(long)]
    comment: String,
}

struct Watcher {
    client: Client,
    socket: [MediaSocket; 1],
    control: Control,
    /// Kernel's time, RTP timestamp, payload's length.
    packets: Vec<(Duration, u32, usize)>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let kit = Kit::new()?;
    let controls = Controls::new(args.node)?;
    let first = Watcher::join(&kit, &controls, args, 0, vec![])?;
    wait(CAMERA_MAX, "somebody's camera is on", || Ok(!first.control.told().cameras.is_empty()))?;
    let participant = first.control.told().cameras.remove(0);
    drop(first);
    let mut watchers = (0..3)
        .map(|layer| {
            let tile = Tile {
                participant: ParticipantId(participant.0.clone()),
                kind: SourceKind::Camera,
                height: HEIGHTS[layer],
            };
            Watcher::join(&kit, &controls, args, layer, vec![ToNode::View { tiles: vec![tile] }])
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    watch(&mut watchers, WARM_UP)?;
    for watcher in &mut watchers {
        watcher.packets.clear();
    }
    watch(&mut watchers, Duration::from_secs(args.seconds))?;
    let recording = recording(&watchers)?;
    for (layer, height) in HEIGHTS.iter().enumerate() {
        let (frames, packets) = (recording.layers[layer].len(), recording.packets_per_frame(layer));
        println!("{height} lines: {frames} frames with {packets:.1} packets each");
    }
    std::fs::write(&args.to, format!("# {}\n{}", args.comment, recording.write()))?;
    Ok(())
}

fn watch(watchers: &mut [Watcher], time: Duration) -> anyhow::Result<()> {
    let (end, poller, mut batch) = (Instant::now() + time, Poller::new()?, RecvBatch::new());
    while Instant::now() < end {
        // Each has its own socket; the kernel tells when packets came.
        poller.wait(&[], Duration::from_millis(2))?;
        for watcher in &mut *watchers {
            watcher.receive(&mut batch)?;
        }
    }
    Ok(())
}

/// Frames by their timestamps; whole ones only.
fn recording(watchers: &[Watcher]) -> anyhow::Result<Recording> {
    let begin = watchers.iter().filter_map(|watcher| watcher.packets.first()).map(|(at, ..)| *at).max();
    let begin = begin.context("no packets came")?;
    let mut recording = Recording::default();
    for (layer, watcher) in watchers.iter().enumerate() {
        let frames = watcher.packets.chunk_by(|a, b| a.1 == b.1).skip(1);
        for frame in frames.filter(|frame| frame[0].0 >= begin) {
            let at = frame[0].0;
            let packets = frame
                .iter()
                .map(|(arrived, _, payload_len)| Packet {
                    after: arrived.saturating_sub(at),
                    payload_len: *payload_len,
                })
                .collect();
            recording.layers[layer].push(Frame { at: at.saturating_sub(begin), packets });
        }
        recording.layers[layer].pop();
        ensure!(recording.layers[layer].len() > 1, "no frames of {} lines came", HEIGHTS[layer]);
    }
    Ok(recording)
}

impl Watcher {
    fn join(kit: &Arc<Kit>, controls: &Controls, args: &Args, n: usize, first: Vec<ToNode>) -> anyhow::Result<Self> {
        let socket = MediaSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.without_gro()?.with_stamps()?;
        let slots = Slots { audio: 0, video: VIDEO_SLOTS };
        let mut client = Client::new(kit.clone(), socket.local_addr()?, n as u32, slots);
        let joined = http::join(args.node, args.tickets[n].clone(), client.offer())?;
        client.answered(Instant::now(), &joined.answer)?;
        let control = controls.open(&joined.session, first);
        Ok(Self { client, socket: [socket], control, packets: Vec::new() })
    }

    fn receive(&mut self, batch: &mut RecvBatch) -> anyhow::Result<()> {
        let now = Instant::now();
        batch.receive(&self.socket[0])?;
        let mut result = Ok(());
        let (client, packets) = (&mut self.client, &mut self.packets);
        batch.for_each_stamped(|_, stamp, packet| {
            let done = match stamp {
                Some(stamp) if is_rtp(packet) => take(client, packets, stamp, packet),
                _ if is_rtp(packet) => Ok(()),
                _ => client.handle(now, packet),
            };
            if let Err(error) = done {
                result = Err(error);
            }
        });
        self.client.handle_timeout(now)?;
        if let Some(to) = self.client.remote_addr() {
            while let Some(packet) = self.client.poll_transmit() {
                self.socket[0].send_run(to, &packet, packet.len());
            }
        }
        result
    }
}

fn take(
    client: &mut Client,
    packets: &mut Vec<(Duration, u32, usize)>,
    stamp: Duration,
    packet: &[u8],
) -> anyhow::Result<()> {
    client.received(stamp, packet);
    let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
    if !client.video_ssrcs.contains(&ssrc) {
        return Ok(());
    }
    let plain = client.open(packet)?;
    let payload_len = crate::client::payload(&plain).map_or(0, <[u8]>::len);
    if payload_len > 0 {
        let timestamp = u32::from_be_bytes([plain[4], plain[5], plain[6], plain[7]]);
        packets.push((stamp, timestamp, payload_len));
    }
    Ok(())
}
