//! Folders, ports, identities and configuration files. The files are written as text, as an operator writes them: what is
//! not said has the product's default.

use super::{CORES, Plan};
use crate::process::free_port;
use anyhow::Context as _;
use schulhof_net::identity::{Ca, Role};
use schulhof_ops::up::ports::{self, Claim};
use schulhof_placement::TicketKey;
use schulhof_wire::SchoolId;
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// Boxes for which the block of ports has room, each with a port at the gateway.
pub const BOXES_MAX: usize = 3;
/// As in production.
const HEARTBEAT_MS: u64 = 300;

/// Name of the gateway.
pub const GATEWAY: &str = "gateway";

pub fn core_name(index: usize) -> String {
    format!("core-{}", index + 1)
}

/// Ports that nobody else takes meanwhile: 3 QUIC and 3 admin of core nodes, HTTP and admin of each box, the gateway's admin,
/// and its HTTP for each school.
pub struct Ports {
    base: u16,
    _claim: Option<Claim>,
}

impl Ports {
    pub fn choose() -> anyhow::Result<Self> {
        let (ports, claim) = ports::choose(Some(0))?;
        // One after the other from the first.
        Ok(Self { base: ports.box_http[0], _claim: claim })
    }

    fn at(&self, offset: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base + offset as u16))
    }

    pub fn core_quic(&self, index: usize) -> SocketAddr {
        self.at(index)
    }

    pub fn core_admin(&self, index: usize) -> SocketAddr {
        self.at(CORES + index)
    }

    pub fn box_http(&self, index: usize) -> SocketAddr {
        self.at(2 * CORES + 2 * index)
    }

    pub fn box_admin(&self, index: usize) -> SocketAddr {
        self.at(2 * CORES + 2 * index + 1)
    }

    pub fn gateway_admin(&self) -> SocketAddr {
        self.at(2 * (CORES + BOXES_MAX))
    }

    /// The gateway's address for a school: names below one host would have to be resolved.
    pub fn gateway_http(&self, index: usize) -> SocketAddr {
        self.at(2 * (CORES + BOXES_MAX) + 1 + index)
    }
}

/// A box's own media node.
pub struct Media {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    participants: u32,
}

impl Media {
    pub fn new(participants: u32) -> anyhow::Result<Self> {
        Ok(Self { listen: free_port()?, admin: free_port()?, participants })
    }
}

/// The system's folder.
pub struct Files {
    pub dir: PathBuf,
    pub ports: Ports,
}

impl Files {
    pub fn node(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Identity and configuration of a core node; `addresses` are the core nodes' as the others reach them.
    pub fn write_core(&self, ca: &Ca, plan: &Plan, index: usize, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let name = core_name(index);
        let dir = self.node(&name);
        ca.issue(Role::Core, &name)?.save(&dir.join("identity"))?;
        let mut text = Self::head(&name, &dir);
        writeln!(text, "quic = \"{}\"", self.ports.core_quic(index))?;
        writeln!(text, "admin = \"{}\"", self.ports.core_admin(index))?;
        writeln!(text, "groups = {}", plan.groups)?;
        writeln!(text, "heartbeat_ms = {HEARTBEAT_MS}")?;
        writeln!(text, "purge_every = {}", plan.purge_every)?;
        for (n, address) in addresses.iter().enumerate() {
            writeln!(text, "[[node]]\nid = {}\nname = \"{}\"\naddr = \"{address}\"", n + 1, core_name(n))?;
        }
        for school in &plan.schools {
            writeln!(text, "[[school]]\nid = \"{}\"\ngroup = {}", school.id, school.group)?;
        }
        write(&dir, &text)
    }

    /// Identity, ticket key and configuration of a box; `addresses` are the core nodes' as this box reaches them.
    pub fn write_box(
        &self,
        ca: &Ca,
        school: &SchoolId,
        index: usize,
        addresses: &[SocketAddr],
        media: Option<&Media>,
    ) -> anyhow::Result<()> {
        let name = school.as_str();
        let dir = self.node(name);
        let identity = dir.join("identity");
        ca.issue(Role::Box, name)?.save(&identity)?;
        std::fs::write(identity.join("ticket.pk8"), TicketKey::generate(&rand::random()).to_pkcs8())?;
        let mut text = Self::head(name, &dir);
        let http = self.ports.box_http(index);
        writeln!(text, "http = \"{http}\"\npublic_url = \"http://{http}\"")?;
        writeln!(text, "admin = \"{}\"", self.ports.box_admin(index))?;
        for (n, address) in addresses.iter().enumerate() {
            writeln!(text, "[[core]]\nname = \"{}\"\naddr = \"{address}\"", core_name(n))?;
        }
        if let Some(Media { listen, admin, participants }) = media {
            writeln!(text, "[media]\nlisten = \"{listen}\"\nurl = \"http://{listen}\"\nadmin = \"{admin}\"")?;
            writeln!(text, "[media.budget]\nparticipants = {participants}")?;
        }
        write(&dir, &text)
    }

    /// Identity and configuration of the gateway.
    pub fn write_gateway(&self, ca: &Ca, plan: &Plan, addresses: &[SocketAddr]) -> anyhow::Result<()> {
        let dir = self.node(GATEWAY);
        let identity = dir.join("identity");
        ca.issue(Role::Gateway, GATEWAY)?.save(&identity)?;
        std::fs::write(identity.join("ticket.pk8"), TicketKey::generate(&rand::random()).to_pkcs8())?;
        let mut text = Self::head(GATEWAY, &dir);
        let http: Vec<_> = (0..plan.schools.len()).map(|n| self.ports.gateway_http(n).to_string()).collect();
        writeln!(text, "http = {http:?}")?;
        writeln!(text, "admin = \"{}\"", self.ports.gateway_admin())?;
        for (n, address) in addresses.iter().enumerate() {
            writeln!(text, "[[core]]\nname = \"{}\"\naddr = \"{address}\"", core_name(n))?;
        }
        for (school, http) in plan.schools.iter().zip(http) {
            writeln!(text, "[[school]]\nid = \"{}\"\nurl = \"http://{http}\"", school.id)?;
        }
        write(&dir, &text)
    }

    fn head(name: &str, dir: &Path) -> String {
        let dir = dir.display();
        format!("name = \"{name}\"\nidentity = \"{dir}/identity\"\ndata = \"{dir}/data\"\n")
    }
}

fn write(dir: &Path, text: &str) -> anyhow::Result<()> {
    let path = dir.join("config.toml");
    std::fs::write(&path, text).with_context(|| path.display().to_string())
}
