//! The media node's configuration.

use schulhof_placement::TicketKeys;
use schulhof_wire::{NodeName, SchoolId, ticket::NodeKind};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// Everything a media node is told. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This node's name, as tickets name it.
    pub name: NodeName,
    /// `box` in a school, `relay` in the cloud: shown to the people in the room.
    pub kind: NodeKind,
    /// HTTP on TCP and media on UDP, the same number; media on TCP too, for those whose network takes no UDP: let both
    /// through the firewall. Port 0 takes one that is free for both.
    pub listen: SocketAddr,
    /// Addresses put into ICE candidates, with the port of `listen`; those that browsers reach. At most
    /// [`Self::ADVERTISE_MAX`]. Default: 127.0.0.1. Each costs a browser a few connectivity checks.
    #[serde(default = "loopback")]
    pub advertise: Vec<IpAddr>,
    /// Where browsers reach the HTTP door, without a slash at the end.
    pub url: String,
    /// The schools served: school -> its public ticket key (base64url).
    pub ticket_keys: TicketKeys,
    /// Most connections at once, over all rooms. Default 500; 80 kB of memory each, and at full cameras 0.3 % of a core.
    #[serde(default = "participants_max")]
    pub participants_max: u32,
    /// Loopback listener for metrics, health and status (TCP).
    pub admin: SocketAddr,
    /// TURN over TLS, for networks that let nothing through but TLS to one port. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_tls: Option<TurnTls>,
    /// Relays at which the rooms of this school may be too, for its people at home. A box's; relays are dialled, they dial nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunks: Option<Trunks>,
}

/// A port that browsers reach where no other is open. It relays to this node's own media addresses and to nothing else. The
/// port is its own: HTTPS cannot share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnTls {
    /// TCP; 443 is what closed networks let through. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The name in the certificate, by which browsers reach the port.
    pub host: String,
    /// The port that browsers are told. Default: that of `listen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The certificate and those between it and a root that browsers know, in PEM; read anew while the process runs.
    pub cert: PathBuf,
    /// Its key in PEM.
    pub key: PathBuf,
}

/// Connections to relays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trunks {
    /// Folder with the box's certificate, read anew for each connection: it is renewed while the process runs.
    pub identity: PathBuf,
    pub school: SchoolId,
    /// What the school's line may carry towards the relays, in kbit/s over all rooms. Default: not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink_kbit_s: Option<u32>,
    pub relays: Vec<Relay>,
}

/// A relay's QUIC address and the name in its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    pub name: NodeName,
    pub addr: SocketAddr,
}

fn loopback() -> Vec<IpAddr> {
    vec![Ipv4Addr::LOCALHOST.into()]
}

fn participants_max() -> u32 {
    500
}

/// What no single field can tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    #[error("kind: a gateway carries no media, this must be box or relay")]
    Kind,
    #[error("advertise: name 1 to {max} addresses, there are {0}", max = Config::ADVERTISE_MAX)]
    Advertise(usize),
    #[error("advertise: {0} cannot be reached by anybody")]
    Unspecified(IpAddr),
    #[error("turn_tls.host: {0:?} is no name of a host")]
    Host(String),
    #[error("participants_max: 1 to {max}, not {0}", max = Config::PARTICIPANTS_MAX)]
    Participants(u32),
}

impl Config {
    pub const ADVERTISE_MAX: usize = 8;
    /// One worker thread carries some 300,000 packets/s: at audio and one small picture each, 1,500 people.
    pub const PARTICIPANTS_MAX: u32 = 2_000;

    /// Checks what serde cannot.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        if self.kind == NodeKind::Gateway {
            return Err(ConfigProblem::Kind);
        }
        if self.advertise.is_empty() || self.advertise.len() > Self::ADVERTISE_MAX {
            return Err(ConfigProblem::Advertise(self.advertise.len()));
        }
        if let Some(ip) = self.advertise.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(ConfigProblem::Unspecified(*ip));
        }
        let host = self.turn_tls.as_ref().map(|turn| &turn.host);
        if let Some(host) = host.filter(|host| !is_host(host)) {
            return Err(ConfigProblem::Host(host.clone()));
        }
        if !(1..=Self::PARTICIPANTS_MAX).contains(&self.participants_max) {
            return Err(ConfigProblem::Participants(self.participants_max));
        }
        Ok(())
    }
}

/// It becomes a part of an address (RFC 7065).
fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    (1..=253).contains(&host.len()) && host.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
        name = "nord"
        kind = "box"
        listen = "127.0.0.1:8480"
        url = "http://localhost:8480"
        admin = "127.0.0.1:9580"
        [ticket_keys]
        nord = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    "#;

    #[test]
    fn the_example_is_accepted_and_survives_writing() {
        let config: Config = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.participants_max, 500);
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_bound() {
        let good: Config = toml::from_str(EXAMPLE).unwrap();
        let nowhere = Config { advertise: vec!["0.0.0.0".parse().unwrap()], ..good.clone() };
        assert!(matches!(nowhere.check(), Err(ConfigProblem::Unspecified(_))));
        assert_eq!(Config { advertise: vec![], ..good.clone() }.check(), Err(ConfigProblem::Advertise(0)));
        assert_eq!(Config { participants_max: 0, ..good.clone() }.check(), Err(ConfigProblem::Participants(0)));
        assert_eq!(Config { kind: NodeKind::Gateway, ..good.clone() }.check(), Err(ConfigProblem::Kind));
        let turn = |host: &str| TurnTls {
            listen: "127.0.0.1:0".parse().unwrap(),
            host: host.into(),
            port: None,
            cert: "cert.pem".into(),
            key: "key.pem".into(),
        };
        for (host, good) in [("media.school.example", true), ("", false), ("a:1?transport=udp", false)] {
            let config: Config = toml::from_str(EXAMPLE).unwrap();
            assert_eq!(Config { turn_tls: Some(turn(host)), ..config }.check().is_ok(), good, "{host}");
        }
        assert!(toml::from_str::<Config>(&format!("participant_max = 1\n{EXAMPLE}")).is_err());
    }
}
