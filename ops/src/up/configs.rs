//! The nodes' configuration files, from the structs that the nodes themselves read. Written anew at each start: ports and
//! addresses follow the options of `up`.

use super::layout::{CORES, Layout, OWN_PROGRAM, RELAY, RELAY_PARTICIPANTS, SCHOOLS};
use anyhow::Context as _;
use schulhof_placement::{Budget, TicketKeys};
use schulhof_wire::{NodeName, SchoolId, ticket::NodeKind};
use serde::Serialize;
use std::{fs, path::Path};

/// Data groups, in which each school has its place.
const GROUPS: u32 = 4;
/// As in production: an election takes one to two seconds.
const HEARTBEAT_MS: u64 = 300;
const PURGE_EVERY: u64 = 10_000;
/// Three nodes share this machine with everything else.
const STATE_CACHE_MIB: usize = 32;

const HEADER: &str = "# Written by `schulhof up` at each start; changes made here are lost.\n";

/// Writes all of them.
pub fn write(layout: &Layout, ticket_keys: &TicketKeys) -> anyhow::Result<()> {
    for index in 0..CORES.len() {
        let config = core(layout, index)?;
        save(&layout.config(config.name.as_str()), &config)?;
    }
    save(&layout.config(RELAY), &relay(layout, ticket_keys)?)?;
    for (index, school) in SCHOOLS.iter().enumerate() {
        save(&layout.config(school.id), &edge(layout, index)?)?;
    }
    Ok(())
}

fn save(path: &Path, config: &impl Serialize) -> anyhow::Result<()> {
    let context = || path.display().to_string();
    let text = toml::to_string(config).with_context(context)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(context)?;
    }
    fs::write(path, format!("{HEADER}{text}")).with_context(context)
}

fn core(layout: &Layout, index: usize) -> anyhow::Result<schulhof_core::Config> {
    use schulhof_core::config::{Config, Node, School};
    let name = NodeName::new(CORES[index])?;
    let node = |(n, (name, addr))| Ok(Node { id: n, name: NodeName::new(name)?, addr });
    let school = |school: &super::layout::School| {
        Ok(School { id: SchoolId::new(school.id)?, name: Some(school.name.to_owned()), group: school.group })
    };
    Ok(Config {
        identity: layout.identity(CORES[index]),
        data: layout.data(CORES[index]),
        quic: Layout::inside(layout.ports.core_quic[index]),
        admin: Layout::inside(layout.ports.core_admin[index]),
        groups: GROUPS,
        heartbeat_ms: HEARTBEAT_MS,
        purge_every: PURGE_EVERY,
        state_cache_mib: STATE_CACHE_MIB,
        objects: schulhof_core::objects::Config::default(),
        nodes: (1..).zip(layout.cores()).map(node).collect::<anyhow::Result<_>>()?,
        schools: SCHOOLS.iter().map(school).collect::<anyhow::Result<_>>()?,
        name,
    })
}

fn relay(layout: &Layout, ticket_keys: &TicketKeys) -> anyhow::Result<schulhof_core::relay::Config> {
    Ok(schulhof_core::relay::Config {
        identity: layout.identity(RELAY),
        data: layout.data(RELAY),
        quic: Layout::inside(layout.ports.relay_quic),
        packets_per_s: None,
        bits_per_s: None,
        media: schulhof_net::media::Config {
            name: NodeName::new(RELAY)?,
            kind: NodeKind::Relay,
            listen: layout.open(layout.ports.relay_media),
            advertise: layout.advertise.clone(),
            url: layout.public_url(layout.ports.relay_media),
            ticket_keys: ticket_keys.clone(),
            participants_max: RELAY_PARTICIPANTS,
            admin: Layout::inside(layout.ports.relay_admin),
        },
    })
}

fn edge(layout: &Layout, index: usize) -> anyhow::Result<schulhof_edge::Config> {
    let school = &SCHOOLS[index];
    let media_port = layout.ports.box_media[index];
    let cores = layout.cores().map(|(name, addr)| Ok(schulhof_edge::config::Core { name: NodeName::new(name)?, addr }));
    Ok(schulhof_edge::Config {
        name: NodeName::new(school.id)?,
        http: layout.open(layout.ports.box_http[index]),
        public_url: layout.public_url(layout.ports.box_http[index]),
        allowed_origins: Vec::new(),
        tls: None,
        data: layout.data(school.id),
        store_cache_mib: 16,
        gateway: None,
        identity: layout.identity(school.id),
        admin: Layout::inside(layout.ports.box_admin[index]),
        core: cores.collect::<anyhow::Result<_>>()?,
        relay: vec![schulhof_edge::config::Relay {
            name: NodeName::new(RELAY)?,
            addr: Layout::inside(layout.ports.relay_quic),
            url: layout.public_url(layout.ports.relay_media),
        }],
        media: Some(schulhof_edge::config::Media {
            listen: layout.open(media_port),
            url: layout.public_url(media_port),
            advertise: layout.advertise.clone(),
            admin: Layout::inside(layout.ports.box_media_admin[index]),
            budget: Budget::of_participants(school.participants),
            command: Some(vec![OWN_PROGRAM.to_owned()]),
        }),
    })
}
