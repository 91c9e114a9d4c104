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
    /// Relays at which the rooms of this school may be too, for its people at home. A box's; relays are dialled, they dial nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunks: Option<Trunks>,
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
        if !(1..=Self::PARTICIPANTS_MAX).contains(&self.participants_max) {
            return Err(ConfigProblem::Participants(self.participants_max));
        }
        Ok(())
    }
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
        assert!(toml::from_str::<Config>(&format!("participant_max = 1\n{EXAMPLE}")).is_err());
    }
}
