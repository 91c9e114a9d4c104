//! To the core's backup and blob doors as its operator, from the command line.

use super::{blobs::CoreBlobs, client::Cores};
use crate::{cli::OperateArgs, operate::Config};
use schulhof_net::{
    identity::{Identity, KEY_FILE, Role},
    quic::{Endpoint, Options},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
};

/// The core as its operator has it.
pub struct Connected {
    pub cores: Cores,
    pub blobs: CoreBlobs,
    /// The operator's private key.
    pub secret: Vec<u8>,
}

pub fn connect(args: &OperateArgs) -> anyhow::Result<Connected> {
    let Config { identity: folder, cores, .. } = Config::of(args)?;
    anyhow::ensure!(!cores.is_empty(), "no core node is named");
    let identity = Identity::load_as(&folder, Role::Operator)?;
    let secret = fs::read(folder.join(KEY_FILE))?;
    let listen = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let endpoint = Endpoint::bind(Options { listen, identity: &identity, data: None, alpns: &[] })?;
    let blobs = CoreBlobs::new(endpoint.clone(), &cores)?;
    Ok(Connected { cores: Cores::new(endpoint, cores), blobs, secret })
}
