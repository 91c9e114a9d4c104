//! Janus (Debian's `janus`) with its VideoRoom as the SFU under measurement: started for the run with a configuration of its
//! own, quiet, ICE-lite like our node, its handles on as many event loops as there are processors. It refuses loopback for
//! media, so its clients are at the machine's own address; the packets take the same way. The SRTP profile is
//! AEAD_AES_128_GCM there too. What it does besides is its default: NACK buffers, RTCP, transport-wide feedback towards
//! publishers.

mod api;
mod sdp;

use crate::{
    client::{Client, Kit, Slots, Stream},
    media::server::{PUBLISHER_SSRC, Server, receiving_socket},
    process::{cpu_ns, free_port},
};
use anyhow::{Context as _, ensure};
use api::{Api, Handle};
use schulhof_net::{lifeline, udp::MediaSocket};
use serde_json::json;
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

const FOLDERS: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/janus", "/usr/lib/aarch64-linux-gnu/janus"];
const OTHER_PLUGINS: [&str; 11] = [
    "audiobridge",
    "duktape",
    "echotest",
    "lua",
    "nosip",
    "recordplay",
    "sip",
    "streaming",
    "textroom",
    "videocall",
    "voicemail",
];
/// A publisher is known to others once its connection is up at Janus, too.
const FEED_MAX: Duration = Duration::from_secs(5);
const START_MAX: Duration = Duration::from_secs(15);
const POLL_EVERY: Duration = Duration::from_millis(50);

pub struct Janus {
    child: Child,
    api: Api,
    /// Where its clients are.
    ip: Ipv4Addr,
    /// Publishers' ids in the VideoRoom, by room.
    feeds: Vec<u64>,
    _folder: tempfile::TempDir,
}

impl Drop for Janus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Janus {
    /// Starts it and makes so many rooms.
    pub fn start(rooms: usize) -> anyhow::Result<Self> {
        let (ws, ip) = (free_port()?, own_ip());
        let folder = tempfile::tempdir()?;
        configure(folder.path(), ws, ip)?;
        let mut command = Command::new("janus");
        command.arg("-F").arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = lifeline::tie(&mut command).spawn().context("janus is missing (Debian: apt-get install janus)")?;
        let end = Instant::now() + START_MAX;
        let api = loop {
            match Api::connect(ws) {
                Ok(api) => break api,
                Err(error) if Instant::now() > end => return Err(error.context("Janus does not answer")),
                Err(_) => std::thread::sleep(POLL_EVERY),
            }
        };
        let mut janus = Self { child, api, ip, feeds: Vec::new(), _folder: folder };
        let maker = janus.api.attach()?;
        for room in 0..rooms {
            let body = json!({
                "request": "create", "room": number(room), "publishers": 3, "bitrate": 0, "videocodec": "vp8",
                "audiocodec": "opus",
            });
            janus.api.ask(maker, &body, None).context("room")?;
        }
        Ok(janus)
    }
}

/// Of a room; 0 is none.
fn number(room: usize) -> u64 {
    room as u64 + 1
}

impl Server for Janus {
    fn publisher(&mut self, kit: &Arc<Kit>, room: usize) -> anyhow::Result<(Client, MediaSocket, Stream)> {
        let handle = self.api.attach()?;
        let joining = json!({ "request": "join", "ptype": "publisher", "room": number(room) });
        let joined = self.api.ask(handle, &joining, None)?;
        let id = joined.body["id"].as_u64().with_context(|| format!("no publisher's id: {}", joined.body))?;
        let socket = MediaSocket::bind(SocketAddr::from((self.ip, 0)))?;
        let local = socket.local_addr()?;
        // Janus is the active end of what is offered to it.
        let mut client = Client::passive(kit.clone(), local, room as u32, Slots { audio: 0, video: 0 });
        let offer = sdp::offer(&client.transport_lines(local), PUBLISHER_SSRC);
        let answered = self.api.ask(handle, &json!({ "request": "publish" }), Some(("offer", &offer)))?;
        let answer = answered.sdp.context("no answer")?;
        client.meet(Instant::now(), &sdp::remote(&answer)?)?;
        ensure!(self.feeds.len() == room, "rooms are published in order");
        self.feeds.push(id);
        Ok((client, socket, Stream::picture(PUBLISHER_SSRC, sdp::MID)))
    }

    fn subscriber(&mut self, kit: &Arc<Kit>, room: usize, serial: u32) -> anyhow::Result<(Client, MediaSocket)> {
        let handle: Handle = self.api.attach()?;
        let feed = *self.feeds.get(room).context("nobody publishes in the room")?;
        let joining =
            json!({ "request": "join", "ptype": "subscriber", "room": number(room), "streams": [{ "feed": feed }] });
        let end = Instant::now() + FEED_MAX;
        let offer = loop {
            match self.api.ask(handle, &joining, None) {
                Ok(answer) => break answer.sdp.context("no offer")?,
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => std::thread::sleep(POLL_EVERY),
            }
        };
        let socket = receiving_socket(self.ip)?;
        let local = socket.local_addr()?;
        let mut client = Client::new(kit.clone(), local, serial, Slots { audio: 0, video: 0 });
        client.video_ssrcs = vec![sdp::ssrc(&offer)?];
        let answer = sdp::answer(&offer, &client.transport_lines(local))?;
        self.api.ask(handle, &json!({ "request": "start", "room": number(room) }), Some(("answer", &answer)))?;
        client.meet(Instant::now(), &sdp::remote(&offer)?)?;
        Ok((client, socket))
    }

    fn cpu_ns(&self) -> anyhow::Result<u64> {
        cpu_ns(self.child.id())
    }

    fn rss_kb(&self) -> anyhow::Result<u64> {
        crate::process::rss_kb(self.child.id())
    }

    fn sends(&self) -> anyhow::Result<Option<(u64, u64)>> {
        Ok(None)
    }

    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Only the WebSocket door and the VideoRoom; no debug log.
fn configure(folder: &Path, ws: SocketAddr, ip: Ipv4Addr) -> anyhow::Result<()> {
    let installed = FOLDERS.iter().find(|folder| Path::new(folder).is_dir());
    let installed = installed.context("janus is missing (Debian: apt-get install janus)")?;
    let loops = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = String::new();
    writeln!(
        text,
        "general: {{\n configs_folder = \"{}\"\n plugins_folder = \"{installed}/plugins\"\n \
         transports_folder = \"{installed}/transports\"\n events_folder = \"{installed}/events\"\n \
         loggers_folder = \"{installed}/loggers\"\n debug_level = 1\n session_timeout = 0\n event_loops = {loops}\n}}",
        folder.display()
    )?;
    text.push_str("media: {\n ipv6 = false\n}\n");
    writeln!(text, "nat: {{\n ice_lite = true\n ice_enforce_list = \"{ip}\"\n nice_debug = false\n}}")?;
    let others = OTHER_PLUGINS.map(|name| format!("libjanus_{name}.so")).join(",");
    writeln!(text, "plugins: {{\n disable = \"{others}\"\n}}")?;
    let doors = ["http", "rabbitmq", "mqtt", "nanomsg", "pfunix"].map(|name| format!("libjanus_{name}.so")).join(",");
    writeln!(text, "transports: {{\n disable = \"{doors}\"\n}}")?;
    std::fs::write(folder.join("janus.jcfg"), text)?;
    let websockets = format!(
        "general: {{\n json = \"compact\"\n ws = true\n ws_port = {}\n ws_ip = \"{}\"\n}}\n",
        ws.port(),
        ws.ip()
    );
    std::fs::write(folder.join("janus.transport.websockets.jcfg"), websockets)?;
    std::fs::write(folder.join("janus.plugin.videoroom.jcfg"), "general: {\n}\n")?;
    Ok(())
}

/// An address of this machine that is not loopback, if it has one.
fn own_ip() -> Ipv4Addr {
    // No packet is sent: the kernel only chooses the address (RFC 5737 for documentation is never near).
    let chosen = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9))?;
        socket.local_addr()
    });
    match chosen.map(|addr| addr.ip()) {
        Ok(IpAddr::V4(ip)) => ip,
        _ => Ipv4Addr::LOCALHOST,
    }
}
