//! The box's configuration: one documented struct, read whole before anything is bound. Unknown keys are refused.

use crate::app::Site;
use schulhof_placement::Budget;
use schulhof_wire::{NodeName, SchoolId, ticket::NodeKind};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// Everything a box is told. Paths are relative to the working folder unless absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the box, and of the one school it serves. Must be the name in its certificate.
    pub name: NodeName,
    /// Where browsers reach the box (TCP). Port 0 takes a free one.
    pub http: SocketAddr,
    /// The address that browsers use, without a slash at the end, such as `https://schule.example` or
    /// `http://localhost:8080`. Decides the cookie's name and whether it is `Secure`.
    pub public_url: String,
    /// Further origins whose pages may write, such as a second name of the box. Default: none.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Certificate and key for HTTPS. Default: plain HTTP, for loopback or behind a proxy that ends TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Folder of outbox, state and cache: 100 MB per school and year, and up to 64 MB of cache.
    pub data: PathBuf,
    /// Memory in MiB for the store's pages, 1 to 1024. Default 16: what is asked for often, at any size of the school.
    #[serde(default = "store_cache_mib")]
    pub store_cache_mib: usize,
    /// Disk in MiB for copies of messages' files, 16 to 1,048,576. Default 2048: what a school of a thousand looks at in a few
    /// weeks. What the core does not have yet comes on top.
    #[serde(default = "blob_cache_mib")]
    pub blob_cache_mib: u64,
    /// Folder with `ca.pem`, `cert.pem`, `key.pem` and `ticket.pk8`.
    pub identity: PathBuf,
    /// Loopback listener for metrics, health and status (TCP).
    pub admin: SocketAddr,
    /// Core nodes; any one is enough to find the others' leader. At most [`CORES_MAX`].
    pub core: Vec<Core>,
    /// Cloud relays, tried in this order when the box's own media node is full. At most [`RELAYS_MAX`]. Default: none.
    #[serde(default)]
    pub relay: Vec<Relay>,
    /// The gateway that browsers turn to when they cannot reach the box: its origin for this school, such as
    /// `http://nord.localhost:8090`; `{school}` stands for the school. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Folder in which a timetable program leaves its files (`GPU001.TXT` and others), which the box then applies by itself once an
    /// admin has switched that on. Only read from. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timetable_folder: Option<PathBuf>,
    /// The box's media process. Default: none, every conference goes to a relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Media>,
}

/// A school's data group has 3 or 5 nodes; more names than this are a mistake in the file.
pub const CORES_MAX: usize = 32;
/// Each relay that refuses costs a request's time before the next is asked.
pub const RELAYS_MAX: usize = 8;

/// Bounds of [`Config::blob_cache_mib`]: a few of the largest files, a terabyte.
pub const BLOB_CACHE_MIB: std::ops::RangeInclusive<u64> = 16..=1 << 20;

/// More memory than this would hold a whole school.
pub const STORE_CACHE_MIB_MAX: usize = 1_024;

/// Certificate chain and key in PEM form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A node of the core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Core {
    /// The name in its certificate.
    pub name: NodeName,
    /// QUIC (UDP).
    pub addr: SocketAddr,
}

/// A relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// The name in its certificate and in tickets.
    pub name: NodeName,
    /// Reservations over QUIC (UDP).
    pub addr: SocketAddr,
    /// Where browsers reach its media door, without a slash at the end.
    pub url: String,
}

/// The media process that the box starts and keeps running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// HTTP (TCP) and media (UDP), same number. The process binds it, so it must not be 0.
    pub listen: SocketAddr,
    /// Where browsers reach it, without a slash at the end.
    pub url: String,
    /// Addresses put into ICE candidates. Default: 127.0.0.1.
    #[serde(default = "loopback")]
    pub advertise: Vec<IpAddr>,
    /// The process's own loopback listener for metrics, health and status.
    pub admin: SocketAddr,
    /// What this box can forward: `participants`, and if measured `packets_per_s` and `bits_per_s`. A room that does
    /// not fit whole goes to a relay.
    pub budget: Budget,
    /// What the school's line may carry towards the relays, in kbit/s over all rooms, when people at home see and hear those in the
    /// building. Some less than the line has upstream: other traffic goes over it too. Default: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink_kbit_s: Option<u32>,
    /// TURN over TLS, for networks that let nothing through but TLS to one port. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_tls: Option<schulhof_net::media::config::TurnTls>,
    /// The command to run, with arguments; ` media --config FILE` is added. Default: this very program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

pub(crate) fn store_cache_mib() -> usize {
    crate::store::MEMORY_BYTES >> 20
}

pub(crate) fn blob_cache_mib() -> u64 {
    2_048
}

fn loopback() -> Vec<IpAddr> {
    vec![IpAddr::from([127, 0, 0, 1])]
}

/// What no single field can tell.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigProblem {
    #[error("{field}: {value:?} is not an origin such as http://localhost:8080 (no path, no slash at the end)")]
    NotAnOrigin { field: &'static str, value: String },
    #[error("core: name 1 to {CORES_MAX} core nodes, there are {0}")]
    Cores(usize),
    #[error("relay: at most {RELAYS_MAX} relays, there are {0}")]
    Relays(usize),
    #[error("media.listen: the port must be chosen, it is part of media.url")]
    MediaPort,
    #[error("store_cache_mib: 1 to {STORE_CACHE_MIB_MAX}, not {0}")]
    StoreCache(usize),
    #[error("blob_cache_mib: {} to {}, not {given}", BLOB_CACHE_MIB.start(), BLOB_CACHE_MIB.end())]
    BlobCache { given: u64 },
    #[error("media.command: must not be empty")]
    MediaCommand,
    #[error("public_url says https, but neither tls is configured nor is http a loopback address for a proxy")]
    PlainHttps,
}

impl Config {
    /// The school: a box serves the one whose name it bears.
    pub fn school(&self) -> SchoolId {
        SchoolId::new(self.name.as_str()).expect("node names and school ids have the same characters")
    }

    /// The gateway's origin for this school.
    pub fn gateway_url(&self) -> Option<String> {
        self.gateway.as_ref().map(|url| url.replace("{school}", self.name.as_str()))
    }

    /// What the doors need to know.
    pub fn site(&self) -> Site {
        let media = self.media.iter().map(|media| &media.url).chain(self.relay.iter().map(|relay| &relay.url));
        Site {
            name: self.name.clone(),
            kind: NodeKind::Box,
            school: self.school(),
            origin: self.public_url.clone(),
            allowed_origins: self.allowed_origins.clone(),
            connects: media.cloned().chain(self.gateway_url()).collect(),
        }
    }

    /// Whether browsers come by HTTPS.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// Checks what serde cannot.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        origin("public_url", &self.public_url)?;
        for allowed in &self.allowed_origins {
            origin("allowed_origins", allowed)?;
        }
        for relay in &self.relay {
            origin("relay.url", &relay.url)?;
        }
        if let Some(gateway) = self.gateway_url() {
            origin("gateway", &gateway)?;
        }
        if self.core.is_empty() || self.core.len() > CORES_MAX {
            return Err(ConfigProblem::Cores(self.core.len()));
        }
        if !(1..=STORE_CACHE_MIB_MAX).contains(&self.store_cache_mib) {
            return Err(ConfigProblem::StoreCache(self.store_cache_mib));
        }
        if !BLOB_CACHE_MIB.contains(&self.blob_cache_mib) {
            return Err(ConfigProblem::BlobCache { given: self.blob_cache_mib });
        }
        if self.relay.len() > RELAYS_MAX {
            return Err(ConfigProblem::Relays(self.relay.len()));
        }
        if let Some(media) = &self.media {
            origin("media.url", &media.url)?;
            if media.listen.port() == 0 {
                return Err(ConfigProblem::MediaPort);
            }
            if media.command.as_ref().is_some_and(Vec::is_empty) {
                return Err(ConfigProblem::MediaCommand);
            }
        }
        if self.is_https() && self.tls.is_none() && !self.http.ip().is_loopback() {
            return Err(ConfigProblem::PlainHttps);
        }
        Ok(())
    }
}

/// Whether a value is an origin, without a slash at the end.
pub(crate) fn origin(field: &'static str, value: &str) -> Result<(), ConfigProblem> {
    let host = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    match host {
        Some(host) if !host.is_empty() && host.bytes().all(is_host_byte) => Ok(()),
        _ => Err(ConfigProblem::NotAnOrigin { field, value: value.to_owned() }),
    }
}

/// What a host with a port consists of, IPv6 in brackets included. Keeps the policy header's syntax out of reach.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Config {
        toml::from_str(
            r#"
            name = "nord"
            http = "127.0.0.1:0"
            public_url = "http://localhost:8080"
            data = "data"
            identity = "identity"
            admin = "127.0.0.1:0"
            core = [{ name = "core-1", addr = "127.0.0.1:7101" }]
            relay = [{ name = "relay-1", addr = "127.0.0.1:7190", url = "http://localhost:8490" }]
            gateway = "http://{school}.localhost:8090"
            [media]
            listen = "127.0.0.1:8480"
            url = "http://localhost:8480"
            admin = "127.0.0.1:9580"
            budget = { participants = 30 }
            "#,
        )
        .expect("the example is valid")
    }

    #[test]
    fn the_example_is_accepted_and_survives_writing() {
        let config = example();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.media.as_ref().unwrap().advertise, loopback());
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = toml::from_str::<Config>("nmae = \"nord\"").unwrap_err().to_string();
        assert!(error.contains("nmae"), "{error}");
    }

    #[test]
    fn what_cannot_be_an_origin_is_refused() {
        for value in ["localhost:8080", "http://a/", "http://", "http://a b", "http://a;script-src *"] {
            let config = Config { public_url: value.to_owned(), ..example() };
            assert!(matches!(config.check(), Err(ConfigProblem::NotAnOrigin { .. })), "{value}");
        }
    }

    #[test]
    fn https_without_tls_is_for_a_proxy_on_the_same_machine_only() {
        let mut config = Config { public_url: "https://schule.example".to_owned(), ..example() };
        assert_eq!(config.check(), Ok(()));
        config.http = "0.0.0.0:443".parse().unwrap();
        assert_eq!(config.check(), Err(ConfigProblem::PlainHttps));
    }
}
