//! To the core's backup door as its operator, from the command line.

use super::client::Cores;
use crate::{cli::OperateArgs, operate::Config};
use schulhof_net::{
    identity::{Identity, KEY_FILE, Role},
    quic::{Endpoint, Options},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

/// The core, and the operator's private key.
pub fn connect(args: &OperateArgs) -> anyhow::Result<(Cores, Vec<u8>)> {
    let Config { identity: folder, cores } = Config::of(args)?;
    anyhow::ensure!(!cores.is_empty(), "no core node is named");
    let identity = Identity::load_as(&folder, Role::Operator)?;
    let secret = fs::read(folder.join(KEY_FILE))?;
    let listen = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
    Ok((Cores::new(endpoint, cores), secret))
}
