//! A box in a folder of its own, from unpacking on: as long as it has no certificate it serves the first-run page, then it
//! writes its configuration and is a box, without anybody starting it again.

use super::{page, setup};
use crate::config::{self, Config, Core, Media};
use anyhow::Context as _;
use schulhof_net::{bind, observe};
use schulhof_placement::Budget;
use schulhof_wire::NodeName;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// In the folder.
pub const CONFIG_FILE: &str = "box.toml";
const IDENTITY: &str = "identity";
const DATA: &str = "data";
/// Places of a box that has not been measured: a class. Its configuration says more once it is known to carry more.
const PARTICIPANTS: u32 = 30;
const HEADER: &str = "# Written when this box joined. Change what you like; it is not written again.\n";

/// Where a new box listens.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    pub http: SocketAddr,
    /// Media (TCP and UDP). None: lessons go over relays.
    pub media_port: Option<u16>,
    /// For operators, on loopback.
    pub admin: SocketAddr,
    pub media_admin: SocketAddr,
}

/// Runs the box in the folder until it is told to stop.
pub async fn run(dir: PathBuf, listen: Listen) -> anyhow::Result<()> {
    let path = dir.join(CONFIG_FILE);
    if !path.exists() && setup::has_joined(&dir.join(IDENTITY)) {
        // It fell between the last two steps; under which name browsers come is not known any more.
        let enrolled = setup::enrolled(&dir.join(IDENTITY))?;
        let host = format!("localhost:{}", listen.http.port());
        write(&path, &config(&dir, &listen, &page::Arrived { enrolled, host }).await?)?;
    }
    if !path.exists() {
        let stopped = observe::shutdown_signal();
        let listener = bind::tcp(listen.http, "the first-run page")?;
        let http = listener.local_addr()?;
        tracing::info!(%http, "this box belongs to no core yet: open its page and paste an invitation");
        let identity = dir.join(IDENTITY);
        let arrived = tokio::select! {
            arrived = page::until_joined(listener, &identity) => arrived?,
            () = stopped => return Ok(()),
        };
        tracing::info!(school = %arrived.enrolled.school, words = arrived.enrolled.words, "the box has joined");
        // Port 0 was the first listener's choice: the browsers know that one by now.
        let config = config(&dir, &Listen { http, ..listen }, &arrived).await?;
        write(&path, &config)?;
    }
    crate::run(schulhof_net::config::load(&path)?).await
}

async fn config(dir: &Path, listen: &Listen, arrived: &page::Arrived) -> anyhow::Result<Config> {
    let setup::Enrolled { school, core, .. } = &arrived.enrolled;
    let mut cores = Vec::new();
    for node in core {
        let mut found = tokio::net::lookup_host(&node.addr).await.with_context(|| node.addr.clone())?;
        let addr = found.next().with_context(|| format!("{} has no address", node.addr))?;
        cores.push(Core { name: node.name.clone(), addr });
    }
    let name = match arrived.host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => &arrived.host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let media = listen.media_port.map(|port| Media {
        uplink_kbit_s: None,
        turn_tls: None,
        listen: SocketAddr::new(listen.http.ip(), port),
        url: format!("http://{name}:{port}"),
        advertise: vec![address.unwrap_or(Ipv4Addr::LOCALHOST.into())],
        admin: listen.media_admin,
        budget: Budget::of_participants(PARTICIPANTS),
        command: None,
    });
    let config = Config {
        name: NodeName::new(school.as_str())?,
        http: listen.http,
        public_url: format!("http://{}", arrived.host),
        allowed_origins: Vec::new(),
        tls: None,
        data: dir.join(DATA),
        store_cache_mib: config::store_cache_mib(),
        blob_cache_mib: config::blob_cache_mib(),
        identity: dir.join(IDENTITY),
        admin: listen.admin,
        core: cores,
        relay: Vec::new(),
        gateway: None,
        timetable_folder: None,
        media,
    };
    config.check()?;
    Ok(config)
}

/// Whole or not at all: with it the box counts as set up.
fn write(path: &Path, config: &Config) -> anyhow::Result<()> {
    let text = format!("{HEADER}{}", toml::to_string(config)?);
    let beside = path.with_extension("new");
    let write = || {
        std::fs::write(&beside, text)?;
        std::fs::File::open(&beside)?.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| path.display().to_string())
}
