//! A gateway and a box beside the core: folders, identities, configurations. As in `cluster::config`, what is not said has
//! the product's default.

use crate::cluster::{
    Cluster,
    browser::{Browser, device},
    people::login,
    process::Process,
};
use anyhow::Context as _;
use schulhof_net::identity::Role;
use schulhof_placement::TicketKey;
use schulhof_wire::SchoolId;
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

pub struct Node {
    pub process: Process,
    url: String,
    file: PathBuf,
}

impl Node {
    pub fn gateway(cluster: &Cluster, program: &Path, dir: &Path, school: &SchoolId) -> anyhow::Result<Self> {
        let dir = dir.join("gateway");
        let http = free_port()?;
        let mut text = common(cluster, Role::Gateway, "gateway-1", &dir)?;
        writeln!(text, "http = [\"{http}\"]")?;
        write!(text, "{}", cores(cluster)?)?;
        writeln!(text, "[[school]]\nid = \"{school}\"\nurl = \"http://{http}\"")?;
        let file = dir.join("data/tenants").join(school.as_str()).join("box.redb");
        Self::new(program, &["edge", "--role", "gateway"], "gateway-1", &dir, &text, http, file)
    }

    pub fn school_box(cluster: &Cluster, program: &Path, dir: &Path, school: &SchoolId) -> anyhow::Result<Self> {
        let dir = dir.join("box");
        let http = free_port()?;
        let mut text = common(cluster, Role::Box, school.as_str(), &dir)?;
        writeln!(text, "http = \"{http}\"\npublic_url = \"http://{http}\"")?;
        write!(text, "{}", cores(cluster)?)?;
        let file = dir.join("data/box.redb");
        Self::new(program, &["edge"], school.as_str(), &dir, &text, http, file)
    }

    fn new(
        program: &Path,
        command: &'static [&'static str],
        name: &str,
        dir: &Path,
        config: &str,
        http: SocketAddr,
        file: PathBuf,
    ) -> anyhow::Result<Self> {
        let admin = free_port()?;
        let config = format!("admin = \"{admin}\"\n{config}");
        std::fs::write(dir.join("config.toml"), config).with_context(|| dir.display().to_string())?;
        let process = Process::with_options(program, command, dir, name.to_owned(), admin, "warn");
        Ok(Self { process, url: format!("http://{http}"), file })
    }

    /// Somebody who is not signed in yet.
    pub fn browser(&self) -> anyhow::Result<Browser> {
        Ok(Browser::new(self.url.clone(), login(0), device("bench-reader")?))
    }

    pub fn file_len(&self) -> anyhow::Result<u64> {
        Ok(std::fs::metadata(&self.file).with_context(|| self.file.display().to_string())?.len())
    }
}

/// Folder and identity, and the configuration's beginning.
fn common(cluster: &Cluster, role: Role, name: &str, dir: &Path) -> anyhow::Result<String> {
    let identity = dir.join("identity");
    cluster.ca.issue(role, name)?.save(&identity)?;
    std::fs::write(identity.join("ticket.pk8"), TicketKey::generate(&rand::random()).to_pkcs8())?;
    let dir = dir.display();
    Ok(format!("name = \"{name}\"\nidentity = \"{dir}/identity\"\ndata = \"{dir}/data\"\n"))
}

fn cores(cluster: &Cluster) -> anyhow::Result<String> {
    let mut text = String::new();
    for core in cluster.cores()? {
        writeln!(text, "[[core]]\nname = \"{}\"\naddr = \"{}\"", core.name, core.addr)?;
    }
    Ok(text)
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
