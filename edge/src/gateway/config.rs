//! The gateway's configuration: one documented struct, read whole before anything is bound. Unknown keys are refused.

use crate::config::{CORES_MAX, ConfigProblem, Core, RELAYS_MAX, Relay, STORE_CACHE_MIB_MAX, Tls, origin};
use schulhof_placement::{PublicKey, TicketKeys};
use schulhof_wire::{NodeName, SchoolId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

/// Schools of one gateway: every school of a country, with room.
pub const SCHOOLS_MAX: usize = 8_192;
/// Schools open at once: the core gives a gateway so many streams on a connection; each costs two threads and a file.
pub const OPEN_MAX: usize = 2_048;
/// Addresses to listen at.
pub const LISTENERS_MAX: usize = 64;

/// Everything a gateway is told. Paths are relative to the working folder unless absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Must be the name in its certificate.
    pub name: NodeName,
    /// Where browsers reach it (TCP), 1 to [`LISTENERS_MAX`] addresses; each serves every school.
    pub http: Vec<SocketAddr>,
    /// The address that browsers use, with `{school}` for the school, such as `https://{school}.gateway.example`. Default:
    /// none, then each school has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Certificate and key for HTTPS, for all of these names. Default: plain HTTP, for loopback or behind a proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Folder of the schools' files.
    pub data: PathBuf,
    /// MiB that the files of closed schools may take before the longest unused ones are removed, at least 1. Open schools
    /// and those with operations that wait count, and are never removed. Default 20,480: some 200 schools and years.
    #[serde(default = "disk_mib")]
    pub disk_mib: u64,
    /// Schools that are open at once, 1 to [`OPEN_MAX`]. Each takes about `store_cache_mib` and two threads. Default 200.
    #[serde(default = "open_max")]
    pub open_max: usize,
    /// Seconds without a request or an open page after which a school is closed, 1 or more. Default 600.
    #[serde(default = "idle_s")]
    pub idle_s: u64,
    /// Memory in MiB for the store's pages of one school, 1 to 1024. Default 8.
    #[serde(default = "store_cache_mib")]
    pub store_cache_mib: usize,
    /// Folder with `ca.pem`, `cert.pem`, `key.pem` and `ticket.pk8` (with which tickets for conferences are signed).
    pub identity: PathBuf,
    /// Loopback listener for metrics, health and status (TCP).
    pub admin: SocketAddr,
    /// Core nodes; any one is enough to find the others' leader. At most [`CORES_MAX`].
    pub core: Vec<Core>,
    /// Cloud relays, tried in this order. At most [`RELAYS_MAX`]. Default: none, no conferences.
    #[serde(default)]
    pub relay: Vec<Relay>,
    /// The schools, at most [`SCHOOLS_MAX`].
    pub school: Vec<School>,
}

/// A school that the gateway serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct School {
    pub id: SchoolId,
    /// The address that its browsers use, without a slash at the end. Default: from `url` of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Public ticket keys of its box (base64url), which sign passes. Default: none, people sign in here.
    #[serde(default)]
    pub keys: Vec<PublicKey>,
    /// Origins of its box's pages, which may come here with a pass. Default: none.
    #[serde(default)]
    pub boxes: Vec<String>,
}

fn disk_mib() -> u64 {
    20 << 10
}

fn open_max() -> usize {
    200
}

fn idle_s() -> u64 {
    600
}

fn store_cache_mib() -> usize {
    8
}

/// What no single field can tell.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Problem {
    #[error(transparent)]
    Node(#[from] ConfigProblem),
    #[error("{field}: {least} to {most}, not {value}")]
    Bounds { field: &'static str, least: u64, most: u64, value: u64 },
    #[error("school {0}: it has no url, and the gateway's url is not set")]
    NoUrl(SchoolId),
    #[error("url: {0:?} has no {{school}} in it, all schools would have the same address")]
    NoPlaceholder(String),
    #[error("school {0}: named twice")]
    Twice(SchoolId),
    #[error("school {0}: {1} is the address of another school, too")]
    SameUrl(SchoolId, String),
}

impl Config {
    /// The address of a school for browsers.
    pub fn school_url(&self, school: &School) -> Option<String> {
        let from_pattern = || Some(self.url.as_ref()?.replace("{school}", school.id.as_str()));
        school.url.clone().or_else(from_pattern)
    }

    /// With which the schools' passes are signed.
    pub fn pass_keys(&self) -> TicketKeys {
        let pairs = self.school.iter().flat_map(|school| school.keys.iter().map(|key| (school.id.clone(), *key)));
        pairs.collect()
    }

    /// Checks what serde cannot.
    pub fn check(&self) -> Result<(), Problem> {
        let bounds = |field, least, most, value| {
            if (least..=most).contains(&value) { Ok(()) } else { Err(Problem::Bounds { field, least, most, value }) }
        };
        bounds("http (addresses)", 1, LISTENERS_MAX as u64, self.http.len() as u64)?;
        bounds("core (nodes)", 1, CORES_MAX as u64, self.core.len() as u64)?;
        bounds("relay (nodes)", 0, RELAYS_MAX as u64, self.relay.len() as u64)?;
        bounds("school (schools)", 0, SCHOOLS_MAX as u64, self.school.len() as u64)?;
        bounds("open_max", 1, OPEN_MAX as u64, self.open_max as u64)?;
        bounds("idle_s", 1, u64::MAX / 1_000, self.idle_s)?;
        bounds("disk_mib", 1, u64::MAX >> 20, self.disk_mib)?;
        bounds("store_cache_mib", 1, STORE_CACHE_MIB_MAX as u64, self.store_cache_mib as u64)?;
        if let Some(url) = self.url.as_ref().filter(|url| !url.contains("{school}")) {
            return Err(Problem::NoPlaceholder(url.clone()));
        }
        for relay in &self.relay {
            origin("relay.url", &relay.url)?;
        }
        let (mut ids, mut urls) = (BTreeSet::new(), BTreeSet::new());
        for school in &self.school {
            let url = self.school_url(school).ok_or_else(|| Problem::NoUrl(school.id.clone()))?;
            origin("school.url", &url)?;
            for page in &school.boxes {
                origin("school.boxes", page)?;
            }
            if url.starts_with("https://")
                && self.tls.is_none()
                && self.http.iter().any(|http| !http.ip().is_loopback())
            {
                return Err(ConfigProblem::PlainHttps.into());
            }
            if !ids.insert(&school.id) {
                return Err(Problem::Twice(school.id.clone()));
            }
            if !urls.insert(url.to_ascii_lowercase()) {
                return Err(Problem::SameUrl(school.id.clone(), url));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Config {
        toml::from_str(
            r#"
            name = "gateway-1"
            http = ["127.0.0.1:0"]
            url = "https://{school}.gateway.example"
            data = "data"
            identity = "identity"
            admin = "127.0.0.1:0"
            core = [{ name = "core-1", addr = "127.0.0.1:7101" }]
            [[school]]
            id = "nord"
            boxes = ["https://nord.example"]
            [[school]]
            id = "sued"
            url = "http://localhost:8091"
            "#,
        )
        .expect("the example is valid")
    }

    #[test]
    fn a_school_has_its_own_address_or_the_one_from_the_pattern() {
        let config = example();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.school_url(&config.school[0]).as_deref(), Some("https://nord.gateway.example"));
        assert_eq!(config.school_url(&config.school[1]).as_deref(), Some("http://localhost:8091"));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn what_would_mix_up_schools_is_refused() {
        let mut config = example();
        config.school[1].url = Some("https://NORD.gateway.example".to_owned());
        assert!(matches!(config.check(), Err(Problem::SameUrl(..))), "{:?}", config.check());
        config.school[1].url = None;
        assert_eq!(config.check(), Ok(()));
        config.school[1].id = config.school[0].id.clone();
        assert!(matches!(config.check(), Err(Problem::Twice(_))));
        let config = Config { url: Some("https://gateway.example".to_owned()), ..example() };
        assert!(matches!(config.check(), Err(Problem::NoPlaceholder(_))));
        let config = Config { url: None, ..example() };
        assert!(matches!(config.check(), Err(Problem::NoUrl(_))));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let config = Config { open_max: OPEN_MAX + 1, ..example() };
        let problem = config.check().unwrap_err().to_string();
        assert_eq!(problem, format!("open_max: 1 to {OPEN_MAX}, not {}", OPEN_MAX + 1));
    }
}
