//! What runs where: the nodes of the system on one machine, their folders and ports.

use schulhof_net::media::config::TurnTls;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// This very program, even when its file has been replaced meanwhile: one run is of one version.
pub const OWN_PROGRAM: &str = "/proc/self/exe";
/// Votes are cast by three nodes: one may fail.
pub const CORES: [&str; 3] = ["core-1", "core-2", "core-3"];
pub const RELAY: &str = "relay-1";
/// For both schools, each at a port of its own, so that it works with any host name.
pub const GATEWAY: &str = "gateway-1";
/// Folder of the operator's identity, with which the schools are seeded.
pub const OPERATOR: &str = "operator";
/// Name in the operator's certificate.
pub const OPERATOR_NAME: &str = "up";
pub const CA: &str = "ca";

/// A school and its box.
#[derive(Debug)]
pub struct School {
    /// Also the name of the box.
    pub id: &'static str,
    pub name: &'static str,
    /// Raft data group that holds its log.
    pub group: u32,
    /// Places that the box's own media node has.
    pub participants: u32,
}

/// The demo schools: one whose box carries whole lessons, one whose box is so weak that lessons go to the relay.
pub const SCHOOLS: [School; 2] = [
    School { id: "nord", name: "Gymnasium Nord", group: 1, participants: 200 },
    School { id: "sued", name: "Grundschule Süd", group: 2, participants: 4 },
];

/// Places on the relay: both schools at once and room for homes.
pub const RELAY_PARTICIPANTS: u32 = 500;

/// All ports. Media uses the same number on TCP and UDP, QUIC is UDP, everything else TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub box_http: [u16; 2],
    pub box_media: [u16; 2],
    pub gateway_http: [u16; 2],
    pub relay_media: u16,
    /// TURN over TLS, if there is a certificate for it.
    pub box_turn: [u16; 2],
    pub relay_turn: u16,
    pub core_quic: [u16; 3],
    pub relay_quic: u16,
    pub core_admin: [u16; 3],
    pub relay_admin: u16,
    pub gateway_admin: u16,
    pub box_admin: [u16; 2],
    pub box_media_admin: [u16; 2],
}

impl Ports {
    /// Those that the documentation names.
    pub const FIXED: Self = Self {
        box_http: [8080, 8081],
        box_media: [8480, 8481],
        gateway_http: [8090, 8091],
        relay_media: 8490,
        box_turn: [8580, 8581],
        relay_turn: 8590,
        core_quic: [7101, 7102, 7103],
        relay_quic: 7190,
        core_admin: [9101, 9102, 9103],
        relay_admin: 9190,
        gateway_admin: 9170,
        box_admin: [9180, 9181],
        box_media_admin: [9580, 9581],
    };

    /// How many [`Ports::from_base`] takes.
    pub const COUNT: u16 = 23;

    /// One after the other. `None` if they do not all fit below 65536.
    pub fn from_base(base: u16) -> Option<Self> {
        base.checked_add(Self::COUNT - 1)?;
        let mut next = base..=base + (Self::COUNT - 1);
        let mut take = || next.next().expect("COUNT counts the ports");
        Some(Self {
            box_http: [take(), take()],
            box_media: [take(), take()],
            gateway_http: [take(), take()],
            relay_media: take(),
            box_turn: [take(), take()],
            relay_turn: take(),
            core_quic: [take(), take(), take()],
            relay_quic: take(),
            core_admin: [take(), take(), take()],
            relay_admin: take(),
            gateway_admin: take(),
            box_admin: [take(), take()],
            box_media_admin: [take(), take()],
        })
    }
}

/// The whole system.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Absolute, so that nodes may change their working folder.
    pub dir: PathBuf,
    /// Where boxes and media listen.
    pub listen: IpAddr,
    /// In addresses for browsers.
    pub host: String,
    /// In ICE candidates.
    pub advertise: Vec<IpAddr>,
    /// Folder with the certificate for TURN over TLS, if media nodes are to take it.
    pub turn_tls: Option<PathBuf>,
    pub ports: Ports,
}

impl Layout {
    /// Of a media node, at this port.
    pub fn turn_tls(&self, port: u16) -> Option<TurnTls> {
        let folder = self.turn_tls.as_ref()?;
        Some(TurnTls {
            listen: self.open(port),
            host: self.host.clone(),
            port: None,
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        })
    }

    /// Where a node's media is found by TURN over TLS.
    pub fn turn_port(&self, node: &str) -> Option<u16> {
        self.turn_tls.as_ref()?;
        let of_boxes = SCHOOLS.iter().map(|school| school.id).zip(self.ports.box_turn);
        of_boxes.chain([(RELAY, self.ports.relay_turn)]).find(|(name, _)| *name == node).map(|(_, port)| port)
    }

    /// Folder of a node (or of the CA, or the operator).
    pub fn node(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn config(&self, name: &str) -> PathBuf {
        self.node(name).join("config.toml")
    }

    pub fn identity(&self, name: &str) -> PathBuf {
        self.node(name).join("identity")
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.node(name).join("data")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.node(name).join("log")
    }

    /// Where browsers find a port.
    pub fn public_url(&self, port: u16) -> String {
        format!("http://{}:{port}", self.host)
    }

    /// Where browsers reach nodes.
    pub fn open(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.listen, port)
    }

    /// Between nodes on this machine.
    pub fn inside(port: u16) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
    }

    /// Core nodes with their QUIC addresses.
    pub fn cores(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        CORES.into_iter().zip(self.ports.core_quic.map(Self::inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_from_a_base_are_all_different() {
        let ports = format!("{:?}", Ports::from_base(20_000).unwrap());
        for port in 20_000..20_000 + Ports::COUNT {
            assert_eq!(ports.matches(&port.to_string()).count(), 1, "{port} in {ports}");
        }
        assert_eq!(Ports::from_base(65_530), None);
    }
}
