//! An SFU under measurement, as the run sees it: people join it, and it costs something.

use crate::{
    client::{Client, Kit, Slots, Stream},
    control::{Control, Controls},
    http,
    process::{MediaProcess, Program},
    ticket::Issuer,
};
use anyhow::Context as _;
use schulhof_net::udp::MediaSocket;
use schulhof_wire::{
    media::ToNode,
    ticket::{AUDIO_SLOTS, MediaRole, VIDEO_SLOTS},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

/// Of the publisher's one stream.
pub const PUBLISHER_SSRC: u32 = 0x0a0b_0c0d;

pub trait Server {
    /// Joins a room as its publisher; the handshake is the caller's.
    fn publisher(&mut self, kit: &Arc<Kit>, room: usize) -> anyhow::Result<(Client, MediaSocket, Stream)>;
    /// Joins a room to receive its publisher's stream.
    fn subscriber(&mut self, kit: &Arc<Kit>, room: usize, number: u32) -> anyhow::Result<(Client, MediaSocket)>;
    /// Time on processors since the start.
    fn cpu_ns(&self) -> anyhow::Result<u64>;
    /// Resident memory.
    fn rss_kb(&self) -> anyhow::Result<u64>;
    /// Datagrams sent, and system calls for it, if it counts them.
    fn sends(&self) -> anyhow::Result<Option<(u64, u64)>>;
    /// Whether it still serves everybody.
    fn check(&self) -> anyhow::Result<()>;
}

/// Our own media process.
pub struct Ours {
    process: MediaProcess,
    controls: Controls,
    channels: Vec<Control>,
}

impl Ours {
    pub fn start(program: &Program) -> anyhow::Result<Self> {
        let process = MediaProcess::start(program)?;
        let controls = Controls::new(process.addr)?;
        Ok(Self { process, controls, channels: Vec::new() })
    }
}

/// Joins a media node as one whose camera is on.
pub fn join_as_publisher(
    kit: &Arc<Kit>,
    node: SocketAddr,
    issuer: &Issuer,
    controls: &Controls,
    room: &str,
) -> anyhow::Result<(Client, MediaSocket, Stream, Control)> {
    let socket = MediaSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let slots = Slots { audio: 1, video: 1 };
    let mut client = Client::new(kit.clone(), socket.local_addr()?, 0, slots);
    let ticket = issuer.ticket(room, "publisher", MediaRole::Moderator, slots.audio, slots.video)?;
    let joined = http::join(node, ticket, client.offer()).context("the publisher")?;
    client.answered(Instant::now(), &joined.answer)?;
    let publish = ToNode::Publish { microphone: false, camera: true, screen: false };
    let control = controls.open(&joined.session, vec![publish]);
    Ok((client, socket, Stream::camera(PUBLISHER_SSRC, "f"), control))
}

impl Server for Ours {
    fn publisher(&mut self, kit: &Arc<Kit>, room: usize) -> anyhow::Result<(Client, MediaSocket, Stream)> {
        let (process, room) = (&self.process, format!("room-{room}"));
        let (client, socket, stream, control) =
            join_as_publisher(kit, process.addr, &process.issuer, &self.controls, &room)?;
        self.channels.push(control);
        Ok((client, socket, stream))
    }

    /// With all the slots that a listener can have. Of arrivals it tells nothing: the rates are no browser's, and a node that
    /// guesses lines would take its time to believe in them.
    fn subscriber(&mut self, kit: &Arc<Kit>, room: usize, number: u32) -> anyhow::Result<(Client, MediaSocket)> {
        let socket = receiving_socket(Ipv4Addr::LOCALHOST)?;
        let slots = Slots { audio: AUDIO_SLOTS, video: VIDEO_SLOTS };
        let mut client = Client::new(kit.clone(), socket.local_addr()?, number, slots).without_arrivals();
        let (room, account) = (format!("room-{room}"), format!("subscriber-{number}"));
        let ticket = self.process.issuer.ticket(&room, &account, MediaRole::Participant, slots.audio, slots.video)?;
        let joined = http::join(self.process.addr, ticket, client.offer()).with_context(|| account)?;
        client.answered(Instant::now(), &joined.answer)?;
        self.channels.push(self.controls.open(&joined.session, vec![]));
        Ok((client, socket))
    }

    fn cpu_ns(&self) -> anyhow::Result<u64> {
        self.process.cpu_ns()
    }

    fn rss_kb(&self) -> anyhow::Result<u64> {
        self.process.rss_kb()
    }

    fn sends(&self) -> anyhow::Result<Option<(u64, u64)>> {
        let counter = |name: &str| self.process.counter(&format!("schulhof_media_{name}_total"));
        Ok(Some((counter("sent_datagrams")?, counter("send_calls")?)))
    }

    fn check(&self) -> anyhow::Result<()> {
        match self.channels.iter().find_map(|channel| channel.told().closed) {
            Some(closed) => anyhow::bail!("a control channel was closed: {closed}"),
            None => Ok(()),
        }
    }
}

/// Takes each datagram alone, with the kernel's time.
pub fn receiving_socket(ip: Ipv4Addr) -> anyhow::Result<MediaSocket> {
    Ok(MediaSocket::bind(SocketAddr::from((ip, 0)))?.without_gro()?.with_stamps()?)
}
