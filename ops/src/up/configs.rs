//! The nodes' configuration files, from the structs that the nodes themselves read. Written anew at each start: ports and
//! addresses follow the options of `up`.

use super::identities::Keys;
use super::layout::{CORES, GATEWAY, Layout, OWN_PROGRAM, RELAY, RELAY_PARTICIPANTS, SCHOOLS};
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
const KEEP_ENTRIES: u64 = 50_000;
const KEEP_DAYS: u32 = 14;
const SNAPSHOT_EVERY: u64 = 10_000;
/// Three nodes share this machine with everything else.
const STATE_CACHE_MIB: usize = 32;

const HEADER: &str = "# Written by `schulhof up` at each start; changes made here are lost.\n";

/// Writes all of them.
pub fn write(layout: &Layout, keys: &Keys) -> anyhow::Result<()> {
    for index in 0..CORES.len() {
        let config = core(layout, index)?;
        save(&layout.config(config.name.as_str()), &config)?;
    }
    save(&layout.config(RELAY), &relay(layout, &keys.tickets)?)?;
    save(&layout.config(GATEWAY), &gateway(layout, &keys.boxes)?)?;
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
        keep_entries: KEEP_ENTRIES,
        keep_days: KEEP_DAYS,
        snapshot_every: SNAPSHOT_EVERY,
        state_cache_mib: STATE_CACHE_MIB,
        objects: schulhof_core::objects::Config::default(),
        join: false,
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
            trunks: None,
            turn_tls: layout.turn_tls(layout.ports.relay_turn),
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

fn gateway(layout: &Layout, keys: &TicketKeys) -> anyhow::Result<schulhof_edge::gateway::Config> {
    use schulhof_edge::gateway::config::{Config, School};
    let school = |(index, school): (usize, &super::layout::School)| {
        let id = SchoolId::new(school.id)?;
        Ok(School {
            url: Some(layout.public_url(layout.ports.gateway_http[index])),
            keys: keys.get(&id).map(<[_]>::to_vec).unwrap_or_default(),
            boxes: vec![layout.public_url(layout.ports.box_http[index])],
            id,
        })
    };
    Ok(Config {
        name: NodeName::new(GATEWAY)?,
        http: layout.ports.gateway_http.map(|port| layout.open(port)).to_vec(),
        url: None,
        tls: None,
        data: layout.data(GATEWAY),
        disk_mib: 2_048,
        open_max: SCHOOLS.len(),
        idle_s: 600,
        store_cache_mib: 8,
        identity: layout.identity(GATEWAY),
        admin: Layout::inside(layout.ports.gateway_admin),
        core: edge_cores(layout)?,
        relay: vec![edge_relay(layout)?],
        school: SCHOOLS.iter().enumerate().map(school).collect::<anyhow::Result<_>>()?,
    })
}

fn edge_cores(layout: &Layout) -> anyhow::Result<Vec<schulhof_edge::config::Core>> {
    layout.cores().map(|(name, addr)| Ok(schulhof_edge::config::Core { name: NodeName::new(name)?, addr })).collect()
}

fn edge_relay(layout: &Layout) -> anyhow::Result<schulhof_edge::config::Relay> {
    Ok(schulhof_edge::config::Relay {
        name: NodeName::new(RELAY)?,
        addr: Layout::inside(layout.ports.relay_quic),
        url: layout.public_url(layout.ports.relay_media),
    })
}

fn edge(layout: &Layout, index: usize) -> anyhow::Result<schulhof_edge::Config> {
    let school = &SCHOOLS[index];
    let media_port = layout.ports.box_media[index];
    Ok(schulhof_edge::Config {
        name: NodeName::new(school.id)?,
        http: layout.open(layout.ports.box_http[index]),
        public_url: layout.public_url(layout.ports.box_http[index]),
        allowed_origins: Vec::new(),
        tls: None,
        data: layout.data(school.id),
        store_cache_mib: 16,
        blob_cache_mib: 256,
        gateway: Some(layout.public_url(layout.ports.gateway_http[index])),
        timetable_folder: Some(layout.data(school.id).join("timetable")),
        identity: layout.identity(school.id),
        admin: Layout::inside(layout.ports.box_admin[index]),
        core: edge_cores(layout)?,
        relay: vec![edge_relay(layout)?],
        media: Some(schulhof_edge::config::Media {
            uplink_kbit_s: None,
            turn_tls: layout.turn_tls(layout.ports.box_turn[index]),
            listen: layout.open(media_port),
            url: layout.public_url(media_port),
            advertise: layout.advertise.clone(),
            admin: Layout::inside(layout.ports.box_media_admin[index]),
            budget: Budget::of_participants(school.participants),
            command: Some(vec![OWN_PROGRAM.to_owned()]),
        }),
    })
}
